//! Who is blocked for the whole server, in memory: what the administrators have blocked, and the lists of others. One look-up
//! for each side of a stanza asks no database, and computes no SHA-256 for an address that is known.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use kim_core::clock::Clock;
use kim_core::db::DbError;
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::Shared;
use kim_core::router::{Destination, Router};
use kim_core::stanza::Kind;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OnceCell, watch};

use super::source::BlockListSource;
use super::store::{BlockStore, Sum};

/// Addresses and domains that the administrators may block.
pub(super) const OWN_MAX: usize = 100_000;
/// Rows that are read at once.
const PAGE_ROWS: usize = 10_000;
/// Addresses whose SHA-256 is remembered.
const SUMS_MAX: usize = 50_000;

/// The SHA-256 of an address, as lists name it.
pub(super) fn sum_of(address: &str) -> Sum {
    Sha256::digest(address.as_bytes()).into()
}

/// How many stanzas were refused, by kind: messages, presences, requests and their answers.
#[derive(Default)]
pub(super) struct Refused([AtomicU64; 3]);

impl Refused {
    fn count(&self, kind: Kind) {
        let place = match kind {
            Kind::Message(_) => 0,
            Kind::Presence(_) => 1,
            Kind::Iq(_) => 2,
        };
        self.0[place].fetch_add(1, Ordering::Relaxed);
    }

    /// Each kind and its figure.
    pub fn figures(&self) -> [(&'static str, u64); 3] {
        let [message, presence, iq] = self.0.each_ref().map(|figure| figure.load(Ordering::Relaxed));
        [("message", message), ("presence", presence), ("iq", iq)]
    }
}

/// The list of somebody else.
pub(super) struct RealTimeList {
    pub source: BlockListSource,
    pub uri: Arc<str>,
    sums: RwLock<HashSet<Sum>>,
    pub refused: Refused,
    /// One change at a time.
    changing: Mutex<()>,
}

impl RealTimeList {
    fn sums(&self) -> RwLockReadGuard<'_, HashSet<Sum>> {
        self.sums.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it is.
    pub fn len(&self) -> usize {
        self.sums().len()
    }
}

/// What blocks somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHit {
    /// The place of the list; none for the administrators' own.
    list: Option<usize>,
    /// Whether their whole domain is blocked.
    pub is_domain: bool,
}

/// Everything that is blocked.
pub(super) struct BlockRules {
    pub store: BlockStore,
    clock: Clock,
    own: RwLock<HashSet<Box<str>>>,
    pub own_refused: Refused,
    pub lists: Vec<RealTimeList>,
    items_max: usize,
    /// How much all lists have together.
    listed: AtomicUsize,
    sums: Shared<String, Sum>,
    loaded: OnceCell<()>,
    /// Tells that somebody is blocked who was not.
    pub grown: watch::Sender<()>,
}

impl BlockRules {
    pub fn new(
        store: BlockStore,
        clock: Clock,
        sources: Vec<BlockListSource>,
        items_max: usize,
    ) -> BlockRules {
        let list = |source: BlockListSource| RealTimeList {
            uri: source.uri().into(),
            source,
            sums: RwLock::default(),
            refused: Refused::default(),
            changing: Mutex::default(),
        };
        BlockRules {
            sums: Shared::new(store.0.caches(), "server_blocks.sums", SUMS_MAX),
            store,
            clock,
            own: RwLock::default(),
            own_refused: Refused::default(),
            lists: sources.into_iter().map(list).collect(),
            items_max,
            listed: AtomicUsize::new(0),
            loaded: OnceCell::new(),
            grown: watch::Sender::new(()),
        }
    }

    /// Reads everything from the database, once. Until that has been done nobody passes.
    pub async fn load(&self) -> Result<(), DbError> {
        self.loaded.get_or_try_init(|| self.read()).await?;
        Ok(())
    }

    async fn read(&self) -> Result<(), DbError> {
        let mut own = HashSet::new();
        let mut after = String::new();
        loop {
            let page = self.store.own(&after, PAGE_ROWS).await?;
            let Some((last, _)) = page.last() else { break };
            after.clone_from(last);
            own.extend(page.into_iter().map(|(address, _)| address.into_boxed_str()));
        }
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = own;
        for uri in self.store.sources().await? {
            // The administrator no longer wants that list.
            if !self.lists.iter().any(|list| *list.uri == *uri) {
                self.store.remove_source(&uri).await?;
            }
        }
        for list in &self.lists {
            let sums = self.store.listed(&list.uri, self.items_max).await?;
            *list.sums.write().unwrap_or_else(PoisonError::into_inner) = sums.into_iter().collect();
        }
        self.count_listed();
        Ok(())
    }

    fn count_listed(&self) {
        let listed = self.lists.iter().map(RealTimeList::len).sum();
        self.listed.store(listed, Ordering::Release);
    }

    fn own(&self) -> RwLockReadGuard<'_, HashSet<Box<str>>> {
        self.own.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn sum(&self, address: &str) -> Sum {
        if let Some(sum) = self.sums.get(address) {
            return sum;
        }
        let mark = self.sums.mark(address);
        let sum = sum_of(address);
        self.sums.keep(address, sum, mark);
        sum
    }

    /// The list that has an address or a domain.
    fn listing(&self, address: &str) -> Option<usize> {
        if self.listed.load(Ordering::Acquire) == 0 {
            return None;
        }
        let sum = self.sum(address);
        self.lists.iter().position(|list| list.sums().contains(&sum))
    }

    /// What blocks a domain: the administrators block those below it too, lists name exactly one.
    pub fn domain(&self, domain: &str) -> Option<BlockHit> {
        let is_own = {
            let own = self.own();
            let above = std::iter::successors(Some(domain), |name| Some(name.split_once('.')?.1));
            !own.is_empty() && above.into_iter().any(|name| own.contains(name))
        };
        let list = match is_own {
            true => None,
            false => Some(self.listing(domain)?),
        };
        Some(BlockHit {
            list,
            is_domain: true,
        })
    }

    /// What blocks somebody. Lists of others decide nothing about the people of this server.
    pub async fn check(&self, jid: &Jid, router: &Router) -> Result<Option<BlockHit>, DbError> {
        self.load().await?;
        if router.destination(jid.domain()) != Destination::Remote {
            let is_own = jid.local().is_some() && self.own().contains(jid.bare_str());
            return Ok(is_own.then_some(BlockHit {
                list: None,
                is_domain: false,
            }));
        }
        if let Some(hit) = self.domain(jid.domain()) {
            return Ok(Some(hit));
        }
        if jid.local().is_none() {
            return Ok(None);
        }
        let list = match self.own().contains(jid.bare_str()) {
            true => None,
            false => match self.listing(jid.bare_str()) {
                Some(list) => Some(list),
                None => return Ok(None),
            },
        };
        Ok(Some(BlockHit {
            list,
            is_domain: false,
        }))
    }

    /// A stanza was refused.
    pub fn count(&self, hit: BlockHit, kind: Kind) {
        let list = hit.list.and_then(|place| self.lists.get(place));
        list.map_or(&self.own_refused, |list| &list.refused).count(kind);
    }

    /// How many the administrators have blocked.
    pub fn own_len(&self) -> usize {
        self.own().len()
    }

    /// Whether exactly this is blocked by the administrators.
    pub fn names(&self, address: &BareJid) -> bool {
        self.own().contains(address.as_str())
    }

    /// Blocks for the administrators; `false` if that was so already.
    pub async fn add_own(&self, address: &BareJid) -> Result<bool, DbError> {
        self.load().await?;
        let is_new = self.store.add_own(address, self.clock.now()).await?;
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        own.insert(address.as_str().into());
        drop(own);
        self.grown.send_replace(());
        Ok(is_new)
    }

    /// Unblocks for the administrators; `false` if it was not blocked.
    pub async fn remove_own(&self, address: &BareJid) -> Result<bool, DbError> {
        self.load().await?;
        let was_there = self.store.remove_own(address).await?;
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        own.remove(address.as_str());
        Ok(was_there)
    }

    /// Changes a list, on disk first. What does not fit any more is left out, and `false` says so.
    pub async fn change_list(
        &self,
        list: &RealTimeList,
        added: &[Sum],
        removed: &[Sum],
    ) -> Result<bool, DbError> {
        self.load().await?;
        let _one = list.changing.lock().await;
        let (added, removed, is_whole): (Vec<Sum>, HashSet<Sum>, bool) = {
            let sums = list.sums();
            let removed: HashSet<Sum> = removed
                .iter()
                .filter(|sum| sums.contains(*sum))
                .copied()
                .collect();
            let mut added: Vec<Sum> = added.iter().filter(|sum| !sums.contains(*sum)).copied().collect();
            let room = self.items_max.saturating_sub(sums.len() - removed.len());
            let is_whole = added.len() <= room;
            added.truncate(room);
            (added, removed, is_whole)
        };
        let gone: Vec<Sum> = removed.iter().copied().collect();
        self.store.change_listed(&list.uri, &added, &gone).await?;
        let grows = !added.is_empty();
        {
            let mut sums = list.sums.write().unwrap_or_else(PoisonError::into_inner);
            sums.retain(|sum| !removed.contains(sum));
            sums.extend(added);
        }
        if grows {
            self.grown.send_replace(());
        }
        self.count_listed();
        Ok(is_whole)
    }

    /// Replaces a list by what its source has now.
    pub async fn replace_list(&self, list: &RealTimeList, now: &HashSet<Sum>) -> Result<bool, DbError> {
        let (added, removed) = {
            let sums = list.sums();
            let added: Vec<Sum> = now.difference(&sums).copied().collect();
            let removed: Vec<Sum> = sums.difference(now).copied().collect();
            (added, removed)
        };
        self.change_list(list, &added, &removed).await
    }
}
