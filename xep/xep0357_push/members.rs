//! Registrations with a room. A member of any server enables push notifications at the room itself, and the room publishes when
//! something is said while none of the member's clients is inside: so a client whose server has lost its place in the room
//! learns that it has to come back. Only the number of messages is told.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::hook::Hear;
use kim_core::jid::{BareJid, Jid};
use kim_core::module::{HandleIq, Reply, Request};

use super::commands::{node, read, refused, service};
use super::dispatch::{Dispatch, is_own};
use super::registration::{Registration, Wish};
use super::state::WakeNews;
use super::worth::SaidText;
use crate::xep0045_muc::api::{Affiliation, RoomDestroyed, RoomMessage, Rooms};

/// Registrations of one room: many members, few devices each.
const OF_ROOM_MAX: usize = 2_000;

/// Whose registration it is. Those of a room keep the whole address of the client that enabled it, not only its resource.
fn member(registration: &Registration) -> Option<BareJid> {
    Jid::parse(&registration.resource).ok().map(|jid| jid.bare())
}

pub(super) struct EnableInRoom {
    pub dispatch: Arc<Dispatch>,
    pub rooms: Arc<Rooms>,
}

impl HandleIq for EnableInRoom {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let (room, asker) = (iq.account, iq.from.bare());
        if self.rooms.view(room, cx).await?.is_none() {
            return Err(Condition::ItemNotFound.into());
        }
        if self.rooms.affiliation(room, &asker, cx).await? < Affiliation::Member {
            let why = "only members of the room can enable its push notifications";
            return Err(refused(Condition::Forbidden, why));
        }
        let mut registration = read(iq)?;
        registration.resource = iq.from.to_string();
        registration.wish = Wish::default();
        let to = &registration.service;
        if to.local().is_some() && to.bare() != asker {
            let why = "jid must be your own client or an app server: nobody can be woken for you";
            return Err(refused(Condition::NotAcceptable, why));
        }
        if is_own(&registration, cx.router()) {
            let why = "this app server wakes accounts: enable it at your account";
            return Err(refused(Condition::NotAcceptable, why));
        }
        let registrations = &self.dispatch.registrations;
        let all = registrations.of(room).await?;
        let is_same = |one: &Registration| one.service == *to && one.node == registration.node;
        let is_mine = |one: &Registration| member(one).as_ref() == Some(&asker);
        if all.iter().any(|one| is_same(one) && !is_mine(one)) {
            let why = "another member has enabled this node";
            return Err(refused(Condition::Conflict, why));
        }
        let of_member = all.iter().filter(|one| is_mine(one) && !is_same(one)).count();
        if of_member >= self.dispatch.config.registrations_max {
            let why = "you have too many push registrations with this room; disable one of them first";
            return Err(refused(Condition::ResourceConstraint, why));
        }
        let tag = registrations
            .put_at_most(room, &registration, OF_ROOM_MAX, cx.received)
            .await?;
        self.dispatch.forget(room, tag);
        Ok(Reply::Empty)
    }
}

pub(super) struct DisableInRoom(pub Arc<Dispatch>);

impl HandleIq for DisableInRoom {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let (service, node, asker) = (service(iq)?, node(iq), iq.from.bare());
        let all = self.0.registrations.of(iq.account).await?;
        let matches = |one: &&Arc<Registration>| {
            one.service == service
                && node.as_ref().is_none_or(|node| *node == one.node)
                && member(one).as_ref() == Some(&asker)
        };
        let which: Vec<_> = all.iter().filter(matches).cloned().collect();
        self.0.remove(iq.account, &which, cx.router()).await?;
        Ok(Reply::Empty)
    }
}

/// What was said in a room whose members have registered with it.
pub(super) struct SaidToMembers {
    room: BareJid,
    inside: Arc<[Jid]>,
    members: Arc<[BareJid]>,
}

impl SaidToMembers {
    pub fn of(event: &RoomMessage) -> SaidToMembers {
        SaidToMembers {
            room: event.room.jid.clone(),
            inside: event.inside.clone(),
            members: event.members.clone(),
        }
    }

    /// Wakes those who are not there. Whoever is no member any more is not woken again.
    pub async fn tell(&self, dispatch: &Arc<Dispatch>, said: &SaidText, cx: &mut Cx) -> Result<(), Fault> {
        let all = dispatch.registrations.of(&self.room).await?;
        let mut over = Vec::new();
        for registration in all.iter() {
            match member(registration) {
                Some(member) if self.members.binary_search(&member).is_ok() => {
                    let is_inside = self.inside.iter().any(|jid| jid.bare_str() == member.as_str());
                    match is_inside {
                        true => dispatch.forget(&self.room, registration.tag),
                        false => dispatch.tell(&self.room, registration, &WakeNews::Message(said), cx),
                    }
                }
                _ => over.push(registration.clone()),
            }
        }
        dispatch.remove(&self.room, &over, cx.router()).await
    }
}

/// With a room go its registrations.
pub(super) struct RoomGone(pub Arc<Dispatch>);

impl Hear<RoomDestroyed> for RoomGone {
    async fn hear(&self, event: &mut RoomDestroyed, cx: &mut Cx) -> Result<(), Fault> {
        let all = self.0.registrations.of(&event.room).await?;
        self.0.remove(&event.room, &all, cx.router()).await
    }
}
