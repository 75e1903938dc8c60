//! The writer: whatever goes in, well-formed canonical XML comes out.

use super::canonical;
use crate::{CONTENT_NS, Element, Writer, XML_NS};

#[test]
fn it_escapes_and_declares() {
    let xml = Writer::new()
        .start("iq", CONTENT_NS)
        .attr("id", "<'1'&\t>")
        .attr("xml:lang", "en")
        .start("query", "u")
        .text("a<b\r")
        .start("x", "u")
        .end()
        .raw("<m/><n xmlns='u'/>")
        .finish_string();
    assert_eq!(
        xml,
        "<iq id='&lt;&apos;1&apos;&amp;&#x9;&gt;' xml:lang='en'>\
         <query xmlns='u'>a&lt;b&#xD;<x/><m xmlns='jabber:client'/><n/></query></iq>"
    );
    assert_eq!(canonical(&xml), xml);
}

#[test]
fn the_content_namespaces_are_one() {
    let xml = Writer::new()
        .start("message", "jabber:server")
        .start("body", CONTENT_NS)
        .text("x")
        .finish_string();
    assert_eq!(xml, "<message><body>x</body></message>");
}

#[test]
fn elements_are_moved_between_scopes() {
    let from =
        Element::parse("<a xmlns='u'><b i='1'><c/>t</b><d xmlns='v' e='2'/><f xmlns='jabber:client'/></a>")
            .unwrap();
    let mut w = Writer::new();
    w.start("iq", CONTENT_NS);
    for child in from.children() {
        w.el(child);
    }
    w.start("q", "v");
    for child in from.children() {
        w.el(child);
    }
    let element = w.finish_element().unwrap();
    assert_eq!(
        element.as_str(),
        "<iq><b xmlns='u' i='1'><c/>t</b><d xmlns='v' e='2'/><f/>\
         <q xmlns='v'><b xmlns='u' i='1'><c/>t</b><d e='2'/><f xmlns='jabber:client'/></q></iq>"
    );
    assert_eq!(Element::parse(element.as_str()).unwrap(), element);
    let moved: Vec<_> = element
        .children()
        .map(|child| (child.name(), child.ns()))
        .collect();
    assert_eq!(moved, [("b", "u"), ("d", "v"), ("f", CONTENT_NS), ("q", "v")]);
}

#[test]
fn attributes_with_namespaces_get_prefixes() {
    let xml = Writer::new()
        .start("body", "http://jabber.org/protocol/httpbind")
        .attr_ns("version", "urn:xmpp:xbosh", "1.0")
        .attr_ns("lang", XML_NS, "en")
        .attr("sid", "s")
        .finish_string();
    assert_eq!(
        xml,
        "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:n0='urn:xmpp:xbosh' n0:version='1.0' xml:lang='en' sid='s'/>"
    );
    assert_eq!(canonical(&xml), xml);
}

/// XML has no way to carry these; sent anyway, they would end the recipient's stream.
#[test]
fn what_xml_cannot_carry_is_replaced() {
    let xml = Writer::new()
        .start("a", CONTENT_NS)
        .attr("b", "\u{1}\u{FFFF}x")
        .text("\u{0}\u{FFFE}")
        .finish_string();
    assert_eq!(xml, "<a b='\u{FFFD}\u{FFFD}x'>\u{FFFD}\u{FFFD}</a>");
    assert_eq!(canonical(&xml), xml);
    let xml = Writer::new()
        .start("1 a><b", "u")
        .attr("x='", "")
        .attr("", "")
        .end()
        .finish_string();
    assert_eq!(xml, "<__a__b xmlns='u' x__='' _=''/>");
    assert_eq!(canonical(&xml), xml);
}

#[test]
fn a_namespace_is_taken_as_an_element_gives_it() {
    let a = Element::parse("<a xmlns='u?b&amp;c'/>").unwrap();
    let again = Writer::new().start(a.name(), a.ns()).finish_element().unwrap();
    assert_eq!(again, a);
    assert_eq!(Writer::new().start("a", "u?b&c").finish_element().unwrap(), a);
}

#[test]
fn calls_that_make_no_sense_do_nothing() {
    let mut w = Writer::new();
    w.end()
        .text("x")
        .attr("a", "b")
        .start("a", CONTENT_NS)
        .text("t")
        .attr("late", "1")
        .end()
        .end();
    assert_eq!(w.finish_string(), "<a>t</a>");
    assert_eq!(w.finish_element(), None);
    w.start("a", CONTENT_NS).end().start("b", CONTENT_NS);
    assert_eq!(w.finish_element(), None);
    assert_eq!(w.finish(), "");
}

#[test]
fn what_xml_cannot_say_can_be_known_before_it_is_left_out() {
    for (text, is_sayable) in [
        ("", true),
        ("a\t\r\n\u{7f}\u{85}\u{1F600}\u{FFFD}", true),
        ("a\0b", false),
        ("\u{1f}", false),
        ("\u{FFFE}", false),
        ("\u{FFFF}", false),
    ] {
        assert_eq!(crate::is_text(text), is_sayable, "{text:?}");
        let written = Writer::new().start("x", CONTENT_NS).text(text).finish_string();
        let read = Element::parse(&written).expect("well-formed");
        assert_eq!(read.el().text() == text, is_sayable, "{text:?}");
    }
}

#[test]
fn attributes_are_carried_over_with_what_they_need() {
    let text = "<a xmlns='urn:a' xmlns:x='urn:x' id='1' x:c='red' lang='en' xml:lang='de'/>";
    let from = Element::parse(text).expect("well-formed");
    let written = Writer::new()
        .start("b", "urn:b")
        .attr("id", "2")
        .attrs_of(&from, &["id", "lang"])
        .start("c", "urn:b")
        .end()
        .end()
        .finish_string();
    let read = Element::parse(&written).expect("well-formed");
    // It is canonical already, and nothing of it was lost.
    assert_eq!(read.as_str(), written);
    assert_eq!(read.el().attr_ns("c", "urn:x").as_deref(), Some("red"));
    assert_eq!(read.attr("id").as_deref(), Some("2"));
    assert_eq!(read.attr("xml:lang").as_deref(), Some("de"));
    assert_eq!(read.attr("lang"), None);
    // Where no element is open there is nothing to add to.
    assert_eq!(Writer::new().attrs_of(&from, &[]).finish_string(), "");
}
