//! What is worth waking a device for, as far as a stanza says so itself. What is not known here is important: better
//! early than late.

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On};
use kim_core::jid::Jid;
use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use kim_core::wire::El;

use super::api::IsImportant;

const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
const RECEIPTS: &str = "urn:xmpp:receipts";
const MARKERS: &str = "urn:xmpp:chat-markers:0";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
const CARBONS: &str = "urn:xmpp:carbons:2";
const FORWARD: &str = "urn:xmpp:forward:0";

/// Namespaces that say something about a message, or nothing that is worth anything by itself.
const QUIET: [&str; 10] = [
    CHAT_STATES,
    RECEIPTS,
    MARKERS,
    CARBONS,
    ns::DELAY,
    "urn:xmpp:hints",
    "urn:xmpp:sid:0",
    "urn:xmpp:occupant-id:0",
    "urn:xmpp:rtt:0",
    "http://jabber.org/protocol/pubsub#event",
];

/// Answers [`IsImportant`] after everybody else.
pub struct Rules;

impl On<IsImportant> for Rules {
    async fn on(&self, event: &mut IsImportant, _: &mut Cx) -> Result<Flow, Fault> {
        event.important.get_or_insert_with(|| is_important(&event.stanza));
        Ok(Flow::Next)
    }
}

/// A message as its user would see it: out of its copy, if it is one.
struct Inner<'a> {
    message: El<'a>,
    /// One of the user's own, from another client.
    own: bool,
}

fn inner(stanza: &Stanza) -> Option<Inner<'_>> {
    let wrapper = stanza
        .children()
        .find(|child| child.ns() == CARBONS && matches!(child.name(), "sent" | "received"))?;
    let message = wrapper
        .child("forwarded", FORWARD)?
        .child("message", ns::CLIENT)?;
    Some(Inner {
        message,
        own: wrapper.name() == "sent",
    })
}

fn is_important(stanza: &Stanza) -> bool {
    match stanza.kind {
        Kind::Iq(_) => true,
        // Who comes and goes can wait; requests, refusals and what a room says about the client itself cannot.
        Kind::Presence(PresenceType::Available | PresenceType::Unavailable) => is_about_oneself(stanza),
        Kind::Presence(_) => true,
        Kind::Message(kind) => match inner(stanza) {
            // What was read elsewhere needs no notification any more.
            Some(copy) if copy.own && copy.message.child("displayed", MARKERS).is_some() => true,
            Some(copy) => speaks(kind, copy.message.children()),
            None => speaks(kind, stanza.children()),
        },
    }
}

/// XEP-0045: status 110, with which joining ends and being sent away is told.
fn is_about_oneself(presence: &Stanza) -> bool {
    presence.child("x", MUC_USER).is_some_and(|x| {
        x.children()
            .any(|child| child.is("status", MUC_USER) && child.attr("code").as_deref() == Some("110"))
    })
}

/// Whether there is something in a message that somebody would want to know now.
fn speaks<'a>(kind: MessageType, mut children: impl Iterator<Item = El<'a>>) -> bool {
    match kind {
        MessageType::Error => true,
        // News for a program, unless there is something to read.
        MessageType::Headline => children.any(|child| child.is("body", ns::CLIENT)),
        _ => children.any(|child| !is_quiet(&child)),
    }
}

fn is_quiet(child: &El<'_>) -> bool {
    match child.ns() {
        ns::CLIENT => child.name() == "thread",
        // An invitation, or the answer to one. The rest is about the room.
        MUC_USER => !child
            .children()
            .any(|inside| inside.ns() == MUC_USER && matches!(inside.name(), "invite" | "decline")),
        ns => QUIET.contains(&ns),
    }
}

/// Stanzas of which only the latest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Passing {
    /// Whether somebody is there.
    Presence,
    /// What somebody is doing in a chat (XEP-0085).
    ChatState,
}

/// The kind and the two ends of a stanza of which only the latest counts; none for other stanzas.
/// Addresses in a copy are those of the message in it.
pub fn passing(stanza: &Stanza) -> Option<(Passing, Option<Jid>, Option<Jid>)> {
    match stanza.kind {
        Kind::Presence(_) => Some((Passing::Presence, stanza.from.clone(), None)),
        Kind::Message(_) => match inner(stanza) {
            Some(copy) => {
                let address = |name| copy.message.attr(name).and_then(|jid| Jid::parse(&jid).ok());
                is_chat_state(copy.message.children())
                    .then(|| (Passing::ChatState, address("from"), address("to")))
            }
            None => is_chat_state(stanza.children())
                .then(|| (Passing::ChatState, stanza.from.clone(), stanza.to.clone())),
        },
        Kind::Iq(_) => None,
    }
}

/// XEP-0085 §5.6: a chat state and nothing else but its thread, and what others said about it on its way.
fn is_chat_state<'a>(children: impl Iterator<Item = El<'a>>) -> bool {
    let mut found = false;
    for child in children {
        match child.ns() {
            CHAT_STATES => found = true,
            "urn:xmpp:hints" | "urn:xmpp:sid:0" | "urn:xmpp:occupant-id:0" | ns::DELAY => {}
            ns::CLIENT if child.name() == "thread" => {}
            _ => return false,
        }
    }
    found
}
