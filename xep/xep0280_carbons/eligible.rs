//! Which messages are copied: the rules of §6.1, all of them and no others, since `urn:xmpp:carbons:rules:0` promises so.

use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::El;

use super::NS;
use crate::xep0359_ids::api::hints;

const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
const RECEIPTS: &str = "urn:xmpp:receipts";
const MARKERS: &str = "urn:xmpp:chat-markers:0";
const CONFERENCE: &str = "jabber:x:conference";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";

/// Which way a message goes, seen from the account whose clients may get a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One of its clients sent it.
    Sent,
    /// It is for the account.
    Received,
}

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligible {
    /// It is not copied.
    No,
    /// It is.
    Yes,
    /// It is an error: as the message that it is about.
    LikeItsCause,
}

/// What a message has in it, found in one pass.
#[derive(Default)]
struct Contents {
    private: bool,
    copy: bool,
    body: bool,
    /// Receipts, chat states, displayed markers.
    talk: bool,
    direct_invitation: bool,
    mediated_invitation: bool,
    of_room: bool,
}

impl Contents {
    fn of(stanza: &Stanza) -> Contents {
        let mut found = Contents::default();
        for child in stanza.children() {
            match (child.name(), child.ns()) {
                ("private", NS) => found.private = true,
                ("body", ns::CLIENT) => found.body = true,
                (_, RECEIPTS | CHAT_STATES | MARKERS) => found.talk = true,
                ("x", CONFERENCE) => found.direct_invitation = true,
                ("x", MUC_USER) => {
                    found.of_room = true;
                    found.mediated_invitation |= child.child("invite", MUC_USER).is_some();
                }
                _ => found.copy |= is_wrapper(&child),
            }
        }
        found
    }
}

/// Applies the rules to a message. What is not a message is not copied.
pub fn judge(stanza: &Stanza, way: Way) -> Eligible {
    let Kind::Message(kind) = stanza.kind else {
        return Eligible::No;
    };
    let found = Contents::of(stanza);
    if found.private || found.copy || kind == MessageType::Groupchat {
        return Eligible::No;
    }
    if kind == MessageType::Error {
        return Eligible::LikeItsCause;
    }
    // The room has sent it to every client that is there.
    let is_private_from_room = way == Way::Received
        && found.of_room
        && !found.mediated_invitation
        && stanza.from.as_ref().is_some_and(|from| !from.is_bare());
    // XEP-0334 §4.3; §9.
    if is_private_from_room || hints(stanza).no_copy {
        return Eligible::No;
    }
    let eligible = match kind {
        MessageType::Chat => true,
        MessageType::Normal if found.body => true,
        _ => found.talk || found.direct_invitation || found.mediated_invitation,
    };
    if eligible { Eligible::Yes } else { Eligible::No }
}

/// Whether a message is one to somebody in a room: addressed to a full JID and marked as such (XEP-0045 §7.5).
pub fn is_private_to_room(stanza: &Stanza) -> bool {
    stanza.to.as_ref().is_some_and(|to| !to.is_bare()) && stanza.has("x", MUC_USER)
}

/// Whether this is what a copy is wrapped in.
pub fn is_wrapper(child: &El<'_>) -> bool {
    child.ns() == NS && matches!(child.name(), "sent" | "received")
}
