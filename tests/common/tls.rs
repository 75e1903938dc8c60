//! The client's half of TLS: trusts everybody, remembers what it was shown.

use std::io;
use std::sync::Arc;

use kim::tls::{AnyCertificate, server_end_point_hash};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};

/// How a client makes its handshake.
#[derive(Clone)]
pub struct TlsOptions {
    /// The host it asks for.
    pub sni: String,
    /// The protocols it offers.
    pub alpn: Vec<String>,
    /// The only version it speaks.
    pub version: &'static SupportedProtocolVersion,
    config: Arc<std::sync::OnceLock<Arc<ClientConfig>>>,
}

impl Default for TlsOptions {
    fn default() -> TlsOptions {
        TlsOptions {
            sni: "localhost".into(),
            alpn: Vec::new(),
            version: &TLS13,
            config: Arc::default(),
        }
    }
}

impl TlsOptions {
    /// As XEP-0368 §3 wants it.
    pub fn direct() -> TlsOptions {
        TlsOptions {
            alpn: vec!["xmpp-client".into()],
            ..TlsOptions::default()
        }
    }

    /// Without TLS 1.3.
    pub fn tls12() -> TlsOptions {
        TlsOptions {
            version: &TLS12,
            ..TlsOptions::default()
        }
    }

    /// Asks for another host.
    pub fn sni(self, host: &str) -> TlsOptions {
        TlsOptions {
            sni: host.into(),
            ..self
        }
    }

    /// Offers another protocol.
    pub fn alpn(self, protocol: &str) -> TlsOptions {
        TlsOptions {
            alpn: vec![protocol.into()],
            ..self
        }
    }

    /// Makes the handshake. Options that are used again resume the session.
    pub async fn connect(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.config.get_or_init(|| Arc::new(self.config()));
        let name = ServerName::try_from(self.sni.clone()).expect("a host name");
        TlsConnector::from(config.clone()).connect(name, tcp).await
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(kim::tls::provider())
            .with_protocol_versions(&[self.version])
            .expect("TLS versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate::default()))
            .with_no_client_auth();
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// What a login over this connection can be bound to.
#[derive(Clone, Debug, Default)]
pub struct ChannelBinding {
    /// The server's certificate.
    pub certificate: Vec<u8>,
    /// RFC 5929 §4.
    pub end_point: Vec<u8>,
    /// RFC 9266, TLS 1.3 only.
    pub exporter: Vec<u8>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

impl ChannelBinding {
    pub fn of(connection: &ClientConnection) -> ChannelBinding {
        use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion};
        let certificate = connection
            .peer_certificates()
            .and_then(<[_]>::first)
            .map(|cert| cert.to_vec())
            .unwrap_or_default();
        let is_13 = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let exporter = is_13.then(|| {
            connection
                .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None)
                .expect("keying material")
                .to_vec()
        });
        ChannelBinding {
            end_point: server_end_point_hash(&certificate).unwrap_or_default(),
            certificate,
            exporter: exporter.unwrap_or_default(),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}
