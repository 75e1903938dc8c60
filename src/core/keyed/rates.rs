//! Token buckets: so much at once, so much per second in the long run. One bucket, or one for each of many keys.

use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quick_cache::unsync::Cache;

use crate::clock::Timestamp;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// So many a second.
    pub per_second: f32,
    /// So many at once.
    pub burst: f32,
}

impl Rate {
    /// A share of it, in percent.
    pub fn percent(self, percent: u32) -> Rate {
        let share = percent as f32 / 100.0;
        Rate {
            per_second: self.per_second * share,
            burst: (self.burst * share).max(1.0),
        }
    }
}

/// What is left of a rate. A new bucket is full.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    spent: f32,
    at: i64,
}

impl Bucket {
    /// How much of it is used up.
    pub fn spent(&self, rate: Rate, now: Timestamp) -> f32 {
        let seconds = (now.0 - self.at).max(0) as f32 / 1_000_000.0;
        (self.spent - seconds * rate.per_second).max(0.0)
    }

    /// Whether there is one left.
    pub fn has(&self, rate: Rate, now: Timestamp) -> bool {
        self.spent(rate, now) + 1.0 <= rate.burst
    }

    /// Takes one; false if there is none.
    pub fn take(&mut self, rate: Rate, now: Timestamp) -> bool {
        self.spent = self.spent(rate, now);
        self.at = now.0;
        if self.spent + 1.0 > rate.burst {
            return false;
        }
        self.spent += 1.0;
        true
    }

    /// Whole seconds until there is one again.
    pub fn wait_seconds(&self, rate: Rate) -> u32 {
        let missing = (self.spent + 1.0 - rate.burst).max(0.0);
        (missing / rate.per_second).ceil() as u32
    }
}

/// A bucket for each of many keys. With more keys than it may remember, those go first that were not used again: whoever keeps
/// trying stays, however many others come along.
pub struct Rates<K> {
    buckets: Mutex<Cache<K, Bucket>>,
}

impl<K: Clone + Eq + Hash> Rates<K> {
    /// All buckets are full; so many keys are remembered.
    pub fn new(keys_max: usize) -> Rates<K> {
        Rates {
            buckets: Mutex::new(Cache::new(keys_max)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cache<K, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one from the bucket of a key; false if there is none.
    pub fn take(&self, key: &K, rate: Rate, now: Timestamp) -> bool {
        self.try_take(key, rate, now).is_ok()
    }

    /// The same; if there is none, says in how many seconds there will be. The key is copied only if it is new.
    pub fn try_take(&self, key: &K, rate: Rate, now: Timestamp) -> Result<(), u32> {
        let take = |bucket: &mut Bucket| match bucket.take(rate, now) {
            true => Ok(()),
            false => Err(bucket.wait_seconds(rate).max(1)),
        };
        let mut buckets = self.lock();
        if let Some(mut bucket) = buckets.get_mut(key) {
            return take(&mut bucket);
        }
        let mut bucket = Bucket::default();
        let taken = take(&mut bucket);
        buckets.insert(key.clone(), bucket);
        taken
    }

    /// Whether there is one left in the bucket of a key.
    pub fn has(&self, key: &K, rate: Rate, now: Timestamp) -> bool {
        let bucket = self.lock().get(key).copied().unwrap_or_default();
        bucket.has(rate, now)
    }

    /// The bucket of a key is full again.
    pub fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    /// How many keys are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}
