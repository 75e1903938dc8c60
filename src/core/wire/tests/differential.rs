//! A second opinion: rxml, an independent strict reader, must accept what this one accepts, refuse what it refuses, and
//! read the same names, attributes and text.

use std::fmt::Write;

use bytes::BytesMut;
use rxml::{Event, Parse, WithOptions};

use super::generator::{Random, mutate, seeds};
use crate::el::{Piece, Pieces};
use crate::escape::unescape;
use crate::{CONTENT_NS, El, Element, Frame, Limits, Reader, XMLNS_NS, is_content_ns};

const STANZAS: usize = 300_000;

/// What an element means, as one line: both readers' results are brought into this form.
#[derive(Default)]
struct Meaning {
    out: String,
}

impl Meaning {
    fn start(&mut self, name: &str, ns: &str, mut attrs: Vec<(String, String, String)>) {
        attrs.sort();
        let ns = if is_content_ns(ns) { CONTENT_NS } else { ns };
        let _ = write!(self.out, "\u{1}({name:?} {ns:?} {attrs:?}\u{1}");
    }

    fn text(&mut self, text: &str) {
        // Controls cannot occur in text, so they mark where it ends.
        self.out.push_str(text);
    }

    fn end(&mut self) {
        self.out.push_str("\u{1})\u{1}");
    }
}

/// Ours, and whether it agrees that this is exactly one document.
fn ours(xml: &[u8], random: &mut Random) -> Result<Element, String> {
    let limits = Limits {
        depth_max: 1000,
        ..Limits::default()
    };
    let mut reader = Reader::documents(limits, "");
    let mut input = BytesMut::new();
    let mut rest = xml;
    let mut element = None;
    // Half of them come in pieces.
    let most = if random.below(2) == 0 {
        usize::MAX
    } else {
        1 + random.below(40)
    };
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(if most == usize::MAX {
            most
        } else {
            1 + random.below(most)
        }));
        rest = after;
        input.extend_from_slice(piece);
        while let Some(frame) = reader.read(&mut input).map_err(|error| error.to_string())? {
            match frame {
                Frame::Element(read) if element.is_none() => element = Some(read),
                _ => return Err("more than one".to_owned()),
            }
        }
    }
    if !reader.is_idle() {
        return Err("cut off".to_owned());
    }
    element.ok_or("nothing".to_owned())
}

fn meaning_of_ours(meaning: &mut Meaning, el: El<'_>) {
    let ns_of = |name: &str| {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        let ns = match prefix {
            "" => "",
            "xml" => crate::XML_NS,
            _ => {
                let declared = format!("xmlns:{prefix}");
                let raw = crate::el::raw_attrs(el.head()).find(|raw| raw.name == declared);
                return (unescape(raw.unwrap().value).into_owned(), local.to_owned());
            }
        };
        (ns.to_owned(), local.to_owned())
    };
    let attrs = el.attrs().map(|(name, value)| {
        let (ns, local) = ns_of(name);
        (ns, local, value.into_owned())
    });
    meaning.start(el.name(), &unescape(el.ns()), attrs.collect());
    for piece in (Pieces { rest: el.inner() }) {
        match piece {
            Piece::Text(text) => meaning.text(&unescape(text)),
            Piece::Element(xml) => meaning_of_ours(meaning, El::new(xml, el.scope()).unwrap()),
        }
    }
    meaning.end();
}

/// Two things that XML allows and rxml does not, brought into a form that it reads:
///
/// * A reader must behave as if every CR LF and lone CR were LF (XML 1.0 §2.11). rxml takes a lone CR inside an attribute
///   or declaration for an error, and keeps CR LF after `]` in a CDATA section.
/// * White space may come before the root element (§2.8, Misc); rxml wants the root at once. An XML declaration may not
///   come after white space, so nothing is changed before one.
fn for_rxml(xml: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(xml.len());
    for (at, byte) in xml.iter().enumerate() {
        match byte {
            b'\r' if xml.get(at + 1) == Some(&b'\n') => {}
            b'\r' => out.push(b'\n'),
            other => out.push(*other),
        }
    }
    let trimmed = out.trim_ascii_start();
    if trimmed.starts_with(b"<?") {
        out
    } else {
        trimmed.to_vec()
    }
}

/// Whether some tag of a document (well-formed otherwise) has a default declaration that XML forbids and rxml lets pass:
/// two on one element (XML 1.0 §3.1; it keeps the last), or one of the namespace of `xmlns` (Namespaces in XML §3).
fn has_bad_default(xml: &str) -> bool {
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(cdata) = rest.strip_prefix("![CDATA[") {
            rest = cdata.split_once("]]>").unwrap_or_default().1;
            continue;
        }
        // Names and values by turns: `<name a='`, `value`, ` b='`, …
        let mut defaults = 0;
        while let Some(quote) = rest
            .find(['\'', '"', '>'])
            .filter(|at| !rest[*at..].starts_with('>'))
        {
            let (before, after) = rest.split_at(quote);
            let (value, after) = after[1..].split_once(&after[..1]).unwrap_or_default();
            let name = before.trim_end().trim_end_matches('=').trim_end();
            if name.rsplit(char::is_whitespace).next() == Some("xmlns") {
                defaults += 1 + usize::from(unescape(value) == XMLNS_NS);
            }
            rest = after;
        }
        if defaults > 1 {
            return true;
        }
    }
    false
}

/// Whether a document (well-formed otherwise) has a reference or a CDATA section outside of its root, where XML allows only
/// white space (XML 1.0 §2.1, document). rxml lets these pass if what they stand for is white space or nothing.
fn has_text_outside(xml: &str) -> bool {
    let declaration = if xml.starts_with("<?xml") {
        xml.find("?>").map_or(0, |at| at + 2)
    } else {
        0
    };
    let before = xml[declaration..].trim_start();
    let after = &xml[xml.rfind('>').map_or(0, |at| at + 1)..];
    // No tag ends like that.
    before.starts_with("<![CDATA[")
        || before.starts_with('&')
        || xml.trim_end().ends_with("]]>")
        || after.contains('&')
}

fn theirs(xml: &[u8]) -> Result<String, String> {
    let mut parser = rxml::Parser::with_options(rxml::Options {
        max_token_length: 16_384,
        ..Default::default()
    });
    let mut meaning = Meaning::default();
    let xml = for_rxml(xml);
    let mut rest = &xml[..];
    loop {
        match parser.parse(&mut rest, true) {
            Ok(None) => return Ok(meaning.out),
            Ok(Some(Event::XmlDeclaration(..))) => {}
            Ok(Some(Event::StartElement(_, (ns, name), attrs))) => {
                let attrs = attrs
                    .iter()
                    .map(|((ns, name), value)| (ns.to_string(), name.to_string(), value.clone()));
                meaning.start(&name, ns.as_ref(), attrs.collect());
            }
            Ok(Some(Event::EndElement(_))) => meaning.end(),
            Ok(Some(Event::Text(_, text))) => meaning.text(&text),
            Err(rxml::error::EndOrError::NeedMoreData) => return Err("more at the end".to_owned()),
            Err(rxml::error::EndOrError::Error(error)) => return Err(error.to_string()),
        }
    }
}

/// How the two readers judged.
enum Verdict {
    BothAccept,
    BothRefuse,
    Differ(String),
}

fn judge(xml: &[u8], random: &mut Random) -> Verdict {
    let ours = ours(xml, random);
    let theirs = theirs(xml);
    let agreed = match (&ours, &theirs) {
        (Ok(element), Ok(theirs)) => {
            let mut meaning = Meaning::default();
            meaning_of_ours(&mut meaning, element.el());
            if meaning.out == *theirs {
                return Verdict::BothAccept;
            }
            false
        }
        (Err(_), Err(_)) => true,
        (Err(_), Ok(_)) => {
            let xml = str::from_utf8(xml).unwrap();
            has_bad_default(xml) || has_text_outside(xml)
        }
        (Ok(_), Err(_)) => false,
    };
    if agreed {
        return Verdict::BothRefuse;
    }
    Verdict::Differ(format!(
        "{}\n  ours {ours:?}\n  theirs {theirs:?}",
        xml.escape_ascii()
    ))
}

/// XML 1.0 §2.3 allows U+FDF0 to U+FFFD in names; rxml's list of name characters lacks them. With another letter in their
/// place both must agree.
fn without_late_letters(xml: &[u8]) -> Option<String> {
    let late = |c: char| matches!(c, '\u{FDF0}'..='\u{FFFD}');
    str::from_utf8(xml)
        .ok()
        .filter(|xml| xml.contains(late))
        .map(|xml| xml.replace(late, "\u{4E02}"))
}

#[test]
fn nothing_is_judged_otherwise_by_rxml() {
    let seeds = seeds();
    let mut random = Random::new(7395);
    let (mut accepted, mut disagreements) = (0, Vec::new());
    for _ in 0..STANZAS {
        let seed = random.below(seeds.len());
        let xml = mutate(&mut random, &seeds[seed]);
        let mut verdict = judge(&xml, &mut random);
        if let (Verdict::Differ(_), Some(xml)) = (&verdict, without_late_letters(&xml)) {
            verdict = judge(xml.as_bytes(), &mut random);
        }
        match verdict {
            Verdict::BothAccept => accepted += 1,
            Verdict::BothRefuse => {}
            Verdict::Differ(how) => disagreements.push(how),
        }
    }
    println!(
        "{STANZAS} stanzas, {accepted} accepted by both, {} disagreements",
        disagreements.len()
    );
    let shown = disagreements
        .iter()
        .take(10)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    assert!(
        disagreements.is_empty(),
        "{} disagreements:\n{shown}",
        disagreements.len()
    );
    assert!(
        accepted > STANZAS / 6,
        "only {accepted} were valid: a test of little"
    );
}
