//! The end of a room (§10.9): by its owner, because it was temporary, or because nobody owns it any more.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::jid::Jid;
use kim_core::module::Reply;
use kim_core::stanza::{Kind, PresenceType, Stanza};
use kim_core::wire::{El, Writer};

use super::events::RoomDestroyed;
use super::fields::write_text;
use super::names::{OWNER, USER};
use super::room::Phase;
use super::rooms::{HeldRoom, Registry};
use super::store::RoomChange;
use super::turn::RoomTurn;

/// What those who are put out are told.
#[derive(Default)]
pub struct DestroyNotice {
    /// Where to go instead.
    pub venue: Option<Jid>,
    /// The password there.
    pub password: String,
    /// Why.
    pub reason: String,
}

impl DestroyNotice {
    fn read(destroy: El<'_>) -> Result<DestroyNotice, Fault> {
        let text = |name| {
            destroy
                .child(name, OWNER)
                .map(|child| child.text().into_owned())
                .unwrap_or_default()
        };
        let venue = destroy.attr("jid").filter(|jid| !jid.is_empty());
        Ok(DestroyNotice {
            venue: venue.map(|jid| Jid::parse(&jid)).transpose()?,
            password: text("password"),
            reason: text("reason"),
        })
    }
}

/// An owner's request.
pub async fn by_owner(
    registry: &Arc<Registry>,
    held: HeldRoom,
    destroy: El<'_>,
    cx: &mut Cx,
) -> Result<Reply, Fault> {
    let farewell = DestroyNotice::read(destroy)?;
    if farewell.reason.len() > registry.config.message_bytes_max {
        return Err(Condition::NotAcceptable.into());
    }
    let mut turn = RoomTurn::new(registry, held, cx);
    put_out(&mut turn, &farewell).await?;
    turn.close(cx);
    Ok(Reply::Empty)
}

/// Puts everybody out, each told once and of themselves alone, and ends the room.
pub async fn put_out(turn: &mut RoomTurn, farewell: &DestroyNotice) -> Result<(), Fault> {
    let mut xml = Writer::new();
    xml.start("x", USER);
    xml.start("item", USER)
        .attr("affiliation", "none")
        .attr("role", "none")
        .end();
    xml.start("destroy", USER);
    if let Some(venue) = &farewell.venue {
        xml.attr("jid", venue.as_str());
    }
    write_text(&mut xml, "password", USER, &farewell.password);
    write_text(&mut xml, "reason", USER, &farewell.reason);
    xml.end();
    xml.start("status", USER).attr("code", "110").end();
    let xml = xml.finish_string();
    let keys: Vec<Box<str>> = turn.held.occupants.keys().cloned().collect();
    for key in keys {
        let Some(one) = turn.held.take_out(&key) else {
            continue;
        };
        let sessions: Arc<[Jid]> = one.seats.iter().map(|seat| seat.jid.clone()).collect();
        for session in sessions.iter() {
            let room = turn.held.jid.clone();
            turn.registry.stood_up(session, &room);
        }
        let gone = Stanza::new(Kind::Presence(PresenceType::Unavailable), &xml);
        turn.send_all(gone.from(one.address), sessions);
    }
    bury(turn).await
}

/// Ends a room in which nobody is: its rows go, its archive and its key.
pub async fn bury(turn: &mut RoomTurn) -> Result<(), Fault> {
    if turn.held.phase == Phase::Destroyed {
        return Ok(());
    }
    let room = turn.held.jid.clone();
    let mut event = RoomDestroyed { room: room.clone() };
    let router = turn.cx.router().clone();
    router.tell(&mut event, &mut turn.cx).await?;
    turn.store(RoomChange::Gone(room));
    turn.held.phase = Phase::Destroyed;
    let (registry, room) = (turn.registry.clone(), turn.held.room.clone());
    turn.then(move |done| {
        if done {
            registry.bury(&room);
        } else {
            registry.forget_failed(&room);
        }
    });
    tracing::info!(event = "room_destroyed", room = %turn.held.jid);
    Ok(())
}
