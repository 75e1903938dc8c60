//! Pages of an archive, the account's own or a room's, asked for as a client of XEP-0313 does.

use std::sync::Arc;

use kim_core::jid::Jid;
use kim_core::ns;
use kim_core::random;
use kim_core::stanza::{IqType, Kind, Stanza};
use kim_core::wire::{El, Writer};
use kim_xep::xep0313_mam::api::NS as MAM;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::guard::Caller;
use super::problem::{Problem, no_room};
use super::{message, visit};
use crate::http::Web;

const FORWARD: &str = "urn:xmpp:forward:0";
const RSM: &str = "http://jabber.org/protocol/rsm";
/// Messages in a page by default.
const LIMIT_DEFAULT: u32 = 50;
/// Messages in a page at most.
pub(super) const LIMIT_MAX: u32 = 100;
/// The longest id that is looked for.
const ID_BYTES_MAX: usize = 64;

/// Which page. Without `before` and `after` it is the newest; after nothing (an empty `after`), the first.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WhichMessages {
    pub limit: Option<u32>,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// A message in an archive.
pub(super) struct Kept {
    /// The archive's id for it.
    pub id: String,
    /// When it came.
    pub stamp: String,
    /// The message.
    pub stanza: Stanza,
}

/// A page, oldest first.
pub(super) struct MessagePage {
    pub messages: Vec<Kept>,
    /// There is nothing beyond it in the direction that was asked for.
    pub is_complete: bool,
    /// Where the page before it begins.
    pub first: Option<String>,
    /// Where the page after it begins.
    pub last: Option<String>,
}

/// Reads a page of an archive: the account's own, or a room's. `with`: only what was written with somebody.
pub(super) async fn page(
    web: &Web,
    caller: &Caller,
    room: Option<Jid>,
    with: Option<&Jid>,
    which: &WhichMessages,
) -> Result<MessagePage, Problem> {
    let payload = query(with, which)?;
    let mut stanza = Stanza::new(Kind::Iq(IqType::Set), &payload).id(random::token());
    let about = room.as_ref().map(|room| room.bare());
    stanza.to = room;
    let heard = visit::ask(web, caller, stanza).await;
    let heard = heard.map_err(|problem| {
        let place = which
            .before
            .as_deref()
            .or(which.after.as_deref())
            .unwrap_or_default();
        problem.saying("item-not-found", || match (place, &about) {
            ("", Some(room)) => no_room(room),
            ("", None) => "this account has no history".to_owned(),
            (id, _) => format!("there is no message with the id \"{id}\" in this history"),
        })
    })?;
    Ok(MessagePage::of(&heard))
}

/// The query (XEP-0313 §4).
fn query(with: Option<&Jid>, which: &WhichMessages) -> Result<String, Problem> {
    let limit = which.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad(format!("\"limit\" must be from 1 to {LIMIT_MAX}")));
    }
    let mut ids = [&which.before, &which.after].into_iter().flatten();
    if ids.any(|id| id.len() > ID_BYTES_MAX) {
        return Err(Problem::bad(
            "\"before\" and \"after\" must be ids of messages in this history",
        ));
    }
    let mut xml = Writer::new();
    xml.start("query", MAM);
    xml.start("x", ns::DATA).attr("type", "submit");
    let with = with.map(|with| ("with", with.as_str()));
    for (var, value) in [("FORM_TYPE", MAM)].into_iter().chain(with) {
        xml.start("field", ns::DATA).attr("var", var);
        xml.start("value", ns::DATA).text(value).end().end();
    }
    xml.end();
    xml.start("set", RSM);
    xml.start("max", RSM).text(&limit.to_string()).end();
    match (&which.before, &which.after) {
        (before, None) => {
            xml.start("before", RSM)
                .text(before.as_deref().unwrap_or_default())
                .end();
        }
        (None, Some(after)) if after.is_empty() => {}
        (None, Some(after)) => {
            xml.start("after", RSM).text(after).end();
        }
        (Some(_), Some(_)) => return Err(Problem::bad("\"before\" and \"after\" must not be used together")),
    }
    xml.end().end();
    Ok(xml.finish_string())
}

impl MessagePage {
    fn of(heard: &[Arc<Stanza>]) -> MessagePage {
        let results = heard.iter().filter_map(|stanza| stanza.child("result", MAM));
        let fin = heard.iter().find_map(|stanza| stanza.child("fin", MAM));
        let end = |name| {
            let set = fin?.child("set", RSM)?;
            Some(set.child(name, RSM)?.text().into_owned())
        };
        MessagePage {
            messages: results.filter_map(Kept::of).collect(),
            is_complete: fin
                .and_then(|fin| fin.attr("complete"))
                .is_some_and(|complete| complete == "true"),
            first: end("first"),
            last: end("last"),
        }
    }

    /// The page as it is told. What has nothing to read is left out.
    pub fn told(&self) -> Value {
        let messages: Vec<Value> = self
            .messages
            .iter()
            .filter_map(|kept| kept.told().map(Value::Object))
            .collect();
        json!({
            "messages": messages,
            "complete": self.is_complete,
            "first": self.first,
            "last": self.last,
        })
    }
}

impl Kept {
    fn of(result: El<'_>) -> Option<Kept> {
        let forwarded = result.child("forwarded", FORWARD)?;
        let element = forwarded.child("message", ns::CLIENT)?.to_element();
        let delay = forwarded.child("delay", ns::DELAY)?;
        Some(Kept {
            id: result.attr("id")?.into_owned(),
            stamp: delay.attr("stamp")?.into_owned(),
            stanza: Stanza::from_element(element).ok()?,
        })
    }

    /// One message; `None` for what has nothing to read.
    pub fn told(&self) -> Option<Map<String, Value>> {
        let mut told = message::told(&self.stanza)?;
        told.insert("id".to_owned(), self.id.clone().into());
        told.insert("timestamp".to_owned(), self.stamp.clone().into());
        Some(told)
    }
}
