//! What other modules of this server do with group chat: the events in which they take part, the settings they add to the
//! configuration form, and [`Rooms`], which finds a room and speaks for it.
//!
//! **Events that name a room are raised while that room is held**: nobody else changes it meanwhile, and what hooks ask for
//! through `cx` (rows to store, stanzas to send) belongs to the room's next place in its order: it is committed, then
//! everybody gets it, in one order for all. So a hook must not call [`Rooms`] about the same room (it would wait for
//! itself); what it needs is in the event.

use std::collections::HashMap;
use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::router::Router;
use kim_core::stanza::Stanza;

pub use super::admission::{MEMBERS_ONLY, PASSWORD_PROTECTED};
pub use super::events::{
    AffiliationChange, AffiliationsChanged, Entering, HistoryChanged, Lists, OccupantPresence,
    OccupantsChanged, RoomAsked, RoomCreated, RoomDestroyed, RoomMessage, Welcoming,
};
pub use super::fields::{Field, ROOMCONFIG, RoomConfig, Shape};
pub use super::invitations::MAY_INVITE;
pub use super::life::{DESCRIPTION, LANGUAGE, NAME, PERSISTENT, PUBLIC};
pub use super::limits::{Bucket, Rate};
pub use super::names::{ADMIN, MUC, OCCUPANT_ID, OWNER, SERVICE, USER};
pub use super::privacy::is_non_anonymous;
pub use super::privileges::{Affiliation, Privilege, Right, Role, Standing, affiliation_allows, role_allows};
pub use super::public::PublicRoom;
pub use super::retention::{ARCHIVE, Keeping};
use super::rooms::Registry;
pub use super::settled::once as once_settled;
pub use super::views::{Affiliated, Listed, OccupantView, RoomView, Visitor};

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
    pub async fn occupants(&self, room: &BareJid, cx: &Cx) -> Result<Vec<OccupantView>, Fault> {
        let held = self.0.hold(room, cx.router()).await?;
        Ok(held.map_or_else(Vec::new, |held| {
            held.occupants.values().map(|one| held.who(one, None)).collect()
        }))
    }

    /// The occupant that a session is.
    pub async fn occupant(
        &self,
        room: &BareJid,
        session: &Jid,
        cx: &Cx,
    ) -> Result<Option<OccupantView>, Fault> {
        let held = self.0.hold(room, cx.router()).await?;
        Ok(held.and_then(|held| held.at(session).map(|one| held.who(one, Some(session)))))
    }

    /// The occupant with an id of XEP-0421.
    pub async fn occupant_by_id(
        &self,
        room: &BareJid,
        id: &str,
        cx: &Cx,
    ) -> Result<Option<OccupantView>, Fault> {
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
        self.0.make_defaults(service, router).await?;
        Ok(self.0.store.listed(service, after, rooms_max).await?)
    }

    /// What the public rooms of a service say of themselves, by address. No room is read or held for it.
    pub async fn public(&self, service: &str, router: &Arc<Router>) -> Result<Vec<Arc<PublicRoom>>, Fault> {
        self.0.make_defaults(service, router).await?;
        let mut all = self.0.public_rooms().await?;
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
