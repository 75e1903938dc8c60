//! How many stanzas local clients have sent, for the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::stanza::Kind;

/// Stanzas sent since the start, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departed {
    /// Messages.
    pub messages: u64,
    /// Presences.
    pub presences: u64,
    /// Requests and answers.
    pub iqs: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    messages: AtomicU64,
    presences: AtomicU64,
    iqs: AtomicU64,
}

impl Counters {
    pub fn count(&self, kind: &Kind) {
        let counter = match kind {
            Kind::Message(_) => &self.messages,
            Kind::Presence(_) => &self.presences,
            Kind::Iq(_) => &self.iqs,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> Departed {
        Departed {
            messages: self.messages.load(Ordering::Relaxed),
            presences: self.presences.load(Ordering::Relaxed),
            iqs: self.iqs.load(Ordering::Relaxed),
        }
    }
}
