//! Storing what a turn has changed.

use kim_core::error::Fault;
use kim_core::jid::BareJid;

use super::public::PublicRoom;
use super::store::RoomChange;
use super::turn::RoomTurn;
use super::{rows, settled};

/// The whole room, when it is made and when its settings change.
pub async fn room(turn: &mut RoomTurn) -> Result<(), Fault> {
    let row = rows::room_row(&turn.registry.seals, &turn.held).await?;
    let shown = row
        .listed
        .is_some()
        .then(|| PublicRoom::of(&turn.held.jid, &turn.held.config, &turn.registry.retention));
    let (registry, jid) = (turn.registry.clone(), turn.held.jid.clone());
    turn.store(RoomChange::Room(Box::new(row)));
    settled::once(&mut turn.cx, move |is_stored| {
        if is_stored {
            registry.public.put(&jid, shown);
        } else {
            registry.public.forget();
        }
    });
    Ok(())
}

/// The subject.
pub async fn subject(turn: &mut RoomTurn) -> Result<(), Fault> {
    let sealed = rows::sealed_subject(&turn.registry.seals, &turn.held).await?;
    let room = turn.held.jid.clone();
    turn.store(RoomChange::Subject(room, sealed));
    Ok(())
}

/// What somebody is.
pub async fn member(turn: &mut RoomTurn, jid: &BareJid) -> Result<(), Fault> {
    let change = rows::member_row(&turn.registry.seals, &turn.held, jid).await?;
    turn.store(change);
    Ok(())
}

/// The sessions of an occupant. Guests leave nothing: after a restart they are others.
pub async fn occupant(turn: &mut RoomTurn, key: &str) -> Result<(), Fault> {
    let Some(one) = turn.held.occupants.get(key) else {
        return Ok(());
    };
    if super::guests::is_guest(&one.user, turn.cx.router()) {
        turn.is_change = true;
        return Ok(());
    }
    let rows = rows::occupant_rows(&turn.registry.seals, &turn.held.jid, one).await?;
    for row in rows {
        turn.store(RoomChange::Occupant(Box::new(row)));
    }
    Ok(())
}
