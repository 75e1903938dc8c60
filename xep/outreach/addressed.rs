//! Whom a stanza of a session is for: the person who would read it.

use kim_core::jid::{BareJid, Jid};
use kim_core::router::{Destination, Router};
use kim_core::session::Session;
use kim_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use smallvec::SmallVec;

use crate::rfc6121_im::api::directed_at;

/// What a room says about itself (XEP-0045 §7.5, §7.8.2).
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// Invitations in one message that are looked at; the rest of them would be beyond every budget.
const INVITED_MAX: usize = 1_000;

/// Somebody who is written to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Person {
    /// Somebody with an address of their own.
    Known(BareJid),
    /// An occupant of a room: who it is, the room knows.
    Occupant(Jid),
}

impl Person {
    /// The name by which a person is remembered.
    pub fn key(&self) -> &str {
        match self {
            Person::Known(address) => address.as_str(),
            Person::Occupant(address) => address.as_str(),
        }
    }
}

/// The people a stanza is for, apart from the account itself. Nobody for what goes to rooms, services and servers.
pub(super) fn people(stanza: &Stanza, session: &Session, router: &Router) -> SmallVec<[Person; 1]> {
    let mut found = SmallVec::new();
    let Some(to) = stanza.to.as_ref() else {
        return found;
    };
    let is_message = match stanza.kind {
        // To a full JID it is no message to a room, and a client would show it (RFC 6121 §8.5.3).
        Kind::Message(MessageType::Groupchat) if to.is_bare() => return found,
        Kind::Message(MessageType::Error) => return found,
        Kind::Message(_) => true,
        Kind::Presence(PresenceType::Subscribe) => false,
        _ => return found,
    };
    let bare = to.bare();
    if to.local().is_none() || bare == session.account {
        return found;
    }
    let is_room = match router.destination(to.domain()) {
        Destination::Service(_) => true,
        Destination::Component | Destination::Remote => {
            is_message && !directed_at(session, bare.as_str()).is_empty()
        }
        Destination::Users | Destination::Guests => false,
    };
    let from_room = stanza.child("x", MUC_USER).filter(|_| is_message);
    match (is_room, to.is_bare()) {
        (true, false) => found.push(Person::Occupant(to.clone())),
        (false, false) if from_room.is_some() => found.push(Person::Occupant(to.clone())),
        // Whoever was shown presence may be a person as well: only a message that has nothing for a person is one to a room.
        (true, true) if !is_service(router, to) && !is_for_room_alone(stanza) => {
            found.push(Person::Known(bare));
        }
        (true, true) => {}
        (false, _) => found.push(Person::Known(bare)),
    }
    let invitations = from_room.iter().flat_map(|x| x.children());
    for invitation in invitations.filter(|child| child.is("invite", MUC_USER)) {
        let invited = invitation.attr("to").and_then(|to| Jid::parse(&to).ok());
        let invited = invited.map(|invited| invited.bare());
        found.extend(
            invited
                .filter(|invited| invited.local().is_some() && *invited != session.account)
                .map(Person::Known),
        );
        if found.len() >= INVITED_MAX {
            break;
        }
    }
    found
}

/// Whether a message holds an invitation and nothing that a client would show.
fn is_for_room_alone(stanza: &Stanza) -> bool {
    stanza.has("x", MUC_USER) && stanza.children().count() == 1
}

fn is_service(router: &Router, to: &Jid) -> bool {
    matches!(router.destination(to.domain()), Destination::Service(_))
}

/// The name of the person who sent a message or asks for an account's presence; nothing for rooms, services and servers.
pub(super) fn sender<'a>(stanza: &'a Stanza, router: &Router) -> Option<&'a str> {
    let from = stanza.from.as_ref().filter(|from| from.local().is_some())?;
    match stanza.kind {
        Kind::Message(MessageType::Groupchat | MessageType::Error) => None,
        Kind::Presence(PresenceType::Subscribe) => Some(from.bare_str()),
        Kind::Message(_) => {
            let is_service = is_service(router, from);
            let is_occupant = !from.is_bare() && (is_service || stanza.has("x", MUC_USER));
            match (is_occupant, is_service) {
                (true, _) => Some(from.as_str()),
                (false, true) => None,
                (false, false) => Some(from.bare_str()),
            }
        }
        _ => None,
    }
}
