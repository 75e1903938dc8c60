//! Rosters that are in use, kept in memory within a limit of bytes.
//!
//! A copy is right as long as every change made on this node is told here ([`Cache::changed`]) once it is committed.
//! A load that began before such a change may have read the state before it; the generation says so, and it is not kept.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kim_core::jid::BareJid;

use super::item::Roster;
use super::store::roster_change::StoredChange;

/// Independent parts, so that loads of different accounts do not wait for one another.
const SHARDS: usize = 32;

/// Where a load began; see [`Cache::keep`].
#[derive(Clone, Copy)]
pub struct Generation(u64);

#[derive(Default)]
struct Shard {
    rosters: HashMap<BareJid, Arc<Roster>>,
    bytes: usize,
    generation: u64,
}

impl Shard {
    fn put(&mut self, account: &BareJid, roster: Arc<Roster>, bytes_max: usize) {
        self.remove(account);
        self.bytes += roster.bytes();
        self.rosters.insert(account.clone(), roster);
        while self.bytes > bytes_max {
            // Any other one will do: the order of a hash map is as good as chance.
            let Some(victim) = self.rosters.keys().find(|other| *other != account).cloned() else {
                break;
            };
            self.remove(&victim);
        }
    }

    fn remove(&mut self, account: &BareJid) {
        if let Some(roster) = self.rosters.remove(account) {
            self.bytes = self.bytes.saturating_sub(roster.bytes());
        }
    }
}

/// The rosters in memory.
pub struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    shard_bytes_max: usize,
}

impl Cache {
    /// An empty cache of about that size.
    pub fn new(bytes_max: usize) -> Cache {
        Cache {
            shards: Default::default(),
            hasher: RandomState::new(),
            shard_bytes_max: bytes_max / SHARDS,
        }
    }

    fn shard(&self, account: &BareJid) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one(account) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A roster, if it is here.
    pub fn get(&self, account: &BareJid) -> Option<Arc<Roster>> {
        self.shard(account).rosters.get(account).cloned()
    }

    /// To be asked before a roster is read from the database.
    pub fn generation(&self, account: &BareJid) -> Generation {
        Generation(self.shard(account).generation)
    }

    /// Keeps a roster that was read, unless something changed meanwhile.
    pub fn keep(&self, account: &BareJid, roster: &Arc<Roster>, since: Generation) {
        let mut shard = self.shard(account);
        if shard.generation == since.0 {
            shard.put(account, roster.clone(), self.shard_bytes_max);
        }
    }

    /// A change was committed: the copy follows it, or goes if it is not of the moment before.
    pub fn changed(&self, account: &BareJid, contact: &BareJid, change: &StoredChange) {
        let mut shard = self.shard(account);
        shard.generation += 1;
        let Some(roster) = shard.rosters.get(account) else {
            return;
        };
        if roster.revision >= change.revision {
            return;
        }
        if roster.revision + 1 != change.revision {
            return shard.remove(account);
        }
        let mut next = roster.with(contact, change.after.clone(), change.version, change.revision);
        next.floor = change.floor;
        shard.put(account, Arc::new(next), self.shard_bytes_max);
    }

    /// Forgets a roster, and what is being read of it.
    pub fn forget(&self, account: &BareJid) {
        let mut shard = self.shard(account);
        shard.generation += 1;
        shard.remove(account);
    }
}
