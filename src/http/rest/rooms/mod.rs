//! Rooms (XEP-0045): which there are, making and ending them, what one is, and what was said there.

mod create;
mod enter;
mod members;
mod speak;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::router::Destination;
use kim_core::stanza::IqType;
use kim_core::wire::{El, Writer};
use kim_xep::xep0045_muc::api::{OWNER, Rooms, SERVICE};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::archive::{self, WhichMessages};
use super::body::Asked;
use super::guard::{Caller, Manage, May, Read};
use super::nodes;
use super::problem::{Problem, no_room, written};
use super::visit;
use crate::http::Web;

pub(super) use self::create::create;
pub(super) use self::enter::enter;
pub(super) use self::members::{change, members};
pub(super) use self::speak::{archive_id, speak};

const INFO: &str = "http://jabber.org/protocol/disco#info";
const ITEMS: &str = "http://jabber.org/protocol/disco#items";
const RSM: &str = "http://jabber.org/protocol/rsm";
const BOOKMARKS: &str = "urn:xmpp:bookmarks:1";
/// Rooms in a page of the public list.
const ROOMS_MAX: u32 = 100;
/// Where a description stands in what a room says of itself.
const DESCRIPTION: &str = "muc#roominfo_description";
const OCCUPANTS: &str = "muc#roominfo_occupants";

/// A room by its address, or by its name at the rooms of the account's own domain.
#[derive(Deserialize)]
pub(super) struct InRoom {
    room: String,
}

/// A page of the public list.
#[derive(Deserialize)]
pub(super) struct Listing {
    limit: Option<u32>,
    after: Option<String>,
}

/// All rooms of this server.
fn rooms(web: &Web) -> Result<Arc<Rooms>, Problem> {
    web.router().fact::<Rooms>().ok_or_else(|| Problem::off("rooms"))
}

/// Refuses a room that is not there: to enter it would make it.
pub(super) async fn check_is_there(web: &Web, room: &BareJid) -> Result<(), Problem> {
    let cx = web.router().cx().ok_or_else(Problem::ours)?;
    match rooms(web)?.view(room, &cx).await? {
        Some(_) => Ok(()),
        None => Err(Problem::not_found(no_room(room))),
    }
}

/// Reads the address of a room, however it is written: `lobby`, `lobby@conference.example.org`, or with a nickname behind it.
pub(super) fn address(web: &Web, caller: &Caller, text: &str) -> Result<BareJid, Problem> {
    let service = format!("{SERVICE}.{}", caller.account.domain());
    let read = match text.contains('@') {
        true => Jid::parse(text).map(|jid| jid.bare()),
        false => BareJid::new(Some(text), &service),
    };
    let is_room = |room: &BareJid| {
        let destination = web.router().destination(room.domain());
        let may_have_rooms = match destination {
            Destination::Service(name) => name == SERVICE,
            Destination::Component | Destination::Remote => true,
            Destination::Users | Destination::Guests => false,
        };
        room.local().is_some() && may_have_rooms
    };
    read.ok()
        .filter(is_room)
        .ok_or_else(|| {
            Problem::bad(format!(
                "\"{text}\" is not the address of a room; it must be a name such as lobby, or an address such as lobby@{service}"
            ))
        })
}

/// `GET /api/rooms`: the rooms that anybody may find (§6.3).
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
    Asked(listing): Asked<Listing>,
) -> Result<Response, Problem> {
    rooms(&web)?;
    let limit = listing.limit.unwrap_or(ROOMS_MAX);
    if !(1..=ROOMS_MAX).contains(&limit) {
        return Err(Problem::bad(format!("\"limit\" must be from 1 to {ROOMS_MAX}")));
    }
    let service = format!("{SERVICE}.{}", caller.account.domain());
    let service = Jid::new(None, &service, None).map_err(|_| Problem::ours())?;
    let mut xml = Writer::new();
    xml.start("query", ITEMS).start("set", RSM);
    xml.start("max", RSM).text(&limit.to_string()).end();
    if let Some(after) = &listing.after {
        xml.start("after", RSM).text(after).end();
    }
    xml.end().end();
    let answer = visit::iq(&web, &caller, IqType::Get, Some(service), xml).await?;
    let query = answer.child("query", ITEMS).ok_or_else(Problem::ours)?;
    let items: Vec<El<'_>> = query.children().filter(|child| child.is("item", ITEMS)).collect();
    let told: Vec<Value> = items
        .iter()
        .map(|item| json!({ "room": item.attr("jid"), "name": item.attr("name") }))
        .collect();
    let last = items.last().and_then(|item| item.attr("jid"));
    Ok(written(
        StatusCode::OK,
        &json!({ "rooms": told, "complete": items.len() < limit as usize, "last": last }),
    ))
}

/// `GET /api/rooms/own`: where the account is somebody, and what its clients have bookmarked.
pub(super) async fn own(State(web): State<Arc<Web>>, May(caller, _): May<Read>) -> Result<Response, Problem> {
    let mut own: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (room, affiliation) in rooms(&web)?.rooms_of(&caller.account).await? {
        let facts = own.entry(room.as_str().to_owned()).or_default();
        facts.insert("affiliation".to_owned(), affiliation.as_str().into());
    }
    for (room, item) in nodes::items(&web, &caller, None, BOOKMARKS, None).await? {
        let Some(bookmark) = item.child("conference", BOOKMARKS) else {
            continue;
        };
        let facts = own.entry(room).or_default();
        let autojoin = matches!(bookmark.attr("autojoin").as_deref(), Some("1" | "true"));
        let nick = bookmark.child("nick", BOOKMARKS);
        facts.insert("is_bookmarked".to_owned(), true.into());
        facts.insert("autojoin".to_owned(), autojoin.into());
        facts.insert("name".to_owned(), bookmark.attr("name").into());
        facts.insert("nick".to_owned(), nick.map(|nick| nick.text()).into());
    }
    let told: Vec<Value> = own
        .into_iter()
        .map(|(room, mut facts)| {
            facts.insert("room".to_owned(), room.into());
            for (name, otherwise) in [("affiliation", json!("none")), ("is_bookmarked", json!(false))] {
                facts.entry(name).or_insert(otherwise);
            }
            Value::Object(facts)
        })
        .collect();
    Ok(written(StatusCode::OK, &json!({ "rooms": told })))
}

/// `GET /api/room`: what a room says of itself to the account (§6.4).
pub(super) async fn info(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
    Asked(which): Asked<InRoom>,
) -> Result<Response, Problem> {
    let room = address(&web, &caller, &which.room)?;
    Ok(written(StatusCode::OK, &look(&web, &caller, &room).await?))
}

async fn look(web: &Arc<Web>, caller: &Caller, room: &BareJid) -> Result<Value, Problem> {
    let mut asking = Writer::new();
    asking.start("query", INFO).end();
    let answer = visit::iq(web, caller, IqType::Get, Some(Jid::from(room.clone())), asking).await;
    let answer = answer.map_err(|problem| problem.saying("item-not-found", || no_room(room)))?;
    let query = answer.child("query", INFO).ok_or_else(Problem::ours)?;
    let mut name = String::new();
    let mut features = Vec::new();
    let (mut description, mut occupants) = (None, None);
    for child in query.children() {
        match child.name() {
            "identity" => name = child.attr("name").unwrap_or_default().into_owned(),
            "feature" => features.extend(child.attr("var").map(|var| var.into_owned())),
            "x" => {
                let value = |var: &str| {
                    let mut fields = child
                        .children()
                        .filter(|field| field.attr("var").as_deref() == Some(var));
                    Some(fields.next()?.child("value", ns::DATA)?.text().into_owned())
                };
                description = description.or_else(|| value(DESCRIPTION));
                occupants =
                    occupants.or_else(|| value(OCCUPANTS).and_then(|count| count.parse::<u64>().ok()));
            }
            _ => {}
        }
    }
    let has = |feature: &str| features.iter().any(|own| own == feature);
    let affiliation = match (rooms(web), web.router().cx()) {
        (Ok(rooms), Some(cx)) => rooms.affiliation(room, &caller.account, &cx).await?.as_str(),
        _ => "none",
    };
    Ok(json!({
        "room": room.as_str(),
        "name": name,
        "description": description,
        "occupants": occupants,
        "affiliation": affiliation,
        "is_public": has("muc_public"),
        "is_members_only": has("muc_membersonly"),
        "is_persistent": has("muc_persistent"),
        "is_moderated": has("muc_moderated"),
        "is_anonymous": !has("muc_nonanonymous"),
        "has_password": has("muc_passwordprotected"),
    }))
}

/// `DELETE /api/room` (§10.9).
pub(super) async fn destroy(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Asked(which): Asked<InRoom>,
) -> Result<Response, Problem> {
    let room = address(&web, &caller, &which.room)?;
    let mut xml = Writer::new();
    xml.start("query", OWNER).start("destroy", OWNER).end().end();
    let destroyed = visit::iq(&web, &caller, IqType::Set, Some(room.clone().into()), xml).await;
    destroyed.map_err(|problem| {
        problem
            .saying("item-not-found", || no_room(&room))
            .saying("forbidden", || format!("only an owner of {room} may delete it"))
    })?;
    Ok(written(StatusCode::OK, &json!({})))
}

/// `GET /api/room/history`: the room's own archive, for those who may read it.
pub(super) async fn history(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
    Asked(of): Asked<InRoom>,
    Asked(which): Asked<WhichMessages>,
) -> Result<Response, Problem> {
    let room = address(&web, &caller, &of.room)?;
    let page = archive::page(&web, &caller, Some(room.into()), None, &which).await?;
    Ok(written(StatusCode::OK, &page.told()))
}
