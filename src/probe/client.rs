//! A client of the running server: signs in over TLS, with SCRAM bound to the channel, as real clients do. Whether the
//! certificate can be trusted is another check's concern.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use kim_core::accounts::scram::Hash;
use kim_core::error::STANZA_ERRORS;
use kim_core::jid::BareJid;
use kim_core::ns;
use kim_core::random;
use kim_core::wire::{Element, Frame, Limits, Reader};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion};
use zeroize::Zeroizing;

use super::wrong;
use crate::c2s::sasl::{self, EXPORTER_LABEL};
use crate::tls::AnyCertificate;

/// A session.
pub(super) struct ProbeClient {
    pub(super) talk: Talk<TlsStream<TcpStream>>,
    /// The full JID.
    pub jid: String,
    /// How it logged in.
    pub how: String,
}

impl ProbeClient {
    /// Logs in and binds.
    pub async fn log_in(
        address: SocketAddr,
        direct: bool,
        account: &BareJid,
        password: &str,
    ) -> io::Result<ProbeClient> {
        let domain = account.domain();
        let mut tcp = TcpStream::connect(address).await?;
        if !direct {
            let mut talk = Talk::new(tcp);
            talk.open(domain).await?;
            talk.ask("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "proceed")
                .await?;
            tcp = talk.io;
        }
        let config = ClientConfig::builder_with_provider(crate::tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate::default()))
            .with_no_client_auth();
        let name = ServerName::try_from(domain.to_owned()).unwrap_or_else(|_| ServerName::from(address.ip()));
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        let session = tls.get_ref().1;
        let binding = session.export_keying_material([0; 32], EXPORTER_LABEL, None);
        let binding = binding.map_err(io::Error::other)?;
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS",
        };

        let mut talk = Talk::new(tls);
        talk.open(domain).await?;
        talk.authenticate(account.local().unwrap_or_default(), password, &binding)
            .await?;
        talk.open(domain).await?;
        let bind = format!("<iq type='set' id='b'><bind xmlns='{}'/></iq>", ns::BIND);
        let bound = talk.ask(&bind, "iq").await?;
        let jid = bound
            .child("bind", ns::BIND)
            .and_then(|bind| bind.child("jid", ns::BIND))
            .ok_or_else(|| wrong("the server binds no resource"))?;
        Ok(ProbeClient {
            jid: jid.text().into_owned(),
            talk,
            how: format!("SCRAM-SHA-256-PLUS over {version}"),
        })
    }

    /// Sends canonical XML.
    pub async fn send(&mut self, xml: &str) -> io::Result<()> {
        self.talk.send(xml).await
    }

    /// Says good-bye.
    pub async fn leave(mut self) -> io::Result<()> {
        self.send("</stream:stream>").await
    }
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

/// A conversation on a connection.
pub(super) struct Talk<S> {
    io: S,
    reader: Reader,
    input: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    fn new(io: S) -> Talk<S> {
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

    pub(super) async fn frame(&mut self) -> io::Result<Frame> {
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

    /// Logs in with SCRAM-SHA-256-PLUS (RFC 5802, RFC 9266).
    async fn authenticate(&mut self, name: &str, password: &str, binding: &[u8]) -> io::Result<()> {
        let client_first = format!("n={name},r={}", random::token());
        let gs2 = "p=tls-exporter,,";
        let initial = sasl::encode(format!("{gs2}{client_first}").as_bytes());
        let auth = format!(
            "<auth xmlns='{}' mechanism='SCRAM-SHA-256-PLUS'>{initial}</auth>",
            ns::SASL
        );
        let challenge = self.ask(&auth, "challenge").await?;
        let server_first = text(&challenge)?;
        let (last, signature) = prove(password, &client_first, &server_first, gs2, binding)?;
        let response = format!(
            "<response xmlns='{}'>{}</response>",
            ns::SASL,
            sasl::encode(last.as_bytes())
        );
        let success = self.ask(&response, "success").await?;
        if text(&success)? != format!("v={}", sasl::encode(&signature)) {
            return Err(wrong("the server does not prove that it knows the password"));
        }
        Ok(())
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

/// What the server refused with: the condition and its text, wherever they stand.
pub(super) fn refused(element: &Element) -> io::Error {
    let error = element.child("error", ns::CLIENT);
    let condition = match error {
        Some(error) => error.children().next().map(|child| child.name().to_owned()),
        None => element.children().next().map(|child| child.name().to_owned()),
    };
    let text = error
        .and_then(|error| error.child("text", STANZA_ERRORS))
        .map(|text| format!(": {}", text.text()));
    let (condition, text) = (condition.unwrap_or_default(), text.unwrap_or_default());
    io::Error::other(format!("the server answers {} {condition}{text}", element.name()))
}
