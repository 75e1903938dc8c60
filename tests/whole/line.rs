//! One connection to the server as a client has it: TCP, TLS with a verified certificate, an XML stream, a login. Nothing
//! is hidden: hostile tests write what bytes they like.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use data_encoding::BASE64;
use kim_core::accounts::scram::Hash;
use kim_core::random;
use kim_core::wire::{Element, Frame, Limits, Reader};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::process::{Kim, PASSWORD};

/// Namespaces.
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const STREAMS: &str = "http://etherx.jabber.org/streams";
const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";

/// How long an answer may take. It only ends a wait for something that will never come.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);

trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A connection.
pub struct Line {
    transport: Box<dyn Transport>,
    reader: Reader,
    input: BytesMut,
}

/// What came.
#[derive(Debug)]
pub enum Came {
    /// The server's header.
    Header,
    /// An element.
    Element(Element),
    /// A stream error, by its condition.
    Error(String),
    /// The end of the stream.
    Close,
    /// The end of the connection.
    Gone,
}

impl Line {
    fn new(transport: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Line {
        let limits = Limits {
            stanza_bytes_max: 16 << 20,
            ..Limits::default()
        };
        Line {
            transport: Box::new(transport),
            reader: Reader::stream(limits, "jabber:client"),
            input: BytesMut::new(),
        }
    }

    /// TCP and nothing else.
    pub async fn tcp(address: SocketAddr) -> Line {
        let tcp = TcpStream::connect(address).await.expect("it listens");
        tcp.set_nodelay(true).expect("a socket");
        Line::new(tcp)
    }

    /// Direct TLS (XEP-0368).
    pub async fn direct(kim: &Kim, domain: &str) -> Line {
        Line::try_direct(kim.direct, &kim.trust, domain)
            .await
            .expect("a TLS handshake")
    }

    /// Direct TLS, or why not.
    pub async fn try_direct(
        address: SocketAddr,
        trust: &Arc<ClientConfig>,
        domain: &str,
    ) -> std::io::Result<Line> {
        Line::try_direct_from(Ipv4Addr::UNSPECIFIED.into(), address, trust, domain).await
    }

    /// The same from an address of this machine.
    pub async fn try_direct_from(
        from: IpAddr,
        address: SocketAddr,
        trust: &Arc<ClientConfig>,
        domain: &str,
    ) -> std::io::Result<Line> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let tcp = socket.connect(address).await?;
        tcp.set_nodelay(true)?;
        let mut config = ClientConfig::clone(trust);
        config.alpn_protocols = vec![b"xmpp-client".to_vec()];
        let name = ServerName::try_from(domain.to_owned()).map_err(std::io::Error::other)?;
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        Ok(Line::new(tls))
    }

    /// TLS as the stream offers it (RFC 6120 §5).
    pub async fn starttls(kim: &Kim, domain: &str) -> Line {
        let tcp = TcpStream::connect(kim.starttls).await.expect("it listens");
        tcp.set_nodelay(true).expect("a socket");
        let mut line = Line::new(tcp);
        let features = line.open(domain).await.expect("features");
        assert!(features.child("starttls", TLS).is_some(), "no STARTTLS");
        line.write(format!("<starttls xmlns='{TLS}'/>").as_bytes())
            .await
            .expect("open");
        let proceed = line.element().await.expect("an answer");
        assert!(proceed.is("proceed", TLS), "{proceed:?}");
        let name = ServerName::try_from(domain.to_owned()).expect("a name");
        let tls = TlsConnector::from(kim.trust.clone())
            .connect(name, line.transport)
            .await;
        Line::new(tls.expect("a TLS handshake"))
    }

    // ——— bytes and frames ———

    /// Writes bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.transport.write_all(bytes).await?;
        self.transport.flush().await
    }

    /// Nothing more will be written; the connection stays open to be read.
    pub async fn half_close(&mut self) {
        let _ = self.transport.shutdown().await;
    }

    /// Waits for what comes next.
    pub async fn came(&mut self) -> Came {
        let came = tokio::time::timeout(ANSWER_MAX, self.next()).await;
        came.unwrap_or_else(|_| panic!("nothing came for {ANSWER_MAX:?}"))
    }

    async fn next(&mut self) -> Came {
        loop {
            match self
                .reader
                .read(&mut self.input)
                .expect("well-formed XML from the server")
            {
                Some(Frame::Open(_)) => return Came::Header,
                Some(Frame::Close) => return Came::Close,
                Some(Frame::Element(element)) if element.is("error", STREAMS) => {
                    let condition = element.children().next().map(|child| child.name().to_owned());
                    return Came::Error(condition.unwrap_or_default());
                }
                Some(Frame::Element(element)) => return Came::Element(element),
                None => match self.transport.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return Came::Gone,
                    Ok(_) => {}
                },
            }
        }
    }

    /// Reads until the stream or the connection ends and gives the stream error, if that is how.
    pub async fn verdict(&mut self) -> Option<String> {
        loop {
            match self.came().await {
                Came::Error(condition) => return Some(condition),
                Came::Close | Came::Gone => return None,
                Came::Header | Came::Element(_) => {}
            }
        }
    }

    /// Reads until the server has closed the connection.
    pub async fn gone(&mut self) {
        while !matches!(self.came().await, Came::Gone) {}
    }

    /// Appends what comes next as bytes, unread by anybody before; gives how many, 0 at the end of the connection.
    pub async fn read_bytes(&mut self, bytes: &mut Vec<u8>) -> usize {
        self.transport.read_buf(bytes).await.unwrap_or(0)
    }

    /// Throws away what comes until the connection ends, without looking at it; gives how many bytes it was.
    pub async fn drain(&mut self) -> usize {
        let mut scrap = vec![0; 64 * 1024];
        let mut bytes = 0;
        loop {
            match self.transport.read(&mut scrap).await {
                Ok(0) | Err(_) => return bytes,
                Ok(more) => bytes += more,
            }
        }
    }

    /// The next element; anything else is an error.
    pub async fn element(&mut self) -> Result<Element, String> {
        match self.came().await {
            Came::Element(element) => Ok(element),
            other => Err(format!("{other:?} instead of an element")),
        }
    }

    // ——— negotiation ———

    /// The client's header.
    pub fn header(domain: &str) -> String {
        format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{STREAMS}' to='{domain}' version='1.0'>"
        )
    }

    /// Opens a stream and gives its features.
    pub async fn open(&mut self, domain: &str) -> Result<Element, String> {
        let header = Line::header(domain);
        self.write(header.as_bytes())
            .await
            .map_err(|error| error.to_string())?;
        match self.came().await {
            Came::Header => self.element().await,
            other => Err(format!("{other:?} instead of a header")),
        }
    }

    /// Signs in by SCRAM-SHA-256 (RFC 7677) on an open stream.
    pub async fn scram(&mut self, user: &str, password: &str) -> Result<(), String> {
        let nonce = random::token();
        let bare = format!("n={user},r={nonce}");
        let first = BASE64.encode(format!("n,,{bare}").as_bytes());
        let auth = format!("<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>");
        let challenge = self.sasl(&auth, "challenge").await?;
        let field = |name: &str| {
            let found = challenge
                .split(',')
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found
                .map(str::to_owned)
                .ok_or_else(|| format!("no {name}= in {challenge}"))
        };
        let (both, salt, iterations) = (field("r")?, field("s")?, field("i")?);
        let salt = BASE64
            .decode(salt.as_bytes())
            .map_err(|error| error.to_string())?;
        let salted = stretch(
            password.as_bytes(),
            &salt,
            iterations.parse().map_err(|_| "no count".to_owned())?,
        );
        let client_key = Hash::Sha256.hmac(&salted, b"Client Key");
        let end = format!("c=biws,r={both}");
        let signed = format!("{bare},{challenge},{end}");
        let signature = Hash::Sha256.hmac(&Hash::Sha256.digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(key, sign)| key ^ sign)
            .collect();
        let last = BASE64.encode(format!("{end},p={}", BASE64.encode(&proof)).as_bytes());
        let success = self
            .sasl(&format!("<response xmlns='{SASL}'>{last}</response>"), "success")
            .await?;
        let server_key = Hash::Sha256.hmac(&salted, b"Server Key");
        let wanted = format!(
            "v={}",
            BASE64.encode(&Hash::Sha256.hmac(&server_key, signed.as_bytes()))
        );
        if success == wanted {
            Ok(())
        } else {
            Err("the server does not know the password".to_owned())
        }
    }

    /// Signs in by ANONYMOUS (XEP-0175) on an open stream.
    pub async fn anonymous(&mut self) -> Result<(), String> {
        self.sasl(
            &format!("<auth xmlns='{SASL}' mechanism='ANONYMOUS'/>"),
            "success",
        )
        .await
        .map(|_| ())
    }

    async fn sasl(&mut self, xml: &str, expected: &str) -> Result<String, String> {
        self.write(xml.as_bytes())
            .await
            .map_err(|error| error.to_string())?;
        let answer = self.element().await?;
        if !answer.is(expected, SASL) {
            return Err(format!("{:?} instead of {expected}", answer.bytes()));
        }
        let text = answer.text().into_owned();
        let decoded = BASE64
            .decode(text.as_bytes())
            .map_err(|error| error.to_string())?;
        String::from_utf8(decoded).map_err(|error| error.to_string())
    }

    /// Binds a resource (RFC 6120 §7) and gives the full JID.
    pub async fn bind(&mut self, resource: &str) -> Result<String, String> {
        let bind = "urn:ietf:params:xml:ns:xmpp-bind";
        let request = format!(
            "<iq id='bind' type='set'><bind xmlns='{bind}'><resource>{resource}</resource></bind></iq>"
        );
        self.write(request.as_bytes())
            .await
            .map_err(|error| error.to_string())?;
        let result = self.element().await?;
        let jid = result
            .child("bind", bind)
            .and_then(|bound| bound.child("jid", bind))
            .map(|jid| jid.text().into_owned());
        jid.ok_or_else(|| format!("{:?} instead of a full JID", result.bytes()))
    }

    /// From a secured connection to a stream of which is known whose it is, with nothing bound.
    pub async fn sign_in(&mut self, account: &str) -> Result<(), String> {
        let (user, domain) = account.split_once('@').ok_or("no localpart")?;
        self.open(domain).await?;
        if domain.starts_with("guest.") {
            self.anonymous().await?;
        } else {
            self.scram(user, PASSWORD).await?;
        }
        self.reader.restart();
        self.open(domain).await?;
        Ok(())
    }

    /// From a secured connection to a bound session. A guest's JID has a random localpart; the one it gets is returned.
    pub async fn log_in(&mut self, jid: &str) -> Result<String, String> {
        let (account, resource) = jid.split_once('/').ok_or("no resource")?;
        self.sign_in(account).await?;
        self.bind(resource).await
    }
}

/// `Hi()` of RFC 5802 §2.2. The server's own is not used, so that one fault cannot hide in both.
fn stretch(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut block = Hash::Sha256.hmac(password, &[salt, &[0, 0, 0, 1]].concat());
    let mut sum = block.clone();
    for _ in 1..iterations {
        block = Hash::Sha256.hmac(password, &block);
        sum.iter_mut().zip(&block).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}
