//! The nodes of accounts and of the service, as everything else in this module sees them: what is about them comes from
//! memory ([`super::home`]), items come from the database and are opened here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use kim_core::clock::Clock;
use kim_core::db::{Db, DbError};
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::{Locks, Pair, Rate, Rates, ReadMark, Shared};
use kim_core::router::Router;
use kim_core::seal::{Key, Seals};

use super::Settings;
use super::config::{Most, NodeConfig};
use super::events::Item;
use super::home::{Affiliation, Home, Homes, Node, Subscription, SubscriptionState};
use super::sealed::{open_config, open_item, tag};
use super::store::{FoundItem, Loaded, NodeStore, Page};
use crate::rfc6121_im::api::Subscriptions;
use crate::xep0191_blocking::api::Blocks;

/// Rows read at once in search of items that can be read.
const SPARE_ROWS: usize = 32;

/// Requests of one subscriber at one node that are put before its owners: each of them is a message to them.
pub(super) const PETITIONS: Rate = Rate {
    per_second: 1.0 / 300.0,
    burst: 5.0,
};
/// Subscribers and nodes whose rate is remembered.
const RATED_MAX: usize = 20_000;

/// How many homes, or nodes, can be changed at the same time.
const LOCKS: usize = 256;
/// What the last item of a node takes on average, in bytes: a guess by which the cache is laid out.
const LAST_BYTES: usize = 2_000;

/// Which item of a node is the last: an owner and a node.
type LastKey = (BareJid, Box<str>);

fn last_bytes(key: &LastKey, item: &Option<Arc<Item>>) -> u64 {
    let payload = item.as_ref().and_then(|item| item.payload.as_ref());
    (200 + key.0.as_str().len() + key.1.len() + payload.map_or(0, |payload| payload.bytes().len())) as u64
}

/// Nodes and items.
pub struct Engine {
    pub(super) store: NodeStore,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) subscriptions: Arc<Subscriptions>,
    pub(super) blocks: Arc<Blocks>,
    seals: Seals,
    pub(super) homes: Homes,
    /// Held while a home is loaded or changed. Code that also needs a node's lock takes this one first.
    pub(super) home_locks: Locks,
    /// Held while a node's items are changed.
    pub(super) node_locks: Locks,
    last: Shared<LastKey, Option<Arc<Item>>>,
    /// How often somebody may ask the owners of a node to let them in.
    pub(super) petitions: Rates<(BareJid, LastKey)>,
}

impl Engine {
    /// The nodes in a database.
    pub fn new(
        db: &Db,
        seals: &Seals,
        clock: &Clock,
        settings: Settings,
        subscriptions: Arc<Subscriptions>,
        blocks: Arc<Blocks>,
    ) -> Engine {
        Engine {
            store: NodeStore::new(db.clone()),
            clock: clock.clone(),
            subscriptions,
            blocks,
            seals: seals.clone(),
            homes: Homes::new(db.caches(), settings.node_cache_bytes_max),
            home_locks: Locks::new(LOCKS),
            node_locks: Locks::new(LOCKS),
            last: Shared::weighed(
                db.caches(),
                "pubsub.last_items",
                settings.last_item_cache_bytes_max as u64,
                settings.last_item_cache_bytes_max / LAST_BYTES + 1,
                last_bytes,
            ),
            petitions: Rates::new(RATED_MAX),
            settings,
        }
    }

    /// An owner's nodes.
    pub async fn home(&self, _: &Router, owner: &BareJid) -> Result<Arc<Home>, Fault> {
        if let Some(home) = self.homes.get(owner) {
            return Ok(home);
        }
        let _held = self.home_locks.hold((owner, "")).await;
        self.home_held(owner).await
    }

    /// The same for somebody who holds the home's lock.
    pub(super) async fn home_held(&self, owner: &BareJid) -> Result<Arc<Home>, Fault> {
        if let Some(home) = self.homes.get(owner) {
            return Ok(home);
        }
        let mark = self.homes.mark(owner);
        let loaded = self.store.load(owner).await?;
        let home = Arc::new(self.build(owner, loaded).await?);
        self.homes.loaded(owner, &home, mark);
        Ok(home)
    }

    async fn build(&self, owner: &BareJid, loaded: Loaded) -> Result<Home, Fault> {
        let mut nodes: BTreeMap<Box<str>, Node> = BTreeMap::new();
        if !loaded.nodes.is_empty() {
            let key = self.key(owner).await?;
            for row in &loaded.nodes {
                let config = open_config(&key, owner, &row.node, &row.config).unwrap_or_else(|fault| {
                    tracing::error!(event = "pubsub_config_unreadable", account = %owner, node = %row.node, ?fault);
                    NodeConfig::unreadable(NodeConfig::of(owner))
                });
                nodes.insert(row.node.as_str().into(), Node::new(&row.node, config));
            }
        }
        let mut bytes = 0;
        for (node, items, taken) in &loaded.amounts {
            bytes += taken;
            if let Some(node) = nodes.get_mut(node.as_str()) {
                node.items = Arc::new(AtomicI64::new(*items));
            }
        }
        for row in &loaded.subscriptions {
            let parsed = (
                nodes.get_mut(row.node.as_str()),
                Jid::parse(&row.jid),
                SubscriptionState::named(&row.state),
            );
            if let (Some(node), Ok(jid), Some(state)) = parsed {
                let subid = row.subid.as_str().into();
                node.subscriptions.push(Subscription { jid, subid, state });
            }
        }
        for row in &loaded.affiliations {
            let affiliation = Affiliation::named(&row.affiliation);
            let parsed = (
                nodes.get_mut(row.node.as_str()),
                BareJid::parse(&row.jid),
                affiliation,
            );
            if let (Some(node), Ok(jid), Some(affiliation)) = parsed {
                node.affiliations.insert(jid, affiliation);
            }
        }
        Ok(Home::new(
            nodes
                .into_iter()
                .map(|(name, node)| (name, Arc::new(node)))
                .collect(),
            bytes,
        ))
    }

    /// The key that seals what an owner's nodes hold.
    pub(super) async fn key(&self, owner: &BareJid) -> Result<Arc<Key>, Fault> {
        Ok(self.seals.key(owner.as_str()).await?)
    }

    /// How many items a node holds.
    pub fn items_max(&self, config: &NodeConfig) -> usize {
        match config.max_items {
            Most::Count(count) => count.clamp(1, self.settings.items_per_node_max),
            Most::Max => self.settings.items_per_node_max,
        }
    }

    /// How many bytes a payload may have.
    pub fn item_bytes_max(&self, config: &NodeConfig) -> usize {
        match config.max_payload_size {
            Most::Count(bytes) => bytes.min(self.settings.item_bytes_max),
            Most::Max => self.settings.item_bytes_max,
        }
    }

    /// Items that are older have expired.
    pub fn not_before(&self, config: &NodeConfig) -> i64 {
        match config.item_expire {
            Most::Max => i64::MIN,
            Most::Count(seconds) => {
                let micros = i64::try_from(seconds)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(1_000_000);
                self.clock.now().0.saturating_sub(micros)
            }
        }
    }

    /// Items of a node in the order in which they were asked for.
    pub async fn page(
        &self,
        owner: &BareJid,
        node: &Node,
        page: Page,
        max: usize,
    ) -> Result<Vec<Arc<Item>>, Fault> {
        let not_before = self.not_before(&node.config);
        let (mut page, mut items, mut wanted) = (page, Vec::new(), max);
        loop {
            let rows = self
                .store
                .page(owner, &node.name, page, not_before, wanted)
                .await?;
            let Some(end) = rows.last().map(|row| row.place) else {
                return Ok(items);
            };
            let key = self.key(owner).await?;
            items.extend(rows.iter().filter_map(|row| readable(&key, owner, node, row)));
            items.truncate(max);
            if items.len() == max || rows.len() < wanted {
                return Ok(items);
            }
            // Others are in the place of those that cannot be read.
            wanted = (max - items.len()).max(SPARE_ROWS);
            page = match page {
                Page::Newest(_) => Page::Newest(end),
                Page::Oldest(_) => Page::Oldest(end),
            };
        }
    }

    /// One item.
    pub async fn find(&self, owner: &BareJid, node: &Node, id: &str) -> Result<Option<Arc<Item>>, Fault> {
        let key = self.key(owner).await?;
        let not_before = self.not_before(&node.config);
        let found = self
            .store
            .find(owner, &node.name, tag(&key, &node.name, id), not_before)
            .await?;
        Ok(found.and_then(|row| readable(&key, owner, node, &row)))
    }

    /// The item that was published last.
    pub async fn last(&self, _: &Router, owner: &BareJid, node: &Node) -> Result<Option<Arc<Item>>, Fault> {
        let key = Pair(owner, &node.name);
        if let Some(last) = self.last.get(&key) {
            let not_before = self.not_before(&node.config);
            return Ok(last.filter(|item| item.stamp.0 >= not_before));
        }
        let _held = self.node_locks.hold((owner, &node.name)).await;
        let mark = self.last.mark(&key);
        let last = self.page(owner, node, Page::Newest(i64::MAX), 1).await?.pop();
        self.last.keep(&key, last.clone(), mark);
        Ok(last)
    }

    /// To be asked by somebody who holds the node's lock, before they publish an item.
    pub(super) fn mark_last(&self, owner: &BareJid, node: &str) -> ReadMark {
        self.last.mark(&Pair(owner, node))
    }

    /// Notes the item that was published last since the mark.
    pub(super) fn note_last(&self, owner: &BareJid, node: &str, item: &Arc<Item>, since: ReadMark) {
        self.last.put(&Pair(owner, node), Some(item.clone()), since);
    }

    /// Items of a node have changed: the last one has to be looked up.
    pub(super) fn forget_last(&self, owner: &BareJid, node: &str) {
        self.last.invalidate(&Pair(owner, node));
    }

    /// The newest items, oldest first.
    pub async fn newest(
        &self,
        router: &Router,
        owner: &BareJid,
        name: &str,
        max: Option<usize>,
    ) -> Result<Vec<Arc<Item>>, Fault> {
        let Some(node) = self.home(router, owner).await?.node(name) else {
            return Ok(Vec::new());
        };
        self.newest_of(router, owner, &node, max.unwrap_or(usize::MAX))
            .await
    }

    /// The same of a node that is at hand.
    pub(super) async fn newest_of(
        &self,
        router: &Router,
        owner: &BareJid,
        node: &Node,
        max: usize,
    ) -> Result<Vec<Arc<Item>>, Fault> {
        if max == 1 || self.items_max(&node.config) == 1 {
            return Ok(self.last(router, owner, node).await?.into_iter().collect());
        }
        let max = max.min(self.settings.items_per_node_max);
        let mut items = self.page(owner, node, Page::Newest(i64::MAX), max).await?;
        items.reverse();
        Ok(items)
    }

    /// One item of an owner.
    pub async fn item(
        &self,
        router: &Router,
        owner: &BareJid,
        name: &str,
        id: &str,
    ) -> Result<Option<Arc<Item>>, Fault> {
        match self.home(router, owner).await?.node(name) {
            Some(node) => self.item_of(router, owner, &node, id).await,
            None => Ok(None),
        }
    }

    /// The same of a node that is at hand.
    pub(super) async fn item_of(
        &self,
        router: &Router,
        owner: &BareJid,
        node: &Node,
        id: &str,
    ) -> Result<Option<Arc<Item>>, Fault> {
        let last = self.last(router, owner, node).await?;
        match last {
            Some(last) if *last.id == *id => Ok(Some(last)),
            Some(_) if self.items_max(&node.config) == 1 => Ok(None),
            None => Ok(None),
            _ => self.find(owner, node, id).await,
        }
    }

    /// The names of an owner's nodes.
    pub async fn node_names(&self, router: &Router, owner: &BareJid) -> Result<Vec<String>, Fault> {
        let nodes = self.home(router, owner).await?.nodes();
        Ok(nodes.iter().map(|node| node.name.to_string()).collect())
    }

    /// How a node behaves.
    pub async fn config(
        &self,
        router: &Router,
        owner: &BareJid,
        name: &str,
    ) -> Result<Option<Arc<NodeConfig>>, Fault> {
        Ok(self
            .home(router, owner)
            .await?
            .node(name)
            .map(|node| node.config.clone()))
    }
}

/// The item in a row. One that cannot be opened is logged and left out: the others of its node are not to go with it.
fn readable(key: &Key, owner: &BareJid, node: &Node, row: &FoundItem) -> Option<Arc<Item>> {
    match open_item(key, owner, &node.name, row) {
        Ok(item) => Some(item),
        Err(fault) => {
            tracing::error!(event = "pubsub_item_unreadable", account = %owner, node = %node.name, ?fault);
            None
        }
    }
}

/// An owner's items would take too many bytes.
pub(super) fn is_full(error: &DbError) -> bool {
    matches!(error, DbError::Refused(_))
}
