//! UnifiedPush for other apps on a user's phone: a client such as Conversations is the distributor, and kIM the push server.
//! The client registers an app at `up.` in front of the domain and gets an address; what is posted there is handed to the client
//! as an iq. The protocol is that of the "up" push provider (`http://gultsch.de/xmpp/drafts/unified-push`).
//!
//! Nothing is kept: who registered, for which app and until when stands sealed in the address itself ([`endpoint`]). A client
//! says itself when an app is gone. Whoever knows the address can wake the app, so addresses are long and expire, and each
//! account is sent only so much.

use std::sync::Arc;

use kim_core::error::Fault;
use kim_core::module::{At, Coverage, Module, Registrar, Spec};
use kim_core::section;

pub mod api;
mod endpoint;
mod register;
#[cfg(test)]
mod tests;

const NS: &str = "http://gultsch.de/xmpp/drafts/unified-push";
/// The service, in front of the domain.
const SERVICE: &str = "up";

section! {
    /// Push notifications for other apps on a user's phone (UnifiedPush): an XMPP client that is a distributor gets an address
    /// for each app, and is handed what is posted there.
    pub struct UnifiedPushConfig {
        /// Days after which an address expires. Clients renew it in time.
        pub address_days: u32 = 14, in 2..=365;
        /// Messages a minute for all apps of one account.
        pub messages_per_minute: u32 = 60, in 1..=10_000;
        /// Messages that clients have not taken yet. Further ones are refused for the moment.
        pub underway_max: usize = 200, in 1..=500;
    }
}

/// The module.
pub struct UnifiedPush;

impl Module for UnifiedPush {
    type Config = UnifiedPushConfig;
    const NAME: &'static str = "unified_push";
    const SPECS: &'static [Spec] = &[Spec {
        id: "UnifiedPush",
        title: "Unified Push Provider (XMPP Transport)",
        version: "",
        coverage: Coverage::Partial("messages are not kept for clients without a session"),
    }];

    fn register(config: UnifiedPushConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        // Without a door for the web there is nothing to post to.
        let Some(origin) = house.config.public_url() else {
            return Ok(());
        };
        let owner = format!("{SERVICE}.{}", house.config.main_domain());
        let provider = Arc::new(api::PushProvider::new(config, origin, owner, house.seals));
        house.provide(provider.clone());
        house.service(SERVICE);
        house
            .at(&[At::Service(SERVICE)])
            .identity("component", "generic", "UnifiedPush")
            .set("register", NS, register::RegisterApp(provider));
        Ok(())
    }
}
