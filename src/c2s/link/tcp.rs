//! A stream over TCP (RFC 6120 §4): one XML document each way.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use kim_core::error::{STREAMS, StreamError};
use kim_core::ns;
use kim_core::session::Parcel;
use kim_core::wire::{self, Frame, Reader, escape_value};

use super::{Greeting, Incoming, Opening};
use crate::c2s::end::End;
use crate::c2s::socket::Socket;

/// A socket and the reader of what comes from it.
pub(crate) struct Tcp {
    socket: Socket,
    reader: Reader,
    input: BytesMut,
}

impl Tcp {
    /// A connection of which `input` has been read.
    pub fn new(socket: Socket, input: BytesMut, limits: wire::Limits) -> Tcp {
        Tcp {
            socket,
            reader: Reader::stream(limits, ns::CLIENT),
            input,
        }
    }

    /// The socket below.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// The socket, and where what it reads goes.
    pub fn socket_and_input(&mut self) -> (&mut Socket, &mut BytesMut) {
        (&mut self.socket, &mut self.input)
    }

    pub fn is_secure(&self) -> bool {
        self.socket.is_tls()
    }

    /// Everything that came so far is forgotten: it was not protected, and what follows is (RFC 6120 §5.4.3.3).
    pub fn forget(&mut self, limits: wire::Limits) {
        self.input = BytesMut::new();
        self.reader = Reader::stream(limits, ns::CLIENT);
        self.reader.restart();
    }

    pub fn next(&mut self) -> Result<Option<Incoming>, End> {
        let frame = self.reader.read(&mut self.input).map_err(StreamError::from)?;
        Ok(frame.map(|frame| match frame {
            Frame::Open(header) => Incoming::Open(Opening::of_header(&header)),
            Frame::Element(element) => Incoming::Element(element),
            Frame::Close => Incoming::Close,
        }))
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        let before = self.input.len();
        let more = ready!(self.socket.poll_read(cx, &mut self.input))?;
        Poll::Ready(Ok(more.then(|| self.input.len() - before)))
    }

    pub fn release(&mut self) {
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

    /// In one piece: a probe for Direct TLS wants the XML declaration in the first bytes.
    pub fn queue_opening(&mut self, greeting: &Greeting<'_>, features: Option<&str>) -> io::Result<()> {
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
        attr("from", greeting.from);
        if let Some(to) = greeting.to {
            attr("to", to);
        }
        attr("id", greeting.id);
        attr("version", "1.0");
        attr("xml:lang", "en");
        xml.push('>');
        if let Some(features) = features {
            xml.push_str("<stream:features>");
            xml.push_str(features);
            xml.push_str("</stream:features>");
        }
        self.socket.queue(xml.as_bytes())
    }

    pub fn queue(&mut self, xml: &str) -> io::Result<()> {
        self.socket.queue(xml.as_bytes())
    }

    pub fn queue_parcels(&mut self, parcels: &VecDeque<Parcel>) -> io::Result<()> {
        let mut plain = Vec::with_capacity(parcels.iter().map(Parcel::bytes).sum());
        for parcel in parcels {
            plain.extend_from_slice(&parcel.head);
            plain.extend_from_slice(&parcel.tail);
        }
        self.socket.queue(&plain)
    }

    pub fn queue_end(&mut self, error: Option<&StreamError>) -> io::Result<()> {
        let mut words = error.map(StreamError::to_xml).unwrap_or_default();
        words.push_str("</stream:stream>");
        self.socket.queue(words.as_bytes())
    }

    pub fn has_unwritten(&self) -> bool {
        self.socket.has_unwritten()
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>, taken: &mut usize) -> Poll<io::Result<()>> {
        self.socket.poll_flush(cx, taken)
    }
}
