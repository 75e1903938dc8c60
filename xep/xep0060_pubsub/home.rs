//! All about an owner's nodes but the items, as it is kept in memory: how nodes behave, who subscribed, who may what.
//!
//! A home is loaded whole and changed only behind a commit, one change at a time. Readers take an [`Arc<Node>`], which never
//! changes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::{Caches, ReadMark, Shared};

use super::config::NodeConfig;
use super::store::Written;

/// What an entity is at a node (§4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Affiliation {
    /// Shut out.
    Outcast,
    /// Nothing.
    None,
    /// May read what only those named may.
    Member,
    /// May publish, but not read.
    PublishOnly,
    /// May publish and read.
    Publisher,
    /// May do everything.
    Owner,
}

impl Affiliation {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Affiliation::Outcast => "outcast",
            Affiliation::None => "none",
            Affiliation::Member => "member",
            Affiliation::PublishOnly => "publish-only",
            Affiliation::Publisher => "publisher",
            Affiliation::Owner => "owner",
        }
    }

    /// The affiliation of that name.
    pub fn named(text: &str) -> Option<Affiliation> {
        const ALL: [Affiliation; 6] = [
            Affiliation::Outcast,
            Affiliation::None,
            Affiliation::Member,
            Affiliation::PublishOnly,
            Affiliation::Publisher,
            Affiliation::Owner,
        ];
        ALL.into_iter().find(|affiliation| affiliation.as_str() == text)
    }
}

/// How far a subscription is (§4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// An owner has to approve.
    Pending,
    /// It holds.
    Subscribed,
}

impl SubscriptionState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            SubscriptionState::Pending => "pending",
            SubscriptionState::Subscribed => "subscribed",
        }
    }

    /// The state of that name.
    pub fn named(text: &str) -> Option<SubscriptionState> {
        match text {
            "pending" => Some(SubscriptionState::Pending),
            "subscribed" => Some(SubscriptionState::Subscribed),
            _ => None,
        }
    }
}

/// Somebody's subscription to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Who gets the notifications.
    pub jid: Jid,
    /// Its id.
    pub subid: Box<str>,
    /// How far it is.
    pub state: SubscriptionState,
}

/// A node without its items.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: Box<str>,
    /// How it behaves.
    pub config: Arc<NodeConfig>,
    /// What somebody is to it. An account is always the owner of its own nodes.
    pub affiliations: BTreeMap<BareJid, Affiliation>,
    /// Who subscribed, in the order of the addresses.
    pub subscriptions: Vec<Subscription>,
    /// How many items it has; expired ones may be among them.
    pub items: Arc<AtomicI64>,
}

impl Node {
    /// A new node.
    pub fn new(name: &str, config: NodeConfig) -> Node {
        Node {
            name: name.into(),
            config: Arc::new(config),
            affiliations: BTreeMap::new(),
            subscriptions: Vec::new(),
            items: Arc::default(),
        }
    }

    /// The same node, to be changed.
    pub fn copy(&self) -> Node {
        Node {
            name: self.name.clone(),
            config: self.config.clone(),
            affiliations: self.affiliations.clone(),
            subscriptions: self.subscriptions.clone(),
            items: self.items.clone(),
        }
    }

    /// Somebody's subscription under exactly this address.
    pub fn subscription(&self, jid: &Jid) -> Option<&Subscription> {
        self.subscriptions
            .iter()
            .find(|subscription| subscription.jid == *jid)
    }

    /// The subscriptions of somebody, whatever the resource.
    pub fn subscriptions_of<'a>(&'a self, who: &'a BareJid) -> impl Iterator<Item = &'a Subscription> {
        self.subscriptions
            .iter()
            .filter(move |subscription| subscription.jid.bare_str() == who.as_str())
    }

    /// How many items it has, or a few more.
    pub fn items(&self) -> usize {
        usize::try_from(self.items.load(Ordering::Relaxed)).unwrap_or(0)
    }

    fn weight_bytes(&self) -> usize {
        500 + self.name.len() + 120 * (self.affiliations.len() + self.subscriptions.len())
    }
}

/// An owner's nodes.
#[derive(Debug, Default)]
pub struct Home {
    nodes: RwLock<BTreeMap<Box<str>, Arc<Node>>>,
    bytes: AtomicI64,
}

impl Home {
    /// A home with these nodes, whose items take so many bytes.
    pub fn new(nodes: BTreeMap<Box<str>, Arc<Node>>, bytes: i64) -> Home {
        Home {
            nodes: RwLock::new(nodes),
            bytes: AtomicI64::new(bytes),
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Box<str>, Arc<Node>>> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node.
    pub fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.read().get(name).cloned()
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.read().values().cloned().collect()
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// How many bytes the items take.
    pub fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Puts a node in the place of the one of its name.
    pub fn put(&self, node: Node) -> Arc<Node> {
        let node = Arc::new(node);
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes.insert(node.name.clone(), node.clone());
        node
    }

    /// Notes what a change of items has changed.
    pub fn count(&self, node: &Node, written: Written) {
        self.bytes.fetch_add(written.bytes, Ordering::Relaxed);
        node.items.fetch_add(written.items, Ordering::Relaxed);
    }

    fn weight_bytes(&self) -> usize {
        200 + self
            .read()
            .values()
            .map(|node| node.weight_bytes())
            .sum::<usize>()
    }
}

/// A home with what it weighed when it was put into the cache: a weight there must not change.
#[derive(Clone)]
struct Kept {
    home: Arc<Home>,
    bytes: u64,
}

impl Kept {
    fn of(home: &Arc<Home>) -> Kept {
        Kept {
            home: home.clone(),
            bytes: home.weight_bytes() as u64,
        }
    }
}

/// What a home takes on average, in bytes: a guess by which the cache is laid out.
const HOME_BYTES: usize = 2_000;

/// The homes in use, bounded in bytes.
pub struct Homes {
    cache: Shared<BareJid, Kept>,
}

impl Homes {
    /// No homes yet.
    pub fn new(caches: &Caches, bytes_max: usize) -> Homes {
        let expected = bytes_max / HOME_BYTES + 1;
        let weigh = |owner: &BareJid, kept: &Kept| kept.bytes + owner.as_str().len() as u64;
        Homes {
            cache: Shared::weighed(caches, "pubsub.homes", bytes_max as u64, expected, weigh),
        }
    }

    /// A home that is kept.
    pub fn get(&self, owner: &BareJid) -> Option<Arc<Home>> {
        self.cache.get(owner).map(|kept| kept.home)
    }

    /// To be asked before a home is loaded.
    pub fn mark(&self, owner: &BareJid) -> ReadMark {
        self.cache.mark(owner)
    }

    /// Keeps a home that was loaded, unless something has changed since the mark.
    pub fn loaded(&self, owner: &BareJid, home: &Arc<Home>, since: ReadMark) {
        self.cache.keep(owner, Kept::of(home), since);
    }

    /// A home was changed, and that is committed. It stays, with the weight that it has now, unless it is another one by now:
    /// then that may not know of the change.
    pub fn keep(&self, owner: &BareJid, home: &Arc<Home>) {
        let mark = self.cache.mark(owner);
        match self.get(owner) {
            Some(kept) if Arc::ptr_eq(&kept, home) => self.cache.put(owner, Kept::of(home), mark),
            _ => self.cache.invalidate(owner),
        }
    }

    /// Forgets a home.
    pub fn forget(&self, owner: &BareJid) {
        self.cache.invalidate(owner);
    }
}
