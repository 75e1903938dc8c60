//! What the metrics page shows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// New people whom accounts have written to since this process started, and attempts that were refused. A fact of the house.
#[derive(Debug, Default)]
pub struct OutreachTally {
    met: AtomicU64,
    refused: AtomicU64,
}

impl OutreachTally {
    /// New people.
    pub fn met(&self) -> u64 {
        self.met.load(Relaxed)
    }

    /// Messages and requests that were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub(super) fn count_met(&self) {
        self.met.fetch_add(1, Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }
}
