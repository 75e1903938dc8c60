//! How many people an account may write to who have never heard of it. A server whose accounts write to whoever they like is
//! soon one that nobody listens to; XEP-0205 §3.3 and RFC 6120 §13.12 leave such limits to the server. Contacts, and people who
//! have written to the account, are never counted, and cost one look into memory for each message.

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::{AccountErased, Arrival, Departure};
use kim_core::hook::Stage;
use kim_core::module::{Module, Registrar, Spec};
use kim_core::section;

mod addressed;
pub mod api;
mod budget;
mod people;
mod store;
#[cfg(test)]
mod tests;

section! {
    /// How many new people an account may write to, or ask to be a contact: people who are no contacts of it and have
    /// never written to it, here or elsewhere. Messages in rooms do not count; private messages to people in rooms,
    /// and invitations, do. Guests are not counted.
    pub struct OutreachConfig {
        /// Days during which an account counts as young. Accounts that were invited, or made by an administrator, never do.
        pub young_days: u32 = 7, in 0..=365;
        /// New people in an hour, for young accounts.
        pub young_per_hour: u32 = 20, in 0..=1_000;
        /// New people in 24 hours, for young accounts.
        pub young_per_day: u32 = 30, in 0..=1_000;
        /// New people in 24 hours, for all others.
        pub per_day: u32 = 100, in 1..=1_000;
    }
}

/// The module.
pub struct Outreach;

impl Module for Outreach {
    type Config = OutreachConfig;
    const NAME: &'static str = "outreach";
    const SPECS: &'static [Spec] = &[];
    const NEEDS: &'static [&'static str] = &["rfc6121_im"];
    const MIGRATIONS: &'static [Migration] = store::MIGRATIONS;
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(config: OutreachConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let tally = Arc::new(api::OutreachTally::default());
        house.provide(tally.clone());
        let people = Arc::new(people::People::new(house.db, house.seals, house.needed()?));
        house.on::<Departure>(
            Stage::Admit,
            budget::Budget::new(people.clone(), config, house.limits.clone(), tally),
        );
        house.on::<Arrival>(Stage::Store, people::Remember::new(people.clone()));
        house.hear::<AccountErased>(Stage::Store, people::ForgetPeople(people));
        let (db, clock) = (house.db.clone(), house.clock.clone());
        house.tidies(move || {
            let (db, now) = (db.clone(), clock.now());
            async move { store::clear_away(&db, now).await }
        });
        Ok(())
    }
}
