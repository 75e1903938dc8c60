//! Contacts (RFC 6121 §2) and who sees whose presence (§3), through the stanzas that clients send.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::jid::BareJid;
use kim_core::random;
use kim_core::stanza::{IqType, Kind, PresenceType, Stanza};
use kim_core::wire::{El, Writer};
use kim_xep::rfc6121_im::api::{Half, Subscriptions};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Given, Segment};
use super::guard::{Manage, May, Read};
use super::problem::{Problem, written};
use super::send::address;
use super::visit;
use crate::http::Web;

const ROSTER: &str = "jabber:iq:roster";

/// How a contact is to be known.
#[derive(Deserialize)]
pub(super) struct Contact {
    name: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
}

/// What is said about a subscription (§3).
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Act {
    /// Asks to see the contact's presence.
    Subscribe,
    /// Does not want to see it any more.
    Unsubscribe,
    /// Lets the contact see one's own, asked or in advance.
    Approve,
    /// Does not, or not any more.
    Deny,
}

impl Act {
    fn kind(self) -> PresenceType {
        match self {
            Act::Subscribe => PresenceType::Subscribe,
            Act::Unsubscribe => PresenceType::Unsubscribe,
            Act::Approve => PresenceType::Subscribed,
            Act::Deny => PresenceType::Unsubscribed,
        }
    }
}

/// One item as it is told; also what a push says (§2.1.6).
pub(super) fn told(item: El<'_>) -> Value {
    let groups = item.children().filter(|child| child.is("group", ROSTER));
    json!({
        "jid": item.attr("jid"),
        "name": item.attr("name"),
        "groups": groups.map(|group| group.text()).collect::<Vec<_>>(),
        "subscription": item.attr("subscription").unwrap_or("none".into()),
        "is_asked": item.attr("ask").is_some(),
    })
}

/// `GET /api/roster`: the contacts, and who waits for an answer.
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
) -> Result<Response, Problem> {
    let mut xml = Writer::new();
    xml.start("query", ROSTER).end();
    let answer = visit::iq(&web, &caller, IqType::Get, None, xml).await?;
    let query = answer.child("query", ROSTER);
    let contacts: Vec<Value> = query
        .iter()
        .flat_map(|query| query.children())
        .map(told)
        .collect();
    let mut requests = Vec::new();
    if let Some(subscriptions) = web.router().fact::<Subscriptions>() {
        let roster = subscriptions.roster(&caller.account).await?;
        let waiting = roster
            .all()
            .iter()
            .filter(|item| item.state.incoming == Half::Asked);
        requests.extend(waiting.map(|item| item.contact.as_str().to_owned()));
    }
    Ok(written(
        StatusCode::OK,
        &json!({ "contacts": contacts, "requests": requests }),
    ))
}

/// `PUT /api/roster/{jid}` (§2.3, §2.4)
pub(super) async fn put(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Segment(jid): Segment<String>,
    Given(wanted): Given<Contact>,
) -> Result<Response, Problem> {
    let contact = address(&jid, &caller.account)?;
    let mut xml = item(&contact);
    if let Some(name) = wanted.name.as_deref() {
        xml.attr("name", name);
    }
    for group in &wanted.groups {
        xml.start("group", ROSTER).text(group).end();
    }
    xml.end().end();
    visit::iq(&web, &caller, IqType::Set, None, xml).await?;
    Ok(written(StatusCode::OK, &json!({ "jid": contact.as_str() })))
}

/// `DELETE /api/roster/{jid}` (§2.5): no presence either way from then on.
pub(super) async fn remove(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Segment(jid): Segment<String>,
) -> Result<Response, Problem> {
    let contact = address(&jid, &caller.account)?;
    let mut xml = item(&contact);
    xml.attr("subscription", "remove").end().end();
    let removed = visit::iq(&web, &caller, IqType::Set, None, xml).await;
    removed.map_err(|problem| {
        problem.saying("item-not-found", || {
            format!("{contact} is not one of your contacts")
        })
    })?;
    Ok(written(StatusCode::OK, &json!({})))
}

fn item(contact: &BareJid) -> Writer {
    let mut xml = Writer::new();
    xml.start("query", ROSTER);
    xml.start("item", ROSTER).attr("jid", contact.as_str());
    xml
}

/// `POST /api/roster/{jid}/{act}`
pub(super) async fn act(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Segment((jid, act)): Segment<(String, Act)>,
) -> Result<Response, Problem> {
    let contact = address(&jid, &caller.account)?;
    let stanza = Stanza::new(Kind::Presence(act.kind()), "").id(random::token());
    visit::ask(&web, &caller, stanza.to(contact)).await?;
    Ok(written(StatusCode::OK, &json!({})))
}
