//! Canonical form, and how elements are looked at through it.

use super::canonical;
use crate::{CONTENT_NS, Element, XML_NS};

#[test]
fn prefixes_vanish_and_namespaces_stay() {
    for (xml, expected) in [
        (
            "<c:iq xmlns:c='jabber:client' type=\"get\"><p:ping xmlns:p='urn:xmpp:ping'></p:ping></c:iq>",
            "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
        ),
        (
            "<a xmlns='u' y='2' xmlns:p='v' p:x='1'><b xmlns='jabber:client'/><c/></a>",
            "<a xmlns='u' xmlns:n0='v' y='2' n0:x='1'><b xmlns='jabber:client'/><c/></a>",
        ),
        // A child of no namespace, and back.
        (
            "<a><b xmlns=''><c/><d xmlns='jabber:client'/></b></a>",
            "<a><b xmlns=''><c/><d xmlns='jabber:client'/></b></a>",
        ),
        // Declared again and again, as some libraries do, but meaning the same.
        (
            "<a xmlns='u'><b xmlns='u'><p:c xmlns:p='u' xmlns='v'/></b></a>",
            "<a xmlns='u'><b><c/></b></a>",
        ),
        // One namespace under two prefixes is one namespace.
        (
            "<a xmlns:p='v' xmlns:q='v' xmlns:r='w' q:x='1' r:x='2' p:y='3' x='4'/>",
            "<a xmlns:n0='v' xmlns:n1='w' n0:x='1' n1:x='2' n0:y='3' x='4'/>",
        ),
        // What inner elements bind is forgotten after them.
        (
            "<a xmlns:p='v'><p:b xmlns:p='w'><p:c/></p:b><p:d/></a>",
            "<a><b xmlns='w'><c/></b><d xmlns='v'/></a>",
        ),
        // The child's namespace is not its parent's, and its only declaration is another one.
        (
            "<p:a xmlns:p='u' xmlns='v'><b xmlns:q='w'/><c/><p:d/></p:a>",
            "<a xmlns='u'><b xmlns='v'/><c xmlns='v'/><d/></a>",
        ),
        // Whichever content namespace is meant, inside others it has one name.
        (
            "<a xmlns='u'><b xmlns='jabber:server'><c xmlns='jabber:client'/></b></a>",
            "<a xmlns='u'><b xmlns='jabber:client'><c/></b></a>",
        ),
        ("<a xmlns='u&amp;&#39;v'/>", "<a xmlns='u&amp;&apos;v'/>"),
    ] {
        assert_eq!(canonical(xml), expected);
        assert_eq!(canonical(expected), expected);
    }
}

/// Namespaces in XML §3: this namespace can only be written with its own prefix.
#[test]
fn elements_of_the_xml_namespace_keep_their_prefix() {
    let xml = "<a><xml:b xml:lang='en' xmlns='v'><c/></xml:b><xml:d/></a>";
    let a = Element::parse(xml).unwrap();
    assert_eq!(
        a.as_str(),
        "<a><xml:b xmlns='v' xml:lang='en'><c/></xml:b><xml:d/></a>"
    );
    let b = a.child("b", XML_NS).unwrap();
    assert_eq!(b.children().next().unwrap().ns(), "v");
    assert_eq!(b.to_xml(), "<xml:b xmlns='v' xml:lang='en'><c/></xml:b>");
    assert_eq!(canonical(&b.to_xml()), b.to_xml());
    assert!(b.child("c", "v").is_some());
    assert!(a.child("d", CONTENT_NS).is_none());
}

/// XML 1.0 §2.11 (line ends) and §3.3.3 (white space in attributes); references keep what they name.
#[test]
fn white_space_is_normalised_and_references_are_not() {
    let a = Element::parse("<a b='1\t2\r\n3\n4&#9;&#10;&#13;'>x\ty\r\nz\rw&#13;&#x9;</a>").unwrap();
    assert_eq!(a.as_str(), "<a b='1 2 3 4&#x9;&#xA;&#xD;'>x\ty\nz\nw&#xD;\t</a>");
    assert_eq!(a.attr("b").unwrap(), "1 2 3 4\t\n\r");
    assert_eq!(a.text(), "x\ty\nz\nw\r\t");
}

#[test]
fn cdata_is_text_and_nothing_is_an_empty_element() {
    assert_eq!(
        canonical("<a><![CDATA[<b>&amp;]]>]]&gt;</a>"),
        "<a>&lt;b&gt;&amp;amp;]]&gt;</a>"
    );
    assert_eq!(
        canonical("<a><b></b><c><![CDATA[]]></c><d  /></a>"),
        "<a><b/><c/><d/></a>"
    );
}

#[test]
fn an_element_out_of_its_parent_stands_for_itself() {
    let outer = Element::parse("<a xmlns='u'><b><c xmlns='jabber:client'/><d/></b></a>").unwrap();
    let b = outer.child("b", "u").unwrap();
    assert_eq!(b.xml(), "<b><c xmlns='jabber:client'/><d/></b>");
    assert_eq!(b.to_xml(), "<b xmlns='u'><c xmlns='jabber:client'/><d/></b>");
    let c = b.child("c", CONTENT_NS).unwrap().to_element();
    assert_eq!(c.as_str(), "<c/>");
    assert!(c.is("c", CONTENT_NS));
    let b = b.to_element();
    assert_eq!(b, Element::parse(b.as_str()).unwrap());
    assert_eq!(
        b.children()
            .map(|child| child.ns().to_owned())
            .collect::<Vec<_>>(),
        [CONTENT_NS, "u"]
    );
}

#[test]
fn text_is_what_stands_directly_inside() {
    let a = Element::parse("<a>x&lt;<b>no<b>no</b></b>y<c/>&#x1F600;</a>").unwrap();
    assert_eq!(a.text(), "x<y😀");
    assert_eq!(a.children().count(), 2);
    assert_eq!(Element::parse("<a/>").unwrap().text(), "");
    assert_eq!(Element::parse("<a><b/></a>").unwrap().text(), "");
}

#[test]
fn attributes_are_found_by_the_name_they_are_written_with() {
    let a = Element::parse("<a xmlns:p='v' id='1' p:id='2' xml:lang='en' x='&quot;&apos;&gt;'/>").unwrap();
    assert_eq!(a.attr("id").unwrap(), "1");
    assert_eq!(a.attr("xml:lang").unwrap(), "en");
    assert_eq!(a.attr_ns("id", "v").unwrap(), "2");
    assert_eq!(a.attr_ns("lang", XML_NS).unwrap(), "en");
    assert_eq!(a.attr("x").unwrap(), "\"'>");
    assert_eq!(a.attr("d"), None);
    assert_eq!(a.attr_ns("id", "w"), None);
    let names: Vec<_> = a.attrs().map(|(name, _)| name).collect();
    assert_eq!(names, ["id", "n0:id", "xml:lang", "x"]);
    let extra: Vec<_> = a.extra_attrs(&["id", "x"]).collect();
    assert_eq!(extra, [" xmlns:n0='v'", " n0:id='2'", " xml:lang='en'"]);
}

#[test]
fn an_attribute_of_the_root_can_be_set_and_removed() {
    let a = Element::parse("<a xmlns='u' to='x' id='1'><b/><c xmlns='v'/>t</a>").unwrap();
    let set = a.with_attr("to", Some("<y>"));
    assert_eq!(
        set.as_str(),
        "<a xmlns='u' to='&lt;y&gt;' id='1'><b/><c xmlns='v'/>t</a>"
    );
    assert_eq!(set.child("c", "v").unwrap().name(), "c");
    assert_eq!(
        set.with_attr("id", None).as_str(),
        "<a xmlns='u' to='&lt;y&gt;'><b/><c xmlns='v'/>t</a>"
    );
    assert_eq!(a.with_attr("from", Some("z")).attr("from").unwrap(), "z");
    assert_eq!(a.with_attr("to", Some("x")), a);
}

#[test]
fn more_children_than_the_index_holds_inline() {
    let many: String = (0..100).map(|n| format!("<c{n} xmlns='u{n}'/>")).collect();
    let a = Element::parse(&format!("<a>{many}</a>")).unwrap();
    assert_eq!(a.children().count(), 100);
    assert_eq!(a.child("c77", "u77").unwrap().xml(), "<c77 xmlns='u77'/>");
}

/// Logs get names and sizes, never what people say.
#[test]
fn debug_says_nothing_of_the_content() {
    let a = Element::parse("<message to='b@x'><body>secret</body></message>").unwrap();
    let debug = format!("{a:?} {:?}", a.children().next().unwrap());
    assert_eq!(
        debug,
        "<message xmlns='jabber:client'> of 47 bytes <body xmlns='jabber:client'> of 19 bytes"
    );
}
