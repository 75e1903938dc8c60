//! Locks by key, of which there is a fixed number.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};

/// One task at a time for each key. Two keys may share a lock: then one task waits without need, and a task that holds one key
/// must not ask the same `Locks` for another.
pub struct Locks {
    locks: Box<[Arc<Mutex<()>>]>,
    hasher: RandomState,
}

impl Locks {
    /// So many locks: that many keys can be held at the same time.
    pub fn new(count: usize) -> Locks {
        Locks {
            locks: (0..count.max(1)).map(|_| Arc::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    fn of(&self, key: impl Hash) -> &Arc<Mutex<()>> {
        &self.locks[self.hasher.hash_one(key) as usize % self.locks.len()]
    }

    /// Waits until no other task holds the key.
    pub async fn hold(&self, key: impl Hash) -> MutexGuard<'_, ()> {
        self.of(key).lock().await
    }

    /// The same, to be moved into a task of its own.
    pub async fn hold_owned(&self, key: impl Hash) -> OwnedMutexGuard<()> {
        self.of(key).clone().lock_owned().await
    }
}
