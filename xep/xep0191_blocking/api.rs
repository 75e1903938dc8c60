//! What other modules may ask: whom an account has blocked.

use std::sync::Arc;

use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};

use super::list::BlockLists;

/// Whom accounts have blocked. Reads come from memory.
pub struct Blocks {
    lists: Arc<BlockLists>,
}

impl Blocks {
    pub(super) fn new(lists: Arc<BlockLists>) -> Blocks {
        Blocks { lists }
    }

    /// Whether an account has blocked somebody.
    pub async fn blocks(&self, account: &BareJid, jid: &Jid) -> Result<bool, Fault> {
        Ok(self.lists.of(account).await?.blocks(jid))
    }
}
