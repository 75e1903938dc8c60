//! Which messages are worth keeping for somebody who is away (XEP-0160 §3, XEP-0334).

use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::El;

use crate::xep0359_ids::api::hints;

/// Namespaces whose elements are worth nothing later, or say something about the message only.
const PASSING: [&str; 6] = [
    "http://jabber.org/protocol/chatstates",
    "urn:xmpp:hints",
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
    let hints = hints(stanza);
    match stanza.children().any(|child| lasts(&child)) {
        true if hints.no_store => Worth::Unwanted,
        false if !hints.store => Worth::Nothing,
        _ => Worth::Keep,
    }
}

fn lasts(child: &El<'_>) -> bool {
    !PASSING.contains(&child.ns()) && !child.is("thread", ns::CLIENT)
}
