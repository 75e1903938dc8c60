//! What other modules may ask: whom an account has blocked, and that it has just blocked somebody.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::Registrar;

use super::commands;
pub use super::commands::Blocked;
use super::list::BlockLists;

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

    /// Blocks somebody who does not see the account's presence, in the account's name, and tells its clients (§3.3). Where the
    /// module is disabled nothing can be blocked, which is an error.
    pub async fn block(&self, account: &BareJid, jid: &Jid, cx: &mut Cx) -> Result<(), Fault> {
        let Some(lists) = &self.lists else {
            let error = StanzaError::new(Condition::FeatureNotImplemented);
            return Err(error
                .text("blocking is switched off on this server; refuse the request instead")
                .into());
        };
        let list = lists.of(account).await?;
        if !list.names(jid) && list.len() >= cx.router().limits().block_list_max {
            return Err(commands::full());
        }
        lists.block(account, std::slice::from_ref(jid)).await?;
        commands::push(account, "block", std::slice::from_ref(jid), cx);
        Ok(())
    }
}
