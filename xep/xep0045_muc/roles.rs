//! Roles: kicking (§8.2), voice (§8.3, §8.4), moderators (§9.6, §9.7).

use kim_core::error::{Condition, Fault};
use smallvec::smallvec;

use super::news::News;
use super::privileges::{ChangeDenied, Role};
use super::turn::RoomTurn;
use super::{leave, nick, presence, saved};

/// What is refused, as a stanza error.
pub fn fault(denied: ChangeDenied) -> Fault {
    match denied {
        ChangeDenied::Forbidden => Condition::Forbidden,
        ChangeDenied::NotAllowed => Condition::NotAllowed,
        ChangeDenied::Conflict => Condition::Conflict,
    }
    .into()
}

/// Gives an occupant a role that is one.
pub async fn give(
    turn: &mut RoomTurn,
    key: &str,
    role: Role,
    actor: &str,
    reason: &str,
) -> Result<(), Fault> {
    let Some(one) = turn.held.occupants.get_mut(key) else {
        return Ok(());
    };
    let was = std::mem::replace(&mut one.role, role);
    saved::occupant(turn, key).await?;
    presence::dress(turn, key).await?;
    let beside = std::mem::take(&mut turn.beside);
    let news = News {
        listed: &beside,
        actor: Some(actor).filter(|actor| !actor.is_empty()),
        reason,
        ..News::default()
    };
    presence::tell(turn, key, &news, &[], Some(was));
    if (was == Role::Moderator) != (role == Role::Moderator) {
        show_addresses(turn, key).await?;
    }
    Ok(())
}

/// In a semi-anonymous room a new moderator is shown real addresses, of the occupants whose presence the room broadcasts.
async fn show_addresses(turn: &mut RoomTurn, key: &str) -> Result<(), Fault> {
    let config = turn.held.config.clone();
    let Some(observer) = turn.held.occupants.get(key) else {
        return Ok(());
    };
    if observer.role != Role::Moderator || super::privacy::is_non_anonymous(&config) {
        return Ok(());
    }
    let sessions: std::sync::Arc<[_]> = observer.seats.iter().map(|seat| seat.jid.clone()).collect();
    let seen: Vec<_> = turn
        .held
        .occupants
        .iter()
        .filter(|(other, one)| ***other != *key && super::privacy::is_broadcast(&config, one.role))
        .filter_map(|(other, _)| presence::as_seen_by(turn, other, observer))
        .collect();
    for presence in seen {
        turn.send_all(presence, sessions.clone());
    }
    Ok(())
}

/// Why an occupant is put out.
pub struct Removal<'a> {
    /// 301, 307, 321, 322, 333.
    pub code: u16,
    /// By whom.
    pub actor: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// Puts an occupant out with all sessions: told to them first; `between` comes before the others hear of it (§8.2).
pub async fn remove(
    turn: &mut RoomTurn,
    key: &str,
    removal: &Removal<'_>,
    between: impl FnOnce(&mut RoomTurn),
) -> Result<(), Fault> {
    let Some(one) = turn.held.take_out(key) else {
        return Ok(());
    };
    for seat in &one.seats {
        nick::forget(turn, &seat.jid);
    }
    let beside = std::mem::take(&mut turn.beside);
    let news = News {
        listed: &beside,
        codes: smallvec![removal.code],
        actor: Some(removal.actor).filter(|actor| !actor.is_empty()),
        reason: removal.reason,
        ..News::default()
    };
    presence::tell_gone(turn, &one, "", &news, between);
    leave::left(turn, &one).await
}
