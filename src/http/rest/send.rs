//! Sending a message. The answer comes once it is stored.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use kim_core::clock::Timestamp;
use kim_core::jid::{BareJid, Jid};
use kim_core::random;
use kim_core::router::Host;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;
use serde::Deserialize;
use serde_json::json;

use super::message::{self, Encryption};
use super::problem::{Problem, written};
use super::{body, owner, visit};
use crate::http::Web;
use crate::http::client::Client;

const SID: &str = "urn:xmpp:sid:0";
/// The longest id of a client's own.
const ID_BYTES_MAX: usize = 128;

/// A message to be sent. Who sends it is whose token it is; there is no field for it.
#[derive(Deserialize)]
struct Outgoing {
    /// An address, or the name of somebody at the sender's own domain.
    to: String,
    content: String,
    #[serde(default)]
    encrypted: bool,
    encryption_type: Option<Encryption>,
    /// The client's own id; sent again, the archive knows it.
    id: Option<String>,
}

/// `POST /api/message/send`
pub(super) async fn send(
    State(web): State<Arc<Web>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    content: Body,
) -> Response {
    let sent = async {
        let owner = owner(&web, &client, &headers).await?;
        let wanted: Outgoing = body::read(&headers, content).await?;
        web.paces.take(&owner, wanted.content.len(), Instant::now())?;
        perform(&web, &client, &owner, wanted).await
    };
    sent.await.unwrap_or_else(IntoResponse::into_response)
}

async fn perform(web: &Web, client: &Client, owner: &BareJid, wanted: Outgoing) -> Result<Response, Problem> {
    let how = match (wanted.encrypted, wanted.encryption_type) {
        (false, None) => None,
        (true, Some(how)) => Some(how),
        (true, None) => return Err(Problem::bad("an encrypted message needs its encryption_type")),
        (false, Some(_)) => return Err(Problem::bad("encryption_type is for encrypted messages")),
    };
    let to = address(&wanted.to, owner)?;
    let is_service = matches!(web.router().host(to.domain()), Some(Host::Service(_)));
    if to.local().is_none() || is_service {
        return Err(Problem::bad("a message goes to a person"));
    }
    let id = match wanted.id {
        Some(id) if (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) => id,
        Some(_) => return Err(Problem::bad("an id is up to 128 visible ASCII characters")),
        None => random::token(),
    };
    let mut payload = message::payload(&wanted.content, how, web.door.wire_after_login())?;
    let mut origin = Writer::new();
    origin.start("origin-id", SID).attr("id", &id).end();
    payload.push_str(&origin.finish_string());
    let told = json!({
        "id": id,
        "from": owner.as_str(),
        "to": to.as_str(),
        "timestamp": now(web).to_string(),
    });
    let stanza = Stanza::new(Kind::Message(MessageType::Chat), &payload)
        .to(to)
        .id(id);
    visit::ask(web.router(), owner, client.address, stanza).await?;
    Ok(written(StatusCode::OK, &told))
}

fn now(web: &Web) -> Timestamp {
    web.router().clock().now()
}

/// An address, or somebody at the domain of whoever asks.
pub(super) fn address(text: &str, owner: &BareJid) -> Result<Jid, Problem> {
    let read = match text.contains('@') {
        true => Jid::parse(text),
        false => Jid::new(Some(text), owner.domain(), None),
    };
    read.map_err(|_| Problem::bad("that is no address"))
}
