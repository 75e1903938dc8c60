//! What other modules may ask: whom an account has blocked, and that it has just blocked somebody.

use std::sync::Arc;

use kim_core::error::Fault;
use kim_core::hook::Notice;
use kim_core::jid::{BareJid, Jid};
use kim_core::module::Registrar;
use kim_core::stanza::Stanza;

use super::list::BlockLists;

/// An account has blocked addresses, and that is committed. The client waits for the answer to its request, which is the same
/// whatever becomes of this.
pub struct Blocked {
    /// Who blocks.
    pub account: BareJid,
    /// The whole request: items may have more in them than an address (XEP-0377).
    pub request: Stanza,
}

impl Notice for Blocked {
    const NAME: &'static str = "blocked";
}

/// Whom accounts have blocked. Reads come from memory. Where the module is disabled nobody has blocked anybody.
pub struct Blocks {
    lists: Option<Arc<BlockLists>>,
}

impl Blocks {
    pub(super) fn new(lists: Arc<BlockLists>) -> Blocks {
        Blocks { lists: Some(lists) }
    }

    /// Those of this server, for a module that also works without them.
    pub fn of(house: &Registrar<'_>) -> Arc<Blocks> {
        house.wanted().unwrap_or_else(|| Arc::new(Blocks { lists: None }))
    }

    /// Whether an account has blocked somebody.
    pub async fn blocks(&self, account: &BareJid, jid: &Jid) -> Result<bool, Fault> {
        match &self.lists {
            Some(lists) => Ok(lists.of(account).await?.blocks(jid)),
            None => Ok(false),
        }
    }
}
