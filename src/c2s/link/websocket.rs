//! A stream over WebSocket (RFC 7395): every element is a message of its own, with its namespaces; `<open/>` and
//! `<close/>` take the place of the stream's tags.
//!
//! It works on the socket directly, as the TCP stream does, and for the same reasons: nothing is kept while nothing
//! happens, and a message is read as it comes, under the limits of the XML reader.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use kim_core::error::{STREAMS, StreamCondition, StreamError};
use kim_core::ns;
use kim_core::session::Parcel;
use kim_core::wire::{self, Frame, Reader, WireError, Writer};
use tokio::time::{Instant, Sleep};

use super::frames::{self, Parser, Piece};
use super::{Greeting, Incoming, Opening, declaration, elements};
use crate::c2s::end::End;
use crate::c2s::socket::Socket;

/// RFC 7395 §3.3.2.
const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// The limit that the length of a message goes by.
const STANZA_BYTES: &str = "stanza_bytes_max";
/// Unwritten bytes above which a client's pings are a flood.
const PONG_BYTES_MAX: usize = 64 * 1024;

/// A WebSocket whose handshake is done.
pub(crate) struct WebSocket {
    socket: Socket,
    is_secure: bool,
    /// As it came from the socket.
    raw: BytesMut,
    parser: Parser,
    /// The content of messages.
    input: BytesMut,
    reader: Reader,
    /// Elements of the message under way that were whole.
    elements: usize,
    /// The message under way has ended.
    ended: bool,
    /// Our closing frame was queued.
    closed: bool,
    /// The code it has or will have.
    code: u16,
    ping_every: Duration,
    /// When to ask whether the client, and every proxy in between, is still there.
    ping: Pin<Box<Sleep>>,
    /// It was asked and said nothing since.
    pinged: bool,
}

impl WebSocket {
    /// A socket of which `raw` was read behind the request for the upgrade. `is_secure`: this socket is encrypted, or a proxy
    /// that is trusted says that the client's is.
    pub fn new(
        socket: Socket,
        raw: BytesMut,
        is_secure: bool,
        limits: wire::Limits,
        ping_every: Duration,
    ) -> WebSocket {
        WebSocket {
            is_secure: is_secure || socket.is_tls(),
            socket,
            raw,
            parser: Parser::default(),
            input: BytesMut::new(),
            reader: Reader::documents(limits, ns::CLIENT),
            elements: 0,
            ended: false,
            closed: false,
            code: frames::NORMAL,
            ping_every,
            ping: Box::pin(tokio::time::sleep(ping_every)),
            pinged: false,
        }
    }

    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    pub fn next(&mut self) -> Result<Option<Incoming>, End> {
        loop {
            let read = self.reader.read(&mut self.input);
            if read == Err(WireError::TooBig(STANZA_BYTES)) {
                self.code = frames::TOO_BIG;
            }
            if let Some(frame) = read.map_err(StreamError::from)? {
                self.elements += 1;
                if self.elements > 1 {
                    return Err(not_alone());
                }
                return Ok(match frame {
                    Frame::Element(element) if element.is("open", FRAMING) => {
                        Some(Incoming::Open(Opening::of_element(&element)))
                    }
                    Frame::Element(element) if element.is("close", FRAMING) => Some(Incoming::Close),
                    Frame::Element(element) => Some(Incoming::Element(element)),
                    Frame::Open(_) | Frame::Close => Some(Incoming::Close),
                });
            }
            if std::mem::take(&mut self.ended) {
                // RFC 7395 §3.3.1: one element a message, neither more nor less.
                if !self.reader.is_idle() || self.elements != 1 {
                    return Err(not_alone());
                }
                self.elements = 0;
            }
            match self.parser.next(&mut self.raw, &mut self.input) {
                Ok(None) => return Ok(None),
                Ok(Some(Piece::Text(end))) => self.ended = end,
                Ok(Some(Piece::Pong)) => {}
                Ok(Some(Piece::Ping(content))) => {
                    if self.socket.unwritten_bytes() > PONG_BYTES_MAX {
                        return Err(StreamCondition::PolicyViolation.into());
                    }
                    self.queue_frame(frames::PONG, &content)?;
                }
                Ok(Some(Piece::Close(code))) => {
                    // RFC 7395 §3.6.1: without a <close/> before it, the stream is lost, not closed.
                    self.code = code;
                    self.queue_close()?;
                    return Err(End::Lost(io::ErrorKind::ConnectionAborted.into()));
                }
                Err(breach) => {
                    self.code = breach.0;
                    self.queue_close()?;
                    return Err(End::Lost(io::ErrorKind::InvalidData.into()));
                }
            }
        }
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        let before = self.raw.len();
        match self.socket.poll_read(cx, &mut self.raw) {
            Poll::Ready(Ok(more)) => {
                self.pinged = false;
                self.ping.as_mut().reset(Instant::now() + self.ping_every);
                Poll::Ready(Ok(more.then(|| self.raw.len() - before)))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_ping(cx),
        }
    }

    fn poll_ping(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        if self.ping.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if std::mem::replace(&mut self.pinged, true) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.ping.as_mut().reset(Instant::now() + self.ping_every);
        self.queue_frame(frames::PING, b"")?;
        Poll::Ready(Ok(Some(0)))
    }

    pub fn release(&mut self) {
        if self.raw.is_empty() {
            self.raw = BytesMut::new();
        }
        if self.input.is_empty() {
            self.input = BytesMut::new();
            self.reader.release();
        }
    }

    pub fn set_limits(&mut self, limits: wire::Limits) {
        self.reader.set_limits(limits);
    }

    pub fn restart(&mut self) {
        self.reader.restart();
    }

    // ——— writing ———

    fn queue_frame(&mut self, opcode: u8, content: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(content.len() + 10);
        frames::begin(&mut out, opcode, content.len());
        out.extend_from_slice(content);
        self.socket.queue(&out)
    }

    fn queue_close(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        self.queue_frame(frames::CLOSE, &self.code.to_be_bytes())
    }

    pub fn queue_opening(&mut self, greeting: &Greeting<'_>, features: Option<&str>) -> io::Result<()> {
        let mut xml = Writer::new();
        xml.start("open", FRAMING).attr("from", greeting.from);
        if let Some(to) = greeting.to {
            xml.attr("to", to);
        }
        xml.attr("id", greeting.id)
            .attr("version", "1.0")
            .attr("xml:lang", "en")
            .end();
        self.queue_frame(frames::TEXT, xml.finish_string().as_bytes())?;
        let Some(features) = features else {
            return Ok(());
        };
        let features = format!("<stream:features xmlns:stream='{STREAMS}'>{features}</stream:features>");
        self.queue_frame(frames::TEXT, features.as_bytes())
    }

    pub fn queue(&mut self, xml: &str) -> io::Result<()> {
        let mut out = Vec::with_capacity(xml.len() + 64);
        for element in elements(xml) {
            message(&mut out, element.as_str().as_bytes(), b"");
        }
        self.socket.queue(&out)
    }

    pub fn queue_parcels(&mut self, parcels: &VecDeque<Parcel>) -> io::Result<()> {
        let bytes = parcels.iter().map(|parcel| parcel.bytes() + 36).sum();
        let mut out = Vec::with_capacity(bytes);
        for parcel in parcels {
            message(&mut out, &parcel.head, &parcel.tail);
        }
        self.socket.queue(&out)
    }

    pub fn queue_end(&mut self, error: Option<&StreamError>) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let mut out = Vec::new();
        if let Some(error) = error {
            message(&mut out, error.to_xml().as_bytes(), b"");
        }
        let mut xml = Writer::new();
        xml.start("close", FRAMING).end();
        message(&mut out, xml.finish_string().as_bytes(), b"");
        self.socket.queue(&out)?;
        self.queue_close()
    }

    pub fn has_unwritten(&self) -> bool {
        self.socket.has_unwritten()
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>, taken: &mut usize) -> Poll<io::Result<()>> {
        self.socket.poll_flush(cx, taken)
    }

    pub async fn finish(&mut self) -> io::Result<()> {
        self.queue_close()?;
        self.socket.finish().await
    }

    pub async fn linger(&mut self, time: Duration) {
        self.socket.linger(time).await;
    }
}

/// Appends one element as a message that stands for itself.
fn message(out: &mut Vec<u8>, head: &[u8], tail: &[u8]) {
    let (at, declared) = declaration(head).unwrap_or_default();
    let (name, rest) = head.split_at(at);
    frames::begin(out, frames::TEXT, head.len() + declared.len() + tail.len());
    out.extend_from_slice(name);
    out.extend_from_slice(declared.as_bytes());
    out.extend_from_slice(rest);
    out.extend_from_slice(tail);
}

fn not_alone() -> End {
    StreamError::new(StreamCondition::BadFormat)
        .text("each WebSocket message must contain exactly one element")
        .into()
}
