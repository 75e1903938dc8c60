//! Sends a message to somebody. The answer comes once it is stored.

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

/// A message to be sent.
#[derive(Deserialize)]
pub(super) struct Outgoing {
    /// The owner of the token; anybody else is an error.
    sender: Option<String>,
    /// An address, or the name of somebody at the sender's own domain.
    receiver: Option<String>,
    /// Another name for `receiver`.
    to: Option<String>,
    #[serde(flatten)]
    content: Content,
}

/// `POST /api/message/send`
pub(super) async fn send(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Send>,
    Given(wanted): Given<Outgoing>,
) -> Result<Response, Problem> {
    let own = &caller.account;
    if let Some(sender) = &wanted.sender
        && address(sender, own)? != *own
    {
        let message = format!("\"sender\" must be {own}, the account that the token belongs to");
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    let to = match (&wanted.receiver, &wanted.to) {
        (Some(receiver), None) => address(receiver, own)?,
        (None, Some(to)) => address(to, own)?,
        (Some(receiver), Some(to)) => {
            let receiver = address(receiver, own)?;
            if address(to, own)? != receiver {
                return Err(Problem::bad(
                    "\"receiver\" and \"to\" must not name different recipients",
                ));
            }
            receiver
        }
        (None, None) => return Err(Problem::bad("the field \"receiver\" is required")),
    };
    if matches!(web.router().destination(to.domain()), Destination::Service(_)) {
        let message = format!("{to} is not the address of a person; to write to a room, use /api/room/send");
        return Err(Problem::bad(message));
    }
    let stanza = wanted
        .content
        .stanza(MessageType::Chat, web.door.wire_after_login())?;
    let message_id = stanza.id.clone();
    let sent = visit::say(&web, &caller, stanza.to(to.clone())).await;
    let id = sent.map_err(|problem| {
        problem.saying("service-unavailable", || {
            format!("nobody has the address {to}, or they do not accept messages from you")
        })
    })?;
    let timestamp = visit::stamp(&web, own, id.as_deref()).await?;
    Ok(written(
        StatusCode::OK,
        &json!({
            "id": id,
            "message_id": message_id,
            "from": caller.account.as_str(),
            "to": to.as_str(),
            "timestamp": timestamp,
        }),
    ))
}

/// Somebody's address, however it is written: `bob`, `bob@example.org` or `bob@example.org/phone`. A name alone is at the domain
/// of the caller; the API never speaks to one of several clients.
pub(super) fn address(text: &str, owner: &BareJid) -> Result<BareJid, Problem> {
    let read = match text.contains('@') {
        true => Jid::parse(text).map(|jid| jid.bare()),
        false => BareJid::new(Some(text), owner.domain()),
    };
    read.ok().filter(|jid| jid.local().is_some()).ok_or_else(|| {
        let domain = owner.domain();
        Problem::bad(format!(
            "\"{text}\" is not a valid address; it must be a name such as bob, or an address such as bob@{domain}"
        ))
    })
}
