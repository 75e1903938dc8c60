//! What other rooms may use: the nodes of accounts and of the service ([`PubSub`]), and what happens at them.
//!
//! Events about one publication come in this order: [`NodeDefaults`] (only where the node is not there yet), then
//! [`Publishing`], then the rows are committed, then [`Published`]. None of them is raised under a lock, so a hook may read
//! and even publish; what it publishes in [`Publishing`] is stored before the item itself.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::Departure;
use kim_core::hook::{Event, Notice, Stage};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::{At, Registrar};
use kim_core::router::Router;
use kim_core::stanza::Stanza;
use kim_core::wire::Element;

use super::approve::AtAccount;
pub use super::config::{AccessModel, ItemReply, Most, NodeConfig, NotificationType, PublishModel, SendLast};
use super::disco::{NodeInfo, Nodes};
use super::door::Door;
use super::engine::Engine;
use crate::xep0030_disco::api::{InfoAsked, ItemsAsked};

/// The namespace of requests (§16.1).
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// The namespace of owners' requests (§16.3).
pub const OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// The namespace of notifications (§16.4).
pub const EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// The namespace of this specification's own error conditions (§16.2).
pub const ERRORS: &str = "http://jabber.org/protocol/pubsub#errors";

/// An item that is about to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its id; made by the server where the client gave none.
    pub id: String,
    /// Its payload, canonical; none at nodes that tell only that something happened.
    pub payload: Option<Element>,
}

impl Draft {
    /// An item with a payload.
    pub fn new(id: impl Into<String>, payload: Element) -> Draft {
        Draft {
            id: id.into(),
            payload: Some(payload),
        }
    }
}

/// An item at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id, unique at the node.
    pub id: Box<str>,
    /// Its payload, canonical.
    pub payload: Option<Element>,
    /// Who published it: a full JID, or the owner where the server did.
    pub publisher: Jid,
    /// When.
    pub stamp: Timestamp,
}

/// A node is about to be made, and nobody has said yet how it is to behave. Rooms that know the node by its name say so
/// here; what the client asks for goes over it, and [`Publishing`] or [`Configuring`] have the last word.
pub struct NodeDefaults {
    /// Whose node: an account, or the domain of the service.
    pub owner: BareJid,
    /// Its name.
    pub node: String,
    /// How it will behave.
    pub config: NodeConfig,
}

impl Event for NodeDefaults {
    const NAME: &'static str = "pubsub-node-defaults";
}

/// Items are about to be published, and nothing is stored yet. The publisher may publish. Hooks of
/// [`kim_core::hook::Stage::Admit`] refuse by failing; those of `Stamp` may change items and `config`, which becomes the
/// node's whether it is new or not. `config` comes with the publisher's options in it; what hooks overrule there is no
/// precondition any more (§7.1.5). It may be raised twice for one request, so hooks change nothing but the event.
pub struct Publishing {
    /// Whose node: an account, or the domain of the service.
    pub owner: BareJid,
    /// Its name.
    pub node: String,
    /// The items. At a node of an account mostly one.
    pub items: Vec<Draft>,
    /// Who publishes: a full JID, or the owner where the server does.
    pub publisher: Jid,
    /// Whether the server itself publishes for the owner (conversions, displayed markers).
    pub by_server: bool,
    /// Whether the node is made by this.
    pub is_new_node: bool,
    /// How the node will behave.
    pub config: NodeConfig,
}

impl Event for Publishing {
    const NAME: &'static str = "pubsub-publishing";
}

/// A node is about to be made without an item, or to be configured. Hooks may refuse, and change `config`.
pub struct Configuring {
    /// Whose node.
    pub owner: BareJid,
    /// Its name.
    pub node: String,
    /// How it will behave.
    pub config: NodeConfig,
    /// Who wants it so.
    pub by: Jid,
    /// Whether the node is made by this.
    pub is_new_node: bool,
}

impl Event for Configuring {
    const NAME: &'static str = "pubsub-configuring";
}

/// Items were published and are committed. What hooks send leaves behind the notifications.
pub struct Published {
    /// Whose node.
    pub owner: BareJid,
    /// Its name.
    pub node: String,
    /// The items, in the order of the request.
    pub items: Vec<Arc<Item>>,
    /// Who published.
    pub publisher: Jid,
    /// Whether the server itself published for the owner.
    pub by_server: bool,
    /// Whether the node was made by this.
    pub is_new_node: bool,
    /// How the node behaves.
    pub config: Arc<NodeConfig>,
}

impl Notice for Published {
    const NAME: &'static str = "pubsub-published";
}

/// Items or a node have been removed, and it is about to be decided who is told. `notify` is what the node's configuration
/// says; modules whose readers must not miss it set it.
pub struct Removing {
    /// Whose node.
    pub owner: BareJid,
    /// Its name.
    pub node: String,
    /// Whether those concerned are told.
    pub notify: bool,
}

impl Event for Removing {
    const NAME: &'static str = "pubsub-removing";
}

/// Items were removed by somebody (not those that made room for others); that is committed.
pub struct Retracted {
    /// Whose node.
    pub owner: BareJid,
    /// Its name.
    pub node: String,
    /// The ids of the items; empty where the node was purged of all.
    pub ids: Vec<String>,
    /// Whether all items went (§8.5).
    pub purged: bool,
    /// Who removed them.
    pub by: Jid,
    /// Whether the server did for the owner.
    pub by_server: bool,
}

impl Notice for Retracted {
    const NAME: &'static str = "pubsub-retracted";
}

/// A node was deleted with all its items; that is committed.
pub struct NodeDeleted {
    /// Whose node.
    pub owner: BareJid,
    /// Its name.
    pub node: String,
    /// Who deleted it.
    pub by: Jid,
}

impl Notice for NodeDeleted {
    const NAME: &'static str = "pubsub-node-deleted";
}

/// Somebody may see a node and asked for what is not there: the node itself, items of these ids, or any item at all. Raised
/// before the answer is made.
pub struct NotThere {
    /// Whose node.
    pub owner: BareJid,
    /// Its name.
    pub node: String,
    /// The ids that nothing was found for; empty where no id was asked for.
    pub ids: Vec<String>,
    /// Who asked.
    pub by: Jid,
}

impl Event for NotThere {
    const NAME: &'static str = "pubsub-not-there";
}

/// Who is to be told of something that happened at a node, beside those who subscribed there. The room of accounts' nodes
/// adds the sessions that want to hear of it (XEP-0163 §4).
pub struct Audience {
    /// Whose node.
    pub owner: BareJid,
    /// Its name.
    pub node: String,
    /// How it behaves (or did, if it was deleted).
    pub config: Arc<NodeConfig>,
    /// Full JIDs of sessions. Whoever subscribed and may not see the node is not among them.
    pub sessions: Vec<Jid>,
}

impl Event for Audience {
    const NAME: &'static str = "pubsub-audience";
}

/// The nodes of accounts and of the service. Get it with `house.needed::<PubSub>()`.
pub struct PubSub {
    pub(super) engine: Arc<Engine>,
}

impl PubSub {
    /// Opens the accounts' door to their nodes, for the room of that name.
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
