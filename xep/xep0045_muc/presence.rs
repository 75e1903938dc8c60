//! Presence as a room tells it: what the occupant's client said, and in one `<x/>` what the room knows (§7.2.2, §17.3).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::stanza::{Kind, PresenceType, Stanza};
use kim_core::wire::{El, Writer};
use smallvec::SmallVec;

use super::events::OccupantPresence;
use super::fields::write_text;
use super::names::{OCCUPANT_ID, USER};
use super::news::News;
use super::privileges::{Affiliation, Role};
use super::room::{Occupant, Shown};
use super::rooms::Registry;
use super::turn::RoomTurn;
use super::{forged, listed, privacy};

/// Text of a `<status/>` in rooms, in bytes (§14.6: "using long nicknames to route around lack of voice" holds for it too).
const STATUS_BYTES_MAX: usize = 1_024;

/// What a client sent, without what only rooms say (§17.3) and what only they need.
pub fn clean(stanza: &Stanza, bytes_max: usize) -> Result<Stanza, Fault> {
    let mut presence = stanza.clone();
    let room = stanza.to.as_ref().map_or("", Jid::bare_str);
    presence.remove(|child| {
        forged::is_forged(child, room)
            || (child.is("status", ns::CLIENT) && child.text().len() > STATUS_BYTES_MAX)
    });
    presence.from = None;
    presence.to = None;
    presence.id = None;
    if presence.weight_bytes() > bytes_max {
        return Err(StanzaError::new(Condition::PolicyViolation)
            .text("this presence is too large for this room")
            .into());
    }
    Ok(presence)
}

fn item(xml: &mut Writer, affiliation: Affiliation, role: Role, jid: Option<&Jid>, news: &News<'_>) {
    xml.start("x", USER).start("item", USER);
    xml.attr("affiliation", affiliation.as_str())
        .attr("role", role.as_str());
    if let Some(jid) = jid {
        xml.attr("jid", jid.as_str());
    }
    if let Some(nick) = news.new_nick {
        xml.attr("nick", nick);
    }
    if let Some(actor) = news.actor {
        xml.start("actor", USER).attr("nick", actor).end();
    }
    write_text(xml, "reason", USER, news.reason);
    xml.end();
    xml.raw(news.listed);
    for code in &news.codes {
        xml.start("status", USER).attr("code", &code.to_string()).end();
    }
    xml.end();
}

fn children(stanza: &Stanza) -> String {
    stanza
        .children()
        .map(|child: El<'_>| child.xml().to_owned())
        .collect()
}

/// `<occupant-id/>` (XEP-0421 §3).
pub fn occupant_id(id: &str) -> String {
    let mut xml = Writer::new();
    xml.start("occupant-id", OCCUPANT_ID).attr("id", id).end();
    xml.finish_string()
}

/// A presence from an occupant.
struct Telling<'a> {
    one: &'a Occupant,
    affiliation: Affiliation,
    /// What the client said.
    said: &'a str,
    /// What other modules add.
    extra: &'a str,
}

impl<'a> Telling<'a> {
    /// From one who leaves.
    fn gone(one: &'a Occupant, affiliation: Affiliation, said: &'a str) -> Telling<'a> {
        Telling {
            one,
            affiliation,
            said,
            extra: "",
        }
    }

    fn write(&self, kind: PresenceType, role: Role, jid: Option<&Jid>, news: &News<'_>) -> Stanza {
        let mut xml = Writer::new();
        item(&mut xml, self.affiliation, role, jid, news);
        let payload = [
            self.said,
            &xml.finish_string(),
            &occupant_id(&self.one.id),
            self.extra,
        ]
        .concat();
        Stanza::new(Kind::Presence(kind), &payload).from(self.one.address.clone())
    }
}

/// Puts an occupant's presence together anew: what others see, and what other modules add to it.
pub async fn dress(turn: &mut RoomTurn, key: &str) -> Result<(), Fault> {
    let Some(one) = turn.held.occupants.get(key) else {
        return Ok(());
    };
    let Some(seat) = one.seats.last() else {
        return Ok(());
    };
    let mut event = OccupantPresence {
        room: turn.held.view(),
        who: turn.held.who(one, Some(&seat.jid)),
        presence: seat.presence.clone(),
        extra: String::new(),
    };
    let router = turn.cx.router().clone();
    router.raise(&mut event, &mut turn.cx).await?;
    let Some(one) = turn.held.occupants.get(key) else {
        return Ok(());
    };
    let telling = Telling {
        one,
        affiliation: event.who.affiliation,
        said: &children(&event.presence),
        extra: &event.extra,
    };
    let news = News::default();
    let available = PresenceType::Available;
    let shown = Shown {
        full: telling.write(available, one.role, Some(&event.who.jid), &news),
        veiled: telling.write(available, one.role, None, &news),
    };
    if let Some(one) = turn.held.occupants.get_mut(key) {
        one.shown = Some(Box::new(shown));
    }
    Ok(())
}

/// The presence of an occupant as another one sees it.
pub fn as_seen_by(turn: &RoomTurn, key: &str, observer: &Occupant) -> Option<Stanza> {
    let shown = turn.held.occupants.get(key)?.shown.as_ref()?;
    let sees = privacy::sees_addresses(&turn.held.config, observer);
    Some(if sees {
        shown.full.clone()
    } else {
        shown.veiled.clone()
    })
}

/// The same with what else it tells.
fn with_news(stanza: &Stanza, news: &News<'_>) -> Stanza {
    if news.listed.is_empty()
        && news.codes.is_empty()
        && news.actor.is_none()
        && news.reason.is_empty()
        && news.new_nick.is_none()
    {
        return stanza.clone();
    }
    let mut payload = String::new();
    for child in stanza.children() {
        if !child.is("x", USER) {
            payload.push_str(child.xml());
            continue;
        }
        let known = child.child("item", USER);
        let attr = |name| known.and_then(|item| item.attr(name));
        let affiliation = attr("affiliation").and_then(|text| Affiliation::parse(&text));
        let role = attr("role").and_then(|text| Role::parse(&text));
        let jid = attr("jid").and_then(|jid| Jid::parse(&jid).ok());
        let mut xml = Writer::new();
        let (affiliation, role) = (
            affiliation.unwrap_or(Affiliation::None),
            role.unwrap_or(Role::None),
        );
        item(&mut xml, affiliation, role, jid.as_ref(), news);
        payload.push_str(&xml.finish_string());
    }
    let mut told = Stanza::new(stanza.kind, &payload);
    told.from = stanza.from.clone();
    told
}

/// An occupant's presence for its own session: with 110 and these codes (§7.2.2).
pub fn own(seen: &Stanza, codes: &[u16], listed: &str) -> Stanza {
    let news = News {
        listed,
        ..News::codes(codes)
    };
    with_news(seen, &news.and(&[110]))
}

/// Sends an occupant's sessions their own presence; the one that asked finds the id of its request in it.
pub fn send_own(turn: &mut RoomTurn, presence: Stanza, sessions: Arc<[Jid]>, asked: Option<(&Jid, &str)>) {
    let Some((session, id)) = asked.filter(|(session, _)| sessions.contains(session)) else {
        turn.send_all(presence, sessions);
        return;
    };
    let others: Vec<Jid> = sessions
        .iter()
        .filter(|other| *other != session)
        .cloned()
        .collect();
    let mut reply = presence.clone().to(session.clone());
    reply.id = Some(id.into());
    turn.send(reply);
    turn.send_all(presence, others.into());
}

/// Tells everybody an occupant's presence: others first, then the occupant's own sessions, with 110 and `own` (§7.2.2). A role
/// that is not told of is seen by its occupant alone; `was` is the role before, so that those who saw it see it go.
pub fn tell(turn: &mut RoomTurn, key: &str, news: &News<'_>, own: &[u16], was: Option<Role>) {
    tell_others(turn, key, news, was);
    let Some(one) = turn.held.occupants.get(key) else {
        return;
    };
    let sessions: Arc<[Jid]> = one.seats.iter().map(|seat| seat.jid.clone()).collect();
    if let Some(seen) = as_seen_by(turn, key, one) {
        let mut codes: SmallVec<[u16; 4]> = SmallVec::from_slice(own);
        codes.push(110);
        let mut news = news.and(&codes);
        let version = listed::version(&turn.held, one);
        if news.listed.is_empty() || version.is_empty() {
            news.listed = &version;
        }
        let asked = news.asked;
        send_own(turn, with_news(&seen, &news), sessions, asked);
    }
}

/// The same without the occupant's own sessions.
pub fn tell_others(turn: &mut RoomTurn, key: &str, news: &News<'_>, was: Option<Role>) {
    let config = turn.held.config.clone();
    let Some(one) = turn.held.occupants.get(key) else {
        return;
    };
    let Some(shown) = one.shown.clone() else { return };
    let address = one.address.clone();
    if privacy::is_broadcast(&config, one.role) {
        let (full, veiled) = audience(turn, &address);
        listed::send(turn, full, news, |news| with_news(&shown.full, news));
        listed::send(turn, veiled, news, |news| with_news(&shown.veiled, news));
    } else if was.is_some_and(|was| privacy::is_broadcast(&config, was)) {
        let gone = gone(turn, key, "", &News::default());
        let (full, veiled) = audience(turn, &address);
        turn.send_all(gone.0, full);
        turn.send_all(gone.1, veiled);
    }
}

/// Tells an occupant's presence to the others after a change of who sees whom: those who saw it and may not any more see it go.
pub fn tell_others_after(turn: &mut RoomTurn, key: &str, was_seen: bool) {
    let was = turn
        .held
        .occupants
        .get(key)
        .map(|one| one.role)
        .filter(|_| was_seen);
    let config = turn.held.config.clone();
    let Some(one) = turn.held.occupants.get(key) else {
        return;
    };
    if was.is_some() && !privacy::is_broadcast(&config, one.role) {
        let address = one.address.clone();
        let gone = gone(turn, key, "", &News::default());
        let (full, veiled) = audience(turn, &address);
        turn.send_all(gone.0, full);
        turn.send_all(gone.1, veiled);
        return;
    }
    tell_others(turn, key, &News::default(), None);
}

/// The sessions of all other occupants: those who see real addresses, and those who do not.
pub fn audience(turn: &RoomTurn, besides: &Jid) -> (Arc<[Jid]>, Arc<[Jid]>) {
    let config = &turn.held.config;
    let (mut full, mut veiled) = (Vec::new(), Vec::new());
    for one in turn.held.occupants.values().filter(|one| one.address != *besides) {
        let of_kind = if privacy::sees_addresses(config, one) {
            &mut full
        } else {
            &mut veiled
        };
        of_kind.extend(one.seats.iter().map(|seat| seat.jid.clone()));
    }
    (full.into(), veiled.into())
}

/// An occupant's unavailable presence, with and without the real address (§7.14: the role is none).
pub fn gone(turn: &RoomTurn, key: &str, said: &str, news: &News<'_>) -> (Stanza, Stanza) {
    match turn.held.occupants.get(key) {
        Some(one) => gone_of(turn, one, said, news),
        None => {
            let nobody = Stanza::new(Kind::Presence(PresenceType::Unavailable), "");
            (nobody.clone(), nobody)
        }
    }
}

/// The same for an occupant who is out of the list already.
pub fn gone_of(turn: &RoomTurn, one: &Occupant, said: &str, news: &News<'_>) -> (Stanza, Stanza) {
    let telling = Telling::gone(one, turn.held.affiliation(&one.user), said);
    let jid = one.seats.last().map(|seat| seat.jid.clone());
    let unavailable = PresenceType::Unavailable;
    (
        telling.write(unavailable, Role::None, jid.as_ref(), news),
        telling.write(unavailable, Role::None, None, news),
    )
}

/// Tells that an occupant who is out of the list already is gone: to the own sessions first, with 110 (§7.14, §8.2), then to
/// all others. `between` is what comes between the two.
pub fn tell_gone(
    turn: &mut RoomTurn,
    one: &Occupant,
    said: &str,
    news: &News<'_>,
    between: impl FnOnce(&mut RoomTurn),
) {
    let own: Arc<[Jid]> = one.seats.iter().map(|seat| seat.jid.clone()).collect();
    let sees = privacy::sees_addresses(&turn.held.config, one);
    // People who have left no longer see the lists.
    let told = News {
        listed: "",
        ..news.and(&[110])
    };
    let (full, veiled) = gone_of(turn, one, said, &told);
    send_own(turn, if sees { full } else { veiled }, own, news.asked);
    between(turn);
    if privacy::is_broadcast(&turn.held.config, one.role) {
        let (see, do_not) = audience(turn, &one.address);
        let affiliation = turn.held.affiliation(&one.user);
        let telling = Telling::gone(one, affiliation, said);
        let jid = one.seats.last().map(|seat| &seat.jid);
        listed::send(turn, see, news, |news| {
            telling.write(PresenceType::Unavailable, Role::None, jid, news)
        });
        listed::send(turn, do_not, news, |news| {
            telling.write(PresenceType::Unavailable, Role::None, None, news)
        });
    }
}

/// What a session's own unavailable presence says to others: its status.
pub fn said(stanza: &Stanza, bytes_max: usize) -> String {
    clean(stanza, bytes_max)
        .map(|clean| children(&clean))
        .unwrap_or_default()
}

/// Shows an occupant's presence anew.
pub async fn refresh(
    registry: &Arc<Registry>,
    room: &BareJid,
    user: &BareJid,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let Some(held) = registry.hold(room, cx.router()).await? else {
        return Ok(());
    };
    let mut turn = RoomTurn::new(registry, held, cx);
    for key in turn.held.keys_of(user) {
        dress(&mut turn, &key).await?;
        tell(&mut turn, &key, &News::default(), &[], None);
    }
    turn.close(cx);
    Ok(())
}
