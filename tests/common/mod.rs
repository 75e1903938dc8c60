//! A whole server in this process, and a small client that says exactly what a test tells it to, byte for byte.
//! Unexpected answers panic with what came instead; nothing waits for time, [`PATIENCE`] only ends a wait for what
//! will never come.
#![allow(dead_code, unused_imports)] // each test file uses a part

pub mod bucket;
pub mod process;
pub mod scram;
pub mod server;
pub mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use kim_core::jid::Jid;
use kim_core::wire::{Element, Frame, Limits, Reader};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub use self::scram::Scram;
pub use self::server::TestServer;
pub use self::tls::{ChannelBinding, TlsOptions};

/// How long a test waits for something before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The password of all accounts that tests make.
pub const PASSWORD: &str = "secret";

const STREAMS: &str = "http://etherx.jabber.org/streams";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A client: one connection, whatever is said on it.
pub struct Client {
    io: Option<Box<dyn Io>>,
    tcp: Option<TcpStream>,
    reader: Reader,
    input: BytesMut,
    /// The attributes of the server's last stream header.
    pub header: Vec<(String, String)>,
    /// The features it sent last.
    pub features: Option<Element>,
    /// What TLS offers to bind a login to.
    pub binding: ChannelBinding,
    /// The full JID, once bound.
    pub jid: Option<Jid>,
    /// Everything that was read, as it came.
    pub transcript: Vec<u8>,
}

impl Client {
    /// Connects and says nothing.
    pub async fn connect(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).await.expect("a connection"))
    }

    /// The same with a kernel that keeps little of what the client has not read.
    pub async fn connect_narrow(address: SocketAddr) -> Client {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("a small buffer");
        Client::over(socket.connect(address).await.expect("a connection"))
    }

    fn over(tcp: TcpStream) -> Client {
        Client {
            io: None,
            tcp: Some(tcp),
            reader: Reader::stream(Limits::default(), "jabber:client"),
            input: BytesMut::new(),
            header: Vec::new(),
            features: None,
            binding: ChannelBinding::default(),
            jid: None,
            transcript: Vec::new(),
        }
    }

    // ——— bytes ———

    /// Writes bytes as they are. That the server has closed already is not told: what it said first is to be read.
    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let _ = match (&mut self.io, &mut self.tcp) {
            (Some(io), _) => match io.write_all(text).await {
                Ok(()) => io.flush().await,
                Err(error) => Err(error),
            },
            (None, Some(tcp)) => tcp.write_all(text).await,
            (None, None) => panic!("not connected"),
        };
    }

    /// Reads more bytes; false at the end, however it came.
    async fn fill(&mut self) -> bool {
        let before = self.input.len();
        let read = async {
            match (&mut self.io, &mut self.tcp) {
                (Some(io), _) => io.read_buf(&mut self.input).await,
                (None, Some(tcp)) => tcp.read_buf(&mut self.input).await,
                (None, None) => Ok(0),
            }
        };
        let read = tokio::time::timeout(PATIENCE, read)
            .await
            .expect("the server says something");
        self.transcript.extend_from_slice(&self.input[before..]);
        matches!(read, Ok(bytes) if bytes > 0)
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self
                .reader
                .read(&mut self.input)
                .expect("the server writes well-formed XML")
            {
                return Some(frame);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The next element.
    pub async fn next(&mut self) -> Element {
        match self.frame().await {
            Some(Frame::Element(element)) => element,
            other => panic!("an element was expected, not {other:?}"),
        }
    }

    /// The next element as text.
    pub async fn next_text(&mut self) -> String {
        self.next().await.as_str().to_owned()
    }

    /// Whether something that was not read yet came, after the server has answered a ping, so that all of it is there.
    pub async fn expect_nothing(&mut self) {
        let id = kim_core::random::token();
        self.send(format!(
            "<iq type='get' id='{id}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
        ))
        .await;
        let next = self.next().await;
        assert_eq!(
            next.attr("id").as_deref(),
            Some(id.as_str()),
            "unexpected: {}",
            next.as_str()
        );
    }

    /// Reads to the end of the stream, which must come with this stream error and the closing tag.
    pub async fn expect_stream_error(&mut self, condition: &str) {
        loop {
            match self.frame().await {
                Some(Frame::Element(element)) if element.is("error", STREAMS) => {
                    let found = element.children().next().map(|child| child.name().to_owned());
                    assert_eq!(found.as_deref(), Some(condition), "{}", element.as_str());
                    break;
                }
                Some(Frame::Element(_) | Frame::Open(_)) => {}
                other => panic!("the stream error {condition} was expected, not {other:?}"),
            }
        }
        assert_eq!(
            self.frame().await,
            Some(Frame::Close),
            "after a stream error the stream is closed"
        );
        self.expect_end().await;
    }

    /// The connection must end without another word.
    pub async fn expect_end(&mut self) {
        assert_eq!(self.frame().await, None, "the connection ends");
    }

    /// Reads bytes, whatever they are, to the end of the connection.
    pub async fn read_to_end(&mut self) {
        while self.fill().await {
            self.input.clear();
        }
    }

    /// Reads to a stream error, whichever, and gives its condition.
    pub async fn read_to_stream_error(&mut self) -> String {
        loop {
            match self.frame().await {
                Some(Frame::Element(element)) if element.is("error", STREAMS) => return condition(&element),
                Some(_) => {}
                None => panic!("the connection ends without an error"),
            }
        }
    }

    /// Leaves without a word.
    pub fn vanish(&mut self) {
        self.io = None;
        self.tcp = None;
    }

    // ——— negotiation ———

    /// Sends a stream header and reads the server's, with the features.
    pub async fn open(&mut self, domain: &str) {
        self.send(header(domain)).await;
        self.read_header().await;
        self.read_features().await;
    }

    /// Reads the server's header.
    pub async fn read_header(&mut self) {
        self.reader.restart();
        match self.frame().await {
            Some(Frame::Open(header)) => {
                assert_eq!((header.name(), header.ns()), ("stream", STREAMS));
                self.header = header
                    .attrs()
                    .map(|(name, value)| (name.to_owned(), value.into_owned()))
                    .collect();
            }
            other => panic!("a stream header was expected, not {other:?}"),
        }
    }

    /// Reads the features that follow a header.
    pub async fn read_features(&mut self) {
        let features = self.next().await;
        assert!(features.is("features", STREAMS), "{}", features.as_str());
        self.features = Some(features);
    }

    /// An attribute of the server's last header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The features as text.
    pub fn features(&self) -> &str {
        self.features.as_ref().expect("features were read").as_str()
    }

    /// The mechanisms on offer.
    pub fn mechanisms(&self) -> Vec<String> {
        let features = self.features.as_ref().expect("features were read");
        let mechanisms = features
            .child("mechanisms", SASL)
            .expect("mechanisms are offered");
        mechanisms
            .children()
            .map(|mechanism| mechanism.text().into_owned())
            .collect()
    }

    /// Asks for TLS and makes the handshake.
    pub async fn start_tls(&mut self) {
        self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            .await;
        let answer = self.next().await;
        assert!(answer.is("proceed", TLS), "{}", answer.as_str());
        self.handshake(&TlsOptions::default())
            .await
            .expect("a TLS handshake");
    }

    /// Makes the client's half of a handshake. What was read of the plain stream is forgotten.
    pub async fn handshake(&mut self, options: &TlsOptions) -> std::io::Result<()> {
        let tcp = self.tcp.take().expect("a plain connection");
        let stream = tokio::time::timeout(PATIENCE, options.connect(tcp))
            .await
            .expect("a handshake in time")?;
        self.binding = ChannelBinding::of(stream.get_ref().1);
        self.io = Some(Box::new(stream));
        self.reader.restart();
        self.input.clear();
        Ok(())
    }

    /// Logs in by SCRAM-SHA-256 without channel binding. A new stream is to be opened then.
    pub async fn login(&mut self, name: &str, password: &str) {
        let answer = self.scram(Scram::new(name, password)).await;
        assert!(answer.is("success", SASL), "{}", answer.as_str());
    }

    /// Makes a SCRAM exchange and gives how it ended: `<success/>`, checked, or `<failure/>`.
    pub async fn scram(&mut self, mut scram: Scram) -> Element {
        let challenge = self
            .auth(&scram.mechanism(), Some(scram.first().as_bytes()))
            .await;
        if !challenge.is("challenge", SASL) {
            return challenge;
        }
        let response = scram.answer(&decoded(&challenge));
        let end = self.respond(response.as_bytes()).await;
        if end.is("success", SASL) {
            scram.check_server(&decoded(&end));
        }
        end
    }

    /// Begins a SASL exchange and gives what the server says.
    pub async fn auth(&mut self, mechanism: &str, initial: Option<&[u8]>) -> Element {
        let initial = initial.map(encoded).unwrap_or_default();
        self.send(format!(
            "<auth xmlns='{SASL}' mechanism='{mechanism}'>{initial}</auth>"
        ))
        .await;
        self.next().await
    }

    /// Answers a challenge and gives what the server says.
    pub async fn respond(&mut self, response: &[u8]) -> Element {
        self.send(format!(
            "<response xmlns='{SASL}'>{}</response>",
            encoded(response)
        ))
        .await;
        self.next().await
    }

    /// Logs in as a guest. A new stream is to be opened then.
    pub async fn login_anonymous(&mut self) {
        let answer = self.auth("ANONYMOUS", None).await;
        assert!(answer.is("success", SASL), "{}", answer.as_str());
    }

    /// Logs in by PLAIN and gives how it ended.
    pub async fn plain(&mut self, name: &str, password: &str) -> Element {
        self.auth("PLAIN", Some(format!("\0{name}\0{password}").as_bytes()))
            .await
    }

    /// Binds a resource, or lets the server choose one.
    pub async fn bind(&mut self, resource: Option<&str>) -> Jid {
        let answer = self.try_bind(resource).await;
        assert_eq!(
            answer.attr("type").as_deref(),
            Some("result"),
            "{}",
            answer.as_str()
        );
        let bind = answer
            .child("bind", "urn:ietf:params:xml:ns:xmpp-bind")
            .expect("a bind result");
        let jid = bind
            .child("jid", "urn:ietf:params:xml:ns:xmpp-bind")
            .expect("a JID")
            .text()
            .into_owned();
        let jid = Jid::parse(&jid).expect("a full JID");
        self.jid = Some(jid.clone());
        jid
    }

    /// Asks for a resource and gives the answer.
    pub async fn try_bind(&mut self, resource: Option<&str>) -> Element {
        let resource = resource
            .map(|name| format!("<resource>{name}</resource>"))
            .unwrap_or_default();
        let bind = format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{resource}</bind>");
        self.send(format!("<iq type='set' id='bind'>{bind}</iq>")).await;
        self.next().await
    }

    /// Closes the stream in order and waits for the server to do so.
    pub async fn close(&mut self) {
        self.send("</stream:stream>").await;
        loop {
            match self.frame().await {
                Some(Frame::Close) => break,
                Some(_) => {}
                None => panic!("the server answers the end of the stream with its own"),
            }
        }
        self.expect_end().await;
    }
}

/// A client's stream header.
pub fn header(domain: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{STREAMS}' to='{domain}' version='1.0'>"
    )
}

/// The condition of a `<failure/>`, or of an error stanza.
pub fn condition(element: &Element) -> String {
    let holder = element.child("error", "jabber:client");
    let first = match holder {
        Some(error) => error.children().next().map(|child| child.name().to_owned()),
        None => element.children().next().map(|child| child.name().to_owned()),
    };
    first.unwrap_or_else(|| panic!("no condition in {}", element.as_str()))
}

fn encoded(data: &[u8]) -> String {
    use base64::Engine;
    if data.is_empty() {
        "=".to_owned()
    } else {
        base64::engine::general_purpose::STANDARD.encode(data)
    }
}

/// The text of a challenge.
pub fn decoded(element: &Element) -> String {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(element.text().as_bytes())
        .expect("base64");
    String::from_utf8(bytes).expect("SCRAM is text")
}
