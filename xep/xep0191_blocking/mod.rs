//! XEP-0191 Blocking Command 1.3: an account lists the addresses that it does not want to hear from, and seems offline to them.
//! Blocking is polite (§4): subscriptions stay as they are, so that unblocking restores them.

pub mod api;
mod barrier;
mod commands;
mod list;
mod store;
#[cfg(test)]
mod tests;
mod visibility;

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::config::NoSettings;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::{AccountErased, Arrival, Departure, Leaving};
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Registrar, Spec};

use crate::rfc6121_im::api::Audience;
use list::BlockLists;
use visibility::Visibility;

const NS: &str = "urn:xmpp:blocking";

/// More items in one request are refused; a client can send several.
const ITEMS_PER_REQUEST_MAX: usize = 1_000;

/// The module.
pub struct Blocking;

impl Module for Blocking {
    type Config = NoSettings;
    const NAME: &'static str = "xep0191_blocking";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0191", "Blocking Command", "1.3")];
    const NEEDS: &'static [&'static str] = &["rfc6121_im"];
    const MIGRATIONS: &'static [Migration] = store::MIGRATIONS;
    const ERASERS: &'static [Eraser] = &[store::clear];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let lists = Arc::new(BlockLists::new(house.db.clone()));
        house.provide(Arc::new(api::Blocks::new(lists.clone())));
        let visibility = Arc::new(Visibility::new(house.needed()?));

        let block = commands::Block {
            lists: lists.clone(),
            visibility: visibility.clone(),
            limits: house.limits.clone(),
        };
        let unblock = commands::Unblock {
            lists: lists.clone(),
            visibility,
        };
        house
            .at(&[At::Own])
            .get("blocklist", NS, commands::Fetch(lists.clone()))
            .set("block", NS, block)
            .set("unblock", NS, unblock);
        // Clients look for it at the domain (§3.1).
        house.feature(&[At::Server], NS);

        house.on::<Departure>(Stage::Admit, barrier::BlockOutgoing(lists.clone()));
        house.on::<Leaving>(Stage::Admit, barrier::Unheard(lists.clone()));
        house.on::<Arrival>(Stage::Admit, barrier::BlockIncoming(lists.clone()));
        house.on::<Audience>(Stage::Filter, barrier::Unseen(lists.clone()));
        house.hear::<AccountErased>(Stage::Store, barrier::ForgetBlockList(lists));
        Ok(())
    }
}
