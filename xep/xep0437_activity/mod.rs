//! XEP-0437 Room Activity Indicators 0.2.0: a client hears that something was said in rooms it belongs to, without being in
//! them.
//!
//! [`watch`] keeps which sessions wait for a sign of which rooms: those of members (§5.1), each told once until it has been
//! inside again (§4). What happened before a session asked is found by when its account was last there ([`store`]).

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::{ServiceArrival, SessionEnded};
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::section;

use crate::xep0045_muc::api::{AffiliationsChanged, OccupantsChanged, RoomDestroyed, RoomMessage, SERVICE};

mod store;
#[cfg(test)]
mod tests;
mod watch;

/// The namespace.
const NS: &str = "urn:xmpp:rai:0";

section! {
    /// Room activity indicators (XEP-0437).
    pub struct ActivityConfig {
        /// Rooms of one account for which a client is notified.
        pub rooms_max: usize = 500, in 1..=10_000;
    }
}

/// The module.
pub struct RoomActivity;

impl Module for RoomActivity {
    type Config = ActivityConfig;
    const NAME: &'static str = "xep0437_activity";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0437", "Room Activity Indicators", "0.2.0")];
    const NEEDS: &'static [&'static str] = &["xep0045_muc"];
    const USES: &'static [&'static str] = &["xep0313_mam"];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "xep0437_activity",
        name: "0001_activity",
        sql: include_str!("migrations/0001_activity.sql"),
    }];
    const ERASERS: &'static [Eraser] = &[store::ERASE];

    fn register(config: ActivityConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let watchers = Arc::new(watch::Watchers {
            rooms: house.needed()?,
            archives: house.wanted(),
            store: store::ActivityStore::new(house.db),
            rooms_max: config.rooms_max,
            waiting: dashmap::DashMap::new(),
            asked: dashmap::DashMap::new(),
        });
        house.feature(&[At::Service(SERVICE)], NS);
        house.on::<ServiceArrival>(Stage::Admit, watch::Asking(watchers.clone()));
        house.hear::<SessionEnded>(Stage::Notify, watch::Ending(watchers.clone()));
        house.on::<RoomMessage>(Stage::Notify, watch::Hearing(watchers.clone()));
        house.hear::<OccupantsChanged>(Stage::Notify, watch::Leaving(watchers.clone()));
        house.hear::<AffiliationsChanged>(Stage::Notify, watch::Belonging(watchers.clone()));
        house.hear::<RoomDestroyed>(Stage::Notify, watch::Destroyed(watchers));
        Ok(())
    }
}
