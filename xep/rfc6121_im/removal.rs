//! The end of an account: its contacts are told, and forget it as if it had removed each of them (RFC 6121 §2.5, XEP-0077 §3.2).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{AccountErased, AccountRemoved};
use kim_core::hook::Hear;

use super::change::farewell;
use super::directed::Directed;
use super::follow;
use super::offline::Offline;
use super::rosters::Rosters;

/// Says goodbye for an account.
#[derive(Clone)]
pub struct AccountFarewell {
    /// The rosters.
    pub rosters: Arc<Rosters>,
    /// Messages that wait.
    pub offline: Arc<Offline>,
}

impl Hear<AccountRemoved> for AccountFarewell {
    async fn hear(&self, event: &mut AccountRemoved, cx: &mut Cx) -> Result<(), Fault> {
        let router = cx.router().clone();
        let roster = self.rosters.of(&event.account).await?;
        for item in roster.all() {
            follow::to_contact(&router, &event.account, &item.contact, &farewell(item.state), cx).await;
        }
        for session in router.sessions().of(&event.account) {
            for target in Directed::take(&session) {
                cx.send(follow::unavailable(&session).to(target));
            }
            // Its end has nobody left to be told.
            session.set_presence(None, router.clock().now());
        }
        // The rows go in one transaction with the account's: the erasers of this module.
        Ok(())
    }
}

impl Hear<AccountErased> for AccountFarewell {
    async fn hear(&self, event: &mut AccountErased, _: &mut Cx) -> Result<(), Fault> {
        self.rosters.forget(&event.account);
        self.offline.forget_usage(&event.account);
        Ok(())
    }
}
