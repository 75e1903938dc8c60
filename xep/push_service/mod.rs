//! The app server of this house (XEP-0357 §3): browsers and programs that subscribe here are woken by this server itself,
//! through the push service of the browser or of a UnifiedPush distributor, and no app server of anybody else is needed.
//!
//! XEP-0357 publishes to `push.` in front of the domain as to any app server ([`publish`]), and keeps what is owed, so nothing is
//! queued here. Apps register by commands ([`register`]). What clients said is kept sealed ([`subscriptions`], [`store`]). The
//! way to the network is not here: the program hands it in ([`api::PushNetwork`]).

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::section;

use crate::xep0050_commands::api::{self as commands, Commands};

pub mod api;
mod publish;
mod register;
mod store;
mod subscriptions;
#[cfg(test)]
mod tests;
mod wire;

const NS: &str = "urn:xmpp:push:0";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// The service, in front of the domain.
const SERVICE: &str = "push";

section! {
    /// The app server inside: browsers (Web Push) and UnifiedPush apps are woken by this server itself.
    pub struct PushServiceConfig {
        /// Push subscriptions of one account.
        pub subscriptions_max: usize = 20, in 1..=1_000;
        /// Notifications on their way at the same time. Further ones are tried again a little later.
        pub underway_max: usize = 1_000, in 1..=100_000;
        /// Seconds that a push service may take to answer.
        pub answer_seconds: u64 = 20, in 1..=50;
        /// Connect to loopback and private addresses too, for push services on this machine or network. Otherwise everybody with
        /// an account could make this server connect to its own network.
        pub private_addresses: bool = false;
    }
}

/// The module.
pub struct PushServer;

impl Module for PushServer {
    type Config = PushServiceConfig;
    const NAME: &'static str = "push_service";
    const SPECS: &'static [Spec] = &[
        Spec::complete("RFC 8030", "Generic Event Delivery Using HTTP Push", ""),
        Spec::complete("RFC 8291", "Message Encryption for Web Push", ""),
        Spec::complete(
            "RFC 8292",
            "Voluntary Application Server Identification for Web Push",
            "",
        ),
    ];
    const NEEDS: &'static [&'static str] = &["xep0357_push", "xep0004_forms", "xep0050_commands"];
    const MIGRATIONS: &'static [Migration] = store::MIGRATIONS;
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(config: PushServiceConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let subscriptions = subscriptions::PushSubscriptions::new(
            store::SubscriptionStore::new(house.db),
            house.seals,
            config.subscriptions_max,
        );
        let owner = format!("{SERVICE}.{}", house.config.main_domain());
        let server = Arc::new(api::AppServer::new(config, subscriptions, owner, house.needed()?));
        house.provide(server.clone());
        house.service(SERVICE);
        house.feature(&[At::Service(SERVICE)], commands::NS);
        let offered: Arc<Commands> = house.needed()?;
        register::offer(&offered, &server);
        house
            .at(&[At::Service(SERVICE)])
            .identity("pubsub", "push", "Push notifications")
            .feature(NS)
            .set("pubsub", PUBSUB, publish::Publish(server));
        Ok(())
    }
}
