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
use super::query::SearchQuery;
use crate::xep0045_muc::api::{PublicRoom, Rooms};
use crate::xep0059_rsm::api::Given;

/// Rooms looked at before other tasks of the thread get their turn.
const TURN_ROOMS: usize = 250;

/// A room that was found.
struct Hit {
    room: Arc<PublicRoom>,
    users: usize,
}

/// Answers with a page of what was found.
pub async fn answer(rooms: &Arc<Rooms>, service: &str, query: &SearchQuery, cx: &Cx) -> Result<Reply, Fault> {
    let mut hits = if query.wants_rooms {
        find(rooms, service, query, cx).await?
    } else {
        Vec::new()
    };
    if query.by_users {
        hits.sort_by(|a, b| (Reverse(a.users), &a.room.jid).cmp(&(Reverse(b.users), &b.room.jid)));
    } else {
        hits.sort_by(|a, b| a.room.jid.cmp(&b.room.jid));
    }
    let at = |id: &str| {
        let place = hits.iter().position(|hit| hit.room.jid.as_str() == id);
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
        write(&mut xml, hit);
    }
    let id = |hit: &&Hit| hit.room.jid.as_str().to_owned();
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

async fn find(rooms: &Arc<Rooms>, service: &str, query: &SearchQuery, cx: &Cx) -> Result<Vec<Hit>, Fault> {
    let occupied: HashMap<BareJid, usize> = rooms.occupied(service);
    let all = rooms.public(service, cx.router()).await?;
    let mut hits = Vec::new();
    for (at, room) in all.into_iter().enumerate() {
        if at % TURN_ROOMS == TURN_ROOMS - 1 {
            tokio::task::yield_now().await;
        }
        let users = occupied.get(&room.jid).copied().unwrap_or(0);
        if users >= query.users_min && is_found(&room, query) {
            hits.push(Hit { room, users });
        }
    }
    Ok(hits)
}

fn is_found(room: &PublicRoom, query: &SearchQuery) -> bool {
    let mut text = String::new();
    for (is_meant, part) in [
        (query.in_name, &*room.name),
        (query.in_address, room.jid.as_str()),
        (query.in_description, &*room.description),
    ] {
        if is_meant {
            text.push_str(part);
            text.push('\n');
        }
    }
    has_all(&text, &query.words)
}

fn has_all(text: &str, words: &[String]) -> bool {
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word.as_str()))
}

/// §6.2
fn write(xml: &mut Writer, hit: &Hit) {
    let room = &hit.room;
    xml.start("item", NS).attr("address", room.jid.as_str());
    let name = if room.name.is_empty() {
        room.jid.local().unwrap_or_default()
    } else {
        &room.name
    };
    xml.start("name", NS).text(name).end();
    for (element, text) in [("description", &room.description), ("language", &room.language)] {
        if !text.is_empty() {
            xml.start(element, NS).text(text).end();
        }
    }
    xml.start("nusers", NS).text(&hit.users.to_string()).end();
    xml.start("service-type", NS).text("xep-0045").end();
    if room.is_open {
        xml.start("is-open", NS).end();
    }
    let anonymity = if room.is_non_anonymous {
        "{urn:xmpp:channel-search:0:anonymity}none"
    } else {
        "muc_semianonymous"
    };
    xml.start("anonymity-mode", NS).text(anonymity).end();
    xml.end();
}
