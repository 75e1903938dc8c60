//! Whether a message can be read on its way.

use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::El;

use super::NS;

const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
const OTR: &str = "urn:xmpp:otr:0";
/// What an OTR message begins with, its offers to those who know it included.
const OTR_BEGINS: &str = "?OTR";

/// The elements that hold what is encrypted (§3.2): name and namespace.
const CIPHERTEXTS: &[(&str, &str)] = &[
    ("encrypted", "eu.siacs.conversations.axolotl"),
    ("encrypted", "urn:xmpp:omemo:1"),
    ("encrypted", "urn:xmpp:omemo:2"),
    ("openpgp", "urn:xmpp:openpgp:0"),
    ("x", "jabber:x:encrypted"),
];

/// What a body may be that repeats, for clients that do not understand it, what another element says (XEP-0428).
const FALLBACKS: &[&str] = &["urn:xmpp:message-retract:1", "urn:xmpp:reactions:0"];

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To a person.
    Chat,
    /// To a room or to somebody in it (XEP-0045 §7.4, §7.5).
    Room,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Only those it is for can read it.
    Encrypted,
    /// Everybody on the way can.
    Readable,
}

/// Looks at a stanza; `None` if it is no message or has nothing to read: no body, an error, an invitation, a retraction.
pub(super) fn read(stanza: &Stanza) -> Option<(Place, Text)> {
    let kind = match stanza.kind {
        Kind::Message(MessageType::Error) => return None,
        Kind::Message(kind) => kind,
        _ => return None,
    };
    let in_room = stanza.child("x", MUC_USER);
    let place = if kind == MessageType::Groupchat || in_room.is_some() {
        Place::Room
    } else {
        Place::Chat
    };
    if stanza
        .children()
        .any(|child| CIPHERTEXTS.iter().any(|(name, ns)| child.is(name, ns)))
    {
        return Some((place, Text::Encrypted));
    }
    let mut bodies = stanza
        .children()
        .filter(|child| child.is("body", ns::CLIENT))
        .peekable();
    bodies.peek()?;
    let is_invitation = in_room.is_some_and(|x| {
        x.child("invite", MUC_USER)
            .or(x.child("decline", MUC_USER))
            .is_some()
    }) || stanza.has("x", "jabber:x:conference");
    if is_invitation || is_fallback(stanza) {
        return None;
    }
    let is_otr = bodies.all(|body| body.text().starts_with(OTR_BEGINS));
    let text = if is_otr || is_marked(stanza) {
        Text::Encrypted
    } else {
        Text::Readable
    };
    Some((place, text))
}

/// Whether it says that it is encrypted by a mechanism that is not known here (§3.2). One that is known shows what it
/// encrypted, or the message is not encrypted at all.
fn is_marked(stanza: &Stanza) -> bool {
    let known = |ns: &str| ns == OTR || CIPHERTEXTS.iter().any(|(_, known)| *known == ns);
    stanza
        .child("encryption", NS)
        .and_then(|encryption: El<'_>| encryption.attr("namespace"))
        .is_some_and(|ns| !ns.is_empty() && !known(&ns))
}

/// Whether the whole body stands in for another element.
fn is_fallback(stanza: &Stanza) -> bool {
    stanza
        .children()
        .filter(|child| child.is("fallback", "urn:xmpp:fallback:0"))
        .filter_map(|fallback| fallback.attr("for"))
        .any(|ns| FALLBACKS.contains(&&*ns) && stanza.children().any(|child| child.ns() == ns))
}
