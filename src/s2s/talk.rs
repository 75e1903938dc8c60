//! The words of a stream between servers while it is negotiated: headers, features, TLS, SASL (RFC 6120 §4–§6), as types.

use std::io;

use bytes::BytesMut;
use kim_core::config::Domain;
use kim_core::error::{STREAM_ERRORS, STREAMS, StreamCondition, StreamError};
use kim_core::ns;
use kim_core::wire::{Element, Frame, Header, Limits, Reader, escape_value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::dialback;

/// The content namespace of streams between servers.
pub const SERVER: &str = "jabber:server";
/// The feature of both directions on one stream (XEP-0288 §2.1), and the request for it (§2.2).
pub const BIDI_FEATURE: &str = "urn:xmpp:features:bidi";
pub const BIDI: &str = "urn:xmpp:bidi";
/// Stream management (XEP-0198).
pub const SM: &str = "urn:xmpp:sm:3";
/// Limits of the stream (XEP-0478).
const LIMITS: &str = "urn:xmpp:stream-limits:0";

/// Why a negotiation failed.
#[derive(Debug, thiserror::Error)]
pub enum TalkBroken {
    /// What the other side said cannot be gone on with; it is told.
    #[error("{}", described(.0))]
    Ours(StreamError),
    /// The other side ended the stream with an error.
    #[error("the other server says {0}")]
    Theirs(String),
    /// The other side closed the stream.
    #[error("the other server closed the stream")]
    Closed,
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<StreamError> for TalkBroken {
    fn from(error: StreamError) -> TalkBroken {
        TalkBroken::Ours(error)
    }
}

impl From<StreamCondition> for TalkBroken {
    fn from(condition: StreamCondition) -> TalkBroken {
        TalkBroken::Ours(condition.into())
    }
}

/// A stream error for a line of the log.
pub fn described(error: &StreamError) -> String {
    match &error.text {
        Some(text) => format!("{} ({text})", error.condition.as_str()),
        None => error.condition.as_str().to_owned(),
    }
}

/// A stream over any connection, as long as one side speaks at a time.
pub struct ServerTalk<S> {
    io: S,
    reader: Reader,
    input: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ServerTalk<S> {
    /// A stream whose header is still to come.
    pub fn new(io: S, limits: Limits) -> ServerTalk<S> {
        ServerTalk {
            io,
            reader: Reader::stream(limits, SERVER),
            input: BytesMut::new(),
        }
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Result<Frame, TalkBroken> {
        loop {
            if let Some(frame) = self.reader.read(&mut self.input).map_err(StreamError::from)? {
                return Ok(frame);
            }
            if self.io.read_buf(&mut self.input).await? == 0 {
                return Err(TalkBroken::Closed);
            }
        }
    }

    /// The header of the stream.
    pub async fn header(&mut self) -> Result<Header, TalkBroken> {
        match self.frame().await? {
            Frame::Open(header) => Ok(header),
            _ => Err(StreamCondition::BadFormat.into()),
        }
    }

    /// The next element. The end of the stream is an error.
    pub async fn element(&mut self) -> Result<Element, TalkBroken> {
        match self.frame().await? {
            Frame::Element(element) => match their_error(&element) {
                Some(said) => Err(TalkBroken::Theirs(said)),
                None => Ok(element),
            },
            Frame::Close => Err(TalkBroken::Closed),
            Frame::Open(_) => Err(StreamCondition::BadFormat.into()),
        }
    }

    /// Writes something.
    pub async fn say(&mut self, xml: &str) -> io::Result<()> {
        self.io.write_all(xml.as_bytes()).await?;
        self.io.flush().await
    }

    /// A new header follows.
    pub fn restart(&mut self) {
        self.reader.restart();
    }

    /// The connection alone. What was read beyond the last frame is forgotten: it was not protected (RFC 6120 §5.4.3.3).
    pub fn into_io(self) -> S {
        self.io
    }

    /// Everything, for the life after the negotiation.
    pub fn into_parts(self) -> (S, Reader, BytesMut) {
        (self.io, self.reader, self.input)
    }

    /// The last words, and the end.
    pub async fn end(mut self, error: Option<&StreamError>) {
        let mut words = error.map(StreamError::to_xml).unwrap_or_default();
        words.push_str("</stream:stream>");
        if self.say(&words).await.is_ok() {
            let _ = self.io.shutdown().await;
        }
    }
}

/// What a stream error of the other side says, if an element is one.
pub fn their_error(element: &Element) -> Option<String> {
    if !element.is("error", STREAMS) {
        return None;
    }
    let inner = || element.children().filter(|child| child.ns() == STREAM_ERRORS);
    let condition = inner().find(|child| child.name() != "text");
    let condition = condition.map_or("undefined-condition", |child| child.name());
    let text = inner().find(|child| child.name() == "text");
    let said = match text {
        Some(text) => format!("{condition} ({})", text.text()),
        None => condition.to_owned(),
    };
    Some(said.chars().filter(|c| !c.is_control()).take(200).collect())
}

/// A stream header.
pub struct TalkOpening<'a> {
    /// Who speaks.
    pub from: &'a str,
    /// To whom; nothing where the other side has not said who it is.
    pub to: Option<&'a str>,
    /// The id that an answering header gives the stream.
    pub id: Option<&'a str>,
}

impl TalkOpening<'_> {
    /// Writes it.
    pub fn to_xml(&self) -> String {
        let mut xml = format!(
            "<?xml version='1.0'?><stream:stream xmlns='{SERVER}' xmlns:stream='{STREAMS}' xmlns:db='{}'",
            dialback::NS
        );
        for (name, value) in [("from", Some(self.from)), ("to", self.to), ("id", self.id)] {
            if let Some(value) = value {
                xml.push_str(&format!(" {name}='"));
                escape_value(&mut xml, value);
                xml.push('\'');
            }
        }
        xml.push_str(" version='1.0' xml:lang='en'>");
        xml
    }
}

/// What the header of another server says, once it is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who it claims to be, prepared.
    pub from: Option<String>,
    /// Whom it speaks to, prepared.
    pub to: Option<String>,
    /// The id it gave the stream.
    pub id: Option<String>,
}

/// Judges a header (RFC 6120 §4.7, §4.8). An address that is no domain is `improper-addressing`.
pub fn judge(header: &Header) -> Result<Said, StreamCondition> {
    if header.name() != "stream" || header.ns() != STREAMS || header.default_ns() != SERVER {
        return Err(StreamCondition::InvalidNamespace);
    }
    let major = header.attr("version").and_then(|version| {
        version
            .split_once('.')
            .and_then(|(major, _)| major.parse::<u32>().ok())
    });
    if major.is_none_or(|major| major < 1) {
        return Err(StreamCondition::UnsupportedVersion);
    }
    let domain = |name: &str| match header.attr(name) {
        None => Ok(None),
        Some(text) => Domain::parse(&text)
            .map(|domain| Some(domain.to_string()))
            .ok_or(StreamCondition::ImproperAddressing),
    };
    Ok(Said {
        from: domain("from")?,
        to: domain("to")?,
        id: header.attr("id").map(|id| id.into_owned()),
    })
}

/// What the other side offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// STARTTLS.
    pub starttls: bool,
    /// SASL EXTERNAL.
    pub external: bool,
    /// Dialback.
    pub dialback: bool,
    /// Both directions on one stream (XEP-0288).
    pub bidi: bool,
    /// Stream management (XEP-0198).
    pub sm: bool,
    /// The largest stanza that it takes, in bytes (XEP-0478).
    pub max_bytes: Option<usize>,
    /// Seconds of silence after which it closes the stream (XEP-0478).
    pub idle_seconds: Option<u64>,
}

impl Features {
    /// Reads them.
    pub fn read(element: &Element) -> Option<Features> {
        if !element.is("features", STREAMS) {
            return None;
        }
        let mechanisms = element.child("mechanisms", ns::SASL);
        let limits = element.child("limits", LIMITS);
        let limit = |name| {
            let text = limits.as_ref()?.child(name, LIMITS)?.text().into_owned();
            text.trim().parse::<u64>().ok()
        };
        Some(Features {
            starttls: element.child("starttls", ns::TLS).is_some(),
            external: mechanisms.is_some_and(|all| {
                all.children()
                    .any(|one| one.name() == "mechanism" && one.text().trim() == "EXTERNAL")
            }),
            dialback: element.child("dialback", dialback::FEATURE).is_some(),
            bidi: element.child("bidi", BIDI_FEATURE).is_some(),
            sm: element.child("sm", SM).is_some(),
            max_bytes: limit("max-bytes").and_then(|bytes| usize::try_from(bytes).ok()),
            idle_seconds: limit("idle-seconds"),
        })
    }

    /// Writes them.
    pub fn to_xml(&self) -> String {
        let mut xml = "<stream:features>".to_owned();
        if self.starttls {
            xml.push_str(&format!("<starttls xmlns='{}'><required/></starttls>", ns::TLS));
        }
        if self.external {
            xml.push_str(&format!(
                "<mechanisms xmlns='{}'><mechanism>EXTERNAL</mechanism></mechanisms>",
                ns::SASL
            ));
        }
        if self.dialback {
            xml.push_str(&format!(
                "<dialback xmlns='{}'><errors/></dialback>",
                dialback::FEATURE
            ));
        }
        if self.bidi {
            xml.push_str(&format!("<bidi xmlns='{BIDI_FEATURE}'/>"));
        }
        if self.sm {
            xml.push_str(&format!("<sm xmlns='{SM}'/>"));
        }
        if let Some(bytes) = self.max_bytes {
            xml.push_str(&format!(
                "<limits xmlns='{LIMITS}'><max-bytes>{bytes}</max-bytes>"
            ));
            if let Some(seconds) = self.idle_seconds {
                xml.push_str(&format!("<idle-seconds>{seconds}</idle-seconds>"));
            }
            xml.push_str("</limits>");
        }
        xml.push_str("</stream:features>");
        xml
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(attributes: &str) -> Header {
        let mut reader = Reader::stream(Limits::default(), SERVER);
        let xml = format!("<stream:stream xmlns:stream='{STREAMS}' {attributes}>");
        match reader.read(&mut BytesMut::from(xml.as_bytes())) {
            Ok(Some(Frame::Open(header))) => header,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_header_names_domains_and_the_right_namespace() {
        let said = judge(&header(
            "xmlns='jabber:server' version='1.0' from='A.example' to='b.example' id='7'",
        ));
        let said = said.expect("a right header");
        assert_eq!(
            (said.from.as_deref(), said.to.as_deref()),
            (Some("a.example"), Some("b.example"))
        );
        for (attributes, condition) in [
            (
                "xmlns='jabber:client' version='1.0'",
                StreamCondition::InvalidNamespace,
            ),
            ("version='1.0'", StreamCondition::InvalidNamespace),
            ("xmlns='jabber:server'", StreamCondition::UnsupportedVersion),
            (
                "xmlns='jabber:server' version='0.9'",
                StreamCondition::UnsupportedVersion,
            ),
            (
                "xmlns='jabber:server' version='1.0' from='a@b.example'",
                StreamCondition::ImproperAddressing,
            ),
            (
                "xmlns='jabber:server' version='1.0' to=''",
                StreamCondition::ImproperAddressing,
            ),
        ] {
            assert_eq!(judge(&header(attributes)), Err(condition), "{attributes}");
        }
    }

    #[test]
    fn features_survive_the_wire() {
        let all = Features {
            starttls: true,
            external: true,
            dialback: true,
            bidi: true,
            sm: true,
            max_bytes: Some(262_144),
            idle_seconds: Some(600),
        };
        for features in [all, Features::default()] {
            let xml =
                features
                    .to_xml()
                    .replacen("<stream:features", &format!("<features xmlns='{STREAMS}'"), 1);
            let xml = xml.replace("</stream:features>", "</features>");
            let element = Element::parse(&xml).expect("well-formed");
            assert_eq!(Features::read(&element), Some(features));
        }
    }
}
