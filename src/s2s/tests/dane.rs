//! What TLSA records prove (RFC 6698 §2.1.1, RFC 7671).

use kim_core::config::{Domain, Proof, S2s};
use sha2::{Digest, Sha256, Sha512};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::neighbours::Authority;
use crate::s2s::dane::{Association, Match, Usage, judge};
use crate::s2s::identity::Unproven;

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// A chain for `a.example`: its certificate, and the authority.
fn chain() -> Vec<CertificateDer<'static>> {
    let authority = Authority::new();
    let (certificate, _) = authority.issue(&["a.example".to_owned()]);
    vec![der(&certificate), der(&authority.pem())]
}

fn key_of(certificate: &CertificateDer<'_>) -> Vec<u8> {
    let (_, parsed) = X509Certificate::from_der(certificate).expect("a certificate");
    parsed.tbs_certificate.subject_pki.raw.to_vec()
}

fn record(usage: Usage, key_only: bool, matching: Match, data: &[u8]) -> Association {
    Association {
        usage,
        key_only,
        matching,
        data: match matching {
            Match::Whole => data.to_vec(),
            Match::Sha256 => Sha256::digest(data).to_vec(),
            Match::Sha512 => Sha512::digest(data).to_vec(),
        },
    }
}

fn untrusted() -> Result<(), Unproven> {
    Err(Unproven::Untrusted("a test".to_owned()))
}

#[test]
fn a_record_for_the_server_or_its_authority_is_enough() {
    let chain = chain();
    for record in [
        record(Usage::Server, true, Match::Sha256, &key_of(&chain[0])),
        record(Usage::Server, false, Match::Sha512, &chain[0]),
        record(Usage::Server, true, Match::Whole, &key_of(&chain[0])),
        record(Usage::Authority, false, Match::Sha256, &chain[1]),
    ] {
        assert_eq!(
            judge(&chain, std::slice::from_ref(&record), untrusted(), "a.example"),
            Ok(()),
            "{record:?}"
        );
    }
    let authority = record(Usage::Authority, false, Match::Sha256, &chain[1]);
    assert!(
        judge(&chain, &[authority], untrusted(), "b.example").is_err(),
        "for its own names alone"
    );
}

#[test]
fn where_there_are_records_one_must_fit() {
    let (ours, other) = (chain(), chain());
    let wrong = record(Usage::Server, true, Match::Sha256, &key_of(&other[0]));
    assert_eq!(
        judge(&ours, std::slice::from_ref(&wrong), Ok(()), "a.example"),
        Err(Unproven::Dane("a.example".to_owned())),
        "although an authority vouches for it"
    );
    assert_eq!(judge(&ours, &[], Ok(()), "a.example"), Ok(()));
    assert_eq!(judge(&ours, &[], untrusted(), "a.example"), untrusted());
    let both = record(Usage::PkixServer, true, Match::Sha256, &key_of(&ours[0]));
    assert_eq!(
        judge(&ours, std::slice::from_ref(&both), untrusted(), "a.example"),
        untrusted()
    );
    assert_eq!(judge(&ours, &[wrong, both], Ok(()), "a.example"), Ok(()));
    let authority = record(Usage::PkixAuthority, false, Match::Sha256, &ours[1]);
    assert_eq!(
        judge(&ours, std::slice::from_ref(&authority), Ok(()), "a.example"),
        Ok(())
    );
    assert!(judge(&[], &[authority], Ok(()), "a.example").is_err());
}

fn domains(names: &[&str]) -> Vec<Domain> {
    names.iter().filter_map(|name| Domain::parse(name)).collect()
}

#[test]
fn policies_are_for_domains_and_those_below() {
    let settings = S2s {
        dialback_domains: domains(&["old.example"]),
        allow: domains(&["example"]),
        deny: domains(&["bad.example"]),
        ..S2s::default()
    };
    assert_eq!(settings.proof_of("old.example"), Proof::Dialback);
    assert_eq!(settings.proof_of("chat.old.example"), Proof::Certificate);
    for (domain, is_permitted) in [
        ("old.example", true),
        ("bad.example", false),
        ("chat.bad.example", false),
        ("notbad.example", true),
        ("example.org", false),
    ] {
        assert_eq!(settings.permits(domain), is_permitted, "{domain}");
    }
    let strict = S2s {
        require: Proof::Dialback,
        certificate_domains: domains(&["bank.example"]),
        ..S2s::default()
    };
    assert_eq!(strict.proof_of("bank.example"), Proof::Certificate);
    assert_eq!(strict.proof_of("other.example"), Proof::Dialback);
    assert!(strict.permits("any.example"));
}
