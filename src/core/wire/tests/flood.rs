//! Input without an end: refused early, without much memory, and in linear time even in small pieces.

use bytes::BytesMut;

use super::HEADER;
use crate::{CONTENT_NS, Frame, Limits, Reader, WireError};

const MEGABYTES_10: usize = 10 << 20;

/// Feeds `start`, then `more` until 10 MB are sent. Returns the error, and the most bytes that were ever held back.
fn flood(reader: &mut Reader, start: &str, more: &str, piece_bytes: usize) -> (WireError, usize) {
    let mut input = BytesMut::new();
    let piece = more.repeat(piece_bytes.div_ceil(more.len()));
    let (mut sent, mut held) = (0, 0);
    let mut next = start;
    while sent < MEGABYTES_10 {
        input.extend_from_slice(next.as_bytes());
        sent += next.len();
        loop {
            match reader.read(&mut input) {
                Ok(Some(Frame::Open(_))) => {}
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => break,
                Err(error) => return (error, held),
            }
        }
        held = held.max(input.len() + reader.held_bytes());
        next = &piece;
    }
    panic!("10 MB accepted");
}

/// One never-ending thing of every kind.
#[test]
fn ten_megabytes_of_anything_are_refused_early() {
    let big = Limits::default();
    for (start, more, limit) in [
        ("<a", "a", "name_bytes_max"),
        ("<a ", "b", "name_bytes_max"),
        ("<a b='", "x", "stanza_bytes_max"),
        ("<a b='", ">\"", "stanza_bytes_max"),
        ("<a xmlns:b='", "x", "stanza_bytes_max"),
        ("<a ", " ", "stanza_bytes_max"),
        ("<a b", " ", "stanza_bytes_max"),
        ("<a></a", "\n", "stanza_bytes_max"),
        ("<a>", "x", "stanza_bytes_max"),
        ("<a>", "é", "stanza_bytes_max"),
        ("<a>", "&amp;", "stanza_bytes_max"),
        ("<a>", "]", "stanza_bytes_max"),
        ("<a><![CDATA[", "]", "stanza_bytes_max"),
        ("<a><![CDATA[", "<", "stanza_bytes_max"),
        ("<a>", "<b>x</b>", "children_max"),
        ("<a><b>", "<c/>", "children_max"),
        ("<a><b>", "<c xmlns='u'></c>", "namespaces_max"),
        ("<a>", "<b>", "depth_max"),
        ("", "<b>", "depth_max"),
    ] {
        for piece_bytes in [1, 1000, MEGABYTES_10] {
            let mut reader = Reader::stream(big, CONTENT_NS);
            let (error, held) = flood(&mut reader, &format!("{HEADER}{start}"), more, piece_bytes);
            assert_eq!(error, WireError::TooBig(limit), "{start}{more}… by {piece_bytes}");
            assert!(
                held < 3 * big.stanza_bytes_max,
                "{start}{more}… by {piece_bytes} held {held} bytes"
            );
            assert_eq!(reader.held_bytes(), 0, "an error gives everything back");
        }
    }
}

#[test]
fn ten_megabytes_of_header_are_refused_early() {
    let limits = Limits::default();
    for (start, more, limit) in [
        ("<stream to='", "x", "header_bytes_max"),
        ("<stream ", " ", "header_bytes_max"),
        ("<stream xmlns:a='", "x", "header_bytes_max"),
        ("<?xml version='1.0'", " ", "header_bytes_max"),
        ("<", "s", "name_bytes_max"),
    ] {
        for piece_bytes in [1, 1000, MEGABYTES_10] {
            let mut reader = Reader::stream(limits, CONTENT_NS);
            let (error, held) = flood(&mut reader, start, more, piece_bytes);
            assert_eq!(error, WireError::TooBig(limit), "{start}{more}… by {piece_bytes}");
            assert!(
                held < 8 * limits.header_bytes_max,
                "{start}{more}… by {piece_bytes} held {held} bytes"
            );
        }
    }
}

/// A million open elements: refused at the limit; without a limit, a list on the heap, no recursion, not even to drop.
#[test]
fn a_million_elements_deep() {
    const DEEP: usize = 1_000_000;
    let xml = format!("{HEADER}{}", "<a>".repeat(DEEP));
    let reader = Reader::stream(Limits::default(), CONTENT_NS);
    assert_eq!(super::frames(reader, &xml), Err(WireError::TooBig("depth_max")));

    let limits = Limits {
        depth_max: usize::MAX,
        children_max: usize::MAX,
        stanza_bytes_max: usize::MAX,
        ..Limits::default()
    };
    let xml = format!("{xml}{}", "</a>".repeat(DEEP));
    let frames = super::frames(Reader::stream(limits, CONTENT_NS), &xml).unwrap();
    let Frame::Element(root) = &frames[1] else {
        panic!()
    };
    let child = root.children().next().unwrap();
    assert_eq!(child.xml().len(), root.as_str().len() - 7);
    assert_eq!(child.children().count(), 1);
    assert_eq!(child.text(), "");
}

/// White space between stanzas may come forever: it is consumed and costs nothing.
#[test]
fn keepalives_cost_nothing() {
    let mut reader = Reader::stream(Limits::default(), CONTENT_NS);
    let mut input = BytesMut::from(HEADER);
    assert!(matches!(reader.read(&mut input), Ok(Some(Frame::Open(_)))));
    reader.release();
    let before = reader.held_bytes();
    for _ in 0..1000 {
        input.extend_from_slice(b" \r\n\t");
        assert_eq!(reader.read(&mut input), Ok(None));
        assert!(input.is_empty() && reader.is_idle());
    }
    assert_eq!(reader.held_bytes(), before);
    assert!(before < 200, "an idle stream holds {before} bytes of the header");
}
