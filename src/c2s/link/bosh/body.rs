//! The `<body/>` around everything (XEP-0124 §6): what a request asks, and what an answer says.

use std::time::Duration;

use kim_core::error::STREAMS;
use kim_core::wire::{El, Element, escape_value};

use super::super::{Incoming, Opening};

/// XEP-0124 §20.1.
pub(super) const NS: &str = "http://jabber.org/protocol/httpbind";
/// XEP-0206 §9.
const XBOSH: &str = "urn:xmpp:xbosh";
/// XEP-0124 §14.1: no request id is higher, so that JavaScript can count that far.
const RID_MAX: u64 = (1 << 53) - 1;
/// What all answers are.
pub(crate) const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// A request that cannot be understood; the terminal condition `bad-request` (XEP-0124 §17.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRequest;

/// The id of a request.
pub(super) fn rid(body: &Element) -> Result<u64, BadRequest> {
    let rid = body.attr("rid").ok_or(BadRequest)?;
    match rid.parse() {
        Ok(rid @ 1..=RID_MAX) => Ok(rid),
        _ => Err(BadRequest),
    }
}

/// A number of seconds or requests that the client names.
pub(super) fn number(body: &Element, name: &str) -> Result<Option<u64>, BadRequest> {
    body.attr(name)
        .map(|value| value.parse().map_err(|_| BadRequest))
        .transpose()
}

/// A whole number of seconds as an attribute has it.
pub(super) fn seconds(time: Duration) -> String {
    time.as_secs().to_string()
}

/// Whether it is a body at all.
pub(super) fn is_body(element: &Element) -> bool {
    element.is("body", NS)
}

/// Whether the client closes the session (XEP-0124 §13).
pub(super) fn is_terminate(body: &Element) -> bool {
    body.attr("type").as_deref() == Some("terminate")
}

/// What a body brings, in order: a restart of the stream (XEP-0206 §5), payloads, the end. A restart that names no domain is of
/// the one that the session began with.
pub(super) fn incoming(body: &Element, domain: Option<&str>) -> Vec<Incoming> {
    let mut all = Vec::new();
    let restart = body.attr_ns("restart", XBOSH);
    if restart.is_some_and(|restart| restart == "true" || restart == "1") {
        let mut opening = opening(body);
        opening.to = opening.to.or_else(|| domain.map(str::to_owned));
        all.push(Incoming::Open(opening));
    }
    all.extend(body.children().map(|child| Incoming::Element(payload(child))));
    if is_terminate(body) {
        all.push(Incoming::Close);
    }
    all
}

/// What stands inside a body. Many clients leave out the namespace of their stanzas, which then inherit the body's: nothing
/// that may stand there has that one, so `jabber:client` is meant (XEP-0206 §2).
fn payload(child: El<'_>) -> Element {
    let element = child.to_element();
    if child.ns() != NS {
        return element;
    }
    let inherited = format!(" xmlns='{NS}'");
    let meant = element.as_str().replacen(&inherited, "", 1);
    // It was read under the limits of the stream, and has become no larger.
    Element::parse(&meant).unwrap_or(element)
}

/// The opening that a first body, or one that restarts the stream, stands for. XEP-0206 §4: `xmpp:version` says which XMPP it is;
/// clients that do not say it are of no other.
pub(super) fn opening(body: &Element) -> Opening {
    let mut opening = Opening::of_element(body);
    let version = body.attr_ns("version", XBOSH).map(|version| version.into_owned());
    opening.version = Some(version.unwrap_or_else(|| "1.0".to_owned()));
    opening
}

/// An answer with attributes and payloads.
pub(super) fn answer(attributes: &[(&str, &str)], payloads: &str) -> String {
    let mut xml = format!("<body xmlns='{NS}'");
    for (name, value) in attributes {
        xml.push(' ');
        xml.push_str(name);
        xml.push_str("='");
        escape_value(&mut xml, value);
        xml.push('\'');
    }
    if payloads.is_empty() {
        xml.push_str("/>");
    } else {
        xml.push('>');
        xml.push_str(payloads);
        xml.push_str("</body>");
    }
    xml
}

/// The namespaces of XEP-0206 that the answer to the first request declares.
pub(super) const DECLARATIONS: [(&str, &str); 2] = [("xmlns:xmpp", XBOSH), ("xmlns:stream", STREAMS)];

/// The end of a session, with its condition (XEP-0124 §17.2).
pub(crate) fn terminal(condition: Option<&str>, payloads: &str) -> String {
    match condition {
        Some(condition) => answer(&[("type", "terminate"), ("condition", condition)], payloads),
        None => answer(&[("type", "terminate")], payloads),
    }
}
