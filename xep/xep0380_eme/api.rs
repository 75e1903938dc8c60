//! What others may know: how many messages people here sent encrypted and how many readable.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Messages with something to read that left sessions of this process since its start. A fact of the house.
#[derive(Debug, Default)]
pub struct Tally {
    encrypted: AtomicU64,
    readable: AtomicU64,
    refused: AtomicU64,
}

impl Tally {
    /// Encrypted ones.
    pub fn encrypted(&self) -> u64 {
        self.encrypted.load(Relaxed)
    }

    /// Readable ones that passed.
    pub fn readable(&self) -> u64 {
        self.readable.load(Relaxed)
    }

    /// Readable ones that came back.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub(super) fn count_encrypted(&self) {
        self.encrypted.fetch_add(1, Relaxed);
    }

    pub(super) fn count_readable(&self) {
        self.readable.fetch_add(1, Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }
}
