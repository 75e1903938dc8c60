//! Copies of values that the database has.
//!
//! A copy is made by whoever needs it first ([`Shared::read`]) and dropped once the value has changed ([`Shared::invalidate`]).
//! A value that was being read while it was invalidated is given to those who asked before that, and never kept: whoever asks
//! afterwards reads again.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use tokio::task::JoinError;

use super::caches::{Cached, Caches};
use crate::jid::BareJid;

/// Counters of changes; keys share them. A change of another key only costs that a copy is not kept.
const EPOCHS: usize = 64;

/// What copies are found by. It can be made into text and back, so that other nodes can be told of it.
pub trait CacheKey: Eq + Hash + Clone + Send + Sync + 'static {
    /// The key as text.
    fn encode(&self) -> String;

    /// The key that a text stands for.
    fn decode(text: &str) -> Option<Self>;
}

impl CacheKey for String {
    fn encode(&self) -> String {
        self.clone()
    }

    fn decode(text: &str) -> Option<String> {
        Some(text.to_owned())
    }
}

impl CacheKey for BareJid {
    fn encode(&self) -> String {
        self.as_str().to_owned()
    }

    fn decode(text: &str) -> Option<BareJid> {
        BareJid::parse(text).ok()
    }
}

/// Something with a name that belongs to an address. There is no space in a bare JID, so it can stand between the two.
impl CacheKey for (BareJid, Box<str>) {
    fn encode(&self) -> String {
        format!("{} {}", self.0, self.1)
    }

    fn decode(text: &str) -> Option<(BareJid, Box<str>)> {
        let (owner, name) = text.split_once(' ')?;
        Some((BareJid::parse(owner).ok()?, name.into()))
    }
}

/// A borrowed form of a key, so that nothing is copied to look something up.
pub trait Lookup<K>: Hash + Equivalent<K> {
    /// The key itself.
    fn to_key(&self) -> K;
}

impl Lookup<BareJid> for BareJid {
    fn to_key(&self) -> BareJid {
        self.clone()
    }
}

impl Lookup<String> for str {
    fn to_key(&self) -> String {
        self.to_owned()
    }
}

/// A borrowed `(BareJid, Box<str>)`.
#[derive(Clone, Copy, Debug, Hash)]
pub struct Pair<'a>(pub &'a BareJid, pub &'a str);

impl Equivalent<(BareJid, Box<str>)> for Pair<'_> {
    fn equivalent(&self, key: &(BareJid, Box<str>)) -> bool {
        *self.0 == key.0 && *self.1 == *key.1
    }
}

impl Lookup<(BareJid, Box<str>)> for Pair<'_> {
    fn to_key(&self) -> (BareJid, Box<str>) {
        (self.0.clone(), self.1.into())
    }
}

/// The moment from which a new value stands; see [`Shared::put`].
#[derive(Clone, Copy, Debug)]
pub struct ReadMark {
    place: usize,
    epoch: u64,
}

/// How much of a cache's bound a copy takes.
struct Weigh<K, V>(fn(&K, &V) -> u64);

impl<K, V> Clone for Weigh<K, V> {
    fn clone(&self) -> Self {
        Weigh(self.0)
    }
}

impl<K, V> Weighter<K, V> for Weigh<K, V> {
    fn weight(&self, key: &K, value: &V) -> u64 {
        (self.0)(key, value)
    }
}

struct Inner<K, V> {
    name: &'static str,
    caches: Caches,
    cache: Cache<K, V, Weigh<K, V>>,
    epochs: [AtomicU64; EPOCHS],
    hasher: RandomState,
}

impl<K: CacheKey, V: Clone> Inner<K, V> {
    /// Equal keys have equal hashes in whatever form they come.
    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        self.hasher.hash_one(key) as usize % EPOCHS
    }

    fn epoch(&self, place: usize) -> &AtomicU64 {
        &self.epochs[place % EPOCHS]
    }

    fn forget<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) {
        self.epoch(self.place(key)).fetch_add(1, Ordering::SeqCst);
        // What is being read of it goes too, so that it is not kept when it comes.
        self.cache.remove(key);
    }
}

impl<K: CacheKey, V: Clone + Send + Sync> Cached for Inner<K, V> {
    fn drop_key(&self, key: &str) {
        match K::decode(key) {
            Some(key) => self.forget(&key),
            None => self.drop_all(),
        }
    }

    fn drop_all(&self) {
        for epoch in &self.epochs {
            epoch.fetch_add(1, Ordering::SeqCst);
        }
        self.cache.clear();
    }
}

/// A bounded cache of values that are read from the database, with a name that is known to all nodes. Cheap to clone.
pub struct Shared<K, V> {
    inner: Arc<Inner<K, V>>,
}

impl<K, V> Clone for Shared<K, V> {
    fn clone(&self) -> Self {
        Shared {
            inner: self.inner.clone(),
        }
    }
}

impl<K: CacheKey, V: Clone + Send + Sync + 'static> Shared<K, V> {
    /// An empty cache of so many copies.
    pub fn new(caches: &Caches, name: &'static str, copies_max: usize) -> Shared<K, V> {
        Shared::weighed(caches, name, copies_max as u64, copies_max, |_, _| 1)
    }

    /// An empty cache whose copies together weigh so much at most. The weight of a copy must not change while it is kept.
    pub fn weighed(
        caches: &Caches,
        name: &'static str,
        weight_max: u64,
        copies_expected: usize,
        weigh: fn(&K, &V) -> u64,
    ) -> Shared<K, V> {
        let inner = Arc::new(Inner {
            name,
            caches: caches.clone(),
            cache: Cache::with_weighter(copies_expected, weight_max, Weigh(weigh)),
            epochs: std::array::from_fn(|_| AtomicU64::new(0)),
            hasher: RandomState::new(),
        });
        let cached: Arc<dyn Cached> = inner.clone();
        caches.add(name, Arc::downgrade(&cached));
        Shared { inner }
    }

    /// The copy, if there is one.
    pub fn get<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Option<V> {
        self.inner.cache.get(key)
    }

    /// The copy, or the value that `read` brings. Of several who want the same one reads, and the others wait for it.
    pub async fn read<Q, F, E>(&self, key: &Q, read: impl FnOnce() -> F) -> Result<V, E>
    where
        Q: Lookup<K> + ?Sized,
        F: Future<Output = Result<V, E>>,
    {
        if let Some(value) = self.inner.cache.get(key) {
            return Ok(value);
        }
        // On the heap: a future that reads from the database is large, and would make those of all who ask here as large, who
        // are answered from memory nearly always. Each hook's future is moved once for each stanza.
        Box::pin(async { self.inner.cache.get_or_insert_async(&key.to_key(), read()).await }).await
    }

    /// To be asked before a value is changed, or read by other means than [`Shared::read`].
    pub fn mark<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> ReadMark {
        let place = self.inner.place(key);
        let epoch = self.inner.epoch(place).load(Ordering::SeqCst);
        ReadMark { place, epoch }
    }

    /// Keeps a value that was just read, unless something has changed since the mark.
    pub fn keep<Q: Lookup<K> + ?Sized>(&self, key: &Q, value: V, since: ReadMark) {
        let inner = &self.inner;
        let is_current = || inner.epoch(since.place).load(Ordering::SeqCst) == since.epoch;
        if is_current() {
            inner.cache.insert(key.to_key(), value);
            // Looked at again: whoever invalidates counts first and removes then, so one of the two sees the other.
            if !is_current() {
                inner.forget(key);
            }
        }
    }

    /// The value was changed here, and that is committed: keeps the new one, unless somebody else has changed it too since the
    /// mark. The other nodes are told.
    pub fn put<Q: Lookup<K> + ?Sized>(&self, key: &Q, value: V, since: ReadMark) {
        let inner = &self.inner;
        inner.cache.insert(key.to_key(), value);
        let (was, is) = (since.epoch, since.epoch.wrapping_add(1));
        let counted = inner
            .epoch(since.place)
            .compare_exchange(was, is, Ordering::SeqCst, Ordering::SeqCst);
        if counted.is_err() {
            inner.forget(key);
        }
        self.tell(key);
    }

    /// The value was changed here, or may have been, and that is committed: drops the copy, and tells the other nodes.
    pub fn invalidate<Q: Lookup<K> + ?Sized>(&self, key: &Q) {
        self.inner.forget(key);
        self.tell(key);
    }

    /// Changes a value and invalidates it whatever comes of that. The work goes on even if the caller goes away: what has been
    /// committed is not missed here.
    pub async fn change<Q, T, W>(&self, key: &Q, work: W) -> Result<T, JoinError>
    where
        Q: Lookup<K> + ?Sized,
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let (shared, key) = (self.clone(), key.to_key());
        let task = tokio::spawn(async move {
            // Also if the work panics.
            let changing = Changing { shared, key };
            let outcome = work.await;
            drop(changing);
            outcome
        });
        task.await
    }

    fn tell<Q: Lookup<K> + ?Sized>(&self, key: &Q) {
        let inner = &self.inner;
        inner.caches.changed(inner.name, || key.to_key().encode());
    }
}

struct Changing<K: CacheKey, V: Clone + Send + Sync + 'static> {
    shared: Shared<K, V>,
    key: K,
}

impl<K: CacheKey, V: Clone + Send + Sync + 'static> Drop for Changing<K, V> {
    fn drop(&mut self) {
        let inner = &self.shared.inner;
        inner.forget(&self.key);
        inner.caches.changed(inner.name, || self.key.encode());
    }
}
