//! Which messages are worth keeping for somebody who is away (XEP-0160 §3, XEP-0334).

use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::El;

/// Hints about storing (XEP-0334).
const HINTS: &str = "urn:xmpp:hints";

/// Namespaces whose elements are worth nothing later, or say something about the message only.
const PASSING: [&str; 6] = [
    "http://jabber.org/protocol/chatstates",
    HINTS,
    "urn:xmpp:sid:0",
    ns::DELAY,
    "jabber:x:delay",
    "urn:xmpp:rtt:0",
];

/// What becomes of a message that found nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It is kept.
    Keep,
    /// There is nothing in it that would mean anything later.
    Nothing,
    /// There is, but its sender does not want it kept.
    Unwanted,
}

/// Says it of a message. `<no-permanent-store/>` is about archives: waiting for the recipient is part of delivery
/// (XEP-0334 §3.3).
pub fn of(stanza: &Stanza) -> Worth {
    if !matches!(
        stanza.kind,
        Kind::Message(MessageType::Normal | MessageType::Chat)
    ) {
        return Worth::Nothing;
    }
    let hinted = |name| stanza.has(name, HINTS);
    match stanza.children().any(|child| lasts(&child)) || hinted("store") {
        false => Worth::Nothing,
        true if hinted("no-store") => Worth::Unwanted,
        true => Worth::Keep,
    }
}

fn lasts(child: &El<'_>) -> bool {
    !PASSING.contains(&child.ns()) && !child.is("thread", ns::CLIENT)
}
