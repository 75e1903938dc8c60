//! Streams as clients and servers open, use and close them.

use bytes::BytesMut;

use super::{HEADER, frames, pieces, stream};
use crate::{CONTENT_NS, Frame, Limits, Reader, WireError};

/// RFC 6120 §4.2: opening tag, stanzas, closing tag; §4.6.1: white space in between keeps the connection alive.
#[test]
fn a_stream_opens_carries_stanzas_and_closes() {
    let all = format!(
        "{HEADER} \n<message to='b@x'><body>Hi &amp; bye</body></message>\n<presence/></stream:stream>\n"
    );
    let frames = stream(&all).unwrap();
    let [
        Frame::Open(header),
        Frame::Element(message),
        Frame::Element(presence),
        Frame::Close,
    ] = &frames[..]
    else {
        panic!("{frames:?}")
    };
    assert_eq!(
        (header.name(), header.ns()),
        ("stream", "http://etherx.jabber.org/streams")
    );
    assert_eq!(header.default_ns(), "jabber:client");
    assert_eq!(header.attr("to").as_deref(), Some("example.org"));
    assert_eq!(header.attr("xml:lang").as_deref(), Some("en"));
    assert_eq!(header.attrs().count(), 3);
    assert!(message.is("message", CONTENT_NS));
    assert_eq!(message.child("body", CONTENT_NS).unwrap().text(), "Hi & bye");
    assert_eq!(message.tail(), "><body>Hi &amp; bye</body></message>");
    assert_eq!(presence.as_str(), "<presence/>");
    assert_eq!(presence.tail(), "/>");
}

/// The negotiator judges the header, so the reader gives any.
#[test]
fn a_strange_header_is_still_a_header() {
    let [Frame::Open(header)] = &stream("<foo:bar xmlns:foo='u&amp;v' a='1'>").unwrap()[..] else {
        panic!()
    };
    assert_eq!(
        (header.name(), header.ns(), header.default_ns()),
        ("bar", "u&amp;v", "")
    );
    let frames = stream("<stream/>").unwrap();
    assert!(matches!(&frames[..], [Frame::Open(header), Frame::Close] if header.ns().is_empty()));
}

/// RFC 6120 §4.8.3: the content namespace may be declared on the header or on each stanza, with or without a prefix.
#[test]
fn stanzas_mean_the_same_however_their_namespace_is_declared() {
    let streams = "http://etherx.jabber.org/streams";
    for (header, stanza, end) in [
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='S'>",
            "<iq><q xmlns='u'/></iq>",
            "</stream:stream>",
        ),
        (
            "<stream xmlns='S'>",
            "<iq xmlns='jabber:client'><q xmlns='u'/></iq>",
            "</stream>",
        ),
        (
            "<stream xmlns='S' xmlns:c='jabber:client'>",
            "<c:iq><q xmlns='u'/></c:iq>",
            "</stream>",
        ),
        (
            "<s:stream xmlns='jabber:server' xmlns:s='S' xmlns:x='u'>",
            "<iq ><x:q/></iq\n>",
            "</s:stream >",
        ),
        (
            "<s:stream xmlns='jabber:component:accept' xmlns:s='S'>",
            "<iq><q xmlns='u'></q></iq>",
            "</s:stream>",
        ),
    ] {
        let xml = format!("{header}{stanza}{end}").replace("'S'", &format!("'{streams}'"));
        let frames = stream(&xml).unwrap();
        let [Frame::Open(header), Frame::Element(iq), Frame::Close] = &frames[..] else {
            panic!("{xml}")
        };
        assert_eq!(header.ns(), streams, "{xml}");
        assert!(iq.is("iq", CONTENT_NS), "{xml}");
        assert_eq!(iq.as_str(), "<iq><q xmlns='u'/></iq>", "{xml}");
    }
}

/// RFC 6120 §4.3.3: after TLS and after SASL the initiating entity sends a new header.
#[test]
fn a_restart_forgets_the_old_stream() {
    let mut reader = Reader::stream(Limits::default(), CONTENT_NS);
    let mut input =
        BytesMut::from(format!("{HEADER}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").as_str());
    assert!(matches!(reader.read(&mut input), Ok(Some(Frame::Open(_)))));
    assert!(matches!(reader.read(&mut input), Ok(Some(Frame::Element(_)))));
    assert!(reader.is_idle());
    reader.restart();
    input.extend_from_slice(HEADER.as_bytes());
    assert!(matches!(reader.read(&mut input), Ok(Some(Frame::Open(_)))));
    // Without the restart, a second header is a stanza that never ends, and its declaration an error.
    input.extend_from_slice(HEADER.as_bytes());
    assert_eq!(
        reader.read(&mut input),
        Err(WireError::RestrictedXml("a processing instruction"))
    );
}

/// Some clients end what they say with a line break: what comes behind the end of a stream is not the next one's.
#[test]
fn white_space_after_a_restart_is_nobody_s() {
    for (space, xml) in [
        ("\n", HEADER),
        ("\r\n \t", HEADER),
        ("", HEADER),
        ("\n", "<stream/>"),
        ("\n", "<?xml version='1.0' encoding='utf-8'?>\n<stream/>"),
    ] {
        for piece_bytes in [1, 3, 1000] {
            let mut reader = Reader::stream(Limits::default(), CONTENT_NS);
            reader.restart();
            let text = format!("{space}{xml}");
            let (frames, end) = pieces(reader, text.as_bytes().chunks(piece_bytes));
            assert_eq!(end, Ok(()), "{text:?} by {piece_bytes}");
            assert!(
                matches!(frames.first(), Some(Frame::Open(_))),
                "{text:?} by {piece_bytes}"
            );
        }
    }
    // One declaration, and nothing else before it.
    for xml in [
        "\n<?xml version='1.0'?>\n<?xml version='1.0'?><a>",
        "\nx",
        "\n<!-- --><a>",
    ] {
        let mut reader = Reader::stream(Limits::default(), CONTENT_NS);
        reader.restart();
        assert!(frames(reader, xml).is_err(), "{xml}");
    }
}

#[test]
fn idle_means_that_nothing_is_half_read() {
    let mut reader = Reader::stream(Limits::default(), CONTENT_NS);
    let mut input = BytesMut::new();
    assert!(reader.is_idle());
    for (bytes, idle) in [
        ("<?x", false),
        ("ml version='1.0'?>", true),
        ("<a", false),
        (" >", true),
        ("  ", true),
        ("\r", true),
    ] {
        input.extend_from_slice(bytes.as_bytes());
        while reader.read(&mut input).unwrap().is_some() {}
        assert_eq!(reader.is_idle(), idle, "{bytes}");
    }
    assert!(input.is_empty());
    for (bytes, idle) in [
        ("<", false),
        ("p>", false),
        ("x", false),
        ("</p", false),
        (">", true),
        ("</a>", true),
    ] {
        input.extend_from_slice(bytes.as_bytes());
        while reader.read(&mut input).unwrap().is_some() {}
        assert_eq!(reader.is_idle(), idle, "{bytes}");
        reader.release();
    }
}

/// What was read stays usable after the memory for reading has been given back, and reading goes on.
#[test]
fn releasing_memory_does_not_lose_the_stream() {
    let mut reader = Reader::stream(Limits::default(), CONTENT_NS);
    let mut input = BytesMut::from(format!("{HEADER}<a/><stream:b/></stream:stream>").as_str());
    let mut all = Vec::new();
    while let Some(frame) = reader.read(&mut input).unwrap() {
        reader.release();
        all.push(frame);
    }
    assert_eq!(all.len(), 4);
    assert!(matches!(&all[2], Frame::Element(b) if b.ns() == "http://etherx.jabber.org/streams"));
}

#[test]
fn after_an_error_there_is_only_that_error() {
    let mut reader = Reader::stream(Limits::default(), CONTENT_NS);
    let mut input = BytesMut::from(format!("{HEADER}<a></b><c/>").as_str());
    assert!(reader.read(&mut input).is_ok());
    let error = reader.read(&mut input).unwrap_err();
    input.clear();
    input.extend_from_slice(b"<a/>");
    assert_eq!(reader.read(&mut input).unwrap_err(), error);
    reader.restart();
    assert!(matches!(reader.read(&mut input), Ok(Some(Frame::Open(_)))));
}

/// RFC 7395 §3.3.3: on WebSocket every message is a document of its own.
#[test]
fn documents_follow_one_another() {
    let reader = Reader::documents(Limits::default(), CONTENT_NS);
    let xml = "<?xml version='1.0'?><open xmlns='urn:ietf:params:xml:ns:xmpp-framing'/> <iq xmlns='jabber:client'/><iq/>";
    let frames = frames(reader, xml).unwrap();
    let texts: Vec<_> = frames
        .iter()
        .map(|frame| match frame {
            Frame::Element(element) => element.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        texts,
        [
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
            "<iq/>",
            "<iq/>"
        ]
    );
}

/// A peer may send byte by byte; nothing about the result may change.
#[test]
fn one_byte_at_a_time_is_the_same() {
    let xml = format!(
        "{HEADER}<message a=\"&apos;>\t\r\n\"><body>é😀\r\n]]&gt;]]<![CDATA[<]]]]>&#x41;\r</body>\
         <x:x xmlns:x='ü' x:ä='1'/></message > </stream:stream\n>"
    );
    let whole = stream(&xml).unwrap();
    let reader = Reader::stream(Limits::default(), CONTENT_NS);
    let (single, end) = pieces(reader, xml.as_bytes().chunks(1));
    assert_eq!(end, Ok(()));
    assert_eq!(single, whole);
    let Frame::Element(message) = &whole[1] else {
        panic!()
    };
    assert_eq!(
        message.as_str(),
        "<message a='&apos;&gt;  '><body>é😀\n]]&gt;]]&lt;]]A\n</body><x xmlns='ü' xmlns:n0='ü' n0:ä='1'/></message>"
    );
}
