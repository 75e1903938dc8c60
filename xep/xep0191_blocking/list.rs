//! An account's block list, and the lists of many accounts as they are needed for every stanza that arrives.

use std::collections::HashSet;
use std::sync::Arc;

use kim_core::db::{Db, DbError};
use kim_core::jid::{BareJid, Jid};
use quick_cache::sync::Cache;

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
    cache: Cache<BareJid, Arc<BlockList>>,
    /// Changes of lists happen one after another, so that the cache never keeps an older list than the database.
    changing: tokio::sync::Mutex<()>,
}

impl BlockLists {
    pub(super) fn new(db: Db) -> BlockLists {
        BlockLists {
            db,
            cache: Cache::new(LISTS_MAX),
            changing: tokio::sync::Mutex::new(()),
        }
    }

    /// An account's list.
    pub(super) async fn of(&self, account: &BareJid) -> Result<Arc<BlockList>, DbError> {
        if let Some(list) = self.cache.get(account) {
            return Ok(list);
        }
        self.cache
            .get_or_insert_async(account, async {
                let jids = store::list(&self.db, account).await?;
                Ok(Arc::new(jids.into_iter().collect()))
            })
            .await
    }

    /// Blocks; returns once that is committed.
    pub(super) async fn block(&self, account: &BareJid, jids: &[Jid]) -> Result<(), DbError> {
        let _changing = self.changing.lock().await;
        store::add(&self.db, account, jids).await?;
        self.reload(account).await
    }

    /// Unblocks these, or everybody if there are none; returns once that is committed.
    pub(super) async fn unblock(&self, account: &BareJid, jids: &[Jid]) -> Result<(), DbError> {
        let _changing = self.changing.lock().await;
        if jids.is_empty() {
            let account = account.clone();
            self.db
                .write(move |tx| {
                    let account = account.clone();
                    Box::pin(async move { store::clear(tx, &account).await })
                })
                .await?;
        } else {
            store::remove(&self.db, account, jids).await?;
        }
        self.reload(account).await
    }

    /// Forgets what is cached of an account that is being removed.
    pub(super) fn forget(&self, account: &BareJid) {
        self.cache.remove(account);
    }

    async fn reload(&self, account: &BareJid) -> Result<(), DbError> {
        // Removed first: if the reading fails, the next reader asks the database again.
        self.cache.remove(account);
        let jids = store::list(&self.db, account).await?;
        self.cache
            .insert(account.clone(), Arc::new(jids.into_iter().collect()));
        Ok(())
    }
}
