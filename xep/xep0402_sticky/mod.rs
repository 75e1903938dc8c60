//! Members of a room stay members while all their devices are away: what is said meanwhile is told to whoever pushes, counts or
//! notifies for them ([`api::SaidWhileAway`]), as far as each member wants that. What they want stands where clients keep
//! it: in the bookmark of the room (XEP-0402 1.2.0, `autojoin`) and in its notification settings (XEP-0492 0.2.0).
//!
//! A client that comes back reads the room's archive (XEP-0313) from where it left off; nothing is kept here but in
//! memory.

use std::sync::Arc;

use kim_core::error::Fault;
use kim_core::hook::Stage;
use kim_core::module::{Coverage, Module, Registrar, Spec};
use kim_core::section;

use crate::xep0045_muc::api::{Field, RoomMessage, Rooms, Shape};
use crate::xep0060_pubsub::api::{NodeDeleted, Published, Retracted};

pub mod api;
mod away;
mod mention;
#[cfg(test)]
mod tests;
mod wish;

section! {
    /// Notifications for room members who are away (XEP-0402, XEP-0492).
    pub struct StickyConfig {
        /// Notification settings of members to keep in memory.
        pub wishes_remembered_max: usize = 100_000, in 100..=10_000_000;
    }
}

/// Whether members hear of a room while they are away.
pub(crate) const STICKY: Field = Field::new(
    "{urn:kim:muc:0}roomconfig_sticky",
    "Members hear of it while they are away",
    Shape::Boolean,
    &["1"],
);

/// The module.
pub struct StickyMembers;

impl Module for StickyMembers {
    type Config = StickyConfig;
    const NAME: &'static str = "xep0402_sticky";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0492",
        title: "Chat notification settings",
        version: "0.2.0",
        coverage: Coverage::Partial("for members of rooms; `<advanced/>` is left to clients"),
    }];
    const NEEDS: &'static [&'static str] = &["xep0045_muc", "xep0060_pubsub"];

    fn register(config: StickyConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.needed::<Rooms>()?.add_field(STICKY);
        let (caches, remembered_max) = (house.db.caches(), config.wishes_remembered_max);
        let wishes = Arc::new(wish::Wishes::new(caches, house.needed()?, remembered_max));
        house.provide(Arc::new(api::RoomWishes(wishes.clone())));
        house.on::<RoomMessage>(Stage::Notify, away::ListenToRooms(wishes.clone()));
        house.hear::<Published>(Stage::Notify, wish::BookmarksChanged(wishes.clone()));
        house.hear::<Retracted>(Stage::Notify, wish::BookmarksChanged(wishes.clone()));
        house.hear::<NodeDeleted>(Stage::Notify, wish::BookmarksChanged(wishes));
        Ok(())
    }
}
