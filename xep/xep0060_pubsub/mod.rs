//! XEP-0060 Publish-Subscribe 1.26.0: nodes, and the items that are published there. One engine with two doors: this
//! module serves the nodes at the `pubsub.` service, `xep0163_pep` those of every account. What other modules may use is in
//! [`api`].
//!
//! All about nodes but their items is kept in memory while it is in use ([`home`]); items are sealed with their owner's key
//! and come from the database, the last one of each node from memory too. A publication is told to nobody before it is
//! committed.

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::{AccountErased, AccountRemoved, ServiceArrival};
use kim_core::hook::Stage;
use kim_core::module::{At, Coverage, Module, Registrar, Spec};

use self::names::SERVICE;
use crate::xep0030_disco::api::{InfoAsked, ItemsAsked};
use crate::xep0191_blocking::api::Blocks;

mod access;
pub mod api;
mod approve;
mod config;
mod configure;
mod disco;
mod door;
mod engine;
mod errors;
mod events;
mod gone;
mod home;
mod items;
mod names;
mod notify;
mod owners;
mod publish;
mod retract;
mod sealed;
mod store;
mod subscribe;
#[cfg(test)]
mod tests;
mod words;

/// Bytes of a node's name.
const NODE_NAME_BYTES_MAX: usize = 1_023;
/// Bytes of an item's id.
const ITEM_ID_BYTES_MAX: usize = 1_023;

/// What the engine can do, at both doors (§10). Namespaces that are handled advertise themselves.
const FEATURES: &[&str] = &[
    "http://jabber.org/protocol/pubsub#access-authorize",
    "http://jabber.org/protocol/pubsub#access-open",
    "http://jabber.org/protocol/pubsub#access-presence",
    "http://jabber.org/protocol/pubsub#access-roster",
    "http://jabber.org/protocol/pubsub#access-whitelist",
    "http://jabber.org/protocol/pubsub#auto-create",
    "http://jabber.org/protocol/pubsub#config-node",
    "http://jabber.org/protocol/pubsub#config-node-max",
    "http://jabber.org/protocol/pubsub#create-and-configure",
    "http://jabber.org/protocol/pubsub#create-nodes",
    "http://jabber.org/protocol/pubsub#delete-items",
    "http://jabber.org/protocol/pubsub#delete-nodes",
    "http://jabber.org/protocol/pubsub#instant-nodes",
    "http://jabber.org/protocol/pubsub#item-ids",
    "http://jabber.org/protocol/pubsub#last-published",
    "http://jabber.org/protocol/pubsub#manage-subscriptions",
    "http://jabber.org/protocol/pubsub#member-affiliation",
    "http://jabber.org/protocol/pubsub#meta-data",
    "http://jabber.org/protocol/pubsub#modify-affiliations",
    "http://jabber.org/protocol/pubsub#multi-items",
    "http://jabber.org/protocol/pubsub#outcast-affiliation",
    "http://jabber.org/protocol/pubsub#persistent-items",
    "http://jabber.org/protocol/pubsub#publish",
    "http://jabber.org/protocol/pubsub#publish-only-affiliation",
    "http://jabber.org/protocol/pubsub#publish-options",
    "http://jabber.org/protocol/pubsub#publisher-affiliation",
    "http://jabber.org/protocol/pubsub#purge-nodes",
    "http://jabber.org/protocol/pubsub#retract-items",
    "http://jabber.org/protocol/pubsub#retrieve-affiliations",
    "http://jabber.org/protocol/pubsub#retrieve-default",
    "http://jabber.org/protocol/pubsub#retrieve-items",
    "http://jabber.org/protocol/pubsub#retrieve-subscriptions",
    "http://jabber.org/protocol/pubsub#rsm",
    "http://jabber.org/protocol/pubsub#subscribe",
    "http://jabber.org/protocol/pubsub#subscription-notifications",
];

kim_core::section! {
    /// Publish-subscribe nodes of accounts and of the pubsub service (XEP-0060, XEP-0163).
    pub struct Settings {
        /// Whether to run a service at pubsub.DOMAIN. Accounts have nodes either way.
        pub service: bool = true;
        /// Nodes of one account. (row 30)
        pub nodes_per_account_max: usize = 1_000, in 1..=1_000_000;
        /// Nodes of the service.
        pub nodes_per_service_max: usize = 10_000, in 1..=1_000_000;
        /// Items in one node. This is also the value that the "max_items" option gets for "max".
        pub items_per_node_max: usize = 10_000, in 256..=1_000_000;
        /// Bytes in one item.
        pub item_bytes_max: usize = 196_608, in 10_000..=16_777_216;
        /// Bytes of all items of one account. (row 30)
        pub account_bytes_max: usize = 10_485_760, in 65_536..=1_099_511_627_776;
        /// Bytes of all items of the service.
        pub service_bytes_max: usize = 1_073_741_824, in 65_536..=1_099_511_627_776;
        /// Subscriptions to one node.
        pub subscriptions_per_node_max: usize = 10_000, in 1..=1_000_000;
        /// Subscriptions of one subscriber to the nodes of one account or of the service.
        pub subscriptions_per_subscriber_max: usize = 1_000, in 1..=1_000_000;
        /// Affiliations with one node.
        pub affiliations_per_node_max: usize = 1_000, in 1..=1_000_000;
        /// Items on one page of a result.
        pub page_items_max: usize = 500, in 10..=10_000;
        /// Bytes of items in one response. The rest follows on further pages.
        pub answer_bytes_max: usize = 786_432, in 262_144..=16_777_216;
        /// Bytes of memory for the settings of nodes in use.
        pub node_cache_bytes_max: usize = 67_108_864, in 1_048_576..=17_179_869_184;
        /// Bytes of memory for the last items of nodes in use.
        pub last_item_cache_bytes_max: usize = 67_108_864, in 1_048_576..=17_179_869_184;
    }
}

/// The module.
pub struct PublishSubscribe;

impl Module for PublishSubscribe {
    type Config = Settings;
    const NAME: &'static str = "xep0060_pubsub";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0060",
        title: "Publish-Subscribe",
        version: "1.26.0",
        coverage: Coverage::Partial("no subscription options, no leases, no collections"),
    }];
    const NEEDS: &'static [&'static str] = &["rfc6121_im", "xep0004_forms", "xep0030_disco"];
    const USES: &'static [&'static str] = &["xep0059_rsm", "xep0191_blocking"];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "xep0060_pubsub",
        name: "0001_pubsub",
        sql: include_str!("migrations/0001_pubsub.sql"),
    }];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(settings: Settings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let has_service = settings.service;
        let engine = Arc::new(engine::Engine::new(
            house.db,
            house.seals,
            house.clock,
            settings,
            house.needed()?,
            Blocks::of(house),
        ));
        house.provide(Arc::new(api::PubSub {
            engine: engine.clone(),
        }));
        house.hear::<AccountRemoved>(Stage::Store, gone::ForgetNodes(engine.clone()));
        house.hear::<AccountErased>(Stage::Store, gone::ForgetNodes(engine.clone()));
        if !has_service {
            return Ok(());
        }
        house.service(SERVICE);
        let at = At::Service(SERVICE);
        door::Door(engine.clone()).open(house, &[at]);
        house.at(&[at]).identity("pubsub", "service", "");
        house.on::<ServiceArrival>(Stage::Deliver, approve::AtService(engine.clone()));
        house.on::<InfoAsked>(
            Stage::Deliver,
            disco::NodeInfo {
                engine: engine.clone(),
                at_service: true,
            },
        );
        house.on::<ItemsAsked>(
            Stage::Deliver,
            disco::Nodes {
                engine,
                at_service: true,
            },
        );
        Ok(())
    }
}
