//! All about an owner's nodes but the items, as it is kept in memory: how nodes behave, who subscribed, who may what.
//!
//! A home is loaded whole and changed only behind a commit, one change at a time. Readers take an [`Arc<Node>`], which never
//! changes. With other nodes of a cluster about, nothing is kept between two requests.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use kim_core::jid::{BareJid, Jid};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::config::NodeConfig;
use super::store::Written;

/// How many things can be held at the same time; two may share a lock, and then one waits without need.
const LOCKS: usize = 256;

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

#[derive(Clone)]
struct ByBytes;

impl Weighter<BareJid, Kept> for ByBytes {
    fn weight(&self, owner: &BareJid, kept: &Kept) -> u64 {
        kept.bytes + owner.as_str().len() as u64
    }
}

/// The homes in use, bounded in bytes.
pub struct Homes {
    cache: Cache<BareJid, Kept, ByBytes>,
}

impl Homes {
    /// No homes yet.
    pub fn new(bytes_max: usize) -> Homes {
        Homes {
            cache: Cache::with_weighter(bytes_max / 2_000 + 1, bytes_max as u64, ByBytes),
        }
    }

    /// A home that is kept.
    pub fn get(&self, owner: &BareJid) -> Option<Arc<Home>> {
        self.cache.get(owner).map(|kept| kept.home)
    }

    /// Keeps a home, or notes that it has another weight now.
    pub fn keep(&self, owner: &BareJid, home: &Arc<Home>) {
        let bytes = home.weight_bytes() as u64;
        let home = home.clone();
        self.cache.insert(owner.clone(), Kept { home, bytes });
    }

    /// Forgets a home.
    pub fn forget(&self, owner: &BareJid) {
        self.cache.remove(owner);
    }
}

/// One change at a time, without a lock for everything there is.
pub struct Locks {
    locks: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
}

impl Locks {
    /// Nothing is held.
    pub fn new() -> Locks {
        Locks {
            locks: (0..LOCKS).map(|_| Arc::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Waits until nobody else holds it.
    pub async fn hold(&self, key: (&BareJid, &str)) -> Option<OwnedMutexGuard<()>> {
        let at = self.hasher.hash_one(key) as usize % LOCKS;
        match self.locks.get(at) {
            Some(lock) => Some(lock.clone().lock_owned().await),
            None => None,
        }
    }
}
