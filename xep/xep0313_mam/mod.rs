//! XEP-0313 Message Archive Management 1.1.3: what people write to each other, kept by their server for all their devices;
//! with the preferences of XEP-0441 and the tombstones of XEP-0424.
//!
//! [`hooks`] sees messages pass and hands them to [`archive`], which seals them; [`query`] and [`page`] give them back.
//! A message that a client sends again because it does not know whether it arrived is recognised by [`tail`] and goes no
//! further. Nothing readable reaches the database: [`store`] has times, random numbers and tags.

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::db::Migration;
use kim_core::error::{Condition, Fault};
use kim_core::events::{AccountErased, Arrival, Departure};
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::section;

pub mod api;
mod archive;
mod hooks;
mod ids;
mod page;
mod prefs;
mod purge;
mod query;
mod retract;
mod store;
mod tail;
#[cfg(test)]
mod tests;
mod worth;

use prefs::Policy;

/// The namespace.
pub const NS: &str = "urn:xmpp:mam:2";

section! {
    /// Message archives (XEP-0313).
    pub struct MamConfig {
        /// Days after which archived messages are deleted. 0 keeps them forever. [rooms] can set another time for rooms.
        pub retention_days: u32 = 0, in 0..=36_500;
        /// Messages in one page of an archive.
        pub page_messages_max: usize = 250, in 10..=1_000;
        /// What is archived of an account that has not set preferences itself (XEP-0441): "always" everything, "roster" what it
        /// and the contacts in its roster say to each other, "never" nothing. Messages to an account that is away wait for it
        /// in any case.
        pub default: Policy = Policy::Always;
    }
}

/// The module.
pub struct Mam;

impl Module for Mam {
    type Config = MamConfig;
    const NAME: &'static str = "xep0313_mam";
    const SPECS: &'static [Spec] = &[
        Spec::complete("XEP-0313", "Message Archive Management", "1.1.3"),
        Spec::complete("XEP-0424", "Message Retraction", "0.4.2"),
        Spec::complete("XEP-0441", "Message Archive Management Preferences", "0.2.0"),
    ];
    const NEEDS: &'static [&'static str] = &["rfc6121_im", "xep0359_ids", "xep0004_forms", "xep0059_rsm"];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "xep0313_mam",
        name: "0001_archive",
        sql: include_str!("migrations/0001_archive.sql"),
    }];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(config: MamConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let archives = Arc::new(archive::Archives::new(house.db, house.seals, house.clock));
        let subscriptions = house.needed()?;
        let caches = house.db.caches();
        let keeper = Arc::new(hooks::ArchiveKeeper {
            preferences: prefs::Preferences::new(caches, archives.clone(), subscriptions, config.default),
            retractions: retract::Retractions {
                archives: archives.clone(),
            },
            archives: archives.clone(),
        });
        let reader = Arc::new(page::Reader {
            archives: archives.clone(),
            page_messages_max: config.page_messages_max,
        });
        house
            .at(&[At::Own])
            .refusing_others(Condition::Forbidden) // §8.1
            .get_and_set("query", NS, page::QueryIq(reader.clone()))
            .get_and_set("prefs", NS, prefs::PrefsIq(keeper.clone()))
            .get("metadata", NS, page::MetadataIq(archives.clone()))
            .feature("urn:xmpp:mam:2#extended");
        house
            .at(&[At::Account])
            .feature(retract::NS)
            .feature("urn:xmpp:message-retract:1#tombstone");
        house.on::<Departure>(Stage::Store, hooks::Departing(keeper.clone()));
        house.on::<Arrival>(Stage::Admit, hooks::NoForeignResults);
        house.on::<Arrival>(Stage::Store, hooks::Arriving(keeper.clone()));
        house.hear::<AccountErased>(Stage::Deliver, hooks::ForgetArchives(keeper));
        house.provide(Arc::new(api::MessageArchives::new(reader, config.retention_days)));
        let clock = house.clock.clone();
        house.tidies(move || {
            let (archives, clock) = (archives.clone(), clock.clone());
            async move { Ok(purge::tidy(&archives, &clock, config.retention_days).await) }
        });
        Ok(())
    }
}
