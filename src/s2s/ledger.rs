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

/// Keeps nothing: what cannot be delivered goes back to its sender at once.
pub(super) struct Returning(Weak<Router>);

impl Returning {
    pub(super) fn to(router: &Arc<Router>) -> Returning {
        Returning(Arc::downgrade(router))
    }
}

impl Ledger for Returning {
    fn delivered(&self, _: &Outbound) {}

    fn returned(&self, outbound: Outbound, condition: Condition) {
        if let Some(router) = self.0.upgrade() {
            tokio::spawn(async move { router.bounce(&outbound.stanza, condition).await });
        }
    }
}
