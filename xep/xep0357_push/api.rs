//! What others may know: how many notifications were sent, and what became of them ([`Figures`]). And what they may do: register
//! an app server for a client that does not do it itself.

use std::sync::Arc;

use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::router::Router;

use super::dispatch::Dispatch;
use super::registration::{Registration, Wish};

pub use super::figures::{Failure, Figures};
pub use super::publish::PRIORITY;

/// What a client wants to be told, beside that there is something. The server's policy may allow less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushContent {
    /// Who wrote last.
    pub sender: bool,
    /// What they wrote.
    pub body: bool,
}

/// The registrations of accounts, for what is no session of theirs. A fact of the house.
pub struct PushRegistrations(pub(super) Arc<Dispatch>);

impl PushRegistrations {
    /// Enables an app server for the device whose sessions have this resource; with an empty one for a device that never has
    /// a session.
    pub async fn enable(
        &self,
        account: &BareJid,
        service: Jid,
        node: String,
        resource: &str,
        wanted: PushContent,
        router: &Router,
    ) -> Result<(), Fault> {
        let wish = Wish {
            sender: wanted.sender,
            body: wanted.body,
        };
        let registration = Registration::new(service, node, resource.to_owned(), String::new(), wish);
        let (dispatch, now) = (&self.0, router.clock().now());
        let tag = dispatch.registrations.put(account, &registration, now).await?;
        for session in router.sessions().of(account) {
            if registration.is_of(&session.jid) {
                dispatch.belongs(&session);
                dispatch.forget(account, tag);
            }
        }
        Ok(())
    }

    /// Disables a node of an app server.
    pub async fn disable(
        &self,
        account: &BareJid,
        service: &Jid,
        node: &str,
        router: &Router,
    ) -> Result<(), Fault> {
        let all = self.0.registrations.of(account).await?;
        let of_node = all
            .iter()
            .filter(|one| one.service == *service && one.node == node);
        let which: Vec<_> = of_node.cloned().collect();
        self.0.remove(account, &which, router).await
    }
}
