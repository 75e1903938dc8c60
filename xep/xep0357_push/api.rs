//! What others may know: how many notifications were sent, and what became of them ([`Figures`]). And what they may do: register
//! an app server for a client that does not do it itself.

use std::sync::Arc;

use kim_core::clock::Timestamp;
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

/// A registration, and how it goes with it.
#[derive(Clone, Debug)]
pub struct PushRegistration {
    /// Names it among those of the account.
    pub id: i64,
    /// The app server.
    pub service: Jid,
    /// The resource of the device that is woken; empty for one that never has a session.
    pub resource: String,
    /// When it was made.
    pub since: Timestamp,
    /// When the app server last took a notification.
    pub taken_at: Option<Timestamp>,
    /// When it last did not, and why. A success clears it.
    pub failed: Option<(Timestamp, String)>,
    /// When the next attempt is made, if one is owed.
    pub due_at: Option<Timestamp>,
}

/// Lets parts of the server that are not a session list, test, add and end an account's registrations. A fact of the house.
pub struct PushRegistrations(pub(super) Arc<Dispatch>);

impl PushRegistrations {
    /// The registrations of an account, oldest first.
    pub async fn of(&self, account: &BareJid) -> Result<Vec<PushRegistration>, Fault> {
        let registrations = &self.0.registrations;
        let all = registrations.of(account).await?;
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = registrations.store.outcomes(account).await?.into_iter();
        let told = outcomes.filter_map(|outcome| {
            let registration = all.iter().find(|one| one.tag == outcome.tag)?;
            Some(PushRegistration {
                id: outcome.tag,
                service: registration.service.clone(),
                resource: registration.resource.clone(),
                since: outcome.since,
                taken_at: outcome.taken_at,
                failed: outcome.failed,
                due_at: outcome.due_at,
            })
        });
        Ok(told.collect())
    }

    /// Wakes the device of a registration through its app server, as a message would. Tells how it went, within a minute;
    /// `None`: the account has no such registration.
    pub async fn test(
        &self,
        account: &BareJid,
        id: i64,
        router: &Arc<Router>,
    ) -> Result<Option<Result<(), Failure>>, Fault> {
        match self.0.registrations.get(account, id).await? {
            Some(registration) => Ok(Some(self.0.test(account, &registration, router).await)),
            None => Ok(None),
        }
    }

    /// Ends a registration; nothing happens if the account has none of this id.
    pub async fn end(&self, account: &BareJid, id: i64, router: &Router) -> Result<(), Fault> {
        match self.0.registrations.get(account, id).await? {
            Some(registration) => self.0.remove(account, &[registration], router).await,
            None => Ok(()),
        }
    }

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
