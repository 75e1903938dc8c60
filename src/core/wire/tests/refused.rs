//! Everything that must end a stream, one construct at a time, given whole and in single bytes.

use super::{HEADER, pieces, stream};
use crate::{CONTENT_NS, Limits, Reader, WireError};

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The error that a stream ends with, however it is cut.
fn error(xml: impl AsRef<[u8]>) -> WireError {
    let xml = xml.as_ref();
    let shown = String::from_utf8_lossy(xml).into_owned();
    let whole = stream(xml).expect_err(&shown);
    let reader = Reader::stream(Limits::default(), CONTENT_NS);
    assert_eq!(pieces(reader, xml.chunks(1)).1, Err(whole), "{shown}");
    whole
}

/// The condition of the stream error for one bad stanza.
fn stanza(xml: impl AsRef<[u8]>) -> &'static str {
    error([HEADER.as_bytes(), xml.as_ref()].concat()).condition()
}

/// RFC 6120 §11.1.
#[test]
fn what_xmpp_forbids_of_xml() {
    for xml in [
        "<!DOCTYPE a>",
        "<!DOCTYPE a [<!ENTITY lol 'lol'>]>",
        "<!-- -->",
        "<a><!-- x --></a>",
        "<?php ?>",
        "<a><?x?></a>",
        "<?xml version='1.0'?>",
        "<a>&lol;</a>",
        "<a b='&lol;'/>",
        "<a>&nbsp;</a>",
        "<a><!ENTITY x 'y'></a>",
        "<a><!ELEMENT a></a>",
    ] {
        assert_eq!(stanza(xml), "restricted-xml", "{xml}");
    }
    assert_eq!(error("<!DOCTYPE a><a>").condition(), "restricted-xml");
    assert_eq!(
        error("<?xml-stylesheet href='x'?><a>").condition(),
        "restricted-xml"
    );
    assert_eq!(error("\n<?xml version='1.0'?><a>").condition(), "restricted-xml");
    assert_eq!(error("<!-- x --><a>").condition(), "restricted-xml");
}

/// XML 1.0 §2.8 and RFC 6120 §11.6: the declaration.
#[test]
fn declarations_that_declare_something_else() {
    for (xml, condition) in [
        (
            "<?xml version='1.0' encoding='ISO-8859-1'?><a>",
            "unsupported-encoding",
        ),
        (
            "<?xml version='1.0' encoding=\"UTF-16\" ?><a>",
            "unsupported-encoding",
        ),
        (
            "<?xml version='1.0' encoding='UTF-7'?><a>",
            "unsupported-encoding",
        ),
        ("<?xml version='1.1'?><a>", "not-well-formed"),
        ("<?xml version=1.0?><a>", "not-well-formed"),
        ("<?xml?><a>", "restricted-xml"),
        ("<?xml ?><a>", "not-well-formed"),
        ("<?xml encoding='UTF-8'?><a>", "not-well-formed"),
        ("<?xml version='1.0'encoding='UTF-8'?><a>", "not-well-formed"),
        ("<?xml encoding='UTF-8' version='1.0'?><a>", "not-well-formed"),
        ("<?xml version='1.0' standalone='maybe'?><a>", "not-well-formed"),
        ("<?xml version='1.0' version='1.0'?><a>", "not-well-formed"),
        ("<?xml version='1.0'><a>", "not-well-formed"),
        ("<?xml version='1.0' x='?>'?><a>", "not-well-formed"),
    ] {
        assert_eq!(error(xml).condition(), condition, "{xml}");
    }
    for xml in [
        "<?xml version='1.0'?><a>",
        "<?xml version=\"1.0\" encoding='utf-8'?>\n<a>",
        "<?xml\tversion = '1.0' encoding = 'UTF-8' standalone = 'yes' ?><a>",
        "<?xml version='1.0' standalone='no'?><a>",
    ] {
        assert_eq!(stream(xml).unwrap().len(), 1, "{xml}");
    }
    // A byte order mark announces UTF-16, or is a character where none may stand (RFC 6120 §11.6).
    assert_eq!(error(b"\xFE\xFF\0<\0a").condition(), "unsupported-encoding");
    assert_eq!(error(b"\xFF\xFE<\0a\0").condition(), "unsupported-encoding");
    assert_eq!(error(b"\0<\0a").condition(), "unsupported-encoding");
    assert_eq!(error("\u{FEFF}<a>").condition(), "not-well-formed");
}

/// XML 1.0 §2.1: things that other readers let pass are among these.
#[test]
fn what_is_not_well_formed() {
    for xml in [
        "<a></b>",
        "<a></a b>",
        "<a></A>",
        "<a></ a>",
        "<a xmlns:p='u'><p:b></b></a>",
        "<a xmlns:p='u' xmlns:q='u'><p:b></q:b></a>",
        "<a xmlns:p='u'><b></p:b></a>",
        "<1a/>",
        "<-a/>",
        "<.a/>",
        "< a/>",
        "<>",
        "<a:b:c xmlns:a='u'/>",
        "<:a/>",
        "<a:/>",
        "<a: b=''/>",
        "<a:1b xmlns:a='u'/>",
        "<a b:c:d=''/>",
        "<a :b=''/>",
        "<a b/>",
        "<a b=/>",
        "<a b=c/>",
        "<a b='1'c='2'/>",
        "<a b='1' b='2'/>",
        "<a xmlns='u' xmlns='u'/>",
        "<a xmlns:b='u' xmlns:b='u'/>",
        "<a xmlns:b='u' xmlns:c='u' b:x='1' c:x='2'/>",
        "<a xml:lang='en' xml:lang='en'/>",
        "<a b='<'/>",
        "<a b='&'/>",
        "<a b='&amp'/>",
        "<a b='&#xD800;'/>",
        "<a/ >",
        "<a / b=''>",
        "<a>]]></a>",
        "<a>x]]]></a>",
        "<a>& </a>",
        "<a>&;</a>",
        "<a>&amp </a>",
        "<a>&#;</a>",
        "<a>&#x;</a>",
        "<a>&#xG;</a>",
        "<a>&#X41;</a>",
        "<a>&#-1;</a>",
        "<a>&#4294967361;</a>",
        "<a>&#x110000;</a>",
        "<a>&#0;</a>",
        "<a>&#1;</a>",
        "<a>&#xB;</a>",
        "<a>&#x1F;</a>",
        "<a>&#xFFFE;</a>",
        "<a>&#xFFFF;</a>",
        "<a>&#xDFFF;</a>",
        "<a>\u{0}</a>",
        "<a>\u{1}</a>",
        "<a>\u{C}</a>",
        "<a b='\u{1F}'/>",
        "<a b='\u{0}'/>",
        "<a>\u{FFFE}</a>",
        "<a b='é\u{FFFF}'/>",
        "<a><![CDATA[\u{B}]]></a>",
        "<a><![CDATA[\u{FFFE}]]></a>",
        "<a><![cdata[]]></a>",
        "<![CDATA[]]>",
        "<\u{D7}/>",
        "<a\u{301}/><\u{301}a/>",
        "<a\u{FFFF}/>",
        "<a\u{1}/>",
        "<a \u{2003}b=''/>",
        "text",
        "&amp;",
        "<a/>text",
        "<a/>\u{1}",
        "</a>",
        "</stream:stream><a/>",
        "</stream:stream></stream:stream>",
        "</stream>",
    ] {
        assert_eq!(stanza(xml), "not-well-formed", "{xml:?}");
    }
    assert_eq!(error("GET / HTTP/1.1\r\n\r\n").condition(), "not-well-formed");
    assert_eq!(error("</a>").condition(), "not-well-formed");
}

/// Namespaces in XML §3 and §5: not well-formed (RFC 6120 §4.9.3.13), but for the prefix of the stream itself (§4.9.3.2).
#[test]
fn prefixes_unbound_or_wrongly_bound() {
    for xml in [
        "<p:a/>".to_owned(),
        "<a p:b=''/>".to_owned(),
        "<a><b xmlns:p='u'/><p:c/></a>".to_owned(),
        "<xmlns:a/>".to_owned(),
        "<a xmlns:p=''/>".to_owned(),
        "<a xmlns:p='u'><b xmlns:p=''/></a>".to_owned(),
        format!("<a xmlns='{XML}'/>"),
        format!("<a xmlns='{XMLNS}'/>"),
        format!("<a xmlns:p='{XML}'/>"),
        format!("<a xmlns:p='{XMLNS}'/>"),
        format!("<a xmlns:xmlns='{XMLNS}'/>"),
        "<a xmlns:xmlns='u'/>".to_owned(),
        "<a xmlns:xml='u'/>".to_owned(),
        "<a xmlns:xml=''/>".to_owned(),
        // Hidden behind references, it is the same namespace.
        format!("<a xmlns:p='{}'/>", XML.replace('h', "&#104;")),
    ] {
        assert_eq!(stanza(&xml), "not-well-formed", "{xml}");
    }
    assert!(stream(format!("{HEADER}<a xmlns:xml='{XML}' xml:lang='en'/>")).is_ok());
    assert_eq!(
        error("<stream:stream xmlns='jabber:client'>").condition(),
        "bad-namespace-prefix"
    );
    for header in [
        "<stream:stream xmlns:stream='S' p:b=''>",
        "<stream:stream xmlns:stream=''>",
        "<stream xmlns:xmlns='u'>",
    ] {
        assert_eq!(error(header).condition(), "not-well-formed", "{header}");
    }
}

/// RFC 6120 §11.6, RFC 3629 §3: overlong forms, surrogates, stray and cut bytes, beyond U+10FFFF.
#[test]
fn what_is_not_utf8() {
    let broken: [&[u8]; 10] = [
        b"\xC0\xAF",
        b"\xC1\xBF",
        b"\xE0\x80\xAF",
        b"\xF0\x80\x80\xAF",
        b"\xED\xA0\x80",
        b"\xED\xBF\xBF",
        b"\x80",
        b"\xF4\x90\x80\x80",
        b"\xFF",
        b"\xE2\x82",
    ];
    for bytes in broken {
        for (before, after) in [
            ("<a>", "</a>"),
            ("<a>x", "y</a>"),
            ("<a><![CDATA[", "]]></a>"),
            ("<a b='", "'/>"),
            ("<a xmlns:b='", "'/>"),
            ("<a", "/>"),
            ("<a b", "=''/>"),
        ] {
            let xml = [before.as_bytes(), bytes, after.as_bytes()].concat();
            assert_eq!(
                stanza(&xml),
                "unsupported-encoding",
                "{:?}",
                String::from_utf8_lossy(&xml)
            );
        }
    }
}

#[test]
fn errors_say_what_they_are() {
    for (error, said) in [
        (WireError::NotWellFormed("x"), "not well-formed XML: x"),
        (
            WireError::RestrictedXml("a comment"),
            "XML that XMPP forbids: a comment",
        ),
        (WireError::UnsupportedEncoding, "an encoding other than UTF-8"),
        (
            WireError::BadNamespacePrefix,
            "the stream's own namespace prefix is not declared",
        ),
        (WireError::TooBig("depth_max"), "larger than depth_max allows"),
        (WireError::InvalidUtf8, "bytes that are not UTF-8"),
    ] {
        assert_eq!(error.to_string(), said);
    }
    assert_eq!(WireError::TooBig("depth_max").condition(), "policy-violation");
}
