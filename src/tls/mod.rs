//! The server's certificates: where they come from, which one a client gets, and their replacement without a restart.
//!
//! `[tls] cert` and `key` name one pair; every `NAME.crt` with a `NAME.key` beside it in `DATA_DIR/certs/` is another.
//! A client gets the certificate that names the host it asks for (SNI, RFC 6066 §3), or the first. A domain that none
//! of them names gets a self-signed one. [`Certificates::reload`] reads everything again; if anything is wrong with
//! what it finds, the old certificates stay in use.

mod any_certificate;
mod binding;
pub(crate) mod channel_binding;
mod self_signed;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use kim_core::config::Config;
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{KeyLog, ServerConfig, version};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

pub use self::any_certificate::AnyCertificate;
pub use self::channel_binding::{ChannelBindingType, ChannelBindings, EXPORTER_LABEL, server_end_point_hash};
use crate::exposed::{open_to_others, unreadable};

/// What is wrong with a certificate or key: one line that names the file.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {problem}", path.display(), setting.map(|setting| format!(" ({setting})")).unwrap_or_default())]
pub struct TlsError {
    /// The setting that names the file, if one does.
    pub setting: Option<&'static str>,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl TlsError {
    fn new(path: &Path, problem: impl Into<String>) -> TlsError {
        TlsError {
            setting: None,
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}

/// The certificates in use; cheap to ask, replaceable at any time.
pub struct Certificates {
    sources: Sources,
    current: RwLock<Arc<Loaded>>,
}

/// Where certificates come from.
struct Sources {
    configured: Option<(PathBuf, PathBuf)>,
    folder: PathBuf,
    domains: Vec<String>,
}

/// The certificates as they were at one moment. A connection keeps to those that it began with.
pub struct Loaded {
    pairs: Vec<Pair>,
    config: ServerConfig,
}

/// One certificate with its key.
pub struct Pair {
    key: Arc<CertifiedKey>,
    /// The names it is for, in lower case; `*.` stands for one label.
    names: Vec<String>,
    /// The file it was read from.
    pub path: PathBuf,
    /// Whether kIM made it.
    pub is_self_signed: bool,
    /// SHA-256 of the certificate, as people compare it.
    pub fingerprint: String,
    days_left: i64,
    end_point: Option<Vec<u8>>,
}

impl Certificates {
    /// Reads the certificates that the configuration names, and makes those that are missing.
    pub fn load(config: &Config) -> Result<Certificates, TlsError> {
        let sources = Sources {
            configured: config.tls.cert.clone().zip(config.tls.key.clone()),
            folder: config.server.data_dir.join("certs"),
            domains: config.server.domains.iter().map(ToString::to_string).collect(),
        };
        let loaded = sources.load()?;
        Ok(Certificates {
            sources,
            current: RwLock::new(Arc::new(loaded)),
        })
    }

    /// Reads everything again. After an error the old certificates stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = Arc::new(self.sources.load()?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// The certificates of this moment.
    pub fn current(&self) -> Arc<Loaded> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Sources {
    fn load(&self) -> Result<Loaded, TlsError> {
        let mut pairs = Vec::new();
        if let Some((cert, key)) = &self.configured {
            let read = Pair::read(cert, key);
            pairs.push(read.map_err(|error| TlsError {
                setting: Some(if error.path == *key {
                    "[tls] key"
                } else {
                    "[tls] cert"
                }),
                ..error
            })?);
        }
        fs::create_dir_all(&self.folder)
            .map_err(|error| TlsError::new(&self.folder, format!("cannot be created: {error}")))?;
        for (cert, key) in self.in_folder()? {
            pairs.push(Pair::read(&cert, &key)?);
        }
        for domain in &self.domains {
            let named: Vec<_> = pairs
                .iter()
                .enumerate()
                .filter(|(_, pair)| pair.is_for(domain))
                .collect();
            let fresh = named
                .iter()
                .any(|(_, pair)| !pair.is_self_signed || pair.days_left > self_signed::RENEW_DAYS);
            // An operator's certificate for other names is meant for all domains: some have one name in the
            // certificate and delegate from the others (RFC 9525 §3).
            if fresh || (named.is_empty() && self.configured.is_some()) {
                continue;
            }
            let (cert, key) = self_signed::paths(&self.folder, domain);
            self_signed::make(&self.folder, domain)?;
            let made = Pair::read(&cert, &key)?;
            match named.first().map(|(at, _)| *at).and_then(|at| pairs.get_mut(at)) {
                Some(old) => *old = made,
                None => pairs.push(made),
            }
        }
        // Without SNI a client gets the first: the configured one, or the main domain's.
        if self.configured.is_none()
            && let Some(main) = self.domains.first()
            && let Some(at) = pairs.iter().position(|pair| pair.is_for(main))
        {
            pairs.swap(0, at);
        }
        let config = server_config().map_err(|problem| TlsError::new(&self.folder, problem))?;
        Ok(Loaded { pairs, config })
    }

    /// The pairs in the folder, by name, so that their order is the same at every start.
    fn in_folder(&self) -> Result<Vec<(PathBuf, PathBuf)>, TlsError> {
        let unreadable = |error| TlsError::new(&self.folder, format!("cannot be read: {error}"));
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(unreadable)? {
            let cert = entry.map_err(unreadable)?.path();
            let key = cert.with_extension("key");
            if cert.extension().is_some_and(|extension| extension == "crt") && key.exists() {
                found.push((cert, key));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// TLS 1.2 and 1.3, without client certificates and early data. Sessions are resumed with tickets that the server can
/// open and nobody else: nothing is kept in memory for clients that are away. Their keys are new with each reload, so
/// no session outlives the certificate it began with.
fn server_config() -> Result<ServerConfig, String> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Nothing));
    config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// The one implementation of cryptography for TLS.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(ring::default_provider()))
        .clone()
}

/// Stands in a configuration until a connection puts its [`Witness`] there.
#[derive(Debug)]
struct Nothing;

impl ResolvesServerCert for Nothing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

impl Loaded {
    /// All pairs; the first is for clients that name no host.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Which pair a client gets that asked for `host`.
    fn choose(&self, host: Option<&str>) -> usize {
        host.and_then(|host| self.pairs.iter().position(|pair| pair.is_for(host)))
            .unwrap_or(0)
    }

    /// The certificate and key for a host, or the first ones.
    pub fn key_for(&self, host: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.pairs.get(self.choose(host)).map(|pair| pair.key.clone())
    }

    /// What one connection needs: a configuration of its own, and the witness that is in it.
    pub fn for_connection(self: &Arc<Loaded>, protocols: &[&str]) -> (Arc<ServerConfig>, Arc<Witness>) {
        let witness = Arc::new(Witness {
            loaded: self.clone(),
            chosen: OnceLock::new(),
            exporter: OnceLock::new(),
        });
        let mut config = self.config.clone();
        config.alpn_protocols = protocols
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        config.cert_resolver = witness.clone();
        config.key_log = witness.clone();
        (Arc::new(config), witness)
    }
}

/// Sees what one handshake decides: the certificate, and the secret that channel binding is made from.
pub struct Witness {
    loaded: Arc<Loaded>,
    chosen: OnceLock<usize>,
    exporter: OnceLock<Zeroizing<Vec<u8>>>,
}

impl Witness {
    /// The channel bindings, once the handshake is done.
    pub fn bindings(&self) -> ChannelBindings {
        let pair = self.chosen.get().and_then(|at| self.loaded.pairs.get(*at));
        ChannelBindings {
            server_end_point: pair.and_then(|pair| pair.end_point.clone()),
            exporter: self.exporter.get().and_then(|secret| binding::exporter(secret)),
        }
    }
}

impl Witness {
    /// Whether the client was shown a certificate that the operator has got, and not one that kIM made for itself.
    pub fn is_certified(&self) -> bool {
        let pair = self.chosen.get().and_then(|at| self.loaded.pairs.get(*at));
        pair.is_some_and(|pair| !pair.is_self_signed)
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.pairs.iter().map(|pair| &pair.path))
            .finish()
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Witness(***)")
    }
}

impl ResolvesServerCert for Witness {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let at = *self
            .chosen
            .get_or_init(|| self.loaded.choose(hello.server_name()));
        self.loaded.pairs.get(at).map(|pair| pair.key.clone())
    }
}

impl KeyLog for Witness {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        // TLS 1.2 does not ask first, and its secret is another.
        if self.will_log(label) {
            let _ = self.exporter.set(Zeroizing::new(secret.to_vec()));
        }
    }

    /// This secret alone is kept; it opens no traffic (RFC 8446 §7.5).
    fn will_log(&self, label: &str) -> bool {
        label == "EXPORTER_SECRET"
    }
}

impl Pair {
    fn read(cert: &Path, key: &Path) -> Result<Pair, TlsError> {
        let wrong = |path: &Path, what: &str, error: &dyn std::fmt::Display| {
            TlsError::new(path, format!("{what}: {error}"))
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect)
            .map_err(|error| match error {
                pem::Error::Io(error) => TlsError::new(cert, unreadable(&error)),
                error => wrong(cert, "is not a certificate in PEM", &error),
            })?;
        let leaf = chain
            .first()
            .ok_or_else(|| TlsError::new(cert, "contains no certificate"))?
            .clone();
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
            pem::Error::Io(error) => TlsError::new(key, unreadable(&error)),
            pem::Error::NoItemsFound => TlsError::new(
                key,
                "contains no private key in PEM (encrypted keys are not supported)",
            ),
            error => wrong(key, "is not a private key in PEM", &error),
        })?;
        if open_to_others(key) {
            let path = key.display();
            tracing::warn!(event = "tls_key_exposed", %path, "other users can read the private key; run chmod 600 {path}");
        }
        let certified = CertifiedKey::from_der(chain, private, &provider())
            .map_err(|error| wrong(key, &format!("does not match {}", cert.display()), &error))?;
        let (_, parsed) = X509Certificate::from_der(&leaf)
            .map_err(|error| wrong(cert, "is not an X.509 certificate", &error))?;
        let mut names = Vec::new();
        if let Ok(Some(alternative)) = parsed.subject_alternative_name() {
            names.extend(
                alternative
                    .value
                    .general_names
                    .iter()
                    .filter_map(|name| match name {
                        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                        _ => None,
                    }),
            );
        }
        let organizations = parsed.subject().iter_organization();
        let is_self_signed = organizations
            .into_iter()
            .any(|name| name.as_str().is_ok_and(|name| name == self_signed::MARK));
        let now = x509_parser::time::ASN1Time::now().timestamp();
        Ok(Pair {
            key: Arc::new(certified),
            names,
            path: cert.to_owned(),
            is_self_signed,
            fingerprint: fingerprint(&leaf),
            days_left: (parsed.validity().not_after.timestamp() - now) / 86_400,
            end_point: server_end_point_hash(&leaf),
        })
    }

    /// Whether the certificate names a host (RFC 9525 §6.3: a star stands for the whole first label).
    pub fn is_for(&self, host: &str) -> bool {
        let host = self_signed::ascii(host).to_ascii_lowercase();
        let above = host.split_once('.').map(|(_, above)| above);
        self.names
            .iter()
            .any(|name| *name == host || (name.strip_prefix("*.").is_some_and(|rest| Some(rest) == above)))
    }
}

fn fingerprint(der: &[u8]) -> String {
    let bytes: Vec<String> = Sha256::digest(der)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    bytes.join(":")
}
