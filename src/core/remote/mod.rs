//! Other servers, as the house sees them: where a stanza goes that is for somebody there, and who may speak from outside. How
//! a server is found, proves itself and is talked to is not the house's business; whoever knows that implements [`Remotes`].

mod lease;
mod queue;
mod store;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::component::Component;
use crate::cx::Origin;
use crate::error::Condition;
use crate::jid::Jid;
use crate::stanza::Stanza;

pub use lease::{BEAT_EVERY, Standing};
pub use queue::OutboundQueue;
pub use store::erase;

/// The way to other servers.
pub trait Remotes: Send + Sync + 'static {
    /// Takes a stanza for the domain of its `to`; never waits. If it cannot be taken, its sender gets the condition.
    fn push(&self, outbound: Outbound) -> Result<(), Condition>;

    /// Why nothing can be sent to that domain at all, if nothing can: the operator denies it, for example.
    fn refusal(&self, domain: &str) -> Option<Condition>;
}

/// A stanza on its way to another server.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// The stanza.
    pub stanza: Arc<Stanza>,
    /// When it was received from its sender.
    pub received: Timestamp,
    /// The row that keeps it until the other server has it.
    pub row: Option<RowId>,
}

/// A message that waited longer says since when (XEP-0203), in seconds.
const LATE_SECONDS: u64 = 5;

impl Outbound {
    /// The stanza as it is sent now: a message that is late says so, and a server that has it already looks it up.
    pub fn as_sent(&self, now: Timestamp) -> Cow<'_, Stanza> {
        let domain = self.stanza.from.as_ref().map(Jid::domain);
        let is_late = self.row.is_some() && now.seconds_since(self.received) >= LATE_SECONDS;
        match domain.filter(|_| is_late) {
            Some(domain) => {
                let mut late = (*self.stanza).clone();
                late.say_delay(domain, self.received);
                Cow::Owned(late)
            }
            None => Cow::Borrowed(&self.stanza),
        }
    }

    /// Whether it has waited for so many hours.
    pub fn has_expired(&self, keep_hours: u64, now: Timestamp) -> bool {
        has_expired(self.received, keep_hours, now)
    }
}

/// Whether what was received then has waited for so many hours.
pub fn has_expired(received: Timestamp, keep_hours: u64, now: Timestamp) -> bool {
    now.seconds_since(received) >= keep_hours.saturating_mul(3_600)
}

/// Names a row of the queue of messages for other servers ([`OutboundQueue`]). Chosen before the row is stored; a message has
/// a higher one than those that were sent before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(pub i64);

/// Who speaks to this server from outside, after proving who it is.
#[derive(Clone, Debug)]
pub enum Outside {
    /// An external component (XEP-0114).
    Component(Arc<Component>),
    /// Another server.
    Remote {
        /// The domain that it has proved and speaks for.
        domain: Arc<str>,
        /// It may have sent the stanza before, over a stream that was lost before it was confirmed.
        may_repeat: bool,
    },
}

/// What is known of a stanza of another server that may have come before (see [`Outside::Remote`]). A fact of its chain.
#[derive(Clone, Copy, Debug)]
pub struct MayRepeat;

impl Outside {
    /// Whether a stanza of it may have this `from`: any address at its own domain.
    pub fn speaks_for(&self, from: &Jid) -> bool {
        match self {
            Outside::Component(component) => component.speaks_for(from),
            Outside::Remote { domain, .. } => from.domain() == &**domain,
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        match self {
            Outside::Component(component) => Origin::Component(component.clone()),
            Outside::Remote { domain, .. } => Origin::Remote(domain.clone()),
        }
    }
}
