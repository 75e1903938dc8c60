//! Logins tied to their TLS session: the man in the middle, who has a certificate and passes every message on, fails.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_parser::der_parser::asn1_rs::oid;

use super::*;
use crate::tls::channel_binding::{SignatureHash, hash_by_name, hash_of_signature};

fn bound(gs2: &str, channel: &[u8]) -> Client {
    Client {
        gs2: gs2.into(),
        channel: channel.to_vec(),
        ..Client::new(Mechanism::ScramSha256Plus)
    }
}

#[test]
fn both_types_bind() {
    let offer = offer();
    assert_eq!(
        success(bound("p=tls-exporter,,", &EXPORTER).login(&offer)).0,
        alice()
    );
    assert_eq!(
        success(bound("p=tls-server-end-point,,", &END_POINT).login(&offer)).0,
        alice()
    );
    let with_authzid = bound("p=tls-exporter,a=alice@example.org,", &EXPORTER);
    assert_eq!(success(with_authzid.login(&offer)).0, alice());
    let names: Vec<_> = offer
        .channel_binding_types()
        .iter()
        .map(|binding| binding.name())
        .collect();
    assert_eq!(names, ["tls-exporter", "tls-server-end-point"]);
}

#[test]
fn another_channel_is_not_ours() {
    // The attacker's sessions with client and server export different bytes (RFC 9266 §2) and show different certificates.
    for (gs2, channel) in [
        ("p=tls-exporter,,", [9; 32]),
        ("p=tls-server-end-point,,", [9; 32]),
        ("p=tls-exporter,,", END_POINT),
        ("p=tls-server-end-point,,", EXPORTER),
    ] {
        assert_eq!(
            failure(bound(gs2, &channel).login(&offer())),
            SaslFailure::NotAuthorized,
            "{gs2}"
        );
    }
    assert_eq!(
        failure(bound("p=tls-exporter,,", &EXPORTER[..31]).login(&offer())),
        SaslFailure::NotAuthorized
    );
}

#[test]
fn the_binding_type_is_signed_too() {
    let client = bound("p=tls-exporter,,", &EXPORTER);
    let other = STANDARD.encode([b"p=tls-server-end-point,,", &END_POINT[..]].concat());
    assert_eq!(
        failure(client.login_bent(&offer(), |a| a.binding = other)),
        SaslFailure::NotAuthorized
    );
}

#[test]
fn only_types_with_data_are_taken() {
    let end_point_only = ChannelBindings {
        exporter: None,
        ..bindings()
    };
    let offer = Offer::new(HOST, everything(), end_point_only);
    assert!(names(&offer).contains(&"SCRAM-SHA-256-PLUS"));
    assert_eq!(
        success(bound("p=tls-server-end-point,,", &END_POINT).login(&offer)).0,
        alice()
    );
    assert_eq!(
        failure(bound("p=tls-exporter,,", &EXPORTER).login(&offer)),
        SaslFailure::NotAuthorized
    );
    for unknown in ["p=tls-unique,,", "p=TLS-Exporter,,", "p=tls-exporter ,,"] {
        assert_eq!(
            failure(bound(unknown, &EXPORTER).login(&offer)),
            SaslFailure::NotAuthorized,
            "{unknown}"
        );
    }
}

fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
    let key = KeyPair::generate_for(algorithm).unwrap();
    CertificateParams::new(vec![HOST.into()])
        .unwrap()
        .self_signed(&key)
        .unwrap()
        .der()
        .to_vec()
}

/// A certificate that names another algorithm. Its signature is wrong now, which is nothing to the hash.
fn renamed(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut der = der.to_vec();
    let places: Vec<usize> = (0..der.len()).filter(|&at| der[at..].starts_with(from)).collect();
    assert_eq!(places.len(), 2);
    for at in places {
        der[at..at + to.len()].copy_from_slice(to);
    }
    der
}

#[test]
fn the_end_point_is_hashed_by_the_hash_of_the_signature() {
    // RFC 5929 §4.1. The object identifiers are ecdsa-with-SHA256 and its neighbours (RFC 5758 §3.2).
    const ECDSA: [u8; 9] = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03];
    let ecdsa = |last: u8| [&ECDSA[..], &[last]].concat();
    let p256 = certificate(&PKCS_ECDSA_P256_SHA256);
    let p384 = certificate(&PKCS_ECDSA_P384_SHA384);
    assert_eq!(server_end_point_hash(&p256), Some(Sha256::digest(&p256).to_vec()));
    assert_eq!(server_end_point_hash(&p384), Some(Sha384::digest(&p384).to_vec()));
    let sha512 = renamed(&p256, &ecdsa(2), &ecdsa(4));
    assert_eq!(
        server_end_point_hash(&sha512),
        Some(Sha512::digest(&sha512).to_vec())
    );
    let sha224 = renamed(&p256, &ecdsa(2), &ecdsa(1));
    assert_eq!(
        server_end_point_hash(&sha224),
        Some(Sha224::digest(&sha224).to_vec())
    );
}

#[test]
fn sha_1_and_md5_count_as_sha_256() {
    use SignatureHash::{Sha256OrOlder, Sha384};
    // The names are longer or shorter than those rcgen writes, so the tables are asked directly.
    let [md5, sha1, ecdsa_sha1] = [
        oid!(1.2.840.113549.1.1.4),
        oid!(1.2.840.113549.1.1.5),
        oid!(1.2.840.10045.4.1),
    ];
    for old in [md5, sha1, ecdsa_sha1, oid!(1.2.840.113549.1.1.11)] {
        assert_eq!(hash_of_signature(&old), Some(Sha256OrOlder), "{old}");
    }
    assert_eq!(hash_of_signature(&oid!(1.2.840.113549.1.1.12)), Some(Sha384));
    // RSASSA-PSS names its hash in parameters; the default is SHA-1 (RFC 4055 §3.1).
    assert_eq!(hash_by_name(&oid!(1.3.14.3.2.26)), Some(Sha256OrOlder));
    assert_eq!(hash_by_name(&oid!(2.16.840.1.101.3.4.2.2)), Some(Sha384));
    assert_eq!(hash_by_name(&oid!(1.2.3)), None);
}

#[test]
fn where_rfc_5929_defines_nothing_nothing_is_offered() {
    assert_eq!(server_end_point_hash(&certificate(&PKCS_ED25519)), None);
    assert_eq!(server_end_point_hash(b""), None);
    assert_eq!(server_end_point_hash(b"no certificate"), None);
}
