//! What other rooms of this house do with group chat: the events in which they take part, the settings they add to the
//! configuration form, and [`Rooms`], which finds a room and speaks for it.
//!
//! **Events that name a room are raised while that room is held**: nobody else changes it meanwhile, and what hooks ask for
//! through `cx` (rows to store, stanzas to send) belongs to the room's next place in its order: it is committed, then
//! everybody gets it, in one order for all. So a hook must not call [`Rooms`] about the same room (it would wait for
//! itself); what it needs is in the event.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Event, Notice};
use kim_core::jid::{BareJid, Jid};
use kim_core::router::Router;
use kim_core::stanza::Stanza;

pub use super::enter::{MEMBERS_ONLY, PASSWORD_PROTECTED};
pub use super::fields::{Field, ROOMCONFIG, RoomConfig, Shape};
pub use super::history::ARCHIVE;
pub use super::invitations::MAY_INVITE;
pub use super::life::{DESCRIPTION, LANGUAGE, NAME, PERSISTENT, PUBLIC};
pub use super::limits::{Bucket, Rate};
pub use super::privacy::is_non_anonymous;
pub use super::privileges::{Affiliation, Privilege, Right, Role, Standing, affiliation_allows, role_allows};
pub use super::public::PublicRoom;
pub use super::retention::Keeping;
use super::room::Member;
use super::rooms::Registry;
pub use super::settled::once as once_settled;
use crate::xep0030_disco::api::Info;

/// The name of the service: `conference.DOMAIN`.
pub const SERVICE: &str = "conference";
/// XEP-0045: what a client sends to enter.
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// XEP-0045: what a room tells.
pub const USER: &str = "http://jabber.org/protocol/muc#user";
/// XEP-0045: roles and affiliations.
pub const ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// XEP-0045: configuration.
pub const OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// XEP-0421
pub const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";

/// A room as an event shows it.
#[derive(Clone, Debug)]
pub struct RoomView {
    /// Its address.
    pub jid: BareJid,
    /// Its settings.
    pub config: Arc<RoomConfig>,
}

/// An occupant.
#[derive(Clone, Debug)]
pub struct Who {
    /// The nickname.
    pub nick: Box<str>,
    /// The occupant's address: `room/nickname`.
    pub address: Jid,
    /// The real address: the session's that acts, or one of the occupant's.
    pub jid: Jid,
    /// The role.
    pub role: Role,
    /// The affiliation.
    pub affiliation: Affiliation,
    /// XEP-0421: the same for all visits of one user to this room, and telling nothing else.
    pub occupant_id: Arc<str>,
}

/// Somebody who may speak says something to all occupants (§7.4); changes of the subject are not among it.
///
/// `Admit` hooks refuse it, `Stamp` hooks add to the stanza, `Store` hooks keep it; it is reflected once their rows are
/// committed. `Done` at any stage: it has been dealt with and is not reflected.
pub struct RoomMessage {
    /// Where.
    pub room: RoomView,
    /// Who says it.
    pub from: Who,
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
    pub who: Who,
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
    /// Who asks: the full JID.
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
    pub who: Who,
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
    pub who: Who,
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
    /// Who asks.
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

/// Somebody who belongs to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affiliated {
    /// Who.
    pub jid: BareJid,
    /// What they are.
    pub affiliation: Affiliation,
    /// The nickname that is theirs.
    pub nick: Option<Box<str>>,
}

/// Somebody at a room, inside or outside.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Where.
    pub room: RoomView,
    /// What they are there.
    pub affiliation: Affiliation,
    /// Which occupant the session is.
    pub occupant: Option<Who>,
    /// Whether they are inside or could enter now without saying more (a password).
    pub may_enter: bool,
    /// Whether they see real addresses.
    pub sees_addresses: bool,
}

/// A room that anybody may find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its address.
    pub jid: BareJid,
    /// Its name; empty if it has none.
    pub name: String,
}

/// All rooms of this server.
#[derive(Clone)]
pub struct Rooms(pub(super) Arc<Registry>);

impl Rooms {
    /// Adds a setting to the configuration of every room. Only while the house is put together.
    pub fn add_field(&self, field: Field) {
        self.0.fields.add(field);
    }

    /// A room, if there is one.
    pub async fn view(&self, room: &BareJid, cx: &Cx) -> Result<Option<RoomView>, Fault> {
        Ok(self.0.hold(room, cx.router()).await?.map(|held| held.view()))
    }

    /// How long a room with these settings keeps what is said in it.
    pub fn keeping(&self, room: &RoomConfig) -> Keeping {
        self.0.retention.keeping(room)
    }

    /// Whether the room is there and closed to guests, because it was not configured yet.
    pub async fn is_locked(&self, room: &BareJid, cx: &Cx) -> Result<bool, Fault> {
        let held = self.0.hold(room, cx.router()).await?;
        Ok(held.is_some_and(|held| held.is_locked(cx.router().clock().now())))
    }

    /// Makes a persistent public room for an owner who is not in it; `false` if the room exists already. When this returns,
    /// the room is stored.
    pub async fn create(&self, room: &BareJid, owner: &BareJid, cx: &mut Cx) -> Result<bool, Fault> {
        super::founded::found(&self.0, room, owner, cx).await
    }

    /// What somebody is in a room.
    pub async fn affiliation(&self, room: &BareJid, user: &BareJid, cx: &Cx) -> Result<Affiliation, Fault> {
        let held = self.0.hold(room, cx.router()).await?;
        Ok(held.map_or(Affiliation::None, |held| held.affiliation(user)))
    }

    /// Everybody who has an affiliation.
    pub async fn affiliated(&self, room: &BareJid, cx: &Cx) -> Result<Vec<Affiliated>, Fault> {
        let held = self.0.hold(room, cx.router()).await?;
        Ok(held.map_or_else(Vec::new, |held| held.affiliated()))
    }

    /// Everybody who is there.
    pub async fn occupants(&self, room: &BareJid, cx: &Cx) -> Result<Vec<Who>, Fault> {
        let held = self.0.hold(room, cx.router()).await?;
        Ok(held.map_or_else(Vec::new, |held| {
            held.occupants.values().map(|one| held.who(one, None)).collect()
        }))
    }

    /// The occupant that a session is.
    pub async fn occupant(&self, room: &BareJid, session: &Jid, cx: &Cx) -> Result<Option<Who>, Fault> {
        let held = self.0.hold(room, cx.router()).await?;
        Ok(held.and_then(|held| held.at(session).map(|one| held.who(one, Some(session)))))
    }

    /// The occupant with an id of XEP-0421.
    pub async fn occupant_by_id(&self, room: &BareJid, id: &str, cx: &Cx) -> Result<Option<Who>, Fault> {
        let held = self.0.hold(room, cx.router()).await?;
        Ok(held.and_then(|held| {
            let found = held.occupants.values().find(|one| &*one.id == id);
            found.map(|one| held.who(one, None))
        }))
    }

    /// The id of XEP-0421 that a user has in a room, whether there or not.
    pub async fn occupant_id(
        &self,
        room: &BareJid,
        user: &BareJid,
        cx: &Cx,
    ) -> Result<Option<Arc<str>>, Fault> {
        let held = self.0.hold(room, cx.router()).await?;
        Ok(held.map(|held| held.occupant_id(user)))
    }

    /// Sends something to all occupants, in its place of the room's order and behind the rows that `rows` asks for through
    /// the context that it is given. A groupchat message without a sender is from the room itself; if `archive` it is kept like
    /// one that an occupant sent. Gives the archive's id.
    pub async fn announce(
        &self,
        room: &BareJid,
        stanza: Stanza,
        archive: bool,
        rows: impl FnOnce(&mut Cx) + Send,
        cx: &mut Cx,
    ) -> Result<Option<String>, Fault> {
        super::message::announce(&self.0, room, stanza, archive, rows, cx).await
    }

    /// Shows an occupant's presence anew, because what belongs in it has changed. Nothing happens if the user is not there.
    pub async fn refresh(&self, room: &BareJid, user: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        super::presence::refresh(&self.0, room, user, cx).await
    }

    /// Makes somebody something, in the room's own name: nobody's privileges are asked for.
    pub async fn set_affiliation(
        &self,
        room: &BareJid,
        user: &BareJid,
        to: Affiliation,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        super::affiliations::by_the_room(&self.0, room, user, to, cx).await
    }

    /// What somebody finds at a room; `None` if they find nothing there.
    pub async fn visitor(&self, room: &BareJid, session: &Jid, cx: &Cx) -> Result<Option<Visitor>, Fault> {
        let held = self.0.hold(room, cx.router()).await?;
        Ok(held.and_then(|held| super::privacy::visitor(&held, session, cx)))
    }

    /// Public rooms of a service by their addresses, behind one of them: a page of at most so many.
    pub async fn listed(
        &self,
        service: &str,
        after: &str,
        rooms_max: usize,
        router: &Arc<Router>,
    ) -> Result<Vec<Listed>, Fault> {
        super::defaults::make_all(&self.0, service, router).await?;
        Ok(self.0.store.listed(service, after, rooms_max).await?)
    }

    /// What the public rooms of a service say of themselves, by address. No room is read or held for it.
    pub async fn public(&self, service: &str, router: &Arc<Router>) -> Result<Vec<Arc<PublicRoom>>, Fault> {
        super::defaults::make_all(&self.0, service, router).await?;
        let mut all = self.0.public.all(&self.0).await?;
        all.retain(|room| room.jid.domain() == service);
        Ok(all)
    }

    /// How many rooms are in memory.
    #[cfg(test)]
    pub fn loaded(&self) -> usize {
        self.0.loaded()
    }

    /// The rooms that somebody has an affiliation in, and which.
    pub async fn rooms_of(&self, user: &BareJid) -> Result<Vec<(BareJid, Affiliation)>, Fault> {
        Ok(self.0.store.rooms_of(user).await?)
    }

    /// How many are in which rooms of a service; nobody is in the others. A room that is being changed right now is left out.
    pub fn occupied(&self, service: &str) -> HashMap<BareJid, usize> {
        self.0.occupied(service)
    }

    /// The rooms in which a session is.
    pub fn rooms_with(&self, session: &Jid) -> Vec<BareJid> {
        self.0.rooms_with(session).into_vec()
    }

    /// When a room last heard something, if that is known without asking its archive.
    pub async fn last_spoken(&self, room: &BareJid, cx: &Cx) -> Result<Option<Timestamp>, Fault> {
        let held = self.0.hold(room, cx.router()).await?;
        Ok(held.and_then(|held| held.last_spoken))
    }
}
