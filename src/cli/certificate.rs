//! Inspects a certificate and its key: readable, matching, valid for which names and until when.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use kim_core::config::Domain;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// A longer file is not a certificate or a key.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The names it is for: domains, `*.` before some of them, and addresses.
    pub names: Vec<String>,
    /// From when it holds, in seconds since 1970.
    pub not_before: i64,
    /// Until when it holds, in seconds since 1970.
    pub not_after: i64,
    /// How many certificates the file has: one's own and those that lead to its authority.
    pub chain: usize,
    /// It is signed with its own key: clients trust it only if the user tells them to.
    pub self_signed: bool,
}

impl CertificateFacts {
    /// Whether it is for a domain (RFC 9525 section 6.3: a `*` stands for exactly one label).
    pub fn covers(&self, domain: &Domain) -> bool {
        let Some(ascii) = domain.to_ascii() else {
            return false;
        };
        let parent = ascii.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|name| {
            let wildcard = name.strip_prefix("*.").zip(parent);
            name.eq_ignore_ascii_case(&ascii)
                || wildcard.is_some_and(|(name, parent)| name.eq_ignore_ascii_case(parent))
        })
    }
}

/// Reads a certificate with its chain and its key, both PEM, and sees that they belong together.
pub fn inspect(cert: &Path, key: &Path) -> Result<CertificateFacts, Failure> {
    let wrong = |path: &Path, cause: String| Failure::Certificate {
        setting: None,
        path: path.to_owned(),
        cause,
    };
    let pem = read(cert)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(cert, format!("is not PEM: {error}")))?;
    let first = chain
        .first()
        .ok_or_else(|| wrong(cert, "contains no certificate".to_owned()))?;
    let facts = facts(first, chain.len()).map_err(|cause| wrong(cert, cause))?;

    let pem = read(key)?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        wrong(
            key,
            "contains no private key in PEM (encrypted keys are not supported)".to_owned(),
        )
    })?;
    let signing = rustls::crypto::ring::sign::any_supported_type(&private).map_err(|_| {
        wrong(
            key,
            "this type of key is not supported; use ECDSA P-256 or RSA".to_owned(),
        )
    })?;
    match rustls::sign::CertifiedKey::new(chain.clone(), signing).keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Err(wrong(
            key,
            format!("does not match the certificate {}", cert.display()),
        )),
        _ => Ok(facts),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    let result = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    result.map_err(|error| Failure::certificate_file(path, &error))?;
    Ok(bytes)
}

fn facts(der: &CertificateDer<'_>, chain: usize) -> Result<CertificateFacts, String> {
    let (_, certificate) =
        parse_x509_certificate(der).map_err(|error| format!("is not an X.509 certificate: {error}"))?;
    let alternative = certificate
        .subject_alternative_name()
        .map_err(|error| format!("its subject alternative names cannot be read: {error}"))?;
    let general = alternative
        .map(|names| names.value.general_names.as_slice())
        .unwrap_or_default();
    let names = general.iter().filter_map(name).collect();
    Ok(CertificateFacts {
        names,
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        chain,
        self_signed: certificate.subject() == certificate.issuer(),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    }
}
