//! The login that `kim check` tries against the running server: a real client's way over TLS, by SCRAM bound to the
//! channel, with an account that is made for it over the control socket and removed again.
//!
//! The account is always `kim-check` at the main domain, so that one name is held back afterwards and not one for each
//! check; its password is random and known to nobody. Whether the certificate can be trusted is another check's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kim_core::accounts::Tombstone;
use kim_core::accounts::scram::Hash;
use kim_core::jid::BareJid;
use kim_core::ns;
use kim_core::random;
use kim_core::wire::{Element, Frame, Limits, Reader};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};
use zeroize::Zeroizing;

use crate::c2s::sasl::{self, EXPORTER_LABEL};
use crate::cli::{CheckContext, Finding};
use crate::control::{Control, Remote, Secret};

/// What the finding is about.
const WHAT: &str = "login";
/// How long the whole exchange may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The name of the account.
const NAME: &str = "kim-check";

/// Tries a login, if a server runs.
pub async fn check(context: &CheckContext) -> Vec<Finding> {
    if !context.running {
        return vec![Finding::ok(WHAT, "not tried, because no server runs")];
    }
    let finding = match tokio::time::timeout(PATIENCE, attempt(context)).await {
        Ok(Ok(text)) => Finding::ok(WHAT, text),
        Ok(Err(error)) => Finding::fail(WHAT, error.to_string()),
        Err(_) => Finding::fail(
            WHAT,
            format!("the server did not answer within {} s", PATIENCE.as_secs()),
        ),
    };
    vec![finding]
}

async fn attempt(context: &CheckContext) -> io::Result<String> {
    let listen = &context.config.listen;
    let direct = listen.c2s_tls.first().map(|address| (*address, true));
    let Some((address, direct)) = direct.or(listen.c2s.first().map(|address| (*address, false))) else {
        return Ok("not tried, because [listen] has no address for clients".to_owned());
    };
    let address = reachable(address);
    let remote = Remote::find(&context.config.control_socket())
        .await
        .map_err(io::Error::other)?;
    let remote = remote.ok_or_else(|| wrong("the server has just ended"))?;
    let account = BareJid::new(Some(NAME), context.config.main_domain()).map_err(io::Error::other)?;
    let password = Zeroizing::new(random::token());
    let secret = Secret::new(password.clone());
    let made = remote.user_add(&account, &secret, Tombstone::Override).await;
    made.map_err(|error| io::Error::other(format!("{account} cannot be made for it: {error}")))?;
    let result = log_in(address, direct, &account, &password).await;
    let removed = remote.user_delete(&account).await;
    let how = result.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
    removed.map_err(|error| io::Error::other(format!("{account} cannot be removed again: {error}")))?;
    Ok(format!("{account} logged in at {address} with {how}"))
}

/// Where to connect to what listens there.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Logs in and binds; tells how.
async fn log_in(address: SocketAddr, direct: bool, account: &BareJid, password: &str) -> io::Result<String> {
    let domain = account.domain();
    let mut tcp = TcpStream::connect(address).await?;
    if !direct {
        let mut talk = Talk::new(&mut tcp);
        talk.open(domain).await?;
        talk.ask("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "proceed")
            .await?;
    }
    let config = ClientConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    let name = ServerName::try_from(domain.to_owned()).unwrap_or_else(|_| ServerName::from(address.ip()));
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let binding = tls
        .get_ref()
        .1
        .export_keying_material([0; 32], EXPORTER_LABEL, None);
    let binding = binding.map_err(io::Error::other)?;
    let version = tls
        .get_ref()
        .1
        .protocol_version()
        .map(|version| format!("{version:?}"))
        .unwrap_or_default();

    let mut talk = Talk::new(&mut tls);
    talk.open(domain).await?;
    let client_first = format!("n={NAME},r={}", random::token());
    let gs2 = "p=tls-exporter,,";
    let initial = sasl::encode(format!("{gs2}{client_first}").as_bytes());
    let auth = format!(
        "<auth xmlns='{}' mechanism='SCRAM-SHA-256-PLUS'>{initial}</auth>",
        ns::SASL
    );
    let challenge = talk.ask(&auth, "challenge").await?;
    let server_first = text(&challenge)?;
    let (last, signature) = prove(password, &client_first, &server_first, gs2, &binding)?;
    let response = format!(
        "<response xmlns='{}'>{}</response>",
        ns::SASL,
        sasl::encode(last.as_bytes())
    );
    let success = talk.ask(&response, "success").await?;
    if text(&success)? != format!("v={}", sasl::encode(&signature)) {
        return Err(wrong("the server does not prove that it knows the password"));
    }
    talk.open(domain).await?;
    let bind = format!("<iq type='set' id='b'><bind xmlns='{}'/></iq>", ns::BIND);
    let bound = talk.ask(&bind, "iq").await?;
    if bound.attr("type").as_deref() != Some("result") {
        return Err(wrong("the server binds no resource"));
    }
    talk.send("</stream:stream>").await?;
    Ok(format!("SCRAM-SHA-256-PLUS over {version}"))
}

/// The client's last message of SCRAM and what the server must prove itself with (RFC 5802 §3).
fn prove(
    password: &str,
    client_first: &str,
    server_first: &str,
    gs2: &str,
    binding: &[u8],
) -> io::Result<(String, Vec<u8>)> {
    let value = |key: &str| server_first.split(',').find_map(|part| part.strip_prefix(key));
    let (Some(nonce), Some(salt), Some(count)) = (value("r="), value("s="), value("i=")) else {
        return Err(wrong("the challenge is no SCRAM"));
    };
    let salt = sasl::decode(salt).map_err(io::Error::other)?;
    let count: u32 = count.parse().map_err(io::Error::other)?;
    let hash = Hash::Sha256;
    let mut block = salt.to_vec();
    block.extend_from_slice(&[0, 0, 0, 1]);
    let mut round = hash.hmac(password.as_bytes(), &block);
    let mut salted = Zeroizing::new(round.clone());
    for _ in 1..count {
        round = hash.hmac(password.as_bytes(), &round);
        salted.iter_mut().zip(&round).for_each(|(all, one)| *all ^= one);
    }
    let bound = [gs2.as_bytes(), binding].concat();
    let last = format!("c={},r={nonce}", sasl::encode(&bound));
    let messages = format!("{client_first},{server_first},{last}");
    let client_key = hash.hmac(&salted, b"Client Key");
    let signature = hash.hmac(&hash.digest(&client_key), messages.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let server = hash.hmac(&hash.hmac(&salted, b"Server Key"), messages.as_bytes());
    Ok((format!("{last},p={}", sasl::encode(&proof)), server))
}

fn text(element: &Element) -> io::Result<String> {
    let bytes = sasl::decode(&element.text()).map_err(io::Error::other)?;
    String::from_utf8(bytes.to_vec()).map_err(io::Error::other)
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

/// A conversation on a connection.
struct Talk<'a, S> {
    io: &'a mut S,
    reader: Reader,
    input: BytesMut,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Talk<'a, S> {
    fn new(io: &'a mut S) -> Talk<'a, S> {
        Talk {
            io,
            reader: Reader::stream(Limits::default(), ns::CLIENT),
            input: BytesMut::new(),
        }
    }

    async fn send(&mut self, text: &str) -> io::Result<()> {
        self.io.write_all(text.as_bytes()).await?;
        self.io.flush().await
    }

    async fn frame(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.reader.read(&mut self.input).map_err(io::Error::other)? {
                return Ok(frame);
            }
            if self.io.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Opens a stream and passes over the features.
    async fn open(&mut self, domain: &str) -> io::Result<()> {
        self.reader.restart();
        let header = format!(
            "<stream:stream xmlns='{}' xmlns:stream='{}' to='{domain}' version='1.0'>",
            ns::CLIENT,
            kim_core::error::STREAMS
        );
        self.send(&header).await?;
        loop {
            match self.frame().await? {
                Frame::Open(_) => {}
                Frame::Element(element) if element.name() == "features" => return Ok(()),
                Frame::Element(element) => return Err(refused(&element)),
                Frame::Close => return Err(wrong("the server closes the stream")),
            }
        }
    }

    /// Says something and expects an element of that name.
    async fn ask(&mut self, text: &str, name: &str) -> io::Result<Element> {
        self.send(text).await?;
        match self.frame().await? {
            Frame::Element(element) if element.name() == name => Ok(element),
            Frame::Element(element) => Err(refused(&element)),
            _ => Err(wrong("the server closes the stream")),
        }
    }
}

fn refused(element: &Element) -> io::Error {
    let why = element
        .children()
        .next()
        .map(|child| child.name().to_owned())
        .unwrap_or_default();
    io::Error::other(format!("the server answers {} {why}", element.name()))
}

/// Takes every certificate, but no wrong signature.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = crate::tls::provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = crate::tls::provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crate::tls::provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
