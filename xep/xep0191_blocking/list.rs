//! An account's block list, and the lists of many accounts as they are needed for every stanza that arrives.

use std::collections::HashSet;
use std::sync::Arc;

use kim_core::db::{Db, DbError};
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::Shared;

use super::store;

/// Lists kept in memory; most are empty and cost some hundred bytes.
const LISTS_MAX: usize = 100_000;

/// Whom an account has blocked.
#[derive(Default)]
pub(super) struct BlockList(HashSet<Jid>);

impl FromIterator<Jid> for BlockList {
    fn from_iter<I: IntoIterator<Item = Jid>>(jids: I) -> BlockList {
        BlockList(jids.into_iter().collect())
    }
}

impl BlockList {
    /// Whether a stanza from or to this address is blocked: by its full JID, its bare JID, `domain/resource` or its
    /// domain (§6).
    pub(super) fn blocks(&self, jid: &Jid) -> bool {
        if self.0.is_empty() {
            return false;
        }
        self.0.contains(jid.as_str())
            || self.0.contains(jid.bare_str())
            || self.0.contains(jid.domain())
            || jid
                .resource()
                .is_some_and(|resource| self.0.contains(format!("{}/{resource}", jid.domain()).as_str()))
    }

    /// Whether exactly this address stands on the list.
    pub(super) fn names(&self, jid: &Jid) -> bool {
        self.0.contains(jid)
    }

    /// The addresses, sorted, so that answers are stable.
    pub(super) fn sorted(&self) -> Vec<&Jid> {
        let mut jids: Vec<&Jid> = self.0.iter().collect();
        jids.sort();
        jids
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The lists of all accounts: read through a cache, written through the database.
pub(super) struct BlockLists {
    db: Db,
    cache: Shared<BareJid, Arc<BlockList>>,
}

impl BlockLists {
    pub(super) fn new(db: Db) -> BlockLists {
        BlockLists {
            cache: Shared::new(db.caches(), "blocking.lists", LISTS_MAX),
            db,
        }
    }

    /// An account's list.
    pub(super) async fn of(&self, account: &BareJid) -> Result<Arc<BlockList>, DbError> {
        let read = || async {
            let jids = store::list(&self.db, account).await?;
            Ok(Arc::new(jids.into_iter().collect()))
        };
        self.cache.read(account, read).await
    }

    /// Blocks; returns once that is committed.
    pub(super) async fn block(&self, account: &BareJid, jids: &[Jid]) -> Result<(), DbError> {
        let (db, owner, jids) = (self.db.clone(), account.clone(), jids.to_vec());
        let work = async move { store::add(&db, &owner, &jids).await };
        let done = self.cache.change(account, work).await;
        done.map_err(|_| DbError::Panicked)?
    }

    /// Unblocks these, or everybody if there are none; returns once that is committed.
    pub(super) async fn unblock(&self, account: &BareJid, jids: &[Jid]) -> Result<(), DbError> {
        let (db, owner, jids) = (self.db.clone(), account.clone(), jids.to_vec());
        let work = async move {
            if !jids.is_empty() {
                return store::remove(&db, &owner, &jids).await;
            }
            let clear = db.write(move |tx| {
                let owner = owner.clone();
                Box::pin(async move { store::clear(tx, &owner).await })
            });
            clear.await
        };
        let done = self.cache.change(account, work).await;
        done.map_err(|_| DbError::Panicked)?
    }

    /// Forgets what is cached of an account that is being removed.
    pub(super) fn forget(&self, account: &BareJid) {
        self.cache.invalidate(account);
    }
}
