//! Which version of the lists is in force is told to those alone who may see the lists (XEP-0463): who got to know a version
//! while they might not, could ask later what the lists were then.

use std::sync::Arc;

use kim_core::jid::Jid;

use super::news::News;
use super::privacy;
use super::room::{Occupant, RoomState};
use super::turn::RoomTurn;
use kim_core::stanza::Stanza;

/// Whether an occupant may see the lists.
pub fn sees(room: &RoomState, one: &Occupant) -> bool {
    privacy::may_see_members(&room.config, room.affiliation(&one.user), Some(one.role))
}

/// What stands in an occupant's own presence.
pub fn version(room: &RoomState, one: &Occupant) -> Box<str> {
    if sees(room, one) {
        room.lists.clone()
    } else {
        Box::default()
    }
}

/// Sends news to several; what only some may know to those alone.
pub fn send(turn: &mut RoomTurn, to: Arc<[Jid]>, news: &News<'_>, write: impl Fn(&News<'_>) -> Stanza) {
    if news.listed.is_empty() {
        turn.send_all(write(news), to);
        return;
    }
    let room = &turn.held;
    let (may, may_not): (Vec<Jid>, Vec<Jid>) = to
        .iter()
        .cloned()
        .partition(|session| room.at(session).is_some_and(|one| sees(room, one)));
    turn.send_all(write(news), may.into());
    let plain = News {
        listed: "",
        ..news.clone()
    };
    turn.send_all(write(&plain), may_not.into());
}
