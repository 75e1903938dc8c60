//! TLS between servers. Both sides show a certificate, and each handshake takes any: what it proves is judged afterwards
//! (`identity`, `dane`), because a certificate that proves nothing may still be enough where dialback is allowed. That the
//! other side has the certificate's key is checked here.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use kim_core::config::Domain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::exposed::unreadable;
use crate::tls::{AnyCertificate, Loaded, provider};

/// What ALPN calls streams between servers (XEP-0368).
const ALPN: &[u8] = b"xmpp-server";

/// Chooses the certificate by the name in the handshake, else by the domain that the stream was opened to.
#[derive(Debug)]
struct ByDomain {
    loaded: Arc<Loaded>,
    domain: Option<String>,
}

impl ResolvesServerCert for ByDomain {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.loaded
            .key_for(hello.server_name().or(self.domain.as_deref()))
    }
}

/// An encrypted connection, and the certificates that the other side has shown.
pub struct Encrypted<S> {
    /// The connection.
    pub io: TlsStream<S>,
    /// The chain, its own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Makes the server's half of a handshake. `domain` is what the stream was opened to, if it was.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    io: S,
    loaded: Arc<Loaded>,
    domain: Option<String>,
) -> io::Result<Encrypted<S>> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(io::Error::other)?
        .with_client_cert_verifier(Arc::new(AnyCertificate::default()))
        .with_cert_resolver(Arc::new(ByDomain { loaded, domain }));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would skip the certificate, and with it the proof.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let io = TlsStream::from(TlsAcceptor::from(Arc::new(config)).accept(io).await?);
    let chain = chain(&io);
    Ok(Encrypted { io, chain })
}

/// Makes the client's half, for a local domain towards a remote one.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    io: S,
    loaded: &Loaded,
    local: &str,
    remote: &str,
    direct: bool,
) -> io::Result<Encrypted<S>> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate::default()));
    let mut config = match loaded.key_for(Some(local)) {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    if direct {
        config.alpn_protocols = vec![ALPN.to_vec()];
    }
    let name = Domain::ascii_of(remote).unwrap_or_else(|| remote.to_owned());
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let io = TlsConnector::from(Arc::new(config)).connect(name, io).await?;
    let io = TlsStream::from(io);
    let chain = chain(&io);
    Ok(Encrypted { io, chain })
}

fn chain<S>(io: &TlsStream<S>) -> Vec<CertificateDer<'static>> {
    let (_, connection) = io.get_ref();
    let shown = connection.peer_certificates().unwrap_or_default();
    shown
        .iter()
        .map(|certificate| certificate.clone().into_owned())
        .collect()
}

/// The authorities to trust: the system's, and those in a file.
pub fn roots(extra: Option<&Path>) -> Result<RootCertStore, String> {
    static SYSTEM: OnceLock<RootCertStore> = OnceLock::new();
    let system = SYSTEM.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    });
    let mut roots = system.clone();
    if let Some(path) = extra {
        let path_shown = path.display();
        let broken = |error: &dyn std::fmt::Display| format!("{path_shown} ([s2s] ca): {error}");
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| match error {
            pem::Error::Io(error) => broken(&unreadable(&error)),
            error => broken(&error),
        })?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| broken(&error))?;
            roots.add(certificate).map_err(|error| broken(&error))?;
        }
        if roots.len() == before {
            return Err(broken(&"holds no certificate"));
        }
    }
    Ok(roots)
}
