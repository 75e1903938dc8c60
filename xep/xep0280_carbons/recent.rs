//! Which messages were eligible lately: an error about one of them is eligible too (§6.1), and does not say so itself
//! (RFC 6120 §8.3.1).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Messages remembered. The newest takes the place of whichever stood where it goes.
const MESSAGES_MAX: usize = 1 << 15;

/// A table of fixed size of what an account exchanged with whom under which id, as hashes with a key that nobody knows.
pub struct Recent {
    hasher: RandomState,
    seen: Box<[AtomicU64]>,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent {
            hasher: RandomState::new(),
            seen: (0..MESSAGES_MAX).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Recent {
    /// Remembers a message between two bare JIDs. One without an id cannot be referred to.
    pub fn add(&self, account: &str, peer: &str, id: Option<&str>) {
        if let Some((slot, hash)) = self.slot(account, peer, id) {
            slot.store(hash, Ordering::Relaxed);
        }
    }

    /// Whether such a message was remembered, and not too long ago.
    pub fn has(&self, account: &str, peer: &str, id: Option<&str>) -> bool {
        self.slot(account, peer, id)
            .is_some_and(|(slot, hash)| slot.load(Ordering::Relaxed) == hash)
    }

    fn slot(&self, account: &str, peer: &str, id: Option<&str>) -> Option<(&AtomicU64, u64)> {
        // 0 is the empty slot.
        let hash = self.hasher.hash_one((account, peer, id?)) | 1;
        let at = (hash >> 32) as usize % self.seen.len().max(1);
        self.seen.get(at).map(|slot| (slot, hash))
    }
}
