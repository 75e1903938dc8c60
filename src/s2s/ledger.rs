//! What becomes of stanzas for other servers, for whoever keeps account of them.

use std::sync::{Arc, Weak};

use kim_core::error::Condition;
use kim_core::remote::Outbound;
use kim_core::router::Router;

/// Where stanzas for other servers are accounted for. Each one ends in exactly one of the two, unless the server stops first.
pub trait Ledger: Send + Sync + 'static {
    /// The other server has confirmed it, or, where it confirms nothing, it was taken off the socket.
    fn delivered(&self, outbound: &Outbound);
    /// It cannot be delivered; its sender gets the condition.
    fn returned(&self, outbound: Outbound, condition: Condition);
}

/// The core's queue, which keeps messages in the database until the other server has them.
pub(super) struct QueueLedger(Weak<Router>);

impl QueueLedger {
    pub(super) fn of(router: &Arc<Router>) -> QueueLedger {
        QueueLedger(Arc::downgrade(router))
    }
}

impl Ledger for QueueLedger {
    fn delivered(&self, outbound: &Outbound) {
        if let Some(router) = self.0.upgrade() {
            router.outbound().delivered(outbound.row.as_slice());
        }
    }

    fn returned(&self, outbound: Outbound, condition: Condition) {
        if let Some(router) = self.0.upgrade() {
            tokio::spawn(async move { router.outbound().failed(&outbound, condition).await });
        }
    }
}
