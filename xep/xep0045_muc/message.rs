//! Speaking to all (§7.4): who may, what is left of it, and that everybody gets the same in the same order, once it is kept.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::hook::{Flow, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::random;
use kim_core::stanza::{Kind, MessageType, Stanza};

use super::events::{HistoryChanged, RoomMessage};
use super::privileges::{Privilege, role_allows};
use super::retention::ARCHIVE;
use super::rooms::Registry;
use super::speech::{clean, may_speak};
use super::turn::RoomTurn;
use super::{guests, history, opening, presence, subject};
use crate::xep0313_mam::api::{self as mam, InRoom, MessageArchives};

/// A groupchat message to the room.
pub async fn speak(
    registry: &Arc<Registry>,
    from: &Jid,
    room: &BareJid,
    stanza: &Stanza,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let held = registry.held(room, cx.router()).await?;
    let mut turn = RoomTurn::new(registry, held, cx);
    let locked = turn.held.is_locked(turn.cx.received);
    let Some(one) = turn.held.at(from) else {
        // §7.4; a room that is locked is not there for others (§17.2).
        return Err(if locked {
            Condition::ItemNotFound
        } else {
            Condition::NotAcceptable
        }
        .into());
    };
    let (role, user) = (one.role, one.user.clone());
    guests::refuse_invitation(stanza, &user, turn.cx.router())?;
    let changes_subject = subject::is_change(stanza);
    if !changes_subject && !role_allows(role, Privilege::Speak) {
        return Err(Condition::Forbidden.into());
    }
    if stanza.weight_bytes() > registry.config.message_bytes_max {
        return Err(StanzaError::new(Condition::PolicyViolation)
            .text("this message is too large for this room")
            .into());
    }
    may_speak(&mut turn, from, &user)?;
    turn.has_room()?;
    if changes_subject {
        opening::accept(&mut turn).await?;
        if let Some(change) = subject::clean(&turn, from, stanza) {
            subject::change(&mut turn, from, change).await?;
        }
        turn.close(cx);
        return Ok(());
    }
    let (everybody, members) = (turn.held.everybody(), turn.held.belonging());
    let Some(one) = turn.held.at(from) else {
        return Ok(());
    };
    let mut event = RoomMessage {
        room: turn.held.view(),
        from: turn.held.who(one, Some(from)),
        stanza: clean(&turn, stanza).from(one.address.clone()),
        inside: everybody.clone(),
        members,
        also: Vec::new(),
    };
    event.stanza.append(&presence::occupant_id(&one.id));
    if event.stanza.id.is_none() {
        event.stanza.id = Some(random::token().into());
    }
    let router = turn.cx.router().clone();
    if router.raise(&mut event, &mut turn.cx).await? == Flow::Done {
        if turn.cx.fact::<SaidBefore>().is_some() {
            // Its sender does not know that everybody has it; nobody else needs it again.
            turn.send(event.stanza.to(from.clone()));
        }
        turn.close(cx);
        return Ok(());
    }
    opening::accept(&mut turn).await?;
    if turn.cx.fact::<HistoryChanged>().is_some() {
        turn.held.ring = None;
    }
    if mam::is_worth_in_room(&event.stanza) {
        history::remember(&mut turn, &event.stanza);
    }
    turn.send_all(event.stanza, everybody.clone());
    for stanza in event.also {
        turn.send_all(stanza, everybody.clone());
    }
    turn.close(cx);
    Ok(())
}

/// The message is in the archive already: its sender sends it again, not knowing.
struct SaidBefore;

/// Keeps what is said in the room's archive, and tells everybody its id there (XEP-0313 §3.5).
pub struct KeepInArchive(pub Arc<MessageArchives>);

impl On<RoomMessage> for KeepInArchive {
    async fn on(&self, event: &mut RoomMessage, cx: &mut Cx) -> Result<Flow, Fault> {
        if !event.room.config.is(&ARCHIVE) || !mam::is_worth_in_room(&event.stanza) {
            return Ok(Flow::Next);
        }
        let author = mam::Author {
            jid: event.from.jid.clone(),
            affiliation: event.from.affiliation.as_str(),
            role: event.from.role.as_str(),
        };
        let archived = self
            .0
            .put_in_room(&event.room.jid, &event.stanza, Some(&author), cx);
        match archived.await? {
            InRoom::Stored(id) => event.stanza.append(&mam::stanza_id(&event.room.jid, &id)),
            InRoom::SaidBefore(id) => {
                // What its author gets again is the same message under the same id (XEP-0359 §3).
                event.stanza.append(&mam::stanza_id(&event.room.jid, &id));
                cx.learn(SaidBefore);
                return Ok(Flow::Done);
            }
        }
        Ok(Flow::Next)
    }
}

/// Sends something to all occupants ([`super::api::Rooms::announce`]).
pub async fn announce(
    registry: &Arc<Registry>,
    room: &BareJid,
    mut stanza: Stanza,
    archive: bool,
    rows: impl FnOnce(&mut Cx) + Send,
    cx: &mut Cx,
) -> Result<Option<String>, Fault> {
    let held = registry.held(room, cx.router()).await?;
    let mut turn = RoomTurn::new(registry, held, cx);
    if stanza.from.is_none() {
        stanza.from = Some(room.clone().into());
    }
    if stanza.id.is_none() {
        stanza.id = Some(random::token().into());
    }
    rows(&mut turn.cx);
    let mut id = None;
    let is_kept = archive && stanza.kind == Kind::Message(MessageType::Groupchat);
    let archives = registry.archives.as_ref().filter(|_| is_kept);
    if let Some(archives) = archives.filter(|_| turn.held.config.is(&ARCHIVE)) {
        if let InRoom::Stored(given) = archives.put_in_room(room, &stanza, None, &mut turn.cx).await? {
            stanza.append(&mam::stanza_id(room, &given));
            id = Some(given);
        }
        history::remember(&mut turn, &stanza);
    }
    if turn.cx.fact::<HistoryChanged>().is_some() {
        turn.held.ring = None;
    }
    let everybody = turn.held.everybody();
    turn.send_all(stanza, everybody);
    turn.close(cx);
    Ok(id)
}
