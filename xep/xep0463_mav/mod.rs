//! XEP-0463 MUC Affiliations Versioning 0.2.0: who enters is told what has changed in the lists since the version they know.
//!
//! A room has versions from the first time that somebody asks. A version is random, so nobody knows one that they were
//! not told; the log says only whose affiliation changed, and what they are now is looked up when it is told.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use dashmap::DashMap;
use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On, Stage};
use kim_core::jid::BareJid;
use kim_core::module::{At, Coverage, Module, Registrar, Spec};
use kim_core::random;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use crate::xep0045_muc::api::{
    Affiliation, AffiliationsChanged, MUC, RoomDestroyed, SERVICE, USER, Welcoming,
};

mod store;
#[cfg(test)]
mod tests;

/// §4
const NS: &str = "urn:xmpp:muc:affiliations:1";
/// Versions of one room that are kept; who knows an older one gets the full list.
const ENTRIES_MAX: usize = 1_000;
/// Rooms whose versions are held in memory; beyond that they are read again.
const ROOMS_MAX: usize = 10_000;

/// The module.
pub struct Mav;

impl Module for Mav {
    type Config = NoSettings;
    const NAME: &'static str = "xep0463_mav";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0463",
        title: "MUC Affiliations Versioning",
        version: "0.2.0",
        coverage: Coverage::Partial(
            "a room keeps versions from the first time somebody asks; only who asks is told the version on entering",
        ),
    }];
    const NEEDS: &'static [&'static str] = &["xep0045_muc"];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        room: "xep0463_mav",
        name: "0001_versions",
        sql: include_str!("migrations/0001_versions.sql"),
    }];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let versions = Arc::new(Versions {
            store: store::Store::new(house.db.clone()),
            logs: DashMap::new(),
        });
        house.feature(&[At::Within(SERVICE)], NS);
        house.on::<Welcoming>(Stage::Deliver, Tell(versions.clone()));
        house.on::<AffiliationsChanged>(Stage::Store, Note(versions.clone()));
        house.on::<RoomDestroyed>(Stage::Store, Forget(versions));
        Ok(())
    }
}

/// A version.
#[derive(Clone)]
pub struct Entry {
    /// Its place among the room's versions.
    pub place: i64,
    /// What clients know it by.
    pub version: String,
    /// Whose affiliation changed; empty in the first.
    pub jid: String,
}

struct Versions {
    store: store::Store,
    logs: DashMap<BareJid, VecDeque<Entry>>,
}

impl Versions {
    /// The room's log, from memory or the database. The room is held by whoever raised the event, so nobody else changes it.
    async fn log(&self, room: &BareJid) -> Result<VecDeque<Entry>, Fault> {
        if let Some(log) = self.logs.get(room) {
            return Ok(log.clone());
        }
        Ok(self.store.load(room).await?.into())
    }

    fn add(&self, room: &BareJid, mut log: VecDeque<Entry>, jid: &str, cx: &mut Cx) -> VecDeque<Entry> {
        let entry = Entry {
            place: log.back().map_or(0, |last| last.place.saturating_add(1)),
            version: random::token(),
            jid: jid.to_owned(),
        };
        log.push_back(entry.clone());
        if log.len() > ENTRIES_MAX {
            log.pop_front();
        }
        cx.store(&self.store.sink, store::Change::Entry(room.clone(), entry));
        self.keep(room, &log);
        log
    }

    fn keep(&self, room: &BareJid, log: &VecDeque<Entry>) {
        if self.logs.len() >= ROOMS_MAX {
            self.logs.clear();
        }
        self.logs.insert(room.clone(), log.clone());
    }
}

fn write_mav(xml: &mut Writer, since: Option<&str>, until: &str) {
    xml.start("mav", NS);
    if let Some(since) = since {
        xml.attr("since", since);
    }
    xml.attr("until", until).end();
}

/// §5.2.2
struct Note(Arc<Versions>);

impl On<AffiliationsChanged> for Note {
    async fn on(&self, event: &mut AffiliationsChanged, cx: &mut Cx) -> Result<Flow, Fault> {
        let mut log = self.0.log(&event.room.jid).await?;
        let Some(since) = log.back().map(|last| last.version.clone()) else {
            self.0.keep(&event.room.jid, &log);
            return Ok(Flow::Next);
        };
        for change in &event.changes {
            log = self.0.add(&event.room.jid, log, change.jid.as_str(), cx);
        }
        if let Some(last) = log.back() {
            let mut xml = Writer::new();
            write_mav(&mut xml, Some(&since), &last.version);
            event.beside.push_str(&xml.finish_string());
        }
        Ok(Flow::Next)
    }
}

/// §5.2.1
struct Tell(Arc<Versions>);

impl On<Welcoming> for Tell {
    async fn on(&self, event: &mut Welcoming, cx: &mut Cx) -> Result<Flow, Fault> {
        let since = match event.stanza.child("x", MUC).and_then(|x| x.child("mav", NS)) {
            Some(asked) => asked.attr("since").map(|since| since.into_owned()),
            None => return Ok(Flow::Next),
        };
        if !event.may_see_members {
            event.ahead.push(forbidden(event));
            return Ok(Flow::Next);
        }
        let mut log = self.0.log(&event.room.jid).await?;
        if log.is_empty() {
            log = self.0.add(&event.room.jid, log, "", cx);
        } else {
            self.0.keep(&event.room.jid, &log);
        }
        let Some(until) = log.back().map(|last| last.version.clone()) else {
            return Ok(Flow::Next);
        };
        let mut own = Writer::new();
        write_mav(&mut own, None, &until);
        event.own.push_str(&own.finish_string());
        if since.as_deref() == Some(until.as_str()) {
            return Ok(Flow::Next);
        }
        let me = event.who.jid.bare();
        let changed = since.as_deref().and_then(|since| changed_since(&log, since));
        // What they may see has changed with what they are: the whole list anew.
        let changed = changed.filter(|changed| !changed.contains(me.as_str()));
        event.ahead.push(list(event, changed, since.as_deref(), &until));
        Ok(Flow::Next)
    }
}

/// Whose affiliation has changed behind a version; `None` if it is not known.
fn changed_since<'a>(log: &'a VecDeque<Entry>, since: &str) -> Option<BTreeSet<&'a str>> {
    let at = log.iter().position(|entry| entry.version == since)?;
    Some(log.iter().skip(at + 1).map(|entry| entry.jid.as_str()).collect())
}

fn list(event: &Welcoming, changed: Option<BTreeSet<&str>>, since: Option<&str>, until: &str) -> Stanza {
    // XEP-0045 §9.2: the banned are for admins to see.
    let sees_banned = event.who.affiliation >= Affiliation::Admin;
    let seen = event
        .affiliated
        .iter()
        .filter(|one| sees_banned || one.affiliation != Affiliation::Outcast);
    let mut xml = Writer::new();
    xml.start("x", USER);
    write_mav(&mut xml, since.filter(|_| changed.is_some()), until);
    let mut gone = changed.clone().unwrap_or_default();
    for one in seen {
        if changed
            .as_ref()
            .is_some_and(|changed| !changed.contains(one.jid.as_str()))
        {
            continue;
        }
        gone.remove(one.jid.as_str());
        write_item(&mut xml, one.jid.as_str(), one.affiliation);
    }
    for jid in gone {
        write_item(&mut xml, jid, Affiliation::None);
    }
    xml.end();
    Stanza::new(Kind::Message(MessageType::Normal), &xml.finish_string())
}

fn write_item(xml: &mut Writer, jid: &str, affiliation: Affiliation) {
    xml.start("item", USER)
        .attr("jid", jid)
        .attr("affiliation", affiliation.as_str())
        .end();
}

/// §5.2.3
fn forbidden(event: &Welcoming) -> Stanza {
    let mut xml = Writer::new();
    xml.start("error", kim_core::ns::CLIENT)
        .attr("by", event.room.jid.as_str())
        .attr("type", "auth");
    xml.start("forbidden", "urn:ietf:params:xml:ns:xmpp-stanzas")
        .end()
        .end();
    let mut error = Stanza::new(Kind::Message(MessageType::Error), &xml.finish_string());
    error.id = event.stanza.id.clone();
    error
}

struct Forget(Arc<Versions>);

impl On<RoomDestroyed> for Forget {
    async fn on(&self, event: &mut RoomDestroyed, cx: &mut Cx) -> Result<Flow, Fault> {
        self.0.logs.remove(&event.room);
        cx.store(&self.0.store.sink, store::Change::Gone(event.room.clone()));
        Ok(Flow::Next)
    }
}
