//! XEP-0054 vcard-temp 1.3.0: keeps each account's vCard, which everybody may read. With XEP-0153 vCard-Based Avatars
//! 1.1.1: the hash of its picture is put into the presence of clients that do not do so themselves or fell behind.

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::config::NoSettings;
use kim_core::db::Migration;
use kim_core::error::{Condition, Fault};
use kim_core::events::Departure;
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Registrar, Spec};

pub mod api;
mod avatar;
mod card;
mod store;
#[cfg(test)]
mod tests;

/// The namespace.
pub const NS: &str = "vcard-temp";

/// The module.
pub struct VCardTemp;

impl Module for VCardTemp {
    type Config = NoSettings;
    const NAME: &'static str = "xep0054_vcard";
    const SPECS: &'static [Spec] = &[
        Spec::complete("XEP-0054", "vcard-temp", "1.3.0"),
        Spec::complete("XEP-0153", "vCard-Based Avatars", "1.1.1"),
    ];
    const MIGRATIONS: &'static [Migration] = &[
        Migration {
            module: "xep0054_vcard",
            name: "0001_vcard",
            sql: include_str!("migrations/0001_vcard.sql"),
        },
        Migration {
            module: "xep0054_vcard",
            name: "0002_sealed",
            sql: include_str!("migrations/0002_sealed.sql"),
        },
    ];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let cards = Arc::new(store::Cards::new(house.db, house.seals));
        house.provide(Arc::new(api::VCards::new(cards.clone())));
        let change = card::CardChange {
            cards: cards.clone(),
            limits: house.limits.clone(),
        };
        house
            .at(&[At::Own, At::Account])
            .get("vCard", NS, card::Show(cards.clone()));
        house
            .at(&[At::Own])
            .refusing_others(Condition::Forbidden) // §3.2
            .set("vCard", NS, change);
        house.feature(&[At::Server], NS);
        house.on::<Departure>(Stage::Stamp, avatar::ShowHash(cards));
        Ok(())
    }
}
