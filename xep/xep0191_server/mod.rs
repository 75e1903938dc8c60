//! XEP-0191 for the whole server: accounts and domains that nobody here hears from and nothing is sent to. The administrators
//! block by command ([`commands`], `kim block`) or while they look at a report; and the server follows the real-time block
//! lists of others ([`feed`]): publish-subscribe nodes whose items are named by the SHA-256 of an address, as Prosody's
//! `mod_muc_rtbl` and its like have them. No specification describes these yet.

pub mod api;
mod barrier;
mod commands;
mod feed;
mod publish;
mod rules;
mod source;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::{Departure, Entering, Leaving};
use kim_core::hook::Stage;
use kim_core::jid::BareJid;
use kim_core::module::{At, Coverage, Module, Registrar, Spec};
use kim_core::section;

use crate::xep0050_commands::api::{Commands, MayUse};
use crate::xep0060_pubsub::api::{AccessModel, NodeDefaults, PubSub};
use publish::PublishBlocks;
use source::BlockListSource;

section! {
    /// Blocks for the whole server. Administrators block accounts and domains with `kim block` or a command in their client;
    /// the server can also follow the block lists of others.
    pub struct ServerBlocksConfig {
        /// Block lists of others to follow (RTBL): services such as "xmppbl.org", or "xmpp:rtbl.example?;node=NODE" for
        /// another node than muc_bans_sha256. Whoever runs a list decides who can reach this server.
        pub lists: Vec<BlockListSource> = Vec::new();
        /// Addresses to keep of each list.
        pub list_items_max: usize = 100_000, in 1..=1_000_000;
        /// Minutes after which a list is fetched again, in case a notification was lost.
        pub list_refresh_minutes: u64 = 60, in 5..=10_080;
        /// Publish the administrators' blocks, as SHA-256, in the nodes muc_bans_sha256 and domain_bans_sha256 of
        /// pubsub.DOMAIN. "whitelist": for those whom an owner of the node lets in. "open": for everybody. "off": not at all.
        pub publish: PublishBlocks = PublishBlocks::Off;
    }
}

/// The module.
pub struct ServerWideBlocks;

impl Module for ServerWideBlocks {
    type Config = ServerBlocksConfig;
    const NAME: &'static str = "xep0191_server";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0191",
        title: "Blocking Command (for the whole server, and real-time block lists)",
        version: "1.3",
        coverage: Coverage::Partial(
            "by commands of administrators; a client's request blocks for its account alone",
        ),
    }];
    const NEEDS: &'static [&'static str] = &[
        "xep0004_forms",
        "xep0050_commands",
        "xep0059_rsm",
        "xep0060_pubsub",
    ];
    const MIGRATIONS: &'static [Migration] = store::MIGRATIONS;

    fn register(config: ServerBlocksConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let store = store::BlockStore(house.db.clone());
        let items_max = config.list_items_max;
        let rules = rules::BlockRules::new(store, house.clock.clone(), config.lists, items_max);
        let rules = Arc::new(rules);
        let domain = |text: &str| BareJid::parse(text).map_err(Fault::from);
        let main = house.config.main_domain();
        let interval = Duration::from_secs(config.list_refresh_minutes * 60);
        let feeds = feed::Feeds::new(rules.clone(), domain(main)?, interval, items_max);
        let feeds = Arc::new(feeds);
        let access = match config.publish {
            PublishBlocks::Off => None,
            PublishBlocks::Whitelist => Some(AccessModel::Whitelist),
            PublishBlocks::Open => Some(AccessModel::Open),
        };
        let mut publisher = None;
        if let Some(access) = access {
            let pubsub: Arc<PubSub> = house.needed()?;
            let service = domain(&format!("pubsub.{main}"))?;
            publisher = Some(publish::Publisher {
                pubsub,
                service: service.clone(),
            });
            house.on::<NodeDefaults>(Stage::Stamp, publish::NodesOfBlocks { service, access });
        }
        let admins = house.config.server.admins.clone();
        let blocks = Arc::new(api::ServerBlocks::new(
            rules.clone(),
            feeds.clone(),
            publisher,
            admins,
        ));
        house.on::<Entering>(Stage::Admit, barrier::KeepOut(rules.clone()));
        house.on::<Leaving>(Stage::Admit, barrier::KeepIn(rules.clone()));
        house.on::<Departure>(Stage::Admit, barrier::KeepStill(rules));
        house.on::<Entering>(Stage::Deliver, feed::Listen(feeds));

        let offered: Arc<Commands> = house.needed()?;
        let change = |change| commands::ChangeBlocks(blocks.clone(), change);
        let (block, unblock) = (
            change(commands::BlockChange::Block),
            change(commands::BlockChange::Unblock),
        );
        let who = MayUse::Admins;
        offered.add(
            At::Server,
            "urn:kim:blocks:0#add",
            "Block for Everybody",
            who,
            block,
        );
        offered.add(At::Server, "urn:kim:blocks:0#remove", "Unblock", who, unblock);
        let list = commands::ListBlocks(blocks.clone());
        offered.add(
            At::Server,
            "urn:kim:blocks:0#list",
            "Blocked Accounts and Domains",
            who,
            list,
        );
        house.provide(blocks);
        Ok(())
    }
}
