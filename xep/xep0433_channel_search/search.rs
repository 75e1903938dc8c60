//! Looks through the public rooms (§4.2.2.1).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::jid::BareJid;
use kim_core::module::Reply;
use kim_core::wire::Writer;

use super::NS;
use super::query::Query;
use crate::xep0045_muc::api::{
    DESCRIPTION, LANGUAGE, MEMBERS_ONLY, PASSWORD_PROTECTED, RoomView, Rooms, is_non_anonymous,
};
use crate::xep0059_rsm::api::Given;

/// Public rooms that one search looks at; a larger service needs an index of its own.
pub const LOOKED_AT_MAX: usize = 10_000;
/// Rooms read at once.
const CHUNK_ROOMS: usize = 500;

/// A room that was found.
struct Hit {
    jid: BareJid,
    name: String,
    users: usize,
}

/// Answers with a page of what was found.
pub async fn answer(rooms: &Arc<Rooms>, service: &str, query: &Query, cx: &mut Cx) -> Result<Reply, Fault> {
    let mut hits = if query.wants_rooms {
        find(rooms, service, query, cx).await?
    } else {
        Vec::new()
    };
    if query.by_users {
        hits.sort_by(|a, b| (Reverse(a.users), &a.jid).cmp(&(Reverse(b.users), &b.jid)));
    } else {
        hits.sort_by(|a, b| a.jid.cmp(&b.jid));
    }
    let at = |id: &str| {
        let place = hits.iter().position(|hit| hit.jid.as_str() == id);
        place.ok_or(Condition::ItemNotFound)
    };
    let (mut from, mut to) = (0, hits.len());
    if let Some(after) = &query.page.after {
        from = at(after)? + 1;
    }
    match query.page.before.as_deref() {
        Some("") => from = from.max(to.saturating_sub(query.max)),
        Some(before) => {
            to = at(before)?;
            from = from.max(to.saturating_sub(query.max));
        }
        None => {}
    }
    let page: Vec<&Hit> = hits.iter().take(to).skip(from).take(query.max).collect();
    let mut xml = Writer::new();
    xml.start("result", NS);
    for hit in &page {
        if let Some(view) = rooms.view(&hit.jid, cx).await? {
            write(&mut xml, hit, &view);
        }
    }
    let id = |hit: &&Hit| hit.jid.as_str().to_owned();
    Given {
        ends: page
            .first()
            .zip(page.last())
            .map(|(first, last)| (id(first), id(last))),
        count: Some(hits.len()),
    }
    .write(&mut xml);
    xml.end();
    Ok(xml.into())
}

async fn find(rooms: &Arc<Rooms>, service: &str, query: &Query, cx: &Cx) -> Result<Vec<Hit>, Fault> {
    let occupied: HashMap<BareJid, usize> = rooms.occupied(service);
    let (mut hits, mut after, mut looked_at) = (Vec::new(), String::new(), 0);
    while looked_at < LOOKED_AT_MAX {
        let chunk = rooms.listed(service, &after, CHUNK_ROOMS, cx.router()).await?;
        let Some(last) = chunk.last() else { break };
        after = last.jid.as_str().to_owned();
        looked_at += chunk.len();
        for room in chunk {
            let users = occupied.get(&room.jid).copied().unwrap_or(0);
            if users < query.users_min {
                continue;
            }
            let mut text = String::new();
            if query.in_name {
                text.push_str(&room.name);
            }
            if query.in_address {
                text.push('\n');
                text.push_str(room.jid.as_str());
            }
            let mut is_found = has_all(&text, &query.words);
            if !is_found && query.in_description {
                // Only the room itself has it.
                if let Some(view) = rooms.view(&room.jid, cx).await? {
                    text.push('\n');
                    text.push_str(view.config.text(&DESCRIPTION));
                    is_found = has_all(&text, &query.words);
                }
            }
            if is_found {
                hits.push(Hit {
                    jid: room.jid,
                    name: room.name,
                    users,
                });
            }
        }
    }
    Ok(hits)
}

fn has_all(text: &str, words: &[String]) -> bool {
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word.as_str()))
}

/// §6.2
fn write(xml: &mut Writer, hit: &Hit, view: &RoomView) {
    let config = &view.config;
    xml.start("item", NS).attr("address", hit.jid.as_str());
    let name = if hit.name.is_empty() {
        hit.jid.local().unwrap_or_default()
    } else {
        &hit.name
    };
    xml.start("name", NS).text(name).end();
    for (element, field) in [("description", &DESCRIPTION), ("language", &LANGUAGE)] {
        let text = config.text(field);
        if !text.is_empty() {
            xml.start(element, NS).text(text).end();
        }
    }
    xml.start("nusers", NS).text(&hit.users.to_string()).end();
    xml.start("service-type", NS).text("xep-0045").end();
    if !config.is(&MEMBERS_ONLY) && !config.is(&PASSWORD_PROTECTED) {
        xml.start("is-open", NS).end();
    }
    let anonymity = if is_non_anonymous(config) {
        "{urn:xmpp:channel-search:0:anonymity}none"
    } else {
        "muc_semianonymous"
    };
    xml.start("anonymity-mode", NS).text(anonymity).end();
    xml.end();
}
