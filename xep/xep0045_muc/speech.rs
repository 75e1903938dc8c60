//! What occupants may send, and how much of it (§14.6).

use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::stanza::Stanza;

use super::turn::RoomTurn;
use super::{forged, guests};

/// Takes out the addressee and all that only the room may say.
pub fn clean(turn: &RoomTurn, stanza: &Stanza) -> Stanza {
    let room = turn.held.jid.as_str();
    let mut clean = stanza.clone();
    clean.remove(|child| forged::is_forged(child, room));
    clean.to = None;
    clean
}

fn too_fast() -> Fault {
    StanzaError::new(Condition::PolicyViolation)
        .kind(ErrorType::Wait)
        .text("you are too fast for this room")
        .into()
}

/// Takes one message from what an occupant may say.
pub fn may_speak(turn: &mut RoomTurn, session: &Jid, user: &BareJid) -> Result<(), Fault> {
    let config = &turn.registry.config;
    let is_guest = guests::is_guest(user, turn.cx.router());
    let rate = turn
        .registry
        .rate(config.messages_per_second, config.messages_burst, is_guest);
    let now = turn.cx.received;
    let may = turn
        .held
        .at_mut(session)
        .is_none_or(|one| one.speech.take(rate, now));
    if may { Ok(()) } else { Err(too_fast()) }
}

/// Takes one change of presence.
pub fn may_change_presence(turn: &mut RoomTurn, session: &Jid) -> Result<(), Fault> {
    let config = &turn.registry.config;
    let is_guest = guests::is_guest(&session.bare(), turn.cx.router());
    let rate = turn
        .registry
        .rate(config.presences_per_second, config.presences_burst, is_guest);
    let now = turn.cx.received;
    let may = turn
        .held
        .at_mut(session)
        .is_none_or(|one| one.changes.take(rate, now));
    if may { Ok(()) } else { Err(too_fast()) }
}
