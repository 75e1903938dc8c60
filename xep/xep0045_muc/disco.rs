//! Finding rooms (§6.1–6.3), what a room is (§6.4), who is in it (§6.5), and the nodes of §7.12 and §18.1.1.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::hook::{Flow, On};
use kim_core::jid::Jid;
use kim_core::module::{At, HandleIq, Reply, Request};
use kim_core::wire::Writer;

use super::events::RoomAsked;
use super::fields::Field;
use super::history::HISTORY_MAX;
use super::names::SERVICE;
use super::privileges::Affiliation;
use super::room::RoomState;
use super::rooms::{HeldRoom, Registry};
use super::views::Listed;
use super::{guests, life};
use crate::xep0004_forms::api::{FormKind, Sheet};
use crate::xep0030_disco::api::{DiscoItem, ITEMS, Info, InfoAsked, ItemsAsked};
use crate::xep0059_rsm::api::{Asked, Given};

/// §7.12
const RESERVED_NICK: &str = "x-roomuser-item";
/// §18.1.1
const TRAFFIC: &str = "http://jabber.org/protocol/muc#traffic";
/// §6.7
const ROOMS: &str = "http://jabber.org/protocol/muc#rooms";
/// Rooms in one page.
const PAGE_ROOMS_MAX: usize = 250;

/// Says what a room is.
pub struct TellRoomInfo(pub Arc<Registry>);

impl On<InfoAsked> for TellRoomInfo {
    async fn on(&self, asked: &mut InfoAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        if asked.at == At::Service(SERVICE) {
            return match asked.node.as_deref() {
                Some(TRAFFIC) => Err(Condition::ServiceUnavailable.into()),
                // Nicknames are reserved in rooms, not with the service.
                Some(RESERVED_NICK) => Err(Condition::FeatureNotImplemented.into()),
                _ => Ok(Flow::Next),
            };
        }
        if asked.at != At::Within(SERVICE) {
            return Ok(Flow::Next);
        }
        let router = cx.router().clone();
        let Some(held) = self.0.hold(&asked.account, &router).await? else {
            return Ok(Flow::Next);
        };
        let is_guest = guests::is_guest(&asked.asker.bare(), &router);
        if is_guest && held.is_locked(router.clock().now()) {
            return Ok(Flow::Next);
        }
        match asked.node.as_deref() {
            None => asked.info = Some(room_info(&self.0, held, &asked.asker, cx).await?),
            Some(RESERVED_NICK) => {
                let mut info = Info::default();
                if let Some(nick) = held.reserved_nick(&asked.asker.bare()) {
                    info.identity("conference", "text", nick.to_owned());
                }
                asked.info = Some(info);
            }
            // Nothing is held back, so there is nothing to say.
            Some(TRAFFIC) => return Err(Condition::ServiceUnavailable.into()),
            Some(_) => {}
        }
        Ok(Flow::Next)
    }
}

async fn room_info(registry: &Registry, held: HeldRoom, asker: &Jid, cx: &mut Cx) -> Result<Info, Fault> {
    let router = cx.router().clone();
    let config = held.config.clone();
    let mut info = Info::advertised(&router, At::Within(SERVICE));
    let name = config.text(&life::NAME);
    let name = if name.is_empty() {
        held.jid.local().unwrap_or_default()
    } else {
        name
    };
    info.identity("conference", "text", name.to_owned());
    let fields = registry.fields();
    for field in &fields {
        if let Some(feature) = (field.feature)(&config.values(field)) {
            info.feature(feature);
        }
    }
    let affiliation = held.affiliation(&asker.bare());
    // §14.4: what goes on inside is told to those who may be inside.
    let may_know = held.at(asker).is_some() || affiliation >= Affiliation::Member || config.is(&life::PUBLIC);
    let form = room_info_fields(&held, &fields, may_know);
    if !registry.is_kept(&config) {
        info.feature("urn:kim:muc:unarchived");
    }
    let mut event = RoomAsked {
        room: held.view(),
        asker: asker.clone(),
        affiliation,
        info,
        form,
    };
    router.raise(&mut event, cx).await?;
    drop(held);
    let mut sheet = Sheet::new(FormKind::Result, "http://jabber.org/protocol/muc#roominfo").typed();
    for (var, label, values) in &event.form {
        let known = fields.iter().find(|field| field.var == var);
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        sheet = sheet.field(var, known.map_or_else(|| kind(var), Field::kind), label, &values);
    }
    event.info.form(sheet.xml());
    Ok(event.info)
}

/// The fields of a room's extended information (§6.4): variable, label, values.
fn room_info_fields(
    held: &RoomState,
    fields: &[Field],
    may_know: bool,
) -> Vec<(String, String, Vec<String>)> {
    let config = &held.config;
    let mut form = Vec::new();
    let mut tell = |var: &str, label: &str, value: String| {
        if !value.is_empty() {
            form.push((var.to_owned(), label.to_owned(), vec![value]));
        }
    };
    tell(
        "muc#roominfo_description",
        "Description",
        config.text(&life::DESCRIPTION).to_owned(),
    );
    tell(
        "muc#roominfo_lang",
        "Language",
        config.text(&life::LANGUAGE).to_owned(),
    );
    tell(
        "muc#maxhistoryfetch",
        "Number of recent messages sent to people who join",
        config.text(&HISTORY_MAX).to_owned(),
    );
    if may_know {
        tell(
            "muc#roominfo_occupants",
            "Occupants",
            held.occupants.len().to_string(),
        );
        let subject = held.subject.as_ref().map(|subject| subject.text.to_string());
        tell("muc#roominfo_subject", "Subject", subject.unwrap_or_default());
        let changeable = config.is(&super::subject::MAY_CHANGE);
        tell(
            "muc#roominfo_subjectmod",
            "Allow occupants to change the subject",
            u8::from(changeable).to_string(),
        );
    }
    for field in fields.iter().filter(|field| field.is_told) {
        tell(field.var, field.label, config.text(field).to_owned());
    }
    let contacts: Vec<String> = if super::privacy::is_non_anonymous(config) && may_know {
        let owners = held
            .members
            .iter()
            .filter(|(_, member)| member.affiliation == Affiliation::Owner);
        owners.map(|(jid, _)| jid.as_str().to_owned()).collect()
    } else {
        Vec::new()
    };
    if !contacts.is_empty() {
        form.push(("muc#roominfo_contactjid".into(), "Owners".into(), contacts));
    }
    form
}

/// The type of a field that is no setting (§15.5.4).
fn kind(var: &str) -> &'static str {
    match var {
        "muc#roominfo_contactjid" => "jid-multi",
        "muc#roominfo_subjectmod" => "boolean",
        _ => "text-single",
    }
}

/// Says who is in a room, to those who are in it too (§6.5: "turn off such information sharing by default").
pub struct TellRoomItems(pub Arc<Registry>);

impl On<ItemsAsked> for TellRoomItems {
    async fn on(&self, asked: &mut ItemsAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        if matches!(asked.at, At::Own | At::Account) && asked.node.as_deref() == Some(ROOMS) {
            // §6.7: "If this information is private".
            asked.items = Some(Vec::new());
            return Ok(Flow::Next);
        }
        if asked.at != At::Within(SERVICE) || asked.node.is_some() {
            return Ok(Flow::Next);
        }
        let Some(held) = self.0.hold(&asked.account, cx.router()).await? else {
            return Ok(Flow::Next);
        };
        let mut items = Vec::new();
        if held.at(&asked.asker).is_some() {
            items.extend(held.occupants.values().map(|one| DiscoItem {
                jid: one.address.clone(),
                node: None,
                name: None,
            }));
        }
        asked.items = Some(items);
        Ok(Flow::Next)
    }
}

/// Lists the public rooms, page by page (§6.3).
pub struct ListRooms(pub Arc<Registry>);

impl HandleIq for ListRooms {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        if iq.payload.attr("node").is_some_and(|node| !node.is_empty()) {
            return Err(Condition::ItemNotFound.into());
        }
        let service = iq.account.domain();
        self.0.make_defaults(service, cx.router()).await?;
        let asked = Asked::parse(iq.payload)?;
        let max = asked.max.unwrap_or(PAGE_ROOMS_MAX).min(PAGE_ROOMS_MAX);
        let store = &self.0.store;
        let count = store.listed_count(service).await?;
        let page: Vec<Listed> = match asked.before.as_deref() {
            _ if max == 0 => Vec::new(),
            Some("") => store.listed_before(service, None, max).await?,
            Some(before) => store.listed_before(service, Some(before), max).await?,
            None => {
                store
                    .listed(service, asked.after.as_deref().unwrap_or_default(), max)
                    .await?
            }
        };
        Ok(write(&page, count))
    }
}

fn write(page: &[Listed], count: usize) -> Reply {
    let mut xml = Writer::new();
    xml.start("query", ITEMS);
    for room in page {
        xml.start("item", ITEMS).attr("jid", room.jid.as_str());
        let name = if room.name.is_empty() {
            room.jid.local().unwrap_or_default()
        } else {
            &room.name
        };
        xml.attr("name", name).end();
    }
    if page.len() < count {
        let id = |room: &Listed| room.jid.as_str().to_owned();
        Given {
            ends: page
                .first()
                .zip(page.last())
                .map(|(first, last)| (id(first), id(last))),
            count: Some(count),
        }
        .write(&mut xml);
    }
    xml.end();
    xml.into()
}
