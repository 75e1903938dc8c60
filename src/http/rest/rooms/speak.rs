//! Saying something in a room (§7.4). Only occupants may, so the account enters, speaks and leaves; where it is there
//! already with another client or a stream, nobody sees that (docs/decisions/0020).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::jid::BareJid;
use kim_core::stanza::{Kind, MessageType, Stanza};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::body::Given;
use super::super::guard::{Caller, May, Send};
use super::super::message::Content;
use super::super::problem::{Problem, no_room, written};
use super::super::visit::{self, Stay};
use super::enter::enter;
use super::{address, check_is_there};
use crate::http::Web;

const SID: &str = "urn:xmpp:sid:0";

/// What is to be said, and where.
#[derive(Deserialize)]
pub(in super::super) struct Speech {
    room: String,
    /// As whom; not set, as whom the account is known there.
    nick: Option<String>,
    password: Option<String>,
    #[serde(flatten)]
    content: Content,
}

/// `POST /api/room/send`
pub(in super::super) async fn speak(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Send>,
    Given(speech): Given<Speech>,
) -> Result<Response, Problem> {
    let room = address(&web, &caller, &speech.room)?;
    let kind = MessageType::Groupchat;
    let stanza = speech.content.stanza(kind, web.door.wire_after_login())?;
    check_is_there(&web, &room).await?;
    let said = tokio::spawn(async move {
        let mut stay = Stay::begin(&web, &caller).await?;
        let (nick, password) = (speech.nick.as_deref(), speech.password.as_deref());
        let said = say(&web, &caller, &mut stay, &room, stanza, (nick, password)).await;
        stay.end().await;
        said.map(|told| written(StatusCode::OK, &told))
    });
    said.await.map_err(|_| Problem::ours())?
}

async fn say(
    web: &Web,
    caller: &Caller,
    stay: &mut Stay,
    room: &BareJid,
    stanza: Stanza,
    (nick, password): (Option<&str>, Option<&str>),
) -> Result<Value, Problem> {
    let entry = enter(web, caller, stay, room, nick, password).await?;
    if entry.is_new {
        return Err(Problem::not_found(no_room(room)));
    }
    let id = stanza.id.clone();
    stay.send(stanza.to(room.clone())).await?;
    // The room's own copy says that everybody got it, and under which id it is kept.
    let heard = stay
        .wait_for(|heard| {
            let is_it = heard.id == id
                && heard
                    .from
                    .as_ref()
                    .is_some_and(|from| from.bare_str() == room.as_str());
            match heard.kind {
                Kind::Message(MessageType::Error) if is_it => Some(Err(Problem::of_stanza(heard))),
                Kind::Message(MessageType::Groupchat)
                    if is_it && heard.from.as_ref() == Some(&entry.address) =>
                {
                    Some(Ok(archive_id(heard, room.as_str())))
                }
                _ => None,
            }
        })
        .await??;
    let timestamp = visit::stamp(web, room, heard.as_deref()).await?;
    Ok(json!({
        "id": heard,
        "message_id": id,
        "archive_id": heard,
        "room": room.as_str(),
        "nick": entry.address.resource(),
        "timestamp": timestamp,
    }))
}

/// The id that an archive gave a message (XEP-0359).
pub(in super::super) fn archive_id(stanza: &Stanza, by: &str) -> Option<String> {
    let mut ids = stanza.children().filter(|child| child.is("stanza-id", SID));
    let id = ids.find(|id| id.attr("by").as_deref() == Some(by))?;
    Some(id.attr("id")?.into_owned())
}
