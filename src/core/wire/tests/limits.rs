//! Every limit holds, at exactly its number.

use super::{frames, pieces};
use crate::{CONTENT_NS, Frame, Limits, Reader, WireError};

/// Short enough for the limits below.
const HEADER: &str = "<s:s xmlns='jabber:client' xmlns:s='S'>";

const LIMITS: Limits = Limits {
    stanza_bytes_max: 500,
    depth_max: 3,
    attributes_max: 2,
    name_bytes_max: 10,
    namespaces_max: 3,
    children_max: 2,
    header_bytes_max: 200,
    space_counts: false,
};

/// How a stream with this stanza ends under these limits.
fn judge_by(limits: Limits, stanza: &str) -> Result<(), &'static str> {
    let xml = format!("{HEADER}{stanza}");
    let whole = frames(Reader::stream(limits, CONTENT_NS), &xml);
    let (_, end) = pieces(Reader::stream(limits, CONTENT_NS), xml.as_bytes().chunks(1));
    assert_eq!(end.err(), whole.clone().err(), "byte by byte: {stanza}");
    match whole {
        Ok(frames) if matches!(frames[..], [Frame::Open(_), Frame::Element(_)]) => Ok(()),
        Ok(_) => panic!("not whole: {stanza}"),
        Err(WireError::TooBig(limit)) => Err(limit),
        Err(other) => panic!("{other}: {stanza}"),
    }
}

fn judge(stanza: &str) -> Result<(), &'static str> {
    judge_by(LIMITS, stanza)
}

#[test]
fn depth() {
    assert_eq!(judge("<a><b><c/></b></a>"), Ok(()));
    assert_eq!(judge("<a><b><c><d/></c></b></a>"), Err("depth_max"));
}

#[test]
fn attributes() {
    assert_eq!(judge("<a xmlns='u' b='1' xml:lang='2'/>"), Ok(()));
    assert_eq!(judge("<a b='1' c='2' d='3'/>"), Err("attributes_max"));
}

#[test]
fn names() {
    assert_eq!(judge("<a123456789 b123456789=''/>"), Ok(()));
    assert_eq!(judge("<a1234567890/>"), Err("name_bytes_max"));
    assert_eq!(judge("<a b1234567890=''/>"), Err("name_bytes_max"));
    assert_eq!(judge("<aaaaaaaaaé/>"), Err("name_bytes_max"));
    assert_eq!(judge("<a xmlns:a12345=''/>"), Err("name_bytes_max"));
}

/// In one stanza, wherever they stand, and in force together: the header of the test binds one prefix.
#[test]
fn namespaces() {
    assert_eq!(judge("<a xmlns='u' xmlns:b='v' xmlns:c='w'/>"), Ok(()));
    assert_eq!(
        judge("<a xmlns='u' xmlns:b='v' xmlns:c='w' xmlns:d='x'/>"),
        Err("namespaces_max")
    );
    assert_eq!(
        judge("<a xmlns:b='v'><b xmlns:c='w'/><c xmlns:d='w'/></a>"),
        Ok(())
    );
    assert_eq!(
        judge("<a xmlns:b='v'><b xmlns:c='w'><c xmlns:d='w'/></b></a>"),
        Err("namespaces_max")
    );
    // Default namespaces count too, though they replace one another, and so do those of neighbours.
    assert_eq!(judge("<a xmlns='v'><b xmlns='w'/><c xmlns='v'/></a>"), Ok(()));
    assert_eq!(
        judge("<a xmlns='v'><b xmlns='w'/><c xmlns:p='w' xmlns='v'/></a>"),
        Err("namespaces_max")
    );
    assert_eq!(
        judge("<a xmlns='v'><b xmlns='w' xmlns:c='v'><c xmlns='v'/></b></a>"),
        Err("namespaces_max")
    );
    // Each stanza has its own count.
    let many = "<a xmlns='v'><b xmlns='w'/></a>".repeat(5);
    let reader = Reader::stream(LIMITS, CONTENT_NS);
    assert_eq!(
        frames(reader, format!("{HEADER}{many}")).map(|all| all.len()),
        Ok(6)
    );
}

/// At every level, together.
#[test]
fn children() {
    assert_eq!(judge("<a><b/><c/></a>"), Ok(()));
    assert_eq!(judge("<a><b><c/></b></a>"), Ok(()));
    assert_eq!(judge("<a><b/><c/><d/></a>"), Err("children_max"));
    assert_eq!(judge("<a><b><c/><d/></b></a>"), Err("children_max"));
    assert_eq!(judge("<a><b><c/></b><d/></a>"), Err("children_max"));
    // Each stanza has its own count.
    let many = "<a><b/><c/></a>".repeat(5);
    let reader = Reader::stream(LIMITS, CONTENT_NS);
    assert_eq!(
        frames(reader, format!("{HEADER}{many}")).map(|all| all.len()),
        Ok(6)
    );
}

#[test]
fn stanza_bytes_as_they_come() {
    for (open, fill, close) in [
        ("<a>", "x", "</a>"),
        ("<a b='", "x", "'/>"),
        ("<a ", " ", "/>"),
        ("<a></a", " ", ">"),
        ("<a>", "&#65;", "</a>"),
        ("<a><![CDATA[", "x", "]]></a>"),
        ("<a>", "<![CDATA[]]>", "</a>"),
        ("<a xmlns='", "x", "'/>"),
    ] {
        let fixed = open.len() + close.len();
        let most = (500 - fixed) / fill.len();
        let xml = |times| format!("{open}{}{close}", fill.repeat(times));
        assert!(xml(most).len() <= 500);
        assert_eq!(judge(&xml(most)), Ok(()), "{}", xml(1));
        assert_eq!(judge(&xml(most + 1)), Err("stanza_bytes_max"), "{}", xml(1));
    }
}

/// White space between stanzas is nobody's; each stanza has its own count.
#[test]
fn stanza_bytes_are_counted_for_each_stanza() {
    let reader = Reader::stream(LIMITS, CONTENT_NS);
    let stanza = format!("{}<a>{}</a>", " ".repeat(1000), "x".repeat(490));
    assert_eq!(
        frames(reader, format!("{HEADER}{}", stanza.repeat(5)))
            .unwrap()
            .len(),
        6
    );
}

/// Where white space is not free, it belongs to the header or stanza behind it.
#[test]
fn space_counts_where_it_must() {
    let limits = Limits {
        space_counts: true,
        ..LIMITS
    };
    let end = |xml: &str| {
        let whole = frames(Reader::stream(limits, CONTENT_NS), xml);
        let (_, cut) = pieces(Reader::stream(limits, CONTENT_NS), xml.as_bytes().chunks(1));
        assert_eq!(cut.err(), whole.clone().err(), "byte by byte: {xml}");
        whole.map(|all| all.len())
    };
    let space = |count: usize| " \n\t\r".repeat(count).chars().take(count).collect::<String>();
    let header = HEADER.len();
    assert_eq!(end(&format!("{}{HEADER}", space(200 - header))), Ok(1));
    let too_big = Err(WireError::TooBig("header_bytes_max"));
    assert_eq!(end(&format!("{}{HEADER}", space(201 - header))), too_big);
    assert_eq!(end(&space(201)), too_big);
    let stanza = |count: usize| format!("{HEADER}{}<a/>", space(count));
    assert_eq!(end(&stanza(496)), Ok(2));
    let too_big = Err(WireError::TooBig("stanza_bytes_max"));
    assert_eq!(end(&stanza(497)), too_big);
    assert_eq!(end(&format!("{HEADER}{}", space(501))), too_big);
    // What was paid for is paid for.
    let twice = format!("{}{}<a/>", stanza(400), space(400));
    assert_eq!(end(&twice), Ok(3));
    // After a restart, too.
    let mut reader = Reader::stream(limits, CONTENT_NS);
    reader.restart();
    assert_eq!(
        frames(reader, space(201)),
        Err(WireError::TooBig("header_bytes_max"))
    );
}

/// What is short on the wire and long in canonical form is counted there too.
#[test]
fn stanza_bytes_as_they_are_written() {
    assert_eq!(judge(&format!("<a>{}</a>", ">".repeat(123))), Ok(()));
    assert_eq!(
        judge(&format!("<a>{}</a>", ">".repeat(124))),
        Err("stanza_bytes_max")
    );
    assert_eq!(
        judge(&format!("<a><![CDATA[{}]]></a>", "&".repeat(99))),
        Err("stanza_bytes_max")
    );
    assert_eq!(
        judge(&format!("<a b=\"{}\"/>", "'".repeat(83))),
        Err("stanza_bytes_max")
    );
    // A long namespace bound once and used by every child through its prefix.
    let limits = Limits {
        children_max: 100,
        ..LIMITS
    };
    let xml = |times| format!("<a xmlns:p='{}'>{}</a>", "u".repeat(100), "<p:b/>".repeat(times));
    assert_eq!(judge_by(limits, &xml(4)), Ok(()));
    assert_eq!(judge_by(limits, &xml(5)), Err("stanza_bytes_max"));
    let xml = |times| {
        format!(
            "<a xmlns:p='{}'>{}</a>",
            "u".repeat(100),
            "<b p:c=''/>".repeat(times)
        )
    };
    assert_eq!(judge_by(limits, &xml(3)), Ok(()));
    assert_eq!(judge_by(limits, &xml(4)), Err("stanza_bytes_max"));
}

#[test]
fn header_bytes() {
    let judge = |xml: String| frames(Reader::stream(LIMITS, CONTENT_NS), xml).map(|frames| frames.len());
    let header = |spare: usize| format!("<a b='{}'>", "x".repeat(200 - 8 + spare));
    assert_eq!(header(0).len(), 200);
    assert_eq!(judge(header(0)), Ok(1));
    assert_eq!(judge(format!("{}{}", " ".repeat(1000), header(0))), Ok(1));
    assert_eq!(judge(header(1)), Err(WireError::TooBig("header_bytes_max")));
    let declaration = |spare: usize| format!("<?xml version='1.0'{}", " ".repeat(200 - 19 + spare));
    assert_eq!(judge(declaration(0)), Ok(0));
    assert_eq!(judge(declaration(1)), Err(WireError::TooBig("header_bytes_max")));
}

/// Logging in widens the limits of the same reader.
#[test]
fn limits_can_change_between_stanzas() {
    let mut reader = Reader::stream(Limits::before_login(), CONTENT_NS);
    let big = format!("<a>{}</a>", "x".repeat(20_000));
    let mut input = bytes::BytesMut::from(HEADER);
    assert!(matches!(reader.read(&mut input), Ok(Some(Frame::Open(_)))));
    reader.set_limits(Limits::after_login());
    input.extend_from_slice(big.as_bytes());
    assert!(matches!(reader.read(&mut input), Ok(Some(Frame::Element(_)))));
    reader.set_limits(Limits::before_login());
    input.extend_from_slice(big.as_bytes());
    assert_eq!(
        reader.read(&mut input),
        Err(WireError::TooBig("stanza_bytes_max"))
    );
}
