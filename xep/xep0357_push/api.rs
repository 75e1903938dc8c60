//! What others may know: how many notifications were sent, and what became of them. And what they may do: register an app
//! server for a client that does not do it itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::router::Router;

use super::dispatch::Dispatch;
use super::registration::{Registration, Wish};

/// Marks a notification that is worth nothing later: somebody calls. Only this server's own app server is told.
pub const PRIORITY: &str = "tigase:push:priority:0";

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

/// Why a notification did not reach its app server at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The app server does not know the node any more, or forbids it: the registration was removed.
    Refused,
    /// The app server found something wrong with it.
    Useless,
    /// The app server could not be reached.
    Unreachable,
    /// The app server asked to wait.
    NotNow,
    /// There was no answer.
    Timeout,
    /// Too many were under way; it was put off.
    Crowded,
    /// Its registration had too many; it was put off, or dropped if it was a call.
    Rate,
}

impl Failure {
    /// Every value.
    pub const ALL: [Failure; 7] = [
        Failure::Refused,
        Failure::Useless,
        Failure::Unreachable,
        Failure::NotNow,
        Failure::Timeout,
        Failure::Crowded,
        Failure::Rate,
    ];

    /// Its name among the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Refused => "refused",
            Failure::Useless => "invalid",
            Failure::Unreachable => "unreachable",
            Failure::NotNow => "wait",
            Failure::Timeout => "timeout",
            Failure::Crowded => "crowded",
            Failure::Rate => "rate",
        }
    }
}

/// What was counted since the start.
#[derive(Default)]
pub struct Figures {
    pub(super) sent: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) collapsed: AtomicU64,
    failed: [AtomicU64; Failure::ALL.len()],
}

impl Figures {
    pub(super) fn fail(&self, failure: Failure) {
        if let Some(count) = self.failed.get(failure as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notifications that were published, further attempts included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Those that an app server has taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// WakeNews that an earlier notification stands for.
    pub fn collapsed(&self) -> u64 {
        self.collapsed.load(Ordering::Relaxed)
    }

    /// Attempts that failed, by reason.
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = Failure::ALL.iter().zip(&self.failed);
        counts.map(|(failure, count)| (failure.as_str(), count.load(Ordering::Relaxed)))
    }
}
