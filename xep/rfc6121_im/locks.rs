//! One thing at a time for each account, without a lock for every account there is.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use kim_core::jid::BareJid;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How many accounts can be held at the same time. Two may share a lock; then one waits without need, and nothing else.
const LOCKS: usize = 256;

/// Locks by account.
pub struct Locks {
    locks: [Arc<Mutex<()>>; LOCKS],
    hasher: RandomState,
}

impl Locks {
    /// Nobody is held.
    pub fn new() -> Locks {
        Locks {
            locks: std::array::from_fn(|_| Arc::default()),
            hasher: RandomState::new(),
        }
    }

    /// Waits until nobody else holds the account. Who holds one account must not ask for another.
    pub async fn hold(&self, account: &BareJid) -> OwnedMutexGuard<()> {
        let at = self.hasher.hash_one(account) as usize % LOCKS;
        self.locks[at].clone().lock_owned().await
    }
}
