//! Whose certificate it is: the names in it that count for XMPP (RFC 6120 §13.7.1.2, RFC 9525), and whether an authority
//! that is trusted here vouches for it. Public authorities no longer issue certificates for clients, so the certificate of
//! a server that connects is judged as a server's too (XEP-0178).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kim_core::config::Domain;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::der_parser::oid;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The service of SRV-IDs (RFC 4985) that this is about.
const SERVICE: &str = "_xmpp-server.";
/// Names that are looked at in one certificate.
const NAMES_MAX: usize = 1_000;

/// A name in a certificate that says which domain it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateIdentity {
    /// dNSName; may begin with `*.`, which stands for one label.
    Dns(String),
    /// SRV-ID, without the service.
    Srv(String),
    /// id-on-xmppAddr, prepared.
    Xmpp(String),
}

impl CertificateIdentity {
    /// Whether it stands for a domain, which is prepared.
    fn is(&self, domain: &str, ascii: &str) -> bool {
        match self {
            CertificateIdentity::Dns(name) | CertificateIdentity::Srv(name) => names(name, ascii),
            CertificateIdentity::Xmpp(name) => name == domain,
        }
    }
}

/// Whether a name of DNS, perhaps with a star as its whole first label, stands for a host.
fn names(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(rest) => host
            .split_once('.')
            .is_some_and(|(label, above)| !label.is_empty() && above == rest && rest.contains('.')),
        None => name == host,
    }
}

/// The names in a certificate. Whatever cannot be read gives none: the common name never counts.
pub fn identities(certificate: &[u8]) -> Vec<CertificateIdentity> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(alternative)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let names = alternative.value.general_names.iter().take(NAMES_MAX);
    names.filter_map(identity).collect()
}

fn identity(name: &GeneralName<'_>) -> Option<CertificateIdentity> {
    match name {
        GeneralName::DNSName(name) => Some(CertificateIdentity::Dns(
            name.trim_end_matches('.').to_ascii_lowercase(),
        )),
        GeneralName::OtherName(kind, value) if *kind == oid!(1.3.6.1.5.5.7.8.7) => {
            let text = text_inside(value)?.to_ascii_lowercase();
            Some(CertificateIdentity::Srv(text.strip_prefix(SERVICE)?.to_owned()))
        }
        GeneralName::OtherName(kind, value) if *kind == oid!(1.3.6.1.5.5.7.8.5) => Some(
            CertificateIdentity::Xmpp(Domain::parse(text_inside(value)?)?.to_string()),
        ),
        _ => None,
    }
}

/// The text of an otherName: a string inside an explicit tag (RFC 5280 §4.2.1.6).
fn text_inside(value: &[u8]) -> Option<&str> {
    const EXPLICIT: u8 = 0xa0;
    const UTF8: u8 = 0x0c;
    const IA5: u8 = 0x16;
    let inner = match value.first() {
        Some(&EXPLICIT) => content(value, EXPLICIT)?,
        _ => value,
    };
    let text = content(inner, UTF8).or_else(|| content(inner, IA5))?;
    std::str::from_utf8(text).ok()
}

/// The content of an element of DER with that tag that fills its bytes whole.
fn content(der: &[u8], tag: u8) -> Option<&[u8]> {
    let (found, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81 => rest
            .split_first()
            .map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => {
            let (high, rest) = rest.split_first()?;
            let (low, rest) = rest.split_first()?;
            (usize::from(*high) << 8 | usize::from(*low), rest)
        }
        _ => return None,
    };
    (*found == tag && rest.len() == length).then_some(rest)
}

/// Whether a certificate names a domain.
pub fn is_for(certificate: &[u8], domain: &str) -> bool {
    let Some(ascii) = Domain::ascii_of(domain) else {
        return false;
    };
    identities(certificate)
        .iter()
        .any(|identity| identity.is(domain, &ascii.to_ascii_lowercase()))
}

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// None was shown.
    #[error("no certificate was shown")]
    Missing,
    /// It cannot be read, has expired, or no trusted authority vouches for it.
    #[error("the certificate is not trusted: {0}")]
    Untrusted(String),
    /// It is good, but for other names.
    #[error("the certificate is for {0}, not for {1}")]
    OtherName(String, String),
    /// DANE names another certificate.
    #[error("the certificate is not one that the TLSA records of {0} name")]
    Dane(String),
}

/// Judges a chain as a server's certificate for a domain, at the present time.
pub fn judge(chain: &[CertificateDer<'_>], roots: &RootCertStore, domain: &str) -> Result<(), Unproven> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    judge_at(chain, roots, domain, since.unwrap_or(Duration::ZERO))
}

fn judge_at(
    chain: &[CertificateDer<'_>],
    roots: &RootCertStore,
    domain: &str,
    now: Duration,
) -> Result<(), Unproven> {
    let (leaf, intermediates) = chain.split_first().ok_or(Unproven::Missing)?;
    let untrusted = |error: webpki::Error| Unproven::Untrusted(format!("{error:?}"));
    let certificate = webpki::EndEntityCert::try_from(leaf).map_err(untrusted)?;
    certificate
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &roots.roots,
            intermediates,
            UnixTime::since_unix_epoch(now),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )
        .map_err(untrusted)?;
    named(leaf, domain)
}

/// Whether a certificate is for a domain, whoever vouches for it.
pub fn named(leaf: &CertificateDer<'_>, domain: &str) -> Result<(), Unproven> {
    if is_for(leaf, domain) {
        return Ok(());
    }
    let mut others: Vec<String> = identities(leaf)
        .into_iter()
        .map(|identity| match identity {
            CertificateIdentity::Dns(name)
            | CertificateIdentity::Srv(name)
            | CertificateIdentity::Xmpp(name) => name,
        })
        .collect();
    others.dedup();
    others.truncate(5);
    let others = match others.is_empty() {
        true => "no domain".to_owned(),
        false => others.join(", "),
    };
    Err(Unproven::OtherName(others, domain.to_owned()))
}
