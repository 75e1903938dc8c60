//! What the reader makes of ordinary streams, and how elements are read and written.

use bytes::BytesMut;

use crate::{CONTENT_NS, Element, Frame, Limits, Reader, WireError, Writer};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xml:lang='en' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

fn frames(mut reader: Reader, xml: &str) -> Result<Vec<Frame>, WireError> {
    let mut input = BytesMut::from(xml);
    let mut out = Vec::new();
    while let Some(frame) = reader.read(&mut input)? {
        out.push(frame);
    }
    Ok(out)
}

fn stream(xml: &str) -> Result<Vec<Frame>, WireError> {
    frames(Reader::stream(Limits::default(), CONTENT_NS), xml)
}

fn canonical(xml: &str) -> String {
    Element::parse(xml).unwrap().as_str().to_owned()
}

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
    assert_eq!(header.name(), "stream");
    assert_eq!(header.ns(), "http://etherx.jabber.org/streams");
    assert_eq!(header.default_ns(), "jabber:client");
    assert_eq!(header.attr("to").as_deref(), Some("example.org"));
    assert_eq!(header.attr("xml:lang").as_deref(), Some("en"));
    assert!(message.is("message", CONTENT_NS));
    assert_eq!(message.child("body", CONTENT_NS).unwrap().text(), "Hi & bye");
    assert_eq!(message.tail(), "><body>Hi &amp; bye</body></message>");
    assert_eq!(presence.as_str(), "<presence/>");
    assert_eq!(presence.tail(), "/>");
}

#[test]
fn prefixes_vanish_and_namespaces_stay() {
    assert_eq!(
        canonical(
            "<c:iq xmlns:c='jabber:client' type=\"get\"><p:ping xmlns:p='urn:xmpp:ping'></p:ping></c:iq>"
        ),
        "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>"
    );
    assert_eq!(
        canonical("<a xmlns='u' xmlns:p='v' p:x='1' y='2'><b xmlns='jabber:client'/><c/></a>"),
        "<a xmlns='u' xmlns:n0='v' n0:x='1' y='2'><b xmlns='jabber:client'/><c/></a>"
    );
}

#[test]
fn an_element_out_of_its_parent_stands_for_itself() {
    let outer = Element::parse("<a xmlns='u'><b><c xmlns='jabber:client'/><d/></b></a>").unwrap();
    let b = outer.child("b", "u").unwrap();
    assert_eq!(b.xml(), "<b><c xmlns='jabber:client'/><d/></b>");
    assert_eq!(b.to_xml(), "<b xmlns='u'><c xmlns='jabber:client'/><d/></b>");
    assert_eq!(b.child("c", CONTENT_NS).unwrap().to_element().as_str(), "<c/>");
    assert_eq!(b.to_element(), Element::parse(&b.to_xml()).unwrap());
}

#[test]
fn the_writer_escapes_and_declares() {
    let xml = Writer::new()
        .start("iq", CONTENT_NS)
        .attr("id", "<'1'&\t>")
        .start("query", "u")
        .text("a<b\r")
        .start("x", "u")
        .end()
        .raw("<m/><n xmlns='u'/>")
        .finish_string();
    assert_eq!(
        xml,
        "<iq id='&lt;&apos;1&apos;&amp;&#x9;&gt;'><query xmlns='u'>a&lt;b&#xD;<x/><m xmlns='jabber:client'/><n/></query></iq>"
    );
    assert_eq!(canonical(&xml), xml);
}
