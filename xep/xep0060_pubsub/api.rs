//! What other modules may use: the nodes of accounts and of the service ([`PubSub`]), and what happens at them.
//!
//! Events about one publication come in this order: [`NodeDefaults`] (only where the node is not there yet), then
//! [`Publishing`], then the rows are committed, then [`Published`]. None of them is raised under a lock, so a hook may read
//! and even publish; what it publishes in [`Publishing`] is stored before the item itself.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::Departure;
use kim_core::hook::Stage;
use kim_core::jid::BareJid;
use kim_core::module::{At, Registrar};
use kim_core::router::Router;
use kim_core::stanza::Stanza;

use super::approve::AtAccount;
pub use super::config::{AccessModel, ItemReply, Most, NodeConfig, NotificationType, PublishModel, SendLast};
use super::disco::{NodeInfo, Nodes};
use super::door::Door;
use super::engine::Engine;
pub use super::events::{
    Configuring, Draft, Item, NodeAudience, NodeDefaults, NodeDeleted, NotThere, Published, Publishing,
    Removing, Retracted,
};
pub use super::names::{ERRORS, EVENT, OWNER, PUBSUB};
use crate::xep0030_disco::api::{InfoAsked, ItemsAsked};

/// The nodes of accounts and of the service. Get it with `house.needed::<PubSub>()`.
pub struct PubSub {
    pub(super) engine: Arc<Engine>,
}

impl PubSub {
    /// Opens the accounts' door to their nodes, for the module of that name.
    pub fn serve_accounts(&self, house: &mut Registrar<'_>) {
        Door(self.engine.clone()).open(house, &[At::Own, At::Account]);
        Door(self.engine.clone()).answer_for_nobody(house);
        house.on::<Departure>(Stage::Deliver, AtAccount(self.engine.clone()));
        house.on::<InfoAsked>(
            Stage::Deliver,
            NodeInfo {
                engine: self.engine.clone(),
                at_service: false,
            },
        );
        house.on::<ItemsAsked>(
            Stage::Deliver,
            Nodes {
                engine: self.engine.clone(),
                at_service: false,
            },
        );
    }

    /// Whether somebody may see what is at a node, by its access model.
    pub async fn may_see(
        &self,
        router: &Router,
        owner: &BareJid,
        node: &str,
        who: &BareJid,
    ) -> Result<bool, Fault> {
        let Some(node) = self.engine.home(router, owner).await?.node(node) else {
            return Ok(false);
        };
        Ok(self.engine.may_see(router, owner, &node, who).await?.is_ok())
    }

    /// The notifications of the last items of these nodes for somebody who has just become available, without an address;
    /// none for a node without items, one that is configured so, or one they may not see (XEP-0163 §4.3.4).
    pub async fn last_for(
        &self,
        router: &Router,
        owner: &BareJid,
        nodes: &[&str],
        who: &BareJid,
    ) -> Result<Vec<Stanza>, Fault> {
        self.engine.last_for(router, owner, nodes, who).await
    }

    /// Ends the subscriptions that somebody may not hold any more (XEP-0163 §7.1).
    pub async fn recheck(&self, owner: &BareJid, who: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        self.engine.recheck(owner, who, cx).await
    }

    /// The items of a node, oldest first; only the newest `max` of them if that is given. None if there is no such node.
    /// Nobody is asked whether they may see it.
    pub async fn items(
        &self,
        router: &Router,
        owner: &BareJid,
        node: &str,
        max: Option<usize>,
    ) -> Result<Vec<Arc<Item>>, Fault> {
        self.engine.newest(router, owner, node, max).await
    }

    /// One item.
    pub async fn item(
        &self,
        router: &Router,
        owner: &BareJid,
        node: &str,
        id: &str,
    ) -> Result<Option<Arc<Item>>, Fault> {
        self.engine.item(router, owner, node, id).await
    }

    /// The names of an owner's nodes, sorted.
    pub async fn nodes(&self, router: &Router, owner: &BareJid) -> Result<Vec<String>, Fault> {
        self.engine.node_names(router, owner).await
    }

    /// How a node behaves; `None` if it is not there.
    pub async fn config(
        &self,
        router: &Router,
        owner: &BareJid,
        node: &str,
    ) -> Result<Option<Arc<NodeConfig>>, Fault> {
        self.engine.config(router, owner, node).await
    }

    /// Publishes for the owner, as the server: nobody's permission is asked, and limits do not refuse it. The node is made
    /// if it is not there. Everybody concerned is notified, and what that causes waits in `cx`.
    pub async fn publish(
        &self,
        owner: &BareJid,
        node: &str,
        items: Vec<Draft>,
        cx: &mut Cx,
    ) -> Result<Vec<Arc<Item>>, Fault> {
        self.engine.publish_as_server(owner, node, items, None, cx).await
    }

    /// The same for what anybody may see: a node that is made by this is open.
    pub async fn publish_openly(
        &self,
        owner: &BareJid,
        node: &str,
        items: Vec<Draft>,
        cx: &mut Cx,
    ) -> Result<Vec<Arc<Item>>, Fault> {
        let access = Some(AccessModel::Open);
        self.engine
            .publish_as_server(owner, node, items, access, cx)
            .await
    }

    /// Removes items for the owner, as the server. Subscribers are told where the node is configured so.
    pub async fn retract(
        &self,
        owner: &BareJid,
        node: &str,
        ids: &[String],
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        self.engine.retract_as_server(owner, node, ids, cx).await
    }

    /// Deletes a node for the owner, as the server.
    pub async fn delete(&self, owner: &BareJid, node: &str, cx: &mut Cx) -> Result<(), Fault> {
        self.engine.delete_as_server(owner, node, cx).await
    }
}
