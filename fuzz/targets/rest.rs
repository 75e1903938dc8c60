//! Bodies of the REST API: JSON, messages and keys in it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kim::http::rest::body::{DEPTH_MAX, parse};
use kim::http::rest::keys::format::{Bundle, FORMATS};
use kim::http::rest::message::Content;
use kim_core::stanza::{MessageType, Stanza};
use kim_core::wire::{CONTENT_NS, Element, Limits, Writer, is_text};
use serde_json::Value;

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";

pub fn check(data: &[u8]) {
    let Ok(json) = parse::<Value>(data) else {
        assert!(parse::<Content>(data).is_err() && parse::<Bundle>(data).is_err());
        return;
    };
    let (depth, is_exact) = look(&json);
    assert!(depth <= DEPTH_MAX);
    if is_exact {
        assert_eq!(
            parse::<Value>(json.to_string().as_bytes()).ok().as_ref(),
            Some(&json)
        );
    }
    if let Ok(content) = parse::<Content>(data)
        && let Ok(stanza) = content.stanza(MessageType::Chat, Limits::after_login())
    {
        message(&json, &stanza);
    }
    if let Ok(bundle) = parse::<Bundle>(data) {
        keys(&bundle);
    }
}

/// How deep it nests, and whether its numbers come back as they were: fractions may lose their last digit.
fn look(json: &Value) -> (usize, bool) {
    let inside: Vec<(usize, bool)> = match json {
        Value::Array(all) => all.iter().map(look).collect(),
        Value::Object(all) => {
            assert!(all.keys().all(|name| is_text(name)));
            all.values().map(look).collect()
        }
        Value::String(text) => {
            assert!(is_text(text));
            return (0, true);
        }
        Value::Number(number) => return (0, !number.is_f64()),
        _ => return (0, true),
    };
    let depth = inside.iter().map(|(depth, _)| depth).max().copied().unwrap_or(0);
    (depth + 1, inside.iter().all(|(_, is_exact)| *is_exact))
}

/// A message says what its content says and nothing else, whatever that looks like.
fn message(json: &Value, stanza: &Stanza) {
    let xml = stanza.to_xml();
    let read = Element::parse_within(&xml, Limits::after_login());
    let read = read.unwrap_or_else(|error| panic!("{error}: {xml}"));
    assert_eq!(read.as_str(), xml, "canonical");
    let names: Vec<_> = read.children().map(|child| child.name().to_owned()).collect();
    let content = json["content"].as_str().expect("a content");
    match json["encryption_type"].as_str() {
        None => {
            assert_eq!(names, ["body", "origin-id"]);
            assert_eq!(read.child("body", CONTENT_NS).unwrap().text(), content);
        }
        Some(_) => {
            assert_eq!(names, ["encrypted", "encryption", "body", "store", "origin-id"]);
            assert!(STANDARD.decode(content).is_ok());
        }
    }
    if let Some(id) = json["id"].as_str() {
        assert_eq!(stanza.id.as_deref(), Some(id));
    }
}

/// Keys come back from an item as they went in, but for white space around them.
fn keys(bundle: &Bundle) {
    let trimmed = |bundle: &Bundle| {
        let mut json = serde_json::to_value(bundle).unwrap();
        trim(&mut json);
        json
    };
    for format in &FORMATS {
        let mut xml = Writer::new();
        xml.start("item", PUBSUB);
        format.write_bundle(bundle, &mut xml);
        let item = Element::parse(&xml.finish_string()).unwrap();
        let again = format.bundle(item.el()).expect("what was written can be read");
        assert_eq!(trimmed(&again), trimmed(bundle), "{}", format.version);
    }
}

fn trim(json: &mut Value) {
    match json {
        Value::Array(all) => all.iter_mut().for_each(trim),
        Value::Object(all) => all.values_mut().for_each(trim),
        Value::String(text) => *text = text.trim().to_owned(),
        _ => {}
    }
}
