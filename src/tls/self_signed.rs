//! The certificate of a server that was given none: self-signed, one for each domain, kept in the data directory.
//!
//! It is valid for 825 days, the most that every platform takes, and made anew, *with the same key*, when less than
//! 30 days are left: who trusts the key need not do so again.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
};

use super::TlsError;

/// Days a certificate is valid.
const VALID_DAYS: u32 = 825;
/// Days before its end at which it is replaced.
pub(super) const RENEW_DAYS: i64 = 30;
/// The organization in the certificate's subject, by which a later start knows that it may replace it.
pub(super) const MARK: &str = "kIM self-signed";
/// The services that live below a domain.
const SERVICES: [&str; 6] = ["conference", "upload", "pubsub", "push", "proxy", "guest"];

const DAY: Duration = Duration::from_secs(86_400);

/// Makes the certificate of a domain in `folder`, or renews it with the key that lies there.
pub(super) fn make(folder: &Path, domain: &str) -> Result<PathBuf, TlsError> {
    let (cert_path, key_path) = paths(folder, domain);
    let failed = |path: &Path, what: String| TlsError::new(path, what);
    let key = match fs::read_to_string(&key_path) {
        Ok(pem) => KeyPair::from_pem(&pem)
            .map_err(|error| failed(&key_path, format!("is no private key: {error}")))?,
        Err(_) => {
            let key = KeyPair::generate()
                .map_err(|error| failed(&key_path, format!("cannot be created: {error}")))?;
            write_private(&key_path, &key.serialize_pem())
                .map_err(|error| failed(&key_path, format!("cannot be written: {error}")))?;
            key
        }
    };
    let cert = params(domain)
        .and_then(|params| params.self_signed(&key))
        .map_err(|error| failed(&cert_path, format!("cannot be created for {domain}: {error}")))?;
    fs::write(&cert_path, cert.pem())
        .map_err(|error| failed(&cert_path, format!("cannot be written: {error}")))?;
    Ok(cert_path)
}

/// Where a domain's certificate and key lie.
pub(super) fn paths(folder: &Path, domain: &str) -> (PathBuf, PathBuf) {
    (
        folder.join(format!("{domain}.crt")),
        folder.join(format!("{domain}.key")),
    )
}

fn params(domain: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut names = vec![ascii(domain)];
    names.extend(
        SERVICES
            .iter()
            .map(|service| ascii(&format!("{service}.{domain}"))),
    );
    let mut params = CertificateParams::new(names)?;
    if domain == "localhost" {
        params
            .subject_alt_names
            .push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        params
            .subject_alt_names
            .push(SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    }
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, MARK);
    // The common name is for people's eyes alone (RFC 9525 §2) and holds at most 64 characters.
    subject.push(DnType::CommonName, domain.chars().take(64).collect::<String>());
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    // Clients' clocks are not all right.
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * VALID_DAYS).into();
    Ok(params)
}

/// A domain as certificates and SNI write it (RFC 5890).
pub(super) fn ascii(domain: &str) -> String {
    idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned())
}

/// Writes a file that only its owner may read, from its first byte on.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
