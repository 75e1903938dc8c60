//! What a stream runs over. A session does not know whether it is carried by TCP, by WebSocket (RFC 7395) or by BOSH
//! (XEP-0124): it gets openings and elements from a [`Link`] and gives it parcels and words.
//!
//! An enum and not a trait: most sessions are TCP's, whose part lies inside, so that they cost what they cost without the
//! others. Those of the web are boxed.

pub mod bosh;
pub mod frames;
mod tcp;
pub(crate) mod websocket;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use kim_core::error::{STREAMS, StreamError};
use kim_core::ns;
use kim_core::session::Parcel;
use kim_core::wire::{self, Element, Frame, Header, Reader};

use self::bosh::Bosh;
pub(crate) use self::tcp::Tcp;
use self::websocket::WebSocket;
use super::end::End;

/// A connection with a client, or what stands for one.
#[expect(clippy::large_enum_variant)] // nearly all are TCP's
pub(crate) enum Link {
    /// A socket with one XML stream (RFC 6120).
    Tcp(Tcp),
    /// RFC 7395.
    WebSocket(Box<WebSocket>),
    /// XEP-0124, XEP-0206.
    Bosh(Box<Bosh>),
}

/// What a client sends.
pub enum Incoming {
    /// It opens a stream.
    Open(Opening),
    /// An element on the first level.
    Element(Element),
    /// It closes the stream.
    Close,
}

/// How a client opens a stream (RFC 6120 §4.7), however it was written.
pub struct Opening {
    /// Whether it is an opening of this kind of stream at all.
    pub is_right: bool,
    /// Who the client says it is.
    pub from: Option<String>,
    /// The domain it wants.
    pub to: Option<String>,
    /// The language of its stanzas.
    pub lang: Option<String>,
    /// The version of XMPP.
    pub version: Option<String>,
}

impl Opening {
    fn of_header(header: &Header) -> Opening {
        let attr = |name| header.attr(name).map(|value| value.into_owned());
        Opening {
            is_right: header.name() == "stream"
                && header.ns() == STREAMS
                && header.default_ns() == ns::CLIENT,
            from: attr("from"),
            to: attr("to"),
            lang: attr("xml:lang"),
            version: attr("version"),
        }
    }

    fn of_element(element: &Element) -> Opening {
        let attr = |name| element.attr(name).map(|value| value.into_owned());
        Opening {
            is_right: true,
            from: attr("from"),
            to: attr("to"),
            lang: attr("xml:lang"),
            version: attr("version"),
        }
    }
}

/// The opening of our half of a stream.
pub struct Greeting<'a> {
    /// The domain that answers.
    pub from: &'a str,
    /// Who the client said it is, where it may be repeated.
    pub to: Option<&'a str>,
    /// The id of the stream.
    pub id: &'a str,
}

/// The same call on whichever it is.
macro_rules! each {
    ($self:ident, $link:ident => $call:expr) => {
        match $self {
            Link::Tcp($link) => $call,
            Link::WebSocket($link) => $call,
            Link::Bosh($link) => $call,
        }
    };
}

impl Link {
    /// Whether nobody can listen in.
    pub fn is_secure(&self) -> bool {
        each!(self, link => link.is_secure())
    }

    /// The TCP connection, if that is what it is.
    pub fn tcp(&mut self) -> Option<&mut Tcp> {
        match self {
            Link::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    /// Whether the client may ask for TLS now (RFC 6120 §5).
    pub fn may_start_tls(&self) -> bool {
        matches!(self, Link::Tcp(tcp) if !tcp.is_secure())
    }

    // ——— reading ———

    /// The next thing the client has sent, of what was read.
    pub fn next(&mut self) -> Result<Option<Incoming>, End> {
        each!(self, link => link.next())
    }

    /// Reads. Gives how many bytes came, or `None` at the end of the connection.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        each!(self, link => link.poll_read(cx))
    }

    /// [`Link::poll_read`] as a future.
    pub async fn read(&mut self) -> io::Result<Option<usize>> {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    /// Nothing comes for now: gives back what only reading needs.
    pub fn release(&mut self) {
        each!(self, link => link.release())
    }

    /// How much of anything is read from here on.
    pub fn set_limits(&mut self, limits: wire::Limits) {
        each!(self, link => link.set_limits(limits))
    }

    /// A new stream follows (RFC 6120 §4.3.3). What the client has said for it already stays.
    pub fn restart(&mut self) {
        each!(self, link => link.restart())
    }

    // ——— writing ———

    /// Queues our opening and, where they follow at once, the features.
    pub fn queue_opening(&mut self, greeting: &Greeting<'_>, features: Option<&str>) -> io::Result<()> {
        each!(self, link => link.queue_opening(greeting, features))
    }

    /// Queues elements, canonical XML.
    pub fn queue(&mut self, xml: &str) -> io::Result<()> {
        each!(self, link => link.queue(xml))
    }

    /// Queues parcels, in one go.
    pub fn queue_parcels(&mut self, parcels: &VecDeque<Parcel>) -> io::Result<()> {
        each!(self, link => link.queue_parcels(parcels))
    }

    /// Queues the last words of a stream.
    pub fn queue_end(&mut self, error: Option<&StreamError>) -> io::Result<()> {
        each!(self, link => link.queue_end(error))
    }

    /// Whether something waits to be written.
    pub fn has_unwritten(&self) -> bool {
        each!(self, link => link.has_unwritten())
    }

    /// Writes what is queued. `taken` grows by the bytes that were taken.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, taken: &mut usize) -> Poll<io::Result<()>> {
        each!(self, link => link.poll_flush(cx, taken))
    }

    /// Writes everything that is queued.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx, &mut 0)).await
    }

    /// Writes everything, and says that nothing more comes.
    pub async fn finish(&mut self) -> io::Result<()> {
        match self {
            Link::Tcp(tcp) => tcp.socket().finish().await,
            Link::WebSocket(web) => web.finish().await,
            Link::Bosh(_) => self.flush().await,
        }
    }

    /// Lets the client hear our last words.
    pub async fn linger(&mut self, time: Duration) {
        match self {
            Link::Tcp(tcp) => tcp.socket().linger(time).await,
            Link::WebSocket(web) => web.linger(time).await,
            Link::Bosh(_) => {}
        }
    }
}

/// What has to be written into the opening tag of an element that stands for itself: on a TCP stream the namespaces of
/// stanzas and of `stream:` are declared around it (RFC 7395 §3.3.3). Gives where, and what.
fn declaration(xml: &[u8]) -> Option<(usize, String)> {
    let end = xml.iter().position(|byte| matches!(byte, b' ' | b'>' | b'/'))?;
    let rest = xml.get(end..)?;
    if rest.starts_with(b" xmlns=") || rest.starts_with(b" xmlns:stream=") {
        return None;
    }
    Some(if xml.starts_with(b"<stream:") {
        (end, format!(" xmlns:stream='{STREAMS}'"))
    } else {
        (end, format!(" xmlns='{}'", ns::CLIENT))
    })
}

/// The elements that a piece of canonical XML consists of.
fn elements(xml: &str) -> Vec<Element> {
    let mut reader = Reader::documents(
        wire::Limits {
            stanza_bytes_max: usize::MAX,
            namespaces_max: usize::MAX,
            children_max: usize::MAX,
            ..wire::Limits::default()
        },
        ns::CLIENT,
    );
    let mut input = bytes::BytesMut::from(xml);
    let mut all = Vec::new();
    while let Ok(Some(Frame::Element(element))) = reader.read(&mut input) {
        all.push(element);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(xml: &str) -> String {
        let mut out = xml.to_owned();
        if let Some((at, what)) = declaration(xml.as_bytes()) {
            out.insert_str(at, &what);
        }
        out
    }

    #[test]
    fn what_stands_for_itself_declares_its_namespace() {
        assert_eq!(
            alone("<message to='a'>"),
            "<message xmlns='jabber:client' to='a'>"
        );
        assert_eq!(alone("<presence/>"), "<presence xmlns='jabber:client'/>");
        assert_eq!(alone("<r xmlns='urn:xmpp:sm:3'/>"), "<r xmlns='urn:xmpp:sm:3'/>");
        assert_eq!(
            alone("<stream:error><x/></stream:error>"),
            "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><x/></stream:error>"
        );
        // An attribute that looks like a declaration is none.
        assert_eq!(
            alone("<iq id=' xmlns=1'/>"),
            "<iq xmlns='jabber:client' id=' xmlns=1'/>"
        );
    }

    #[test]
    fn several_elements_are_told_apart() {
        let all = elements("<a xmlns='urn:x'>1</a><message><body>2</body></message>");
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].as_str(), "<message><body>2</body></message>");
    }
}
