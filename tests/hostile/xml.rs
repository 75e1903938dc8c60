//! Rows 1–7: XML that XMPP forbids, broken XML and too much of it, before and after login. Each ends its own stream with
//! the right error, and no other.

use crate::bystanders::Bystanders;
use crate::whole::line::Line;
use crate::whole::person::Person;
use crate::whole::process::Kim;

/// Bytes that end a stream whenever they come, with the condition they end it with.
fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut all: Vec<(&str, Vec<u8>, &str)> = vec![
        // Row 1, RFC 6120 §11.1.
        ("a DTD", b"<!DOCTYPE a>".to_vec(), "restricted-xml"),
        (
            "a DTD with an entity",
            b"<!DOCTYPE a [<!ENTITY e 'x'>]>".to_vec(),
            "restricted-xml",
        ),
        ("a billion laughs", billion_laughs(), "restricted-xml"),
        (
            "an external entity",
            b"<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>".to_vec(),
            "restricted-xml",
        ),
        ("a comment", b"<!-- x -->".to_vec(), "restricted-xml"),
        (
            "a comment in a stanza",
            b"<message><!-- x --></message>".to_vec(),
            "restricted-xml",
        ),
        (
            "a processing instruction",
            b"<?php exit ?>".to_vec(),
            "restricted-xml",
        ),
        (
            "an instruction in a stanza",
            b"<message><?x y?></message>".to_vec(),
            "restricted-xml",
        ),
        (
            "a second declaration",
            b"<?xml version='1.0'?>".to_vec(),
            "restricted-xml",
        ),
        (
            "an unknown entity",
            b"<message><body>&lol;</body></message>".to_vec(),
            "restricted-xml",
        ),
        (
            "an unknown entity in an attribute",
            b"<message id='&lol;'/>".to_vec(),
            "restricted-xml",
        ),
        // Row 2, RFC 6120 §4.9.3.22 and XML 1.0 §2.2.
        (
            "a byte that begins nothing",
            b"<message><body>\xFF</body></message>".to_vec(),
            "unsupported-encoding",
        ),
        (
            "an overlong NUL",
            b"<message><body>\xC0\x80</body></message>".to_vec(),
            "unsupported-encoding",
        ),
        (
            "an overlong slash",
            b"<message id='\xE0\x80\xAF'/>".to_vec(),
            "unsupported-encoding",
        ),
        (
            "half a surrogate pair",
            b"<message><body>\xED\xA0\x80</body></message>".to_vec(),
            "unsupported-encoding",
        ),
        (
            "beyond U+10FFFF",
            b"<message><body>\xF4\x90\x80\x80</body></message>".to_vec(),
            "unsupported-encoding",
        ),
        (
            "a character cut short",
            b"<message><body>\xE2\x82</body></message>".to_vec(),
            "unsupported-encoding",
        ),
        (
            "U+0001",
            b"<message><body>\x01</body></message>".to_vec(),
            "not-well-formed",
        ),
        (
            "U+0000",
            b"<message><body>\x00</body></message>".to_vec(),
            "not-well-formed",
        ),
        (
            "U+FFFE",
            "<message><body>\u{FFFE}</body></message>".into(),
            "not-well-formed",
        ),
        (
            "U+0000 as a reference",
            b"<message><body>&#0;</body></message>".to_vec(),
            "not-well-formed",
        ),
        (
            "U+FFFF as a reference",
            b"<message><body>&#xFFFF;</body></message>".to_vec(),
            "not-well-formed",
        ),
        (
            "a surrogate as a reference",
            b"<message><body>&#xD800;</body></message>".to_vec(),
            "not-well-formed",
        ),
        // Row 4.
        (
            "an unbound prefix",
            b"<message><p:x/></message>".to_vec(),
            "not-well-formed",
        ),
        (
            "an unbound prefix of an attribute",
            b"<message p:id='x'/>".to_vec(),
            "not-well-formed",
        ),
        (
            "a stolen prefix",
            b"<message xmlns:xml='urn:x'/>".to_vec(),
            "not-well-formed",
        ),
        (
            "an attribute twice",
            b"<message id='a' id='b'/>".to_vec(),
            "not-well-formed",
        ),
        (
            "an attribute twice by two prefixes",
            b"<message xmlns:a='u' xmlns:b='u' a:x='1' b:x='2'/>".to_vec(),
            "not-well-formed",
        ),
        (
            "tags that cross",
            b"<message><body></message></body>".to_vec(),
            "not-well-formed",
        ),
        (
            "the end of something else",
            b"</message>".to_vec(),
            "not-well-formed",
        ),
        ("text between stanzas", b"hello".to_vec(), "not-well-formed"),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            "not-well-formed",
        ),
        // Rows 5 and 6.
        (
            "a name too long",
            format!("<{}/>", "n".repeat(300)).into(),
            "policy-violation",
        ),
        (
            "an attribute's name too long",
            format!("<message {}=''/>", "n".repeat(300)).into(),
            "policy-violation",
        ),
        (
            "too many attributes",
            many(65, |n| format!(" a{n}=''"), "<message", "/>"),
            "policy-violation",
        ),
        (
            "too many namespaces",
            many(1_025, |n| format!("<a xmlns='u:{n}'/>"), "<message>", ""),
            "policy-violation",
        ),
        (
            "too many elements below the first level",
            many(4_097, |_| "<a/>".to_owned(), "<message><x>", ""),
            "policy-violation",
        ),
        ("too deep", "<a>".repeat(65).into(), "policy-violation"),
    ];
    // Entities that were declared are as unknown as others: what declares them has ended the stream.
    all.push((
        "an endless DTD",
        [b"<!DOCTYPE a [".to_vec(), vec![b' '; 4096]].concat(),
        "restricted-xml",
    ));
    all
}

/// What only a header can have, with the condition; nothing else was said before.
const REFUSED_FIRST: [(&str, &[u8], &str); 8] = [
    (
        "Latin 1",
        b"<?xml version='1.0' encoding='ISO-8859-1'?><stream:stream",
        "unsupported-encoding",
    ),
    (
        "UTF-16 by name",
        b"<?xml version='1.0' encoding='UTF-16'?><stream:stream",
        "unsupported-encoding",
    ),
    ("UTF-16", b"\xFE\xFF\0<\0?\0x\0m\0l", "unsupported-encoding"),
    (
        "UTF-16 the other way",
        b"\xFF\xFE<\0?\0x\0m\0l\0",
        "unsupported-encoding",
    ),
    (
        "a DTD before the header",
        b"<?xml version='1.0'?><!DOCTYPE stream:stream>",
        "restricted-xml",
    ),
    (
        "a comment before the header",
        b"<!-- x --><stream:stream",
        "restricted-xml",
    ),
    ("a header without an end", &[b'<'; 5000], "not-well-formed"),
    ("HTTP", b"POST / HTTP/1.1\r\n\r\n", "not-well-formed"),
];

fn many(count: usize, one: impl Fn(usize) -> String, before: &str, after: &str) -> Vec<u8> {
    let all: String = (0..count).map(one).collect();
    format!("{before}{all}{after}").into_bytes()
}

fn billion_laughs() -> Vec<u8> {
    let mut dtd = "<!DOCTYPE lolz [<!ENTITY lol0 'lol'>".to_owned();
    for level in 1..10 {
        let above = format!("&lol{};", level - 1).repeat(10);
        dtd.push_str(&format!("<!ENTITY lol{level} '{above}'>"));
    }
    dtd.push_str("]><message><body>&lol9;</body></message>");
    dtd.into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xml_that_is_refused_ends_its_own_stream_and_no_other() {
    let kim = Kim::start("hostile-xml", "[limits]\nenabled = false\n").await;
    let bystanders = Bystanders::of(&kim).await;
    let mut wrong = Vec::new();
    for (what, bytes, condition) in REFUSED_FIRST {
        let mut line = Line::direct(&kim, "localhost").await;
        let _ = line.write(bytes).await;
        judge(
            &mut wrong,
            "as the first bytes",
            what,
            line.verdict().await,
            condition,
        );
    }
    for (what, bytes, condition) in refused() {
        let mut line = Line::direct(&kim, "localhost").await;
        line.open("localhost").await.expect("features");
        let _ = line.write(&bytes).await;
        judge(&mut wrong, "before login", what, line.verdict().await, condition);

        let mut mallory = Person::connect(&kim, "mallory@localhost/lair").await;
        let _ = mallory.line.write(&bytes).await;
        judge(
            &mut wrong,
            "after login",
            what,
            mallory.line.verdict().await,
            condition,
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    bystanders.were_not_disturbed().await;
    kim.stop();
}

fn judge(wrong: &mut Vec<String>, when: &str, what: &str, found: Option<String>, expected: &str) {
    if found.as_deref() != Some(expected) {
        wrong.push(format!("{what} {when}: {found:?} instead of {expected}"));
    }
}
