//! Reading what was written with somebody, page by page, from the account's own archive (XEP-0313).

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::stanza::{IqType, Kind, Stanza};
use kim_core::wire::{El, Element, Writer};
use kim_xep::xep0313_mam::api::NS as MAM;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::{Problem, written};
use super::send::address;
use super::{message, owner, visit};
use crate::http::Web;
use crate::http::client::Client;

const FORWARD: &str = "urn:xmpp:forward:0";
const RSM: &str = "http://jabber.org/protocol/rsm";
/// Messages in a page when nobody says how many.
const LIMIT_DEFAULT: u32 = 50;
/// Messages in a page at most.
const LIMIT_MAX: u32 = 100;
/// The longest id that is looked for.
const ID_BYTES_MAX: usize = 64;

/// Which page. Without `before` and `after` it is the newest.
#[derive(Deserialize)]
struct Asked {
    user: String,
    limit: Option<u32>,
    before: Option<String>,
    after: Option<String>,
}

/// `GET /api/message/history`
pub(super) async fn history(
    State(web): State<Arc<Web>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let read = async {
        let owner = owner(&web, &client, &headers).await?;
        let asked = Query::<Asked>::try_from_uri(&uri);
        let Query(asked) = asked.map_err(|error| Problem::bad(error.body_text()))?;
        web.paces.take(&owner, 0, Instant::now())?;
        let iq = query(&asked, &owner)?;
        let heard = visit::ask(web.router(), &owner, client.address, iq).await?;
        Ok::<_, Problem>(written(StatusCode::OK, &page(&heard)))
    };
    read.await.unwrap_or_else(IntoResponse::into_response)
}

/// The query as a client would send it (XEP-0313 §4).
fn query(asked: &Asked, owner: &BareJid) -> Result<Stanza, Problem> {
    let with = address(&asked.user, owner)?;
    let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad(format!("limit is a number from 1 to {LIMIT_MAX}")));
    }
    let ids = [&asked.before, &asked.after].into_iter().flatten();
    if ids.into_iter().any(|id| id.is_empty() || id.len() > ID_BYTES_MAX) {
        return Err(Problem::bad("before and after are ids of this history"));
    }
    let mut xml = Writer::new();
    xml.start("query", MAM);
    xml.start("x", ns::DATA).attr("type", "submit");
    for (var, value) in [("FORM_TYPE", MAM), ("with", with.as_str())] {
        xml.start("field", ns::DATA).attr("var", var);
        xml.start("value", ns::DATA).text(value).end().end();
    }
    xml.end();
    xml.start("set", RSM);
    xml.start("max", RSM).text(&limit.to_string()).end();
    match (&asked.before, &asked.after) {
        (before, None) => {
            xml.start("before", RSM)
                .text(before.as_deref().unwrap_or_default())
                .end();
        }
        (None, Some(after)) => {
            xml.start("after", RSM).text(after).end();
        }
        (Some(_), Some(_)) => return Err(Problem::bad("before and after exclude each other")),
    }
    xml.end().end();
    let payload = xml.finish_string();
    Element::parse(&payload).map_err(|_| Problem::bad("there are characters that no address or id has"))?;
    Ok(Stanza::new(Kind::Iq(IqType::Set), &payload).id("history"))
}

/// The page as it is told, oldest first. `first` and `last` are where the pages before and after it begin.
fn page(heard: &[Arc<Stanza>]) -> Value {
    let results = heard.iter().filter_map(|stanza| stanza.child("result", MAM));
    let messages: Vec<Value> = results.filter_map(told).collect();
    let fin = heard.iter().find_map(|stanza| stanza.child("fin", MAM));
    let end = |name| {
        let set = fin?.child("set", RSM)?;
        Some(set.child(name, RSM)?.text().into_owned())
    };
    let is_complete = fin
        .and_then(|fin| fin.attr("complete"))
        .is_some_and(|complete| complete == "true");
    json!({ "messages": messages, "complete": is_complete, "first": end("first"), "last": end("last") })
}

/// One message; `None` for what has nothing to read.
fn told(result: El<'_>) -> Option<Value> {
    let forwarded = result.child("forwarded", FORWARD)?;
    let element = forwarded.child("message", ns::CLIENT)?.to_element();
    let stanza = Stanza::from_element(element).ok()?;
    let bare = |jid: &Option<Jid>| jid.as_ref().map(|jid| jid.bare_str().to_owned());
    let mut told = message::content(&stanza)?;
    told.insert("id".to_owned(), result.attr("id")?.into());
    told.insert("from".to_owned(), bare(&stanza.from).into());
    told.insert("to".to_owned(), bare(&stanza.to).into());
    let stamp = forwarded
        .child("delay", ns::DELAY)
        .and_then(|delay| delay.attr("stamp"));
    told.insert("timestamp".to_owned(), stamp.into());
    Some(Value::Object(told))
}
