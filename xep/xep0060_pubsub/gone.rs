//! An account goes: its rows go with it ([`super::store::erase`]), and here it leaves the memory.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{AccountErased, AccountRemoved};
use kim_core::hook::Hear;
use kim_core::jid::BareJid;

use super::engine::Engine;
use super::home::{Affiliation, Subscription};

/// Forgets an account that is being removed.
pub struct ForgetNodes(pub Arc<Engine>);

impl Hear<AccountRemoved> for ForgetNodes {
    async fn hear(&self, removed: &mut AccountRemoved, cx: &mut Cx) -> Result<(), Fault> {
        let account = &removed.account;
        // What it holds elsewhere goes now, through the front door, so that memory and tables agree.
        for owner in self.0.store.owners_of(account).await? {
            match BareJid::parse(&owner) {
                Ok(owner) if owner != *account => self.0.leave(&owner, account, cx).await?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Hear<AccountErased> for ForgetNodes {
    async fn hear(&self, erased: &mut AccountErased, _: &mut Cx) -> Result<(), Fault> {
        self.0.homes.forget(&erased.account);
        Ok(())
    }
}

impl Engine {
    /// Ends everything that an account is at the nodes of another, or of the service.
    async fn leave(&self, service: &BareJid, account: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let router = cx.router().clone();
        for node in self.home(&router, service).await?.nodes() {
            let held: Vec<Subscription> = node.subscriptions_of(account).cloned().collect();
            if !held.is_empty() {
                let ending: Vec<_> = held
                    .into_iter()
                    .map(|subscription| (subscription, None))
                    .collect();
                self.set_subscriptions(service, &node.name, &ending).await?;
            }
            let owners = Engine::owners(service, &node);
            if service.local().is_none() && owners.len() == 1 && owners.contains(account) {
                self.delete(service, &node, &account.clone().into(), None, cx)
                    .await?;
            } else if Engine::affiliation(service, &node, account) != Affiliation::None {
                // The row goes with the account; the next reader loads what is left.
                self.homes.forget(service);
            }
        }
        Ok(())
    }
}
