//! Requests to an occupant's address (§6.6, §17.4), and whether one is still in a room (XEP-0410 §3.3).
//!
//! A request is passed on under another id, which holds, sealed with the room's key, who asked and what the id was. So the
//! answer finds its way back without the room having to remember anything, and neither side learns the other's real
//! address.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::jid::{BareJid, Jid};
use kim_core::stanza::{IqType, Kind, Stanza};

use super::rooms::{HeldRoom, Registry};
use super::turn::RoomTurn;
use super::{ghosts, guests};

/// The namespace of pings (XEP-0199).
const PING: &str = "urn:xmpp:ping";
/// What is answered by the account's server and not by one of its clients.
const OF_THE_ACCOUNT: &[&str] = &["vcard-temp", "urn:ietf:params:xml:ns:vcard-4.0"];
/// Bytes of an id; longer ones would become longer still.
const ID_BYTES_MAX: usize = 1_024;

/// An iq to `room/nickname`.
pub async fn pass(
    registry: &Arc<Registry>,
    from: &Jid,
    to: &Jid,
    stanza: &Stanza,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let Kind::Iq(kind) = stanza.kind else {
        return Ok(());
    };
    if matches!(kind, IqType::Result | IqType::Error) {
        return answer(registry, from, to, stanza, cx).await;
    }
    let held = match registry.hold(&to.bare(), cx.router()).await? {
        Some(held) => held,
        // XEP-0410 §3.2: not joined; anything else is the business of a room that is not there.
        None if is_ping(stanza) => return Err(Condition::NotAcceptable.into()),
        None => return Err(Condition::ItemNotFound.into()),
    };
    let nick = to.resource().unwrap_or_default();
    let Some(asker) = held.at(from) else {
        // §6.6 has bad-request for disco; what clients understand is that they are not there.
        let is_disco = stanza
            .payload()
            .is_some_and(|payload| payload.ns().starts_with("http://jabber.org/protocol/disco#"));
        return Err(if is_disco {
            Condition::BadRequest
        } else {
            Condition::NotAcceptable
        }
        .into());
    };
    let target = held.named(nick).ok_or(Condition::ItemNotFound)?;
    if is_ping(stanza) && target.user == asker.user {
        // XEP-0410 §3.3
        cx.send(stanza.reply(Kind::Iq(IqType::Result), ""));
        return Ok(());
    }
    guests::refuse(&asker.user, cx.router())?;
    let held = ghosts::without(registry, held, nick, cx).await?;
    let asker = held.at(from).ok_or(Condition::NotAcceptable)?;
    let target = held.named(nick).ok_or(Condition::ItemNotFound)?;
    let of_account = stanza
        .payload()
        .is_some_and(|payload| OF_THE_ACCOUNT.contains(&payload.ns()));
    let addressee = match target.seats.last() {
        Some(_) if of_account => target.user.clone().into(),
        Some(seat) => seat.jid.clone(),
        None => return Err(Condition::ItemNotFound.into()),
    };
    let id = stanza.id.as_deref().unwrap_or_default();
    if id.len() > ID_BYTES_MAX {
        return Err(Condition::BadRequest.into());
    }
    let mut passed = stanza.clone().from(asker.address.clone()).to(addressee);
    passed.id = Some(
        seal(registry, &held, from, target.address.as_str(), id)
            .await?
            .into(),
    );
    let mut turn = RoomTurn::new(registry, held, cx);
    turn.has_room()?;
    turn.send(passed);
    turn.close(cx);
    Ok(())
}

fn is_ping(stanza: &Stanza) -> bool {
    stanza.payload().is_some_and(|payload| payload.is("ping", PING))
}

fn aad<'a>(room: &'a BareJid, asked: &'a str) -> [&'a [u8]; 3] {
    [b"room request", room.as_str().as_bytes(), asked.as_bytes()]
}

async fn seal(
    registry: &Registry,
    held: &HeldRoom,
    from: &Jid,
    asked: &str,
    id: &str,
) -> Result<String, Fault> {
    let key = registry.seals.key(held.jid.as_str()).await?;
    // The session's address cannot hold the separator.
    let text = format!("{}\0{asked}\0{id}", from.as_str());
    Ok(BASE64URL_NOPAD.encode(&key.seal(&aad(&held.jid, ""), text.as_bytes())))
}

/// An answer finds back to who asked. It comes from the real address and goes out from the occupant's.
async fn answer(
    registry: &Arc<Registry>,
    from: &Jid,
    to: &Jid,
    stanza: &Stanza,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let room = to.bare();
    let Some(held) = registry.hold(&room, cx.router()).await? else {
        return Ok(());
    };
    let key = registry.seals.key(room.as_str()).await?;
    let opened = stanza
        .id
        .as_deref()
        .and_then(|id| BASE64URL_NOPAD.decode(id.as_bytes()).ok())
        .and_then(|sealed| key.open(&aad(&room, ""), &sealed).ok())
        .and_then(|text| String::from_utf8(text).ok());
    let Some(text) = opened else { return Ok(()) };
    let mut parts = text.splitn(3, '\0');
    let (Some(asker), Some(asked), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
        return Ok(());
    };
    let (Ok(asker), Ok(asked)) = (Jid::parse(asker), Jid::parse(asked)) else {
        return Ok(());
    };
    // Only whoever was asked answers, and only to somebody who is still there.
    let answers = asked
        .resource()
        .and_then(|nick| held.named(nick))
        .is_some_and(|one| one.user == from.bare());
    if !answers || held.at(&asker).is_none() {
        return Ok(());
    }
    let mut back = stanza.clone().from(asked).to(asker);
    back.id = Some(id.into());
    let mut turn = RoomTurn::new(registry, held, cx);
    turn.send(back);
    turn.close(cx);
    Ok(())
}
