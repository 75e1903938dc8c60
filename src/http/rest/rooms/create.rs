//! Creates a room (§10.1): public, or a private group for members who encrypt.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::random;
use kim_core::stanza::IqType;
use kim_core::wire::Writer;
use kim_xep::xep0045_muc::api::{DESCRIPTION, MEMBERS_ONLY, NAME, OWNER, PERSISTENT, PUBLIC, ROOMCONFIG};
use serde::Deserialize;
use serde_json::json;

use super::super::body::Given;
use super::super::guard::{Caller, Manage, May};
use super::super::problem::{Problem, written};
use super::super::send::address as address_of;
use super::super::visit::{self, Stay};
use super::enter::go_in;
use super::members::set;
use super::{address, rooms};
use crate::http::Web;

/// Members that a new room gets at once.
const MEMBERS_MAX: usize = 100;

/// What a room is to be.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Template {
    /// Anybody can find it and enter.
    Public,
    /// For members only, who see each other's addresses, as OMEMO needs it; it cannot be found.
    Private,
}

/// A room to be made.
#[derive(Deserialize)]
pub(in super::super) struct WantedRoom {
    /// Its address or its name there; a private group needs none.
    room: Option<String>,
    template: Template,
    /// What people call it.
    name: Option<String>,
    description: Option<String>,
    #[serde(default)]
    members: Vec<String>,
}

/// `POST /api/rooms`
pub(in super::super) async fn create(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Given(wanted): Given<WantedRoom>,
) -> Result<Response, Problem> {
    let room = match (&wanted.room, wanted.template) {
        (Some(room), _) => address(&web, &caller, room)?,
        (None, Template::Private) => address(&web, &caller, &random::token())?,
        (None, Template::Public) => {
            return Err(Problem::bad("the field \"room\" is required for a public room"));
        }
    };
    if wanted.members.len() > MEMBERS_MAX {
        return Err(Problem::bad(format!(
            "\"members\" must be a list of at most {MEMBERS_MAX} items"
        )));
    }
    let members = wanted.members.iter();
    let members: Result<Vec<BareJid>, Problem> = members
        .map(|member| address_of(member, &caller.account))
        .collect();
    let members = members?;
    let taken = format!("the room {room} already exists");
    let taken = move || Problem::new(StatusCode::CONFLICT, "conflict", taken.clone());
    let cx = web.router().cx().ok_or_else(Problem::ours)?;
    if rooms(&web)?.view(&room, &cx).await?.is_some() {
        return Err(taken());
    }
    // Completed even if the program has hung up: a half-made room would stay locked.
    let making = tokio::spawn(async move {
        let mut stay = Stay::begin(&web, &caller).await?;
        let nick = caller.account.local().unwrap_or_default();
        let made = match go_in(&mut stay, &room, nick, None).await {
            Ok(entry) if entry.is_new => furnish(&web, &caller, &room, &wanted, &members).await,
            Ok(_) => Err(taken()),
            Err(problem) => Err(problem),
        };
        stay.end().await;
        made.map(|()| written(StatusCode::CREATED, &json!({ "room": room.as_str() })))
    });
    making.await.map_err(|_| Problem::ours())?
}

/// Configures a new room. One that cannot be so is not left behind.
async fn furnish(
    web: &Arc<Web>,
    caller: &Caller,
    room: &BareJid,
    wanted: &WantedRoom,
    members: &[BareJid],
) -> Result<(), Problem> {
    let configured = visit::iq(web, caller, IqType::Set, Some(jid(room)), form(wanted)).await;
    if let Err(problem) = configured {
        let mut xml = Writer::new();
        xml.start("query", OWNER).start("destroy", OWNER).end().end();
        visit::iq(web, caller, IqType::Set, Some(jid(room)), xml).await?;
        return Err(problem);
    }
    for member in members {
        set(web, caller, room, member, "member", None).await?;
    }
    Ok(())
}

fn jid(room: &BareJid) -> Jid {
    room.clone().into()
}

fn form(wanted: &WantedRoom) -> Writer {
    let (public, members_only) = match wanted.template {
        Template::Public => ("1", "0"),
        Template::Private => ("0", "1"),
    };
    let mut fields = vec![
        ("FORM_TYPE", ROOMCONFIG),
        (PERSISTENT.var, "1"),
        (PUBLIC.var, public),
        (MEMBERS_ONLY.var, members_only),
    ];
    if let Template::Private = wanted.template {
        fields.push(("muc#roomconfig_whois", "anyone"));
    }
    fields.extend(wanted.name.as_deref().map(|name| (NAME.var, name)));
    let description = wanted.description.as_deref();
    fields.extend(description.map(|description| (DESCRIPTION.var, description)));
    let mut xml = Writer::new();
    xml.start("query", OWNER);
    xml.start("x", ns::DATA).attr("type", "submit");
    for (var, value) in fields {
        xml.start("field", ns::DATA).attr("var", var);
        xml.start("value", ns::DATA).text(value).end().end();
    }
    xml.end().end();
    xml
}
