//! The handshake of a component (XEP-0114 §3), without a socket: bytes in, words out. The program names its domain in the
//! stream header, is given the id of the stream, and shows the SHA-1 sum of that id and the secret.

use bytes::BytesMut;
use kim_core::config::{ComponentSettings, Secret};
use kim_core::error::{STREAMS, StreamCondition, StreamError};
use kim_core::wire::{Element, Frame, Header, Limits, Reader, escape_value};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// The content namespace of the streams that components open.
pub const NS: &str = "jabber:component:accept";

/// What comes next.
#[derive(Debug)]
pub enum HandshakeStep {
    /// More must be read.
    More,
    /// This is written, and the handshake goes on.
    Answer(String),
    /// The program has proven that it is the component of this domain.
    Proven(String),
}

/// A handshake under way.
pub struct Handshake<'a> {
    components: &'a [ComponentSettings],
    reader: Reader,
    id: String,
    /// Whose secret is to be shown, once the header has been read.
    claimed: Option<&'a ComponentSettings>,
}

impl<'a> Handshake<'a> {
    /// A handshake with one of these components, on a stream of that id.
    pub fn new(components: &'a [ComponentSettings], id: String, limits: Limits) -> Handshake<'a> {
        Handshake {
            components,
            reader: Reader::stream(limits, NS),
            id,
            claimed: None,
        }
    }

    /// Reads on. An error ends the stream.
    pub fn read(&mut self, input: &mut BytesMut) -> Result<HandshakeStep, StreamError> {
        match self.reader.read(input)? {
            None => Ok(HandshakeStep::More),
            Some(Frame::Open(header)) => {
                let component = self.named_by(&header)?;
                self.claimed = Some(component);
                Ok(HandshakeStep::Answer(self.opening(&component.jid)))
            }
            Some(Frame::Element(element)) => match self.claimed {
                Some(component) if is_proof(&element, &self.id, &component.secret) => {
                    Ok(HandshakeStep::Proven(component.jid.to_string()))
                }
                _ => Err(StreamCondition::NotAuthorized.into()),
            },
            Some(Frame::Close) => Err(StreamCondition::NotAuthorized.into()),
        }
    }

    /// Our header, which answers for `domain`.
    pub fn opening(&self, domain: &str) -> String {
        let mut xml =
            format!("<?xml version='1.0'?><stream:stream xmlns='{NS}' xmlns:stream='{STREAMS}' from='");
        escape_value(&mut xml, domain);
        xml.push_str("' id='");
        escape_value(&mut xml, &self.id);
        xml.push_str("'>");
        xml
    }

    /// Whether our header has been written.
    pub fn is_answered(&self) -> bool {
        self.claimed.is_some()
    }

    /// The reader of the stream, which goes on behind the handshake.
    pub fn into_reader(self) -> Reader {
        self.reader
    }

    /// The component that a stream header asks for.
    fn named_by(&self, header: &Header) -> Result<&'a ComponentSettings, StreamError> {
        if header.name() != "stream" || header.ns() != STREAMS || header.default_ns() != NS {
            return Err(StreamCondition::InvalidNamespace.into());
        }
        let to = header.attr("to").unwrap_or_default();
        let domain = kim_core::config::Domain::parse(&to).ok_or(StreamCondition::HostUnknown)?;
        let named = self.components.iter().find(|component| component.jid == domain);
        named.ok_or_else(|| {
            StreamError::new(StreamCondition::HostUnknown)
                .text("no [[component]] is configured for this domain")
        })
    }
}

/// Whether an element shows that the program knows the secret.
fn is_proof(element: &Element, id: &str, secret: &Secret) -> bool {
    if element.name() != "handshake" {
        return false;
    }
    let mut hash = Sha1::new();
    hash.update(id);
    hash.update(secret.expose());
    let expected: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let shown = element.text();
    expected.as_bytes().ct_eq(shown.trim().as_bytes()).into()
}
