//! The names in a certificate of another server: each stands for itself, and a star for one label alone.

use kim::s2s::identity::{CertificateIdentity, identities, is_for};
use kim_core::config::Domain;

pub fn check(data: &[u8]) {
    let all = identities(data);
    for identity in &all {
        match identity {
            CertificateIdentity::Xmpp(name) => {
                if Domain::parse(name).is_some_and(|domain| domain.to_ascii().is_some()) {
                    assert!(is_for(data, name), "a name stands for itself");
                }
            }
            CertificateIdentity::Dns(name) | CertificateIdentity::Srv(name) => {
                assert_eq!(*name, name.to_ascii_lowercase())
            }
        }
    }
    if all.is_empty() {
        assert!(!is_for(data, "example.org"));
    }
}
