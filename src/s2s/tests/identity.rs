//! Which certificates prove which domain (RFC 6120 §13.7.1.2, RFC 9525 §6).

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, OtherNameValue, SanType,
};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::s2s::identity::{CertificateIdentity, Unproven, identities, is_for, judge};

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn other_name(oid: &[u64], text: &str) -> SanType {
    SanType::OtherName((oid.to_vec(), OtherNameValue::Utf8String(text.into())))
}

fn issued(
    issuer: &CertifiedIssuer<'_, KeyPair>,
    names: Vec<SanType>,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(Vec::new()).expect("names");
    params.subject_alt_names = names;
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    params
        .signed_by(&key, issuer)
        .expect("a certificate")
        .der()
        .clone()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("a name"))
}

fn roots(issuer: &CertifiedIssuer<'_, KeyPair>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).expect("a root");
    roots
}

const XMPP_ADDR: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 8, 5];
const SRV_ID: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 8, 7];

#[test]
fn each_kind_of_name_counts_and_a_star_stands_for_one_label() {
    let issuer = authority();
    let certificate = issued(
        &issuer,
        vec![
            dns("Example.ORG"),
            dns("*.wild.example"),
            dns("*.org"),
            dns("a*.partial.example"),
            other_name(SRV_ID, "_xmpp-server.srv.example"),
            other_name(SRV_ID, "_xmpp-client.clients.example"),
            other_name(XMPP_ADDR, "böse.example"),
            other_name(XMPP_ADDR, "somebody@person.example"),
        ],
        |_| {},
    );
    for domain in ["example.org", "chat.wild.example", "srv.example", "böse.example"] {
        assert!(is_for(&certificate, domain), "{domain}");
    }
    for domain in [
        "sub.example.org",
        "wild.example",
        "a.b.wild.example",
        "other.org",
        "ab.partial.example",
        "clients.example",
        "person.example",
        "",
    ] {
        assert!(!is_for(&certificate, domain), "{domain}");
    }
    assert!(identities(&certificate).contains(&CertificateIdentity::Srv("srv.example".into())));
}

#[test]
fn a_name_with_foreign_letters_is_compared_as_dns_has_it() {
    let certificate = issued(&authority(), vec![dns("xn--bse-sna.example")], |_| {});
    assert!(is_for(&certificate, "böse.example"));
}

#[test]
fn only_a_trusted_authority_vouches_and_only_for_servers() {
    let (trusted, stranger) = (authority(), authority());
    let roots = roots(&trusted);
    let judged = |certificate: &CertificateDer<'static>, domain| {
        judge(std::slice::from_ref(certificate), &roots, domain)
    };
    let good = issued(&trusted, vec![dns("a.example")], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert_eq!(judged(&good, "a.example"), Ok(()));
    assert!(matches!(judged(&good, "b.example"), Err(Unproven::OtherName(..))));
    let forged = issued(&stranger, vec![dns("a.example")], |_| {});
    assert!(matches!(
        judged(&forged, "a.example"),
        Err(Unproven::Untrusted(_))
    ));
    let client_only = issued(&trusted, vec![dns("a.example")], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert!(matches!(
        judged(&client_only, "a.example"),
        Err(Unproven::Untrusted(_))
    ));
    let expired = issued(&trusted, vec![dns("a.example")], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    assert!(matches!(
        judged(&expired, "a.example"),
        Err(Unproven::Untrusted(_))
    ));
    assert_eq!(judge(&[], &roots, "a.example"), Err(Unproven::Missing));
}

#[test]
fn broken_certificates_name_nobody() {
    let certificate = issued(&authority(), vec![dns("a.example")], |_| {});
    for length in 0..certificate.len() {
        let cut = certificate.get(..length).unwrap_or_default();
        assert_eq!(identities(cut), Vec::new(), "{length}");
    }
    let mut flipped = certificate.to_vec();
    for at in 0..flipped.len() {
        flipped[at] ^= 0x80;
        let _ = identities(&flipped);
        flipped[at] ^= 0x80;
    }
}
