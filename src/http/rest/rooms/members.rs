//! The affiliations of a room, and changes of them (§9).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::jid::{BareJid, Jid};
use kim_core::stanza::IqType;
use kim_core::wire::Writer;
use kim_xep::xep0045_muc::api::ADMIN;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::body::{Asked, Given};
use super::super::guard::{Caller, Manage, May, Read};
use super::super::problem::{Problem, no_room, written};
use super::super::send::address as address_of;
use super::super::visit;
use super::{InRoom, address};
use crate::http::Web;

/// What somebody is to be.
#[derive(Deserialize)]
pub(in super::super) struct Change {
    user: String,
    affiliation: Affiliation,
    reason: Option<String>,
}

/// §5.2
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Affiliation {
    Owner,
    Admin,
    Member,
    Outcast,
    None,
}

impl Affiliation {
    fn name(self) -> &'static str {
        match self {
            Affiliation::Owner => "owner",
            Affiliation::Admin => "admin",
            Affiliation::Member => "member",
            Affiliation::Outcast => "outcast",
            Affiliation::None => "none",
        }
    }
}

/// `GET /api/room/members`
pub(in super::super) async fn members(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
    Asked(which): Asked<InRoom>,
) -> Result<Response, Problem> {
    let room = Jid::from(address(&web, &caller, &which.room)?);
    let mut members = Vec::new();
    for affiliation in ["owner", "admin", "member", "outcast"] {
        let mut xml = Writer::new();
        xml.start("query", ADMIN);
        xml.start("item", ADMIN).attr("affiliation", affiliation).end();
        xml.end();
        let answer = match visit::iq(&web, &caller, IqType::Get, Some(room.clone()), xml).await {
            Ok(answer) => answer,
            // Only admins may see who is banned.
            Err(problem) if affiliation == "outcast" && problem.code() == "forbidden" => continue,
            Err(problem) => return Err(problem.saying("item-not-found", || no_room(&room.bare()))),
        };
        let items = answer.child("query", ADMIN);
        members.extend(items.iter().flat_map(|query| query.children()).map(|item| {
            json!({
                "user": item.attr("jid"),
                "affiliation": affiliation,
                "nick": item.attr("nick"),
            })
        }));
    }
    Ok(written(
        StatusCode::OK,
        &json!({ "members": Value::Array(members) }),
    ))
}

/// `PUT /api/room/members`
pub(in super::super) async fn change(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Asked(which): Asked<InRoom>,
    Given(change): Given<Change>,
) -> Result<Response, Problem> {
    let room = address(&web, &caller, &which.room)?;
    let user = address_of(&change.user, &caller.account)?;
    let reason = change.reason.as_deref();
    set(&web, &caller, &room, &user, change.affiliation.name(), reason).await?;
    Ok(written(StatusCode::OK, &json!({})))
}

/// Makes somebody something.
pub(super) async fn set(
    web: &Arc<Web>,
    caller: &Caller,
    room: &BareJid,
    user: &BareJid,
    affiliation: &str,
    reason: Option<&str>,
) -> Result<(), Problem> {
    let mut xml = Writer::new();
    xml.start("query", ADMIN);
    xml.start("item", ADMIN)
        .attr("affiliation", affiliation)
        .attr("jid", user.as_str());
    if let Some(reason) = reason {
        xml.start("reason", ADMIN).text(reason).end();
    }
    xml.end().end();
    let room = Jid::from(room.clone());
    let about = room.bare();
    let changed = visit::iq(web, caller, IqType::Set, Some(room), xml).await;
    changed
        .map(drop)
        .map_err(|problem| problem.saying("item-not-found", || no_room(&about)))
}
