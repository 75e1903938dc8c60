//! Nicknames: who may have which (§7.2.8, §7.10, §7.12), and changing them (§7.6).

use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid, nickname_key};
use kim_core::stanza::Stanza;
use smallvec::smallvec;

use super::fields::{Field, Shape};
use super::limits::Bucket;
use super::news::News;
use super::privileges::{Privilege, role_allows};
use super::room::{Looks, Occupant, RoomState, Seat};
use super::store::RoomChange;
use super::turn::RoomTurn;
use super::{presence, privacy, saved};

/// Nicknames are locked to those that members have reserved (§18.1).
pub const LOCKED: Field = Field::new(
    "{urn:kim:muc:0}roomconfig_locknicks",
    "Members must use their registered nickname",
    Shape::Boolean,
    &["0"],
);

/// The nickname under which somebody enters, and whether it is another than the one asked for (§7.10: "it SHOULD modify
/// the user's nickname").
pub fn on_entering(room: &RoomState, user: &BareJid, wanted: &str) -> Result<(Box<str>, bool), Fault> {
    let key = nickname_key(wanted).ok_or(Condition::JidMalformed)?;
    if room.config.is(&LOCKED)
        && let Some(reserved) = room.reserved_nick(user)
    {
        return Ok((reserved.into(), reserved != wanted));
    }
    free(room, user, &key, wanted)?;
    // Another session of the same user: one occupant, spelled as it is already.
    let known = room.occupants.get(key.as_str()).map(Occupant::nick);
    let nick = known.unwrap_or(wanted);
    Ok((nick.into(), nick != wanted))
}

/// §7.2.8: a nickname belongs to whoever is there under it, and to whoever has reserved it.
/// Nor may one be taken that people could take for it.
pub fn free(room: &RoomState, user: &BareJid, key: &str, nick: &str) -> Result<(), Fault> {
    let taken = room.occupants.get(key).is_some_and(|one| one.user != *user);
    if taken || room.is_reserved_from(key, user) {
        return Err(Condition::Conflict.into());
    }
    if room.is_lookalike(nick, user) {
        return Err(lookalike());
    }
    Ok(())
}

/// What somebody is told whose nickname looks like another's.
pub fn lookalike() -> Fault {
    StanzaError::new(Condition::Conflict)
        .text("this nickname looks like another person's in this room; choose another one")
        .into()
}

/// §7.6: presence to another nickname. All sessions of the occupant go along, for they are one occupant.
pub async fn change_nickname(
    turn: &mut RoomTurn,
    session: &Jid,
    wanted: &str,
    stanza: &Stanza,
) -> Result<(), Fault> {
    let presence = presence::clean(stanza, turn.registry.config.presence_bytes_max)?;
    let Some(old) = turn.held.seats.get(session).cloned() else {
        return Ok(());
    };
    let Some(one) = turn.held.occupants.get(&old) else {
        return Ok(());
    };
    if !role_allows(one.role, Privilege::ChangePresence) {
        return Err(Condition::Forbidden.into());
    }
    let user = one.user.clone();
    let new = nickname_key(wanted).ok_or(Condition::JidMalformed)?;
    let locked = turn.held.config.is(&LOCKED) && turn.held.reserved_nick(&user).is_some();
    if locked && turn.held.reserved_nick(&user) != Some(wanted) {
        // §7.6, "locked down"
        return Err(Condition::NotAcceptable.into());
    }
    free(&turn.held, &user, &new, wanted)?;
    let address = turn.held.jid.with_resource(wanted)?;
    super::speech::may_change_presence(turn, session)?;

    let news = News {
        codes: smallvec![303],
        new_nick: Some(wanted),
        ..News::default()
    };
    let joins = *new != *old && turn.held.occupants.contains_key(new.as_str());
    let sessions: Vec<Seat> = match turn.held.take_out(&old) {
        Some(mut one) => {
            let mine: Vec<Jid> = one.seats.iter().map(|seat| seat.jid.clone()).collect();
            let sees = privacy::sees_addresses(&turn.held.config, &one);
            let own_news = News {
                codes: smallvec![110, 303],
                ..news.clone()
            };
            let (full, veiled) = presence::gone_of(turn, &one, "", &own_news);
            let gone = if sees { full } else { veiled };
            let asked = stanza.id.as_deref().map(|id| (session, id));
            presence::send_own(turn, gone, mine.into(), asked);
            if privacy::is_broadcast(&turn.held.config, one.role) {
                let (full, veiled) = presence::gone_of(turn, &one, "", &news);
                let (see, do_not) = presence::audience(turn, &one.address);
                turn.send_all(full, see);
                turn.send_all(veiled, do_not);
            }
            let seats = std::mem::take(&mut one.seats);
            if !joins {
                let renamed = Occupant {
                    address,
                    looks: Looks::of(wanted),
                    speech: one.speech,
                    changes: one.changes,
                    ..fresh(&one)
                };
                turn.held.occupants.insert(new.as_str().into(), renamed);
            }
            seats.into_iter().collect()
        }
        None => return Ok(()),
    };
    for mut seat in sessions {
        if seat.jid == *session {
            seat.presence = presence.clone();
        }
        turn.held.sit(&new, seat);
    }
    saved::occupant(turn, &new).await?;
    presence::dress(turn, &new).await?;
    let news = News::default().answers(session, stanza);
    presence::tell(turn, &new, &news, &[], None);
    Ok(())
}

fn fresh(one: &Occupant) -> Occupant {
    Occupant {
        address: one.address.clone(),
        looks: one.looks.clone(),
        user: one.user.clone(),
        role: one.role,
        seats: smallvec![],
        id: one.id.clone(),
        shown: None,
        speech: Bucket::default(),
        changes: Bucket::default(),
    }
}

/// Availability within the room (§7.7): presence to one's own nickname.
pub async fn update(turn: &mut RoomTurn, session: &Jid, stanza: &Stanza) -> Result<(), Fault> {
    let presence = presence::clean(stanza, turn.registry.config.presence_bytes_max)?;
    super::speech::may_change_presence(turn, session)?;
    let Some(key) = turn.held.seats.get(session).cloned() else {
        return Ok(());
    };
    let seat = Seat {
        jid: session.clone(),
        presence,
    };
    turn.held.sit(&key, seat);
    saved::occupant(turn, &key).await?;
    presence::dress(turn, &key).await?;
    let news = News::default().answers(session, stanza);
    presence::tell(turn, &key, &news, &[], None);
    Ok(())
}

/// The rows of a session that has left.
pub fn forget(turn: &mut RoomTurn, session: &Jid) {
    let room = turn.held.jid.clone();
    turn.registry.stood_up(session, &room);
    turn.store(RoomChange::NoOccupant(room, session.clone()));
}
