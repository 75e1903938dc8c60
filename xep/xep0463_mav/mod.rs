//! XEP-0463 MUC Affiliations Versioning 0.2.0: who enters is told what has changed in the lists since the version they know.
//!
//! A room has versions from the first time that somebody enters who may see its lists; they are told to those alone (the room
//! sees to that). A version is random, so nobody knows one that they were not told. [`log`] keeps whose affiliation changed
//! and what it was before; what it is now is looked up when it is told ([`answer`]).

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::hook::{Flow, Hear, On, Stage};
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::wire::Writer;

use crate::xep0045_muc::api::{AffiliationsChanged, MUC, RoomDestroyed, SERVICE, Welcoming};

mod answer;
mod log;
mod store;
#[cfg(test)]
mod tests;

use log::Logs;

/// §4
const NS: &str = "urn:xmpp:muc:affiliations:1";

/// The module.
pub struct Mav;

impl Module for Mav {
    type Config = NoSettings;
    const NAME: &'static str = "xep0463_mav";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0463", "MUC Affiliations Versioning", "0.2.0")];
    const NEEDS: &'static [&'static str] = &["xep0045_muc"];
    const MIGRATIONS: &'static [Migration] = &[
        Migration {
            module: "xep0463_mav",
            name: "0001_versions",
            sql: include_str!("migrations/0001_versions.sql"),
        },
        Migration {
            module: "xep0463_mav",
            name: "0002_was",
            sql: include_str!("migrations/0002_was.sql"),
        },
    ];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let logs = Arc::new(Logs::new(store::VersionStore::new(house.db.clone())));
        house.feature(&[At::Within(SERVICE)], NS);
        house.on::<Welcoming>(Stage::Deliver, Versions(logs.clone()));
        house.hear::<AffiliationsChanged>(Stage::Store, Versions(logs.clone()));
        house.hear::<RoomDestroyed>(Stage::Store, Versions(logs));
        Ok(())
    }
}

/// `<mav/>`
fn write_mav(xml: &mut Writer, since: Option<&str>, until: &str) {
    xml.start("mav", NS);
    if let Some(since) = since {
        xml.attr("since", since);
    }
    xml.attr("until", until).end();
}

fn mav(since: Option<&str>, until: &str) -> String {
    let mut xml = Writer::new();
    write_mav(&mut xml, since, until);
    xml.finish_string()
}

struct Versions(Arc<Logs>);

/// §5.2.2: one change is one version; several at once are a chain of them, each told with its own change.
impl Hear<AffiliationsChanged> for Versions {
    async fn hear(&self, event: &mut AffiliationsChanged, cx: &mut Cx) -> Result<(), Fault> {
        let log = self.0.of(&event.room.jid).await?;
        let Some(since) = log.last().map(|last| last.version.clone()) else {
            return Ok(());
        };
        let until = self.0.note(&event.room.jid, log, Some(&event.change), cx);
        event.beside.push_str(&mav(Some(&since), &until));
        event.own.push_str(&mav(None, &until));
        Ok(())
    }
}

/// §5.2.1: the version for everybody who may see the lists, and what has changed for those who ask.
impl On<Welcoming> for Versions {
    async fn on(&self, event: &mut Welcoming, cx: &mut Cx) -> Result<Flow, Fault> {
        let asked = event.stanza.child("x", MUC).and_then(|x| {
            let mav = x.child("mav", NS)?;
            Some(mav.attr("since").map(|since| since.into_owned()))
        });
        if !event.sees_lists {
            if asked.is_some() {
                event.ahead.push(answer::forbidden(event));
            }
            return Ok(Flow::Next);
        }
        let mut log = self.0.of(&event.room.jid).await?;
        if log.last().is_none() {
            self.0.note(&event.room.jid, log, None, cx);
            log = self.0.of(&event.room.jid).await?;
        }
        let Some(until) = log.last().map(|last| &*last.version) else {
            return Ok(Flow::Next);
        };
        event.own.push_str(&mav(None, until));
        if let Some(since) = asked
            && since.as_deref() != Some(until)
        {
            event
                .ahead
                .extend(answer::lists(event, &log, since.as_deref(), until));
        }
        Ok(Flow::Next)
    }
}

impl Hear<RoomDestroyed> for Versions {
    async fn hear(&self, event: &mut RoomDestroyed, cx: &mut Cx) -> Result<(), Fault> {
        self.0.forget(&event.room, cx);
        Ok(())
    }
}
