//! An XML stream with a client as far as it is the same before and after login: its header, its frames, its end
//! (RFC 6120 §4).

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kim_core::error::{STREAMS, StreamCondition, StreamError};
use kim_core::facts::Facts;
use kim_core::jid::BareJid;
use kim_core::ns;
use kim_core::random;
use kim_core::wire::{Element, Frame, Header, Reader, escape_value};

use super::Door;
use super::places::Place;
use super::socket::Socket;

/// First-level elements that may come before login; the longest honest exchange needs a dozen.
const ELEMENTS_BEFORE_LOGIN_MAX: u32 = 100;
/// How long last words may take to be written, and how long the client has to hear them.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);
/// The longest `xml:lang` that is taken over (RFC 5646 §4.4.1 recommends room for 35).
const LANG_BYTES_MAX: usize = 35;

/// Why a stream ends.
#[derive(Debug)]
pub enum End {
    /// The client is told.
    Error(StreamError),
    /// The client has closed the stream.
    Closed,
    /// The connection is gone, or of no more use.
    Lost(io::Error),
    /// Another connection goes on with the session (XEP-0198 §5).
    Replaced,
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> End {
        End::Error(error)
    }
}

impl From<StreamCondition> for End {
    fn from(condition: StreamCondition) -> End {
        End::Error(condition.into())
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Lost(error)
    }
}

/// A stream before login.
pub struct Stream {
    /// What all streams share.
    pub door: Arc<Door>,
    /// The connection below.
    pub socket: Socket,
    /// Where it comes from.
    pub address: IpAddr,
    /// Its place among those of its address.
    pub place: Place,
    /// The language of its stanzas, as its header says.
    pub lang: Option<Box<str>>,
    pub(super) reader: Reader,
    pub(super) input: BytesMut,
    /// TLS is to come next, so nothing can be said.
    pub(super) mute: bool,
    /// Our header has been written.
    answered: bool,
    /// The client's own address, as it claims; only ever sent back to it.
    claimed: Option<BareJid>,
    /// The domain it asked for, once it is known to be one of ours.
    domain: Option<BareJid>,
    elements: u32,
    /// What rooms have noted about it.
    pub(super) facts: Arc<Facts>,
}

impl Stream {
    /// A stream of which nothing has been read.
    pub fn new(door: Arc<Door>, socket: Socket, address: IpAddr, place: Place) -> Stream {
        let reader = Reader::stream(door.wire_before_login, ns::CLIENT);
        Stream {
            door,
            socket,
            address,
            place,
            lang: None,
            reader,
            input: BytesMut::new(),
            mute: false,
            answered: false,
            claimed: None,
            domain: None,
            elements: 0,
            facts: Arc::default(),
        }
    }

    /// Waits for the next frame.
    async fn frame(&mut self) -> Result<Frame, End> {
        loop {
            if let Some(frame) = self.reader.read(&mut self.input).map_err(StreamError::from)? {
                return Ok(frame);
            }
            if !self.socket.read(&mut self.input).await? {
                return Err(End::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Waits for the client's header and judges it (RFC 6120 §4.7): the namespaces, the version, and whether its `to` is
    /// a domain served here, which is the result.
    pub async fn open(&mut self) -> Result<BareJid, End> {
        let Frame::Open(header) = self.frame().await? else {
            return Err(StreamCondition::NotWellFormed.into());
        };
        // Only the stream's own element is told apart by name; a wrong one has no namespace that could be right.
        if header.name() != "stream" || header.ns() != STREAMS || header.default_ns() != ns::CLIENT {
            return Err(StreamCondition::InvalidNamespace.into());
        }
        self.claimed = header.attr("from").and_then(|from| BareJid::parse(&from).ok());
        self.lang = lang(&header);
        let to = header.attr("to").and_then(|to| BareJid::parse(&to).ok());
        let served = to.filter(|to| to.is_domain() && self.door.router.host(to.domain()).is_some());
        let Some(domain) = served else {
            return Err(StreamCondition::HostUnknown.into());
        };
        self.domain = Some(domain.clone());
        if !is_version_1(&header) {
            return Err(StreamCondition::UnsupportedVersion.into());
        }
        Ok(domain)
    }

    /// Answers with our header and the features, in one write (a probe for Direct TLS wants the XML declaration in the
    /// first bytes).
    pub async fn answer(&mut self, domain: &BareJid, features: &str) -> Result<(), End> {
        let mut xml = self.header(domain.as_str());
        xml.push_str("<stream:features>");
        xml.push_str(features);
        xml.push_str("</stream:features>");
        self.send(&xml).await
    }

    fn header(&mut self, from: &str) -> String {
        self.answered = true;
        let mut xml = String::with_capacity(256);
        xml.push_str("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='");
        xml.push_str(STREAMS);
        xml.push('\'');
        let mut attr = |name: &str, value: &str| {
            xml.push(' ');
            xml.push_str(name);
            xml.push_str("='");
            escape_value(&mut xml, value);
            xml.push('\'');
        };
        attr("from", from);
        // RFC 6120 §4.7.2: who says who it is, is answered by name; but not before it can be overheard.
        if let Some(claimed) = self.claimed.take().filter(|_| self.socket.is_tls()) {
            attr("to", claimed.as_str());
        }
        attr("id", &random::token());
        attr("version", "1.0");
        attr("xml:lang", "en");
        xml.push('>');
        xml
    }

    /// Waits for the next element.
    pub async fn element(&mut self) -> Result<Element, End> {
        self.elements += 1;
        if self.elements > ELEMENTS_BEFORE_LOGIN_MAX {
            return Err(StreamError::new(StreamCondition::PolicyViolation)
                .text("log in first")
                .into());
        }
        match self.frame().await? {
            Frame::Element(element) => Ok(element),
            Frame::Close => Err(End::Closed),
            Frame::Open(_) => Err(StreamCondition::BadFormat.into()),
        }
    }

    /// Writes XML.
    pub async fn send(&mut self, xml: &str) -> Result<(), End> {
        Ok(self.socket.write(xml.as_bytes()).await?)
    }

    /// A new stream follows on the same connection (RFC 6120 §4.3.3). What the client has already said for it stays.
    pub fn restart(&mut self) {
        self.reader.restart();
        self.answered = false;
    }

    /// Everything that came so far is forgotten: it was not protected, and what follows is (RFC 6120 §5.4.3.3).
    pub fn forget_plaintext(&mut self) {
        self.input = BytesMut::new();
        self.reader = Reader::stream(self.door.wire_before_login, ns::CLIENT);
        self.answered = false;
        self.claimed = None;
        self.lang = None;
    }

    /// The last words: our header if the client has none yet (RFC 6120 §4.9.1.2), the error, the end.
    pub async fn close(mut self, end: End) {
        let mut words = String::new();
        match end {
            _ if self.mute => return,
            End::Lost(_) if !self.socket.has_unwritten() => return,
            End::Lost(_) => {}
            End::Closed | End::Replaced => words.push_str("</stream:stream>"),
            End::Error(error) => {
                if !self.answered {
                    let asked = self.domain.take().map(|domain| domain.to_string());
                    let main = || self.door.router.config().main_domain().to_string();
                    let from = asked.unwrap_or_else(main);
                    words.push_str(&self.header(&from));
                }
                words.push_str(&error.to_xml());
                words.push_str("</stream:stream>");
            }
        }
        let farewell = async {
            self.socket.queue(words.as_bytes())?;
            self.socket.finish().await
        };
        if let Ok(Ok(())) = tokio::time::timeout(FAREWELL, farewell).await {
            self.socket.linger(self.door.patience()).await;
        }
    }
}

/// Version 1.0 or any later one whose major number is 1 or more (RFC 6120 §4.7.5).
fn is_version_1(header: &Header) -> bool {
    let version = header.attr("version");
    let major = version
        .as_deref()
        .and_then(|version| version.split_once('.'))
        .map(|(major, _)| major.parse::<u32>());
    matches!(major, Some(Ok(1..)))
}

fn lang(header: &Header) -> Option<Box<str>> {
    let lang = header.attr("xml:lang")?;
    let fits = !lang.is_empty()
        && lang.len() <= LANG_BYTES_MAX
        && lang
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    fits.then(|| lang.into_owned().into_boxed_str())
}
