//! The events that a room raises while it is held, for other modules to take part in.

use std::collections::BTreeMap;
use std::sync::Arc;

use kim_core::hook::{Event, Notice};
use kim_core::jid::{BareJid, Jid};
use kim_core::stanza::Stanza;

use super::privileges::Affiliation;
use super::room::Member;
use super::views::{OccupantView, RoomView};
use crate::xep0030_disco::api::Info;

/// Somebody who may speak says something to all occupants (§7.4); changes of the subject are not among it.
///
/// `Admit` hooks refuse it, `Stamp` hooks add to the stanza, `RoomStore` hooks keep it; it is reflected once their rows are
/// committed. `Done` at any stage: it has been dealt with and is not reflected.
pub struct RoomMessage {
    /// Where.
    pub room: RoomView,
    /// Who says it.
    pub from: OccupantView,
    /// What everybody gets: from the occupant's address, to nobody yet.
    pub stanza: Stanza,
    /// All sessions that are there.
    pub inside: Arc<[Jid]>,
    /// Members, admins and owners, there or not, sorted.
    pub members: Arc<[BareJid]>,
    /// What the room sends to all occupants right behind it.
    pub also: Vec<Stanza>,
}

impl Event for RoomMessage {
    const NAME: &'static str = "room-message";
}

/// A fact for the context of a [`RoomMessage`] or an announcement: something in the archive is not what it was (retraction,
/// moderation), so what is in memory of it is forgotten. Those who enter next get it from there.
pub struct HistoryChanged;

/// An occupant's presence is about to be shown. Every hook adds what belongs in it.
pub struct OccupantPresence {
    /// Where.
    pub room: RoomView,
    /// Whose.
    pub who: OccupantView,
    /// The presence that the occupant's client sent, without what only rooms say.
    pub presence: Stanza,
    /// What is added: canonical elements, each with its namespace.
    pub extra: String,
}

impl Event for OccupantPresence {
    const NAME: &'static str = "occupant-presence";
}

/// Somebody who is not in the room asks to enter (§7.2). A hook may refuse, or raise the affiliation (a token that makes a
/// member, XEP-0488); the room itself judges afterwards.
pub struct Entering {
    /// Where.
    pub room: RoomView,
    /// The presence that asks.
    pub stanza: Stanza,
    /// The full JID of the asker.
    pub from: Jid,
    /// What they are in this room.
    pub affiliation: Affiliation,
    /// Whether they have no account (XEP-0175).
    pub is_guest: bool,
    /// The lists of the room, for hooks that go by what somebody else is there.
    pub lists: Lists,
}

impl Event for Entering {
    const NAME: &'static str = "room-entering";
}

/// Somebody has entered or left. Several sessions of one user are one occupant, told of once.
pub struct OccupantsChanged {
    /// Where.
    pub room: RoomView,
    /// Who.
    pub who: OccupantView,
    /// Entered, or left.
    pub is_there: bool,
    /// How many there are now.
    pub occupants: usize,
}

impl Notice for OccupantsChanged {
    const NAME: &'static str = "occupants-changed";
}

/// One change of an affiliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffiliationChange {
    /// Whose.
    pub jid: BareJid,
    /// What it was.
    pub from: Affiliation,
    /// What it is now.
    pub to: Affiliation,
}

/// An affiliation has changed (XEP-0463 keeps versions of them all).
pub struct AffiliationsChanged {
    /// Where.
    pub room: RoomView,
    /// Which.
    pub change: AffiliationChange,
    /// What those who may see the lists find beside the item in the stanza that tells of it: canonical XML.
    pub beside: String,
    /// What they find in their own presence from now on.
    pub own: String,
}

impl Notice for AffiliationsChanged {
    const NAME: &'static str = "affiliations-changed";
}

/// The lists of a room as they are right now.
#[derive(Clone)]
pub struct Lists(pub(super) Arc<BTreeMap<BareJid, Member>>);

impl Lists {
    /// Everybody on them.
    pub fn iter(&self) -> impl Iterator<Item = (&BareJid, Affiliation)> {
        self.0.iter().map(|(jid, member)| (jid, member.affiliation))
    }

    /// What stands there about an address itself, whatever its domain is.
    pub fn get(&self, jid: &str) -> Affiliation {
        self.0
            .get(jid)
            .map_or(Affiliation::None, |member| member.affiliation)
    }
}

/// A session has entered, or asks for everything again (§17.3), and is about to be told who is there.
pub struct Welcoming {
    /// Where.
    pub room: RoomView,
    /// The presence that asked.
    pub stanza: Stanza,
    /// Who; the real address is the session's.
    pub who: OccupantView,
    /// Whether they may see the lists of members, admins and owners.
    pub sees_lists: bool,
    /// The lists.
    pub lists: Lists,
    /// What the room sends this session before any presence.
    pub ahead: Vec<Stanza>,
    /// What is put in the `<x/>` of the own presence of everybody who may see the lists: canonical XML.
    pub own: String,
}

impl Event for Welcoming {
    const NAME: &'static str = "room-welcoming";
}

/// Somebody asks what a room is (§6.4).
pub struct RoomAsked {
    /// Which.
    pub room: RoomView,
    /// The asker.
    pub asker: Jid,
    /// What the asker is there.
    pub affiliation: Affiliation,
    /// The answer, but for the form.
    pub info: Info,
    /// The fields of the form `muc#roominfo`: name, label and values.
    pub form: Vec<(String, String, Vec<String>)>,
}

impl Event for RoomAsked {
    const NAME: &'static str = "room-asked";
}

/// A room is there and open: it was configured, or opened as it is.
pub struct RoomCreated {
    /// Which.
    pub room: RoomView,
}

impl Notice for RoomCreated {
    const NAME: &'static str = "room-created";
}

/// A room goes. Its archive and its key go with it, in the same commit as what hooks erase through `cx`.
pub struct RoomDestroyed {
    /// Which.
    pub room: BareJid,
}

impl Notice for RoomDestroyed {
    const NAME: &'static str = "room-destroyed";
}
