//! Leaving a room (§7.14): by one's own will, with one's session, or because nothing reaches one any more (§18.1.2).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::stanza::Stanza;

use super::events::OccupantsChanged;
use super::news::News;
use super::room::{Occupant, Phase};
use super::rooms::Registry;
use super::turn::RoomTurn;
use super::{destroy, life, nick, presence, privacy};

/// One session leaves. The occupant stays while there are others of the same user.
pub async fn leave(
    registry: &Arc<Registry>,
    room: &BareJid,
    session: &Jid,
    stanza: Option<&Stanza>,
    news: News<'static>,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let Some(held) = registry.hold(room, cx.router()).await? else {
        return Ok(());
    };
    let mut turn = RoomTurn::new(registry, held, cx);
    let Some(key) = turn.held.seats.get(session).cloned() else {
        // §17.3: "silently ignore"
        return Ok(());
    };
    let bytes_max = registry.config.presence_bytes_max;
    let said = stanza
        .map(|stanza| presence::said(stanza, bytes_max))
        .unwrap_or_default();
    let last = turn
        .held
        .occupants
        .get(&key)
        .is_some_and(|one| one.seats.len() <= 1);
    if last {
        if let Some(one) = turn.held.take_out(&key) {
            nick::forget(&mut turn, session);
            let news = match stanza {
                Some(stanza) => news.answers(session, stanza),
                None => news,
            };
            presence::tell_gone(&mut turn, &one, &said, &news, |_| ());
            left(&mut turn, &one).await?;
        }
    } else {
        let sees = turn
            .held
            .at(session)
            .is_some_and(|one| privacy::sees_addresses(&turn.held.config, one));
        let (full, veiled) = presence::gone(&turn, &key, &said, &News::codes(&[110]));
        let mut own = if sees { full } else { veiled };
        own.to = Some(session.clone());
        own.id = stanza.and_then(|stanza| stanza.id.clone());
        let spoke = turn
            .held
            .occupants
            .get(&key)
            .and_then(|one| one.seats.last())
            .is_some_and(|seat| seat.jid == *session);
        turn.held.stand_up(session);
        nick::forget(&mut turn, session);
        turn.send(own);
        if spoke {
            // Another session's presence is now the occupant's.
            presence::dress(&mut turn, &key).await?;
            presence::tell(&mut turn, &key, &News::default(), &[], None);
        }
    }
    turn.close(cx);
    Ok(())
}

/// What follows when an occupant has left in whatever way: a temporary room goes with its last one, and so does a room that
/// was never configured with the one who made it (§7.14, §10.1.3).
pub async fn left(turn: &mut RoomTurn, one: &Occupant) -> Result<(), Fault> {
    let mut event = OccupantsChanged {
        room: turn.held.view(),
        who: turn.held.who(one, None),
        is_there: false,
        occupants: turn.held.occupants.len(),
    };
    let router = turn.cx.router().clone();
    router.tell(&mut event, &mut turn.cx).await?;
    if !turn.held.occupants.is_empty() {
        return Ok(());
    }
    let unconfigured = turn.held.is_locked(turn.cx.received);
    if unconfigured || !turn.held.config.is(&life::PERSISTENT) {
        destroy::bury(turn).await?;
    }
    Ok(())
}

/// Removes those whose session is not there any more: after a restart some never come back. Told with 333 (§11.1).
pub async fn sweep(registry: &Arc<Registry>, room: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
    let router = cx.router().clone();
    let Some(held) = registry.hold(room, &router).await? else {
        return Ok(());
    };
    let mut absent: Vec<Jid> = Vec::new();
    for session in held.seats.keys() {
        let is_ours = router.destination(session.domain()).is_served();
        if is_ours
            && !router
                .sessions_of(&session.bare())
                .await
                .iter()
                .any(|known| known.jid == *session)
        {
            absent.push(session.clone());
        }
    }
    let is_empty = held.occupants.is_empty();
    let is_temporary =
        !held.config.is(&life::PERSISTENT) && matches!(held.phase, Phase::Open | Phase::Locked { .. });
    if is_empty && is_temporary {
        let mut turn = RoomTurn::new(registry, held, cx);
        destroy::bury(&mut turn).await?;
        turn.close(cx);
        return Ok(());
    }
    drop(held);
    for session in absent {
        leave(registry, room, &session, None, News::codes(&[333]), cx).await?;
    }
    Ok(())
}
