//! Entering a room (§7.2), making one by entering it (§10.1), and coming again after losing track (§17.3).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid, nickname_key};
use kim_core::stanza::{Kind, PresenceType, Stanza};
use kim_core::wire::Writer;
use smallvec::{SmallVec, smallvec};

use super::admission::{MEMBERS_ONLY, OCCUPANTS_MAX, PASSWORD_PROTECTED};
use super::events::{Entering, Lists, OccupantsChanged, Welcoming};
use super::fields::RoomConfig;
use super::limits::Bucket;
use super::names::{MUC, USER};
use super::news::News;
use super::privileges::{Affiliation, Right, Role, affiliation_allows, role_on_entering};
use super::room::{Looks, Member, Occupant, Phase, Seat};
use super::rooms::{HeldRoom, Registry};
use super::turn::RoomTurn;
use super::{
    affiliations, guests, history, listed, nick, opening, passwords, presence, privacy, saved, speech,
    subject,
};

/// Admins and owners find a place in a full room (§7.2.9).
const EXTRA_OCCUPANTS_MAX: usize = 20;
/// Attempts to find or make a room that others make and leave at the same moment.
const TRIES_MAX: usize = 5;
/// Sessions of one user in one room.
const SEATS_MAX: usize = 20;

/// Somebody who asks to enter.
struct Guest<'a> {
    from: &'a Jid,
    user: BareJid,
    is_guest: bool,
    stanza: &'a Stanza,
    nick: &'a str,
}

/// Presence with the `<x/>` of those who enter.
pub async fn enter(
    registry: &Arc<Registry>,
    from: &Jid,
    to: &Jid,
    stanza: &Stanza,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let room = to.bare();
    // §7.2.1: no nickname.
    let nick = to.resource().ok_or(Condition::JidMalformed)?;
    let router = cx.router().clone();
    let user = from.bare();
    let asking = Guest {
        is_guest: guests::is_guest(&user, &router),
        user,
        from,
        stanza,
        nick,
    };
    let Some(held) = find_or_make(registry, &room, &asking, cx).await? else {
        return Ok(());
    };
    let mut turn = RoomTurn::new(registry, held, cx);
    if turn.held.at(from).is_some() {
        again(&mut turn, &asking).await?;
        turn.close(cx);
        return Ok(());
    }
    turn.has_room()?;
    come_in(&mut turn, &asking, cx).await?;
    turn.close(cx);
    Ok(())
}

// ——— making a room ———

/// The room, held; `None` if there was none and it has been made and entered.
async fn find_or_make(
    registry: &Arc<Registry>,
    room: &BareJid,
    asking: &Guest<'_>,
    cx: &mut Cx,
) -> Result<Option<HeldRoom>, Fault> {
    let router = cx.router().clone();
    for _ in 0..TRIES_MAX {
        if let Some(held) = registry.hold(room, &router).await? {
            return Ok(Some(held));
        }
        if make(registry, room, asking, cx).await? {
            return Ok(None);
        }
        // Somebody else was faster.
    }
    Err(Condition::ResourceConstraint.into())
}

/// Makes a room with its owner in it; `false` if it is there by now.
async fn make(
    registry: &Arc<Registry>,
    room: &BareJid,
    asking: &Guest<'_>,
    cx: &mut Cx,
) -> Result<bool, Fault> {
    if asking.is_guest || room.local().is_none() {
        // §10.1.1; guests may only enter what is there.
        return Err(Condition::NotAllowed.into());
    }
    // An account makes one room at a time, and holds this until the room is stored. Otherwise a burst would not be counted.
    let making = registry.makers.hold_owned(&asking.user).await;
    if registry.store.created_by(&asking.user).await? >= registry.config.rooms_per_account_max {
        return Err(StanzaError::new(Condition::ResourceConstraint)
            .kind(ErrorType::Wait)
            .text("you have reached the maximum number of rooms; destroy one of yours first")
            .into());
    }
    presence::clean(asking.stanza, registry.config.presence_bytes_max)?;
    nickname_key(asking.nick).ok_or(Condition::JidMalformed)?;
    let now = cx.router().clock().now();
    let Some(held) = registry.make(room, &asking.user, now).await? else {
        return Ok(false);
    };
    let mut turn = RoomTurn::new(registry, held, cx);
    if let Err(fault) = become_owner(&mut turn, asking).await {
        turn.is_change = true;
        return Err(fault);
    }
    turn.then(move |_| drop(making));
    turn.close(cx);
    Ok(true)
}

/// §10.1.1: the creator owns the room. Until it is configured it is in no list, but others may enter by its address: some
/// clients never configure the rooms they create, and invite people at once.
async fn become_owner(turn: &mut RoomTurn, asking: &Guest<'_>) -> Result<(), Fault> {
    let owner = Member {
        affiliation: Affiliation::Owner,
        since: turn.cx.received.0,
        nick: None,
        reason: None,
    };
    turn.held.set_member(&asking.user, Some(owner));
    saved::room(turn).await?;
    saved::member(turn, &asking.user.clone()).await?;
    let mut codes = warnings(&turn.registry, &turn.held.config);
    codes.push(201);
    sit_down(turn, asking, Role::Moderator, asking.nick, &codes).await
}

// ——— entering ———

async fn come_in(turn: &mut RoomTurn, asking: &Guest<'_>, cx: &mut Cx) -> Result<(), Fault> {
    let now = turn.cx.received;
    let mut event = Entering {
        room: turn.held.view(),
        stanza: asking.stanza.clone(),
        from: asking.from.clone(),
        affiliation: turn.held.affiliation(&asking.user),
        is_guest: asking.is_guest,
        lists: Lists(turn.held.members.clone()),
    };
    let router = turn.cx.router().clone();
    router.raise(&mut event, &mut turn.cx).await?;
    let affiliation = event.affiliation;
    drop(event);
    if turn.held.is_locked(now) && asking.is_guest {
        // §7.2.10
        return Err(Condition::ItemNotFound.into());
    }
    let config = turn.held.config.clone();
    let members_only = config.is(&MEMBERS_ONLY);
    let role = role_on_entering(affiliation, config.is(&super::admission::MODERATED), members_only);
    let Some(role) = role else {
        // §7.2.6, §7.2.7
        return Err(if affiliation == Affiliation::Outcast {
            Condition::Forbidden
        } else {
            Condition::RegistrationRequired
        }
        .into());
    };
    if asking.is_guest {
        guests::may_enter(&config)?;
    }
    check_password(turn, asking, affiliation, cx)?;
    check_places(turn, asking, affiliation)?;
    presence::clean(asking.stanza, turn.registry.config.presence_bytes_max)?;
    let (name, rewritten) = nick::on_entering(&turn.held, &asking.user, asking.nick)?;
    // Nothing refuses any more.
    if matches!(turn.held.phase, Phase::Locked { .. }) && !turn.held.is_locked(now) {
        opening::open(turn).await?;
    }
    if affiliation != turn.held.affiliation(&asking.user) {
        affiliations::put(turn, &asking.user, affiliation, None, None).await?;
        if !privacy::is_broadcast(&config, role) {
            affiliations::announce(turn, &asking.user, affiliation, "", listed::sees);
        }
    }
    let mut codes = warnings(&turn.registry, &config);
    if rewritten {
        codes.push(210);
    }
    sit_down(turn, asking, role, &name, &codes).await
}

/// The codes that warn a new occupant (§7.2.3, §7.2.12).
fn warnings(registry: &Registry, config: &RoomConfig) -> SmallVec<[u16; 4]> {
    let mut codes = smallvec![];
    if privacy::is_non_anonymous(config) {
        codes.push(100);
    }
    if registry.is_kept(config) {
        codes.push(170);
    }
    codes
}

fn check_password(
    turn: &RoomTurn,
    asking: &Guest<'_>,
    affiliation: Affiliation,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let config = &turn.held.config;
    if !config.is(&PASSWORD_PROTECTED) || affiliation_allows(affiliation, Right::Own) {
        return Ok(());
    }
    let given = [MUC, USER].into_iter().find_map(|ns| {
        let x = asking.stanza.child("x", ns)?;
        Some(x.child("password", ns)?.text().into_owned())
    });
    passwords::check(
        &turn.registry.guesses,
        &turn.held,
        &asking.user,
        given.as_deref(),
        cx,
    )
}

fn check_places(turn: &RoomTurn, asking: &Guest<'_>, affiliation: Affiliation) -> Result<(), Fault> {
    let room = &turn.held;
    let of_service = turn.registry.config.occupants_max;
    let own = room.config.number(&OCCUPANTS_MAX);
    let mut max = if own == 0 { of_service } else { own.min(of_service) };
    if affiliation_allows(affiliation, Right::Administer) {
        max += EXTRA_OCCUPANTS_MAX;
    }
    let keys = room.keys_of(&asking.user);
    let seats: usize = keys
        .iter()
        .filter_map(|key| room.occupants.get(key))
        .map(|one| one.seats.len())
        .sum();
    if keys.is_empty() && room.occupants.len() >= max || seats >= SEATS_MAX {
        // §7.2.9
        return Err(StanzaError::new(Condition::ServiceUnavailable)
            .kind(ErrorType::Wait)
            .into());
    }
    Ok(())
}

/// Everything in the order of §7.1: the others' presence, one's own, history, subject. What is said from then on comes
/// behind it in the room's order.
async fn sit_down(
    turn: &mut RoomTurn,
    asking: &Guest<'_>,
    role: Role,
    nick: &str,
    codes: &[u16],
) -> Result<(), Fault> {
    let address = turn.held.jid.with_resource(nick)?;
    let key = nickname_key(nick).ok_or(Condition::JidMalformed)?;
    let bytes_max = turn.registry.config.presence_bytes_max;
    let seat = Seat {
        jid: asking.from.clone(),
        presence: presence::clean(asking.stanza, bytes_max)?,
    };
    history::prepare(turn).await?;
    let is_new = !turn.held.occupants.contains_key(key.as_str());
    if is_new {
        let one = Occupant {
            address,
            looks: Looks::of(nick),
            user: asking.user.clone(),
            role,
            seats: smallvec![],
            id: turn.held.occupant_id(&asking.user),
            shown: None,
            speech: Bucket::default(),
            changes: Bucket::default(),
        };
        turn.held.occupants.insert(key.as_str().into(), one);
    }
    turn.held.sit(&key, seat);
    let room = turn.held.jid.clone();
    turn.registry.sat_down(asking.from, &room);
    saved::occupant(turn, &key).await?;
    presence::dress(turn, &key).await?;
    welcome(turn, &key, asking, codes).await?;
    if is_new && let Some(one) = turn.held.occupants.get(key.as_str()) {
        let mut event = OccupantsChanged {
            room: turn.held.view(),
            who: turn.held.who(one, Some(asking.from)),
            is_there: true,
            occupants: turn.held.occupants.len(),
        };
        let router = turn.cx.router().clone();
        router.tell(&mut event, &mut turn.cx).await?;
    }
    Ok(())
}

/// What a session is sent that enters or has lost track, and what the others see of it.
async fn welcome(turn: &mut RoomTurn, key: &str, asking: &Guest<'_>, codes: &[u16]) -> Result<(), Fault> {
    ahead(turn, key, asking).await?;
    everybody_else(turn, key, asking.from).await?;
    let beside = std::mem::take(&mut turn.beside);
    let news = News {
        listed: &beside,
        ..News::default()
    };
    presence::tell_others(turn, key, &news, None);
    let Some(one) = turn.held.occupants.get(key) else {
        return Ok(());
    };
    let others: Arc<[Jid]> = one
        .seats
        .iter()
        .filter(|seat| seat.jid != *asking.from)
        .map(|seat| seat.jid.clone())
        .collect();
    if let Some(seen) = presence::as_seen_by(turn, key, one) {
        let listed = listed::version(&turn.held, one);
        let own = presence::own(&seen, codes, &listed);
        let mut reply = own.clone().to(asking.from.clone());
        // "For tracking purposes" (§7.2.2).
        reply.id = asking.stanza.id.clone();
        turn.send_all(presence::own(&seen, &[], &listed), others);
        turn.send(reply);
    }
    let asked = asking
        .stanza
        .child("x", MUC)
        .and_then(|x| x.child("history", MUC));
    for past in history::for_newcomer(turn, asked)? {
        turn.send(past.to(asking.from.clone()));
    }
    let subject = subject::for_newcomer(turn);
    turn.send(subject.to(asking.from.clone()));
    Ok(())
}

/// What other modules send ahead of all presence.
async fn ahead(turn: &mut RoomTurn, key: &str, asking: &Guest<'_>) -> Result<(), Fault> {
    let Some(one) = turn.held.occupants.get(key) else {
        return Ok(());
    };
    let who = turn.held.who(one, Some(asking.from));
    let mut event = Welcoming {
        room: turn.held.view(),
        stanza: asking.stanza.clone(),
        sees_lists: listed::sees(&turn.held, one),
        who,
        lists: Lists(turn.held.members.clone()),
        ahead: Vec::new(),
        own: String::new(),
    };
    let router = turn.cx.router().clone();
    router.raise(&mut event, &mut turn.cx).await?;
    for stanza in event.ahead {
        turn.send(stanza.from(turn.held.jid.clone()).to(asking.from.clone()));
    }
    if !event.own.is_empty() {
        turn.held.lists = event.own.into();
    }
    Ok(())
}

async fn everybody_else(turn: &mut RoomTurn, key: &str, session: &Jid) -> Result<(), Fault> {
    // After a restart nobody's presence is put together yet.
    let bare: Vec<Box<str>> = turn
        .held
        .occupants
        .iter()
        .filter(|(_, one)| one.shown.is_none())
        .map(|(key, _)| key.clone())
        .collect();
    for key in bare {
        presence::dress(turn, &key).await?;
    }
    let config = turn.held.config.clone();
    let Some(observer) = turn.held.occupants.get(key) else {
        return Ok(());
    };
    let seen: Vec<Stanza> = turn
        .held
        .occupants
        .iter()
        .filter(|(other, one)| ***other != *key && privacy::is_broadcast(&config, one.role))
        .filter_map(|(other, _)| presence::as_seen_by(turn, other, observer))
        .collect();
    for presence in seen {
        turn.send(presence.to(session.clone()));
    }
    Ok(())
}

/// §17.3: everything again for a session that is in the room; with another nickname it is a change of nickname.
async fn again(turn: &mut RoomTurn, asking: &Guest<'_>) -> Result<(), Fault> {
    let Some(key) = turn.held.seats.get(asking.from).cloned() else {
        return Ok(());
    };
    let wanted = nickname_key(asking.nick).ok_or(Condition::JidMalformed)?;
    if *wanted != *key {
        return nick::change_nickname(turn, asking.from, asking.nick, asking.stanza).await;
    }
    let presence = presence::clean(asking.stanza, turn.registry.config.presence_bytes_max)?;
    // Everything again costs more than any other presence.
    speech::may_change_presence(turn, asking.from)?;
    history::prepare(turn).await?;
    turn.held.sit(
        &key,
        Seat {
            jid: asking.from.clone(),
            presence,
        },
    );
    saved::occupant(turn, &key).await?;
    presence::dress(turn, &key).await?;
    let codes = warnings(&turn.registry, &turn.held.config);
    welcome(turn, &key, asking, &codes).await
}

/// §7.2.18: presence without the `<x/>` from a session that is not in the room is the presence of one that has lost it
/// without knowing.
pub fn lost(from: &Jid, to: &Jid, stanza: &Stanza, cx: &mut Cx) {
    let mut xml = Writer::new();
    xml.start("x", USER);
    xml.start("item", USER)
        .attr("affiliation", "none")
        .attr("role", "none")
        .end();
    for code in ["110", "307", "333"] {
        xml.start("status", USER).attr("code", code).end();
    }
    xml.end();
    let mut kicked = Stanza::new(Kind::Presence(PresenceType::Unavailable), &xml.finish_string());
    kicked.id = stanza.id.clone();
    cx.send(kicked.from(to.clone()).to(from.clone()));
}
