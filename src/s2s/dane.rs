//! What TLSA records say about a certificate (RFC 6698, RFC 7671). They count only where DNSSEC vouches for them.

use sha2::{Digest, Sha256, Sha512};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::identity::{self, Unproven};

/// Which certificate of the chain a record is about, and whether an authority must vouch for it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// 0: one of the authorities; it must be a trusted one too.
    PkixAuthority,
    /// 1: the server's; a trusted authority must vouch for it too.
    PkixServer,
    /// 2: one of the authorities, whoever it is.
    Authority,
    /// 3: the server's, whoever vouches for it.
    Server,
}

/// How the data is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It is the certificate or key itself.
    Whole,
    /// It is its SHA-256 sum.
    Sha256,
    /// It is its SHA-512 sum.
    Sha512,
}

/// One TLSA record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// What it is about.
    pub usage: Usage,
    /// It is about the public key, not about the whole certificate.
    pub key_only: bool,
    /// How it is compared.
    pub matching: Match,
    /// What is compared.
    pub data: Vec<u8>,
}

impl Association {
    fn fits(&self, certificate: &CertificateDer<'_>) -> bool {
        let selected: &[u8] = match self.key_only {
            false => certificate,
            true => match X509Certificate::from_der(certificate) {
                Ok((_, parsed)) => parsed.tbs_certificate.subject_pki.raw,
                Err(_) => return false,
            },
        };
        match self.matching {
            Match::Whole => selected == self.data,
            Match::Sha256 => *Sha256::digest(selected) == *self.data,
            Match::Sha512 => *Sha512::digest(selected) == *self.data,
        }
    }
}

/// Judges a chain by the records of the server it came from. `by_authority` is how the trusted authorities judged it. Where
/// there are records, one of them must fit.
pub fn judge(
    chain: &[CertificateDer<'_>],
    associations: &[Association],
    by_authority: Result<(), Unproven>,
    domain: &str,
) -> Result<(), Unproven> {
    if associations.is_empty() {
        return by_authority;
    }
    let (leaf, above) = chain.split_first().ok_or(Unproven::Missing)?;
    for association in associations {
        let proven = match association.usage {
            // DNSSEC has tied this very key to the domain: its names and dates do not count (RFC 7671 §5.1).
            Usage::Server => association.fits(leaf),
            Usage::Authority => above
                .iter()
                .filter(|certificate| association.fits(certificate))
                .any(|anchor| vouches(anchor, chain, domain)),
            Usage::PkixServer => by_authority.is_ok() && association.fits(leaf),
            Usage::PkixAuthority => {
                by_authority.is_ok() && above.iter().any(|certificate| association.fits(certificate))
            }
        };
        if proven {
            return Ok(());
        }
    }
    Err(by_authority.err().unwrap_or(Unproven::Dane(domain.to_owned())))
}

/// Whether an authority that DANE names vouches for the chain, as if it were a trusted one.
fn vouches(anchor: &CertificateDer<'_>, chain: &[CertificateDer<'_>], domain: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone().into_owned()).is_ok() && identity::judge(chain, &roots, domain).is_ok()
}
