//! The elements of stream management, as the server writes them.

use kim_core::error::{Condition, STANZA_ERRORS, StreamCondition, StreamError};
use kim_core::wire::Writer;

use super::NS;

/// Asks the client what it has (§4).
pub(super) const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// `<enabled/>` (§3). With an id, the session can be resumed for so many seconds.
pub(super) fn enabled(resumable: Option<(&str, u32)>, location: Option<&str>) -> String {
    let mut xml = Writer::new();
    xml.start("enabled", NS);
    if let Some((id, seconds)) = resumable {
        xml.attr("id", id)
            .attr("resume", "true")
            .attr("max", &seconds.to_string());
        if let Some(location) = location {
            xml.attr("location", location);
        }
    }
    xml.end();
    xml.finish_string()
}

/// `<a/>` (§4).
pub(super) fn acknowledgement(h: u32) -> String {
    let mut xml = Writer::new();
    xml.start("a", NS).attr("h", &h.to_string()).end();
    xml.finish_string()
}

/// `<resumed/>` (§5).
pub(super) fn resumed(id: &str, h: u32) -> String {
    let mut xml = Writer::new();
    xml.start("resumed", NS)
        .attr("previd", id)
        .attr("h", &h.to_string())
        .end();
    xml.finish_string()
}

/// `<failed/>` (§6), with what was handled where that is known (§5).
pub(super) fn failed(condition: Condition, h: Option<u32>) -> String {
    let mut xml = Writer::new();
    xml.start("failed", NS);
    if let Some(h) = h {
        xml.attr("h", &h.to_string());
    }
    xml.start(condition.as_str(), STANZA_ERRORS).end().end();
    xml.finish_string()
}

/// What ends the stream of a client that confirms more than it was sent (§6).
pub(super) fn too_high(h: u32, sent: u32) -> StreamError {
    let mut xml = Writer::new();
    xml.start("handled-count-too-high", NS)
        .attr("h", &h.to_string())
        .attr("send-count", &sent.to_string())
        .end();
    StreamError::new(StreamCondition::UndefinedCondition)
        .detail(xml.finish_string())
        .text(format!("You acknowledged {h} stanzas, but I only sent you {sent} so far."))
}
