//! Rosters that are in use, kept in memory within a limit of bytes.

use std::sync::Arc;

use kim_core::jid::BareJid;
use kim_core::keyed::{Caches, Shared};

use super::item::Roster;
use super::store::roster_change::StoredChange;

/// What a roster takes on average, in bytes: a guess by which the cache is laid out.
const ROSTER_BYTES: usize = 10_000;

fn bytes(roster: &Arc<Roster>) -> u64 {
    roster.bytes() as u64
}

/// The rosters in memory. Changes of one account come one after another.
pub struct Cache {
    rosters: Shared<BareJid, Arc<Roster>>,
}

impl Cache {
    /// An empty cache of about that size.
    pub fn new(caches: &Caches, bytes_max: usize) -> Cache {
        let expected = bytes_max / ROSTER_BYTES + 1;
        let rosters = Shared::weighed(caches, "im.rosters", bytes_max as u64, expected, |_, roster| {
            bytes(roster)
        });
        Cache { rosters }
    }

    /// A roster, if it is here.
    pub fn get(&self, account: &BareJid) -> Option<Arc<Roster>> {
        self.rosters.get(account)
    }

    /// A roster; `load` brings it if it is not here.
    pub async fn read<F, E>(&self, account: &BareJid, load: impl FnOnce() -> F) -> Result<Arc<Roster>, E>
    where
        F: Future<Output = Result<Arc<Roster>, E>>,
    {
        self.rosters.read(account, load).await
    }

    /// A change was committed: the copy follows it, or goes if it is not of the moment before.
    pub fn changed(&self, account: &BareJid, contact: &BareJid, change: &StoredChange) {
        let mark = self.rosters.mark(account);
        match self.rosters.get(account) {
            Some(roster) if roster.revision >= change.revision => {}
            Some(roster) if roster.revision + 1 == change.revision => {
                let mut next = roster.with(contact, change.after.clone(), change.version, change.revision);
                next.floor = change.floor;
                self.rosters.put(account, Arc::new(next), mark);
            }
            // It is being read, or was: what comes may be of the moment before.
            _ => self.rosters.invalidate(account),
        }
    }

    /// Forgets a roster, and what is being read of it.
    pub fn forget(&self, account: &BareJid) {
        self.rosters.invalidate(account);
    }
}
