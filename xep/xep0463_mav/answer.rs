//! What who enters is told ahead of all presence (§5.2.1, §5.2.3).

use std::collections::BTreeMap;

use kim_core::ns;
use kim_core::random;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::log::Log;
use super::write_mav;
use crate::xep0045_muc::api::{Affiliation, USER, Welcoming};

/// Items in one message; what is more is told in several.
const ITEMS_MAX: usize = 500;

/// An address, and what it is.
type Item<'a> = (&'a str, Affiliation);

/// The difference between the version that is known and the one in force, or everything.
pub fn lists(event: &Welcoming, log: &Log, since: Option<&str>, until: &str) -> Vec<Stanza> {
    let changed = since.and_then(|since| log.changed_since(since));
    let difference = changed.and_then(|changed| difference(event, changed));
    match difference {
        Some(items) => messages(&items, since, until),
        None => messages(&everything(event), None, until),
    }
}

/// What somebody may see of an affiliation: the banned are for admins (XEP-0045 §9.2).
fn seen(event: &Welcoming, affiliation: Affiliation) -> Affiliation {
    if event.who.affiliation < Affiliation::Admin {
        affiliation.max(Affiliation::None)
    } else {
        affiliation
    }
}

/// What is not as it was; `None` where only everything will do.
fn difference<'a>(event: &Welcoming, was: BTreeMap<&'a str, Affiliation>) -> Option<Vec<Item<'a>>> {
    // What they may see has changed with what they are.
    if was.contains_key(event.who.jid.bare().as_str()) {
        return None;
    }
    let now = |jid| seen(event, event.lists.get(jid));
    let items: Vec<Item<'a>> = was
        .into_iter()
        .filter(|(jid, was)| seen(event, *was) != now(jid))
        .map(|(jid, _)| (jid, now(jid)))
        .collect();
    // "There can be no empty diff".
    (!items.is_empty()).then_some(items)
}

fn everything(event: &Welcoming) -> Vec<Item<'_>> {
    event
        .lists
        .iter()
        .filter(|(_, affiliation)| seen(event, *affiliation) != Affiliation::None)
        .map(|(jid, affiliation)| (jid.as_str(), affiliation))
        .collect()
}

/// "Which must have their until and since attributes match the adjacent message": a version between two of them is known to
/// nobody, so who gets no further than that asks for everything the next time.
fn messages(items: &[Item<'_>], since: Option<&str>, until: &str) -> Vec<Stanza> {
    let mut since = since.map(str::to_owned);
    let mut rest = items;
    let mut messages = Vec::new();
    loop {
        let (now, later) = rest.split_at(rest.len().min(ITEMS_MAX));
        let upto = if later.is_empty() {
            until.to_owned()
        } else {
            random::token()
        };
        messages.push(message(now, since.as_deref(), &upto));
        if later.is_empty() {
            return messages;
        }
        since = Some(upto);
        rest = later;
    }
}

fn message(items: &[Item<'_>], since: Option<&str>, until: &str) -> Stanza {
    let mut xml = Writer::new();
    xml.start("x", USER);
    write_mav(&mut xml, since, until);
    for (jid, affiliation) in items {
        xml.start("item", USER)
            .attr("affiliation", affiliation.as_str())
            .attr("jid", jid)
            .end();
    }
    xml.end();
    Stanza::new(Kind::Message(MessageType::Normal), &xml.finish_string())
}

/// §5.2.3
pub fn forbidden(event: &Welcoming) -> Stanza {
    let mut xml = Writer::new();
    xml.start("error", ns::CLIENT)
        .attr("by", event.room.jid.as_str())
        .attr("type", "auth");
    xml.start("forbidden", kim_core::error::STANZA_ERRORS).end().end();
    let mut error = Stanza::new(Kind::Message(MessageType::Error), &xml.finish_string());
    error.id = event.stanza.id.clone();
    error
}
