//! What ties a login to the TLS session it runs in, so that nobody in between can pass it on (RFC 5056, XEP-0440).

use std::fmt;

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_parser::der_parser::Oid;
use x509_parser::der_parser::asn1_rs::oid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// The label under which TLS exports the 32 bytes of `tls-exporter`, without a context (RFC 9266 §2).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// The binding types kIM knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelBindingType {
    /// RFC 9266: the session itself.
    TlsExporter,
    /// RFC 5929 §4: the server's certificate. XEP-0440 §3 has every server offer it.
    TlsServerEndPoint,
}

impl ChannelBindingType {
    const ALL: [ChannelBindingType; 2] = [
        ChannelBindingType::TlsExporter,
        ChannelBindingType::TlsServerEndPoint,
    ];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            ChannelBindingType::TlsExporter => "tls-exporter",
            ChannelBindingType::TlsServerEndPoint => "tls-server-end-point",
        }
    }

    /// The reverse of [`ChannelBindingType::name`]; names are compared octet by octet.
    pub fn parse(name: &str) -> Option<ChannelBindingType> {
        ChannelBindingType::ALL
            .into_iter()
            .find(|binding| binding.name() == name)
    }
}

/// The binding data of one TLS session. Empty without TLS, or where another terminates it for us.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ChannelBindings {
    /// What TLS 1.3 exports under [`EXPORTER_LABEL`] (or TLS 1.2 with extended master secret: RFC 9266 §3).
    pub exporter: Option<[u8; 32]>,
    /// [`server_end_point_hash`] of the certificate this session was given.
    pub server_end_point: Option<Vec<u8>>,
}

impl ChannelBindings {
    /// The types for which there is data, the stronger first.
    pub fn types(&self) -> Vec<ChannelBindingType> {
        ChannelBindingType::ALL
            .into_iter()
            .filter(|&binding| self.data(binding).is_some())
            .collect()
    }

    /// The data of a type.
    pub fn data(&self, binding: ChannelBindingType) -> Option<&[u8]> {
        match binding {
            ChannelBindingType::TlsExporter => self.exporter.as_ref().map(|bytes| bytes.as_slice()),
            ChannelBindingType::TlsServerEndPoint => self.server_end_point.as_deref(),
        }
    }
}

impl fmt::Debug for ChannelBindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChannelBindings").field(&self.types()).finish()
    }
}

/// The `tls-server-end-point` data of a certificate (RFC 5929 §4.1): its hash by the function its signature uses, SHA-256
/// for MD5 and SHA-1. `None` where the RFC defines nothing, as for Ed25519.
pub fn server_end_point_hash(leaf_der: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(leaf_der).ok()?;
    let signature = &certificate.signature_algorithm;
    let hash = match SignatureAlgorithm::try_from(signature) {
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => hash_by_name(parameters.hash_algorithm_oid()),
        _ => hash_of_signature(&signature.algorithm),
    }?;
    Some(match hash {
        SignatureHash::Sha224 => Sha224::digest(leaf_der).to_vec(),
        SignatureHash::Sha256OrOlder => Sha256::digest(leaf_der).to_vec(),
        SignatureHash::Sha384 => Sha384::digest(leaf_der).to_vec(),
        SignatureHash::Sha512 => Sha512::digest(leaf_der).to_vec(),
    })
}

/// The hash functions a signature may use, as far as they differ here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureHash {
    Sha224,
    Sha256OrOlder,
    Sha384,
    Sha512,
}

/// Signature algorithms with a hash in their name (RFC 3279 §2.2, RFC 4055 §5, RFC 5758 §3).
pub(crate) fn hash_of_signature(algorithm: &Oid<'_>) -> Option<SignatureHash> {
    let known = [
        (oid!(1.2.840.113549.1.1.4), SignatureHash::Sha256OrOlder), // MD5 with RSA
        (oid!(1.2.840.113549.1.1.5), SignatureHash::Sha256OrOlder), // SHA-1 with RSA
        (oid!(1.2.840.113549.1.1.14), SignatureHash::Sha224),
        (oid!(1.2.840.113549.1.1.11), SignatureHash::Sha256OrOlder),
        (oid!(1.2.840.113549.1.1.12), SignatureHash::Sha384),
        (oid!(1.2.840.113549.1.1.13), SignatureHash::Sha512),
        (oid!(1.2.840.10045.4.1), SignatureHash::Sha256OrOlder), // SHA-1 with ECDSA
        (oid!(1.2.840.10045.4.3.1), SignatureHash::Sha224),
        (oid!(1.2.840.10045.4.3.2), SignatureHash::Sha256OrOlder),
        (oid!(1.2.840.10045.4.3.3), SignatureHash::Sha384),
        (oid!(1.2.840.10045.4.3.4), SignatureHash::Sha512),
    ];
    known
        .into_iter()
        .find(|(oid, _)| oid == algorithm)
        .map(|(_, hash)| hash)
}

/// The hash named in the parameters of RSASSA-PSS (RFC 4055 §2.1).
pub(crate) fn hash_by_name(hash: &Oid<'_>) -> Option<SignatureHash> {
    let known = [
        (oid!(1.3.14.3.2.26), SignatureHash::Sha256OrOlder), // SHA-1
        (oid!(2.16.840.1.101.3.4.2.4), SignatureHash::Sha224),
        (oid!(2.16.840.1.101.3.4.2.1), SignatureHash::Sha256OrOlder),
        (oid!(2.16.840.1.101.3.4.2.2), SignatureHash::Sha384),
        (oid!(2.16.840.1.101.3.4.2.3), SignatureHash::Sha512),
    ];
    known
        .into_iter()
        .find(|(oid, _)| oid == hash)
        .map(|(_, hash)| hash)
}
