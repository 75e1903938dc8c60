//! Sending a message to somebody. The answer comes once it is stored.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::jid::{BareJid, Jid};
use kim_core::router::Destination;
use kim_core::stanza::MessageType;
use serde::Deserialize;
use serde_json::json;

use super::body::Given;
use super::guard::{May, Send};
use super::message::Content;
use super::problem::{Problem, written};
use super::visit;
use crate::http::Web;

/// A message to be sent. Who sends it is whose token it is; there is no field for it.
#[derive(Deserialize)]
pub(super) struct Outgoing {
    /// An address, or the name of somebody at the sender's own domain.
    to: String,
    #[serde(flatten)]
    content: Content,
}

/// `POST /api/message/send`
pub(super) async fn send(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Send>,
    Given(wanted): Given<Outgoing>,
) -> Result<Response, Problem> {
    let to = address(&wanted.to, &caller.account)?;
    let is_service = matches!(web.router().destination(to.domain()), Destination::Service(_));
    if to.local().is_none() || is_service {
        return Err(Problem::bad(
            "a message goes to a person; to a room, see /api/room/send",
        ));
    }
    let stanza = wanted
        .content
        .stanza(MessageType::Chat, web.door.wire_after_login())?;
    let told = json!({
        "id": stanza.id,
        "from": caller.account.as_str(),
        "to": to.as_str(),
        "timestamp": web.router().clock().now().to_string(),
    });
    visit::ask(&web, &caller, stanza.to(to)).await?;
    Ok(written(StatusCode::OK, &told))
}

/// An address, or somebody at the domain of whoever asks.
pub(super) fn address(text: &str, owner: &BareJid) -> Result<Jid, Problem> {
    let read = match text.contains('@') {
        true => Jid::parse(text),
        false => Jid::new(Some(text), owner.domain(), None),
    };
    read.map_err(|_| Problem::bad("that is no address"))
}

/// The same without a resource.
pub(super) fn bare_address(text: &str, owner: &BareJid) -> Result<BareJid, Problem> {
    let jid = address(text, owner)?;
    match jid.is_bare() && jid.local().is_some() {
        true => Ok(jid.bare()),
        false => Err(Problem::bad("that is no address of a person or a room")),
    }
}
