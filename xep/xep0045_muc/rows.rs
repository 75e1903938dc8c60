//! The rows of a room: what people wrote is sealed here with the room's key, and opened here.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use kim_core::clock::Timestamp;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid, nickname_key};
use kim_core::seal::{Key, Seals};
use kim_core::stanza::Stanza;
use kim_core::wire::{Element, Writer};
use smallvec::smallvec;

use super::fields::{Fields, RoomConfig};
use super::life;
use super::limits::Bucket;
use super::privileges::Role;
use super::room::{Looks, Member, Occupant, Phase, RoomState, SECRET_BYTES, Seat, Subject};
use super::store::{MemberRow, OccupantRow, RoomChange, RoomRow, Stored};

/// The namespace of what only the database sees.
const NS: &str = "urn:kim:room";

fn aad<'a>(what: &'a str, room: &'a BareJid, more: &'a str) -> [&'a [u8]; 3] {
    [what.as_bytes(), room.as_str().as_bytes(), more.as_bytes()]
}

/// A room of which so much is damaged that it cannot be opened. All other rooms go on.
#[derive(Debug, thiserror::Error)]
#[error(
    "the room {0} cannot be opened: its stored settings are damaged; restore its row in muc_rooms from a backup"
)]
pub struct Damaged(BareJid);

/// Whether a fault is about one damaged room.
pub fn is_damage(fault: &Fault) -> bool {
    matches!(fault, Fault::Us(error) if error.is::<Damaged>())
}

/// The row of a room.
pub async fn room_row(seals: &Seals, held: &RoomState) -> Result<RoomRow, Fault> {
    let key = seals.key(held.jid.as_str()).await?;
    let mut xml = Writer::new();
    xml.start("room", NS)
        .attr("secret", &HEXLOWER.encode(&held.secret));
    if let Phase::Locked { since } = held.phase {
        xml.attr("locked", &since.0.to_string());
    }
    xml.raw(&held.config.to_xml()).end();
    let is_listed = held.phase == Phase::Open && held.config.is(&life::PUBLIC);
    Ok(RoomRow {
        room: held.jid.clone(),
        listed: is_listed.then(|| held.config.text(&life::NAME).to_owned()),
        persistent: held.config.is(&life::PERSISTENT),
        creator: held.creator.clone(),
        created: held.created,
        state: key.seal(&aad("room state", &held.jid, ""), xml.finish_string().as_bytes()),
    })
}

/// The row of somebody's affiliation, or that there is none.
pub async fn member_row(seals: &Seals, held: &RoomState, jid: &BareJid) -> Result<RoomChange, Fault> {
    let room = held.jid.clone();
    let Some(member) = held.members.get(jid) else {
        return Ok(RoomChange::NoMember(room, jid.clone()));
    };
    let note = if member.nick.is_some() || member.reason.is_some() {
        let mut xml = Writer::new();
        xml.start("note", NS);
        if let Some(nick) = &member.nick {
            xml.attr("nick", nick);
        }
        xml.text(member.reason.as_deref().unwrap_or_default()).end();
        let key = seals.key(room.as_str()).await?;
        Some(key.seal(
            &aad("room member", &room, jid.as_str()),
            xml.finish_string().as_bytes(),
        ))
    } else {
        None
    };
    Ok(RoomChange::Member(Box::new(MemberRow {
        jid: jid.clone(),
        affiliation: member.affiliation,
        since: member.since,
        note,
        room,
    })))
}

/// The subject, sealed.
pub async fn sealed_subject(seals: &Seals, held: &RoomState) -> Result<Vec<u8>, Fault> {
    let key = seals.key(held.jid.as_str()).await?;
    let subject = held.subject.as_ref();
    let text = subject.map(|subject| subject.stanza.to_xml()).unwrap_or_default();
    Ok(key.seal(&aad("room subject", &held.jid, ""), text.as_bytes()))
}

/// A row for each session of an occupant.
pub async fn occupant_rows(seals: &Seals, room: &BareJid, one: &Occupant) -> Result<Vec<OccupantRow>, Fault> {
    let key = seals.key(room.as_str()).await?;
    let mut role = Writer::new();
    role.start("seat", NS).attr("role", one.role.as_str()).end();
    let role = role.finish_string();
    let row = |seat: &Seat| {
        let mut presence = seat.presence.clone().from(one.address.clone());
        presence.append(&role);
        let text = presence.to_xml();
        OccupantRow {
            state: key.seal(&aad("room occupant", room, seat.jid.as_str()), text.as_bytes()),
            jid: seat.jid.clone(),
            room: room.clone(),
        }
    };
    Ok(one.seats.iter().map(row).collect())
}

/// Reads a room. What is damaged beside its settings is left empty, and the log says so once: a ban without its reason is a
/// ban all the same, and a room without its subject can be given another.
pub async fn open_room(
    seals: &Seals,
    fields: &Fields,
    jid: &BareJid,
    stored: Stored,
    now: Timestamp,
) -> Result<RoomState, Fault> {
    let key = seals.key(jid.as_str()).await?;
    let damaged = || Fault::Us(Box::new(Damaged(jid.clone())));
    let xml = state_of(&key, jid, &stored.state).ok_or_else(damaged)?;
    let mut lost: Vec<&'static str> = Vec::new();
    let mut secret = [0; SECRET_BYTES];
    let told = xml.attr("secret").unwrap_or_default();
    let bytes = HEXLOWER.decode(told.as_bytes()).unwrap_or_default();
    if bytes.len() != SECRET_BYTES {
        return Err(damaged());
    }
    secret.copy_from_slice(&bytes);
    let since = xml.attr("locked").and_then(|since| since.parse().ok());
    let config = config_of(fields, &xml);
    let phase = since.map_or(Phase::Open, |since| Phase::Locked {
        since: Timestamp(since),
    });
    let mut state = RoomState {
        phase,
        creator: stored.creator.into(),
        created: stored.created,
        config: Arc::new(config),
        ..RoomState::blank(jid.clone(), secret, now)
    };
    if let Some(sealed) = &stored.subject {
        let text = opened(&key, &aad("room subject", jid, ""), sealed);
        match text.and_then(|text| Stanza::parse(&text).ok()) {
            Some(stanza) => {
                state.subject = Some(Subject::of(stanza));
            }
            None => lost.push("subject"),
        }
    }
    for (who, affiliation, since, note) in stored.members {
        let (mut nick, mut reason) = (None, None);
        if let Some(note) = note {
            let text = opened(&key, &aad("room member", jid, who.as_str()), &note);
            match text.and_then(|text| Element::parse(&text).ok()) {
                Some(xml) => {
                    nick = xml.attr("nick").map(|nick| nick.into_owned().into_boxed_str());
                    reason =
                        Some(xml.text().into_owned().into_boxed_str()).filter(|reason| !reason.is_empty());
                }
                None => lost.push("nickname or reason"),
            }
        }
        let member = Member {
            affiliation,
            since,
            nick,
            reason,
        };
        state.set_member(&who, Some(member));
    }
    for (session, sealed) in stored.occupants {
        let text = opened(&key, &aad("room occupant", jid, session.as_str()), &sealed);
        match text.and_then(|text| Stanza::parse(&text).ok()) {
            Some(presence) => seat(&mut state, session, presence),
            None => lost.push("occupant"),
        }
    }
    if !lost.is_empty() {
        let fields = lost.len();
        lost.sort_unstable();
        lost.dedup();
        let what = lost.join(", ");
        tracing::warn!(event = "room_damaged", room = %jid, fields, what, "the room goes on without them");
    }
    Ok(state)
}

/// The settings of a room, and nothing else of it.
pub async fn settings(
    seals: &Seals,
    fields: &Fields,
    jid: &BareJid,
    sealed: &[u8],
) -> Result<RoomConfig, Fault> {
    let key = seals.key(jid.as_str()).await?;
    let damaged = || Fault::Us(Box::new(Damaged(jid.clone())));
    let xml = state_of(&key, jid, sealed).ok_or_else(damaged)?;
    Ok(config_of(fields, &xml))
}

fn state_of(key: &Key, jid: &BareJid, sealed: &[u8]) -> Option<Element> {
    Element::parse(&opened(key, &aad("room state", jid, ""), sealed)?).ok()
}

fn config_of(fields: &Fields, state: &Element) -> RoomConfig {
    state
        .child("x", kim_core::ns::DATA)
        .map(|x| RoomConfig::stored(&fields.all(), x))
        .unwrap_or_default()
}

fn seat(state: &mut RoomState, session: Jid, mut presence: Stanza) {
    let role = presence
        .child("seat", NS)
        .and_then(|seat| Role::parse(&seat.attr("role")?))
        .unwrap_or(Role::Participant);
    presence.remove(|child| child.is("seat", NS));
    let Some(address) = presence.from.take() else {
        return;
    };
    let Some(key) = address.resource().and_then(nickname_key) else {
        return;
    };
    let user = session.bare();
    let id = state.occupant_id(&user);
    let one = state
        .occupants
        .entry(key.as_str().into())
        .or_insert_with(|| Occupant {
            looks: Looks::of(address.resource().unwrap_or_default()),
            address,
            user,
            role,
            seats: smallvec![],
            id,
            shown: None,
            speech: Bucket::default(),
            changes: Bucket::default(),
        });
    one.role = role;
    state.sit(
        &key,
        Seat {
            jid: session,
            presence,
        },
    );
}

fn opened(key: &Key, aad: &[&[u8]], sealed: &[u8]) -> Option<String> {
    String::from_utf8(key.open(aad, sealed).ok()?).ok()
}
