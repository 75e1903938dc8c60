//! Ghosts (§18.1.2): occupants whose session is gone. After a crash everybody is still in the room, though not everybody
//! comes back. What the room sends to a missing session bounces; that is how the room learns of it. Then all ghosts of the
//! room leave at once with status 333, and their nicknames are free. The author of the message hears nothing of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::router::Router;

use super::news::News;
use super::room::{Occupant, Phase, RoomState};
use super::rooms::{HeldRoom, Registry};
use super::turn::RoomTurn;
use super::{leave, nick, presence};

/// Whether a session of this server does not exist any more. One that is ending is still there: its end is told when it comes.
/// For addresses elsewhere this cannot be known.
async fn is_gone(session: &Jid, router: &Arc<Router>) -> bool {
    if session.is_bare() || !router.destination(session.domain()).is_served() {
        return false;
    }
    let account = session.bare();
    let here = router.sessions().all_of(&account);
    if here.iter().any(|known| known.jid == *session) {
        return false;
    }
    let sessions = router.sessions_of(&account).await;
    !sessions.iter().any(|known| known.jid == *session)
}

/// An error came back from `session`. True if that session is gone; then it is not in the room any more.
pub async fn hear(
    registry: &Arc<Registry>,
    room: &BareJid,
    session: &Jid,
    cx: &mut Cx,
) -> Result<bool, Fault> {
    let router = cx.router().clone();
    if !is_gone(session, &router).await {
        return Ok(false);
    }
    if router.is_stopping() {
        // Everybody's session ends with the server, and everybody comes back.
        return Ok(true);
    }
    if let Some(held) = registry.hold(room, &router).await?
        && held.seats.contains_key(session)
    {
        remove(registry, held, cx).await?;
    }
    Ok(true)
}

/// The room without ghosts, if one of them sits under the nickname that is about to be written to.
pub async fn without(
    registry: &Arc<Registry>,
    held: HeldRoom,
    nick: &str,
    cx: &mut Cx,
) -> Result<HeldRoom, Fault> {
    let router = cx.router().clone();
    let seats = held
        .named(nick)
        .map(|one| one.seats.as_slice())
        .unwrap_or_default();
    let mut any_gone = false;
    for seat in seats {
        any_gone |= is_gone(&seat.jid, &router).await;
    }
    if !any_gone || router.is_stopping() {
        return Ok(held);
    }
    let room = held.jid.clone();
    remove(registry, held, cx).await?;
    registry.held(&room, &router).await
}

async fn all(room: &RoomState, router: &Arc<Router>) -> Vec<Jid> {
    let mut gone = Vec::new();
    for session in room.seats.keys() {
        if is_gone(session, router).await {
            gone.push(session.clone());
        }
    }
    gone
}

/// Takes all ghosts out before anybody is told, so that no ghost is told of another.
async fn remove(registry: &Arc<Registry>, held: HeldRoom, cx: &mut Cx) -> Result<(), Fault> {
    let mut sessions = all(&held, cx.router()).await;
    sessions.sort_unstable();
    let mut turn = RoomTurn::new(registry, held, cx);
    let mut gone: Vec<Occupant> = Vec::new();
    let mut changed: BTreeSet<Box<str>> = BTreeSet::new();
    for session in &sessions {
        let Some(key) = turn.held.seats.get(session).cloned() else {
            continue;
        };
        let seats = turn.held.occupants.get(&key).map_or(0, |one| one.seats.len());
        if seats > 1 {
            turn.held.stand_up(session);
            changed.insert(key);
        } else {
            gone.extend(turn.held.take_out(&key));
        }
        nick::forget(&mut turn, session);
    }
    for one in &gone {
        presence::tell_gone(&mut turn, one, "", &News::codes(&[333]), |_| ());
    }
    for key in changed {
        if turn.held.occupants.contains_key(&key) {
            // The presence of a session that is there takes the place of the one that showed.
            presence::dress(&mut turn, &key).await?;
            presence::tell(&mut turn, &key, &News::default(), &[], None);
        }
    }
    for one in &gone {
        if turn.held.phase == Phase::Destroyed {
            break;
        }
        leave::left(&mut turn, one).await?;
    }
    turn.close(cx);
    Ok(())
}
