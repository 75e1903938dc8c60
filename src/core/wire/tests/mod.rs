//! Tests of the wire: streams, what is refused, limits, chunks, the writer, and a second opinion.

mod canonical;
mod differential;
mod flood;
mod generator;
mod limits;
mod properties;
mod refused;
mod stream;
mod writer;

use bytes::BytesMut;

use crate::{CONTENT_NS, Element, Frame, Limits, Reader, WireError};

/// An ordinary client's stream header.
const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xml:lang='en' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Everything that a reader makes of some input given at once.
fn frames(mut reader: Reader, xml: impl AsRef<[u8]>) -> Result<Vec<Frame>, WireError> {
    let mut input = BytesMut::from(xml.as_ref());
    let mut out = Vec::new();
    while let Some(frame) = reader.read(&mut input)? {
        out.push(frame);
    }
    Ok(out)
}

/// The same for a client's stream.
fn stream(xml: impl AsRef<[u8]>) -> Result<Vec<Frame>, WireError> {
    frames(Reader::stream(Limits::default(), CONTENT_NS), xml)
}

/// What comes out for the given input in pieces, and how it ended.
fn pieces<'a>(
    mut reader: Reader,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Result<(), WireError>) {
    let mut input = BytesMut::new();
    let mut out = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match reader.read(&mut input) {
                Ok(Some(frame)) => out.push(frame),
                Ok(None) => break,
                Err(error) => return (out, Err(error)),
            }
        }
    }
    (out, Ok(()))
}

/// The canonical form of one element.
fn canonical(xml: &str) -> String {
    Element::parse(xml).unwrap().as_str().to_owned()
}
