//! Items, and the events about them and their nodes ([`super::api`] says in which order they come).

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::hook::{Event, Notice};
use kim_core::jid::{BareJid, Jid};
use kim_core::wire::Element;

use super::config::NodeConfig;

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

/// A node is about to be made, and nobody has said yet how it is to behave. Modules that know the node by its name say so
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

/// Who is to be told of something that happened at a node, beside those who subscribed there. The module of accounts' nodes
/// adds the sessions that want to hear of it (XEP-0163 §4).
pub struct NodeAudience {
    /// Whose node.
    pub owner: BareJid,
    /// Its name.
    pub node: String,
    /// How it behaves (or did, if it was deleted).
    pub config: Arc<NodeConfig>,
    /// Full JIDs of sessions. Subscribers who may not see the node are not among them.
    pub sessions: Vec<Jid>,
}

impl Event for NodeAudience {
    const NAME: &'static str = "pubsub-audience";
}
