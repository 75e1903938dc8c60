//! Entering a room (§7.2), for a stay: to say something there, or to hear what is said.

use kim_core::jid::{BareJid, Jid};
use kim_core::stanza::{Kind, PresenceType, Stanza};
use kim_core::wire::Writer;
use kim_xep::xep0045_muc::api::{MUC, USER};

use super::super::guard::Caller;
use super::super::problem::{Problem, no_room};
use super::super::visit::Stay;
use super::rooms;
use crate::http::Web;

/// The account as an occupant.
pub(in super::super) struct Entry {
    /// `room/nickname`
    pub address: Jid,
    /// The room is new and locked, until somebody says what it is to be (§10.1).
    pub is_new: bool,
}

/// Enters a room that is there. Without a nickname it is the one that the account has there already, with another
/// session or by right, else its name: several sessions of one account are one occupant then, and nobody is told of them.
pub(in super::super) async fn enter(
    web: &Web,
    caller: &Caller,
    stay: &mut Stay,
    room: &BareJid,
    nick: Option<&str>,
    password: Option<&str>,
) -> Result<Entry, Problem> {
    let nick = match nick {
        Some(nick) => nick.to_owned(),
        None => nickname(web, caller, room).await?,
    };
    go_in(stay, room, &nick, password).await
}

async fn nickname(web: &Web, caller: &Caller, room: &BareJid) -> Result<String, Problem> {
    let (rooms, cx) = (rooms(web)?, web.router().cx().ok_or_else(Problem::ours)?);
    let there = rooms.occupants(room, &cx).await?;
    let own = there
        .into_iter()
        .find(|who| who.jid.bare_str() == caller.account.as_str());
    if let Some(own) = own {
        return Ok(own.nick.into());
    }
    let reserved = rooms.affiliated(room, &cx).await?;
    let reserved = reserved.into_iter().find(|one| one.jid == caller.account);
    let reserved = reserved.and_then(|one| one.nick).map(String::from);
    let name = || caller.account.local().unwrap_or_default().to_owned();
    Ok(reserved.unwrap_or_else(name))
}

/// Enters, or makes what is not there.
pub(super) async fn go_in(
    stay: &mut Stay,
    room: &BareJid,
    nick: &str,
    password: Option<&str>,
) -> Result<Entry, Problem> {
    let address = room
        .with_resource(nick)
        .map_err(|_| Problem::bad(format!("\"{nick}\" is not a valid nickname")))?;
    let mut xml = Writer::new();
    xml.start("x", MUC);
    // What was said before is in the archive.
    xml.start("history", MUC).attr("maxstanzas", "0").end();
    if let Some(password) = password {
        xml.start("password", MUC).text(password).end();
    }
    let asking = Stanza::new(Kind::Presence(PresenceType::Available), &xml.finish_string());
    stay.send(asking.to(address)).await?;
    let entered = stay.wait_for(|heard| own_presence(heard, room)).await?;
    entered.map_err(|problem| {
        problem
            .saying("item-not-found", || no_room(room))
            .saying("conflict", || {
                format!("somebody else in {room} has the nickname {nick}")
            })
            .saying("forbidden", || format!("you are banned from {room}"))
            .saying("not-authorized", || {
                format!("{room} requires a password, or the one given is wrong")
            })
            .saying("registration-required", || {
                format!("only members may enter {room}")
            })
            .saying("service-unavailable", || format!("{room} is full"))
    })
}

/// The presence that confirms or refuses the entry (§7.2.2, §7.2.5–§7.2.10).
fn own_presence(heard: &Stanza, room: &BareJid) -> Option<Result<Entry, Problem>> {
    let from = heard
        .from
        .as_ref()
        .filter(|from| from.bare_str() == room.as_str())?;
    match heard.kind {
        Kind::Presence(PresenceType::Error) => Some(Err(Problem::of_stanza(heard))),
        Kind::Presence(PresenceType::Available) => {
            let x = heard.child("x", USER)?;
            let has = |code: &str| {
                let mut all = x.children().filter(|child| child.is("status", USER));
                all.any(|status| status.attr("code").as_deref() == Some(code))
            };
            has("110").then(|| {
                Ok(Entry {
                    address: from.clone(),
                    is_new: has("201"),
                })
            })
        }
        _ => None,
    }
}
