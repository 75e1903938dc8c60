//! The administrators' own blocks as nodes that others can subscribe to: SHA-256 of the addresses, accounts and domains apart.

use std::collections::HashSet;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use kim_core::config::Choice;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On};
use kim_core::jid::BareJid;
use kim_core::wire::Writer;

use super::rules::{BlockRules, sum_of};
use crate::xep0060_pubsub::api::{AccessModel, Draft, Most, NodeDefaults, PubSub, PublishModel, SendLast};

/// The node of the accounts, by the name that the field has settled on.
pub(super) const JIDS: &str = "muc_bans_sha256";
/// The node of the domains.
pub(super) const DOMAINS: &str = "domain_bans_sha256";
/// Blocks that are compared at once when the server starts.
const PAGE_ROWS: usize = 500;

/// Who may read the published blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishBlocks {
    /// Nothing is published.
    Off,
    /// Those whom the owners of the nodes let in.
    Whitelist,
    /// Everybody.
    Open,
}

impl Choice for PublishBlocks {
    const ALL: &'static [PublishBlocks] =
        &[PublishBlocks::Off, PublishBlocks::Whitelist, PublishBlocks::Open];

    fn as_str(self) -> &'static str {
        match self {
            PublishBlocks::Off => "off",
            PublishBlocks::Whitelist => "whitelist",
            PublishBlocks::Open => "open",
        }
    }
}

/// Publishes at the service of the main domain.
pub(super) struct Publisher {
    pub pubsub: Arc<PubSub>,
    pub service: BareJid,
}

fn node_of(address: &BareJid) -> &'static str {
    if address.local().is_some() { JIDS } else { DOMAINS }
}

fn id_of(address: &str) -> String {
    HEXLOWER.encode(&sum_of(address))
}

impl Publisher {
    /// An address is blocked now.
    pub async fn blocked(&self, address: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let mut xml = Writer::new();
        // The payload that the lists of the field have.
        xml.start("report", "urn:xmpp:reporting:1")
            .attr("reason", "urn:xmpp:reporting:abuse")
            .end();
        let Some(payload) = xml.finish_element() else {
            return Ok(());
        };
        let drafts = vec![Draft::new(id_of(address.as_str()), payload)];
        let (owner, node) = (&self.service, node_of(address));
        self.pubsub.publish(owner, node, drafts, cx).await.map(drop)
    }

    /// An address is no longer blocked.
    pub async fn unblocked(&self, address: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let ids = [id_of(address.as_str())];
        self.pubsub
            .retract(&self.service, node_of(address), &ids, cx)
            .await
    }

    /// Makes the nodes say what is blocked, whatever was changed while nothing was published.
    pub async fn settle(&self, rules: &BlockRules, cx: &mut Cx) -> Result<(), Fault> {
        let router = cx.router().clone();
        let mut published = HashSet::new();
        for node in [JIDS, DOMAINS] {
            let items = self.pubsub.items(&router, &self.service, node, None).await?;
            published.extend(items.iter().map(|item| (node, item.id.to_string())));
        }
        let mut after = String::new();
        loop {
            let page = rules.store.own(&after, PAGE_ROWS).await?;
            let Some((last, _)) = page.last() else { break };
            after.clone_from(last);
            for (address, _) in &page {
                let Ok(address) = BareJid::parse(address) else {
                    continue;
                };
                if !published.remove(&(node_of(&address), id_of(address.as_str()))) {
                    self.blocked(&address, cx).await?;
                }
            }
        }
        for (node, id) in published {
            self.pubsub.retract(&self.service, node, &[id], cx).await?;
        }
        Ok(())
    }
}

/// How the nodes behave when they are made.
pub(super) struct NodesOfBlocks {
    pub service: BareJid,
    pub access: AccessModel,
}

impl On<NodeDefaults> for NodesOfBlocks {
    async fn on(&self, defaults: &mut NodeDefaults, _: &mut Cx) -> Result<Flow, Fault> {
        if defaults.owner == self.service && [JIDS, DOMAINS].contains(&&*defaults.node) {
            let config = &mut defaults.config;
            config.title = "Addresses that this server blocks (SHA-256)".to_owned();
            config.access = self.access;
            config.publish = PublishModel::Publishers;
            config.persist_items = true;
            config.max_items = Most::Max;
            config.notify_retract = true;
            config.send_last = SendLast::Never;
        }
        Ok(Flow::Next)
    }
}
