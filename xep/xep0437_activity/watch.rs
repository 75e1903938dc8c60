//! Who waits for a sign of which room.

use std::collections::HashSet;
use std::sync::Arc;

use dashmap::DashMap;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{ServiceArrival, SessionEnded};
use kim_core::hook::{Flow, Hear, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::router::Destination;
use kim_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use kim_core::wire::Writer;

use super::NS;
use super::store::{ActivityChange, ActivityStore};
use crate::xep0045_muc::api::{
    Affiliation, AffiliationsChanged, OccupantsChanged, RoomDestroyed, RoomMessage, Rooms, SERVICE,
};
use crate::xep0313_mam::api::MessageArchives;

/// All who wait.
pub struct Watchers {
    /// The rooms.
    pub rooms: Arc<Rooms>,
    /// Their archives. Without them nobody is told what was said before their client asked.
    pub archives: Option<Arc<MessageArchives>>,
    /// When who was last where.
    pub(super) store: ActivityStore,
    /// `rooms_max`
    pub rooms_max: usize,
    /// The sessions that wait for a sign of a room.
    pub waiting: DashMap<BareJid, HashSet<Jid>>,
    /// The sessions that asked for signs, and how many rooms they wait for or were told of.
    pub asked: DashMap<Jid, HashSet<BareJid>>,
}

/// §3.1: a sign.
fn sign(service: &str, rooms: &[BareJid]) -> Option<Stanza> {
    let mut xml = Writer::new();
    xml.start("rai", NS);
    for room in rooms {
        xml.start("activity", NS).text(room.as_str()).end();
    }
    xml.end();
    let sign = Stanza::new(Kind::Message(MessageType::Normal), &xml.finish_string());
    Some(sign.from(Jid::parse(service).ok()?))
}

impl Watchers {
    fn wait(&self, session: &Jid, room: &BareJid) {
        let Some(mut rooms) = self.asked.get_mut(session) else {
            return;
        };
        if rooms.len() >= self.rooms_max && !rooms.contains(room) {
            return;
        }
        rooms.insert(room.clone());
        drop(rooms);
        self.waiting
            .entry(room.clone())
            .or_default()
            .insert(session.clone());
    }

    fn forget(&self, session: &Jid) {
        let Some((_, rooms)) = self.asked.remove(session) else {
            return;
        };
        for room in rooms {
            if let Some(mut sessions) = self.waiting.get_mut(&room) {
                sessions.remove(session);
            }
            self.waiting.remove_if(&room, |_, sessions| sessions.is_empty());
        }
    }

    /// §4: "build a list of rooms where activity has occurred since the client was last in the room".
    async fn begin(&self, session: &Jid, service: &str, cx: &mut Cx) -> Result<(), Fault> {
        let account = session.bare();
        self.forget(session);
        self.asked.insert(session.clone(), HashSet::new());
        let left = self.store.left(&account, self.rooms_max).await?;
        let mut there: HashSet<BareJid> = HashSet::new();
        for other in cx.router().sessions_of(&account).await {
            there.extend(self.rooms.rooms_with(&other.jid));
        }
        let mut active = Vec::new();
        let rooms = self.rooms.rooms_of(&account).await?;
        let belongs = |(room, affiliation): &(BareJid, Affiliation)| {
            *affiliation >= Affiliation::Member && room.domain() == service
        };
        for (room, _) in rooms.into_iter().filter(belongs).take(self.rooms_max) {
            let newest = match &self.archives {
                Some(archives) => archives.newest(&room).await?,
                None => None,
            };
            let newest = newest.map_or(i64::MIN, |stamp| stamp.0);
            let seen = left.get(room.as_str()).copied().unwrap_or(i64::MIN);
            if newest > seen && !there.contains(&room) {
                active.push(room);
            } else {
                self.wait(session, &room);
            }
        }
        if let Some(sign) = sign(service, &active).filter(|_| !active.is_empty()) {
            cx.send(sign.to(session.clone()));
        }
        Ok(())
    }
}

/// §3.1, §3.2: presence to the service.
pub struct Asking(pub Arc<Watchers>);

impl On<ServiceArrival> for Asking {
    async fn on(&self, event: &mut ServiceArrival, cx: &mut Cx) -> Result<Flow, Fault> {
        if event.service != SERVICE || event.to.local().is_some() {
            return Ok(Flow::Next);
        }
        match event.stanza.kind {
            // §6: "e.g. by only serving local users"
            Kind::Presence(PresenceType::Available)
                if event.stanza.has("rai", NS)
                    && cx.router().destination(event.from.domain()) == Destination::Users =>
            {
                self.0.begin(&event.from, event.to.domain(), cx).await?;
                Ok(Flow::Done)
            }
            Kind::Presence(PresenceType::Unavailable) => {
                self.0.forget(&event.from);
                Ok(Flow::Next)
            }
            _ => Ok(Flow::Next),
        }
    }
}

/// A session that is gone waits for nothing.
pub struct Ending(pub Arc<Watchers>);

impl Hear<SessionEnded> for Ending {
    async fn hear(&self, event: &mut SessionEnded, _: &mut Cx) -> Result<(), Fault> {
        self.0.forget(&event.session.jid);
        Ok(())
    }
}

/// Something is said.
pub struct Hearing(pub Arc<Watchers>);

impl On<RoomMessage> for Hearing {
    async fn on(&self, event: &mut RoomMessage, cx: &mut Cx) -> Result<Flow, Fault> {
        let is_news = event.stanza.has("body", ns::CLIENT)
            || event.stanza.children().any(|child| child.name() == "encrypted");
        let room = &event.room.jid;
        if !is_news || !self.0.waiting.contains_key(room) {
            return Ok(Flow::Next);
        }
        let inside: HashSet<&Jid> = event.inside.iter().collect();
        let mut told = Vec::new();
        if let Some(mut sessions) = self.0.waiting.get_mut(room) {
            // Who is inside hears it anyway, and waits on for when they are not.
            sessions.retain(|session| {
                let stays = inside.contains(session);
                if !stays {
                    told.push(session.clone());
                }
                stays
            });
        }
        for session in told {
            // §4: nothing "from a room that the user would not be allowed to join".
            if event.members.binary_search(&session.bare()).is_err() {
                continue;
            }
            if let Some(sign) = sign(room.domain(), std::slice::from_ref(room)) {
                cx.send(sign.to(session));
            }
        }
        Ok(Flow::Next)
    }
}

/// A member leaves: from now on there may be news.
pub struct Leaving(pub Arc<Watchers>);

impl Hear<OccupantsChanged> for Leaving {
    async fn hear(&self, event: &mut OccupantsChanged, cx: &mut Cx) -> Result<(), Fault> {
        let (who, room) = (&event.who, &event.room.jid);
        let account = who.jid.bare();
        if event.is_there
            || who.affiliation < Affiliation::Member
            || cx.router().destination(account.domain()) != Destination::Users
        {
            return Ok(());
        }
        let left = ActivityChange::Left {
            account: account.clone(),
            room: room.clone(),
            stamp: cx.received,
        };
        cx.store(&self.0.store.sink, left);
        for session in cx.router().sessions().of(&account) {
            self.0.wait(&session.jid, room);
        }
        Ok(())
    }
}

/// Somebody becomes a member, or is none any more.
pub struct Belonging(pub Arc<Watchers>);

impl Hear<AffiliationsChanged> for Belonging {
    async fn hear(&self, event: &mut AffiliationsChanged, cx: &mut Cx) -> Result<(), Fault> {
        let change = &event.change;
        if change.to >= Affiliation::Member && change.from < Affiliation::Member {
            for session in cx.router().sessions().of(&change.jid) {
                self.0.wait(&session.jid, &event.room.jid);
            }
        }
        Ok(())
    }
}

/// A room is gone.
pub struct Destroyed(pub Arc<Watchers>);

impl Hear<RoomDestroyed> for Destroyed {
    async fn hear(&self, event: &mut RoomDestroyed, cx: &mut Cx) -> Result<(), Fault> {
        self.0.waiting.remove(&event.room);
        cx.store(&self.0.store.sink, ActivityChange::Gone(event.room.clone()));
        Ok(())
    }
}
