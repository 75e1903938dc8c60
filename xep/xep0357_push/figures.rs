//! How many notifications were sent, and what became of them.

use std::sync::atomic::{AtomicU64, Ordering};

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

    /// What it means, for people.
    pub fn why(self) -> &'static str {
        match self {
            Failure::Refused => {
                "the app server does not know the device any more; the registration was removed"
            }
            Failure::Useless => "the app server refused the notification",
            Failure::Unreachable => "the app server could not be reached",
            Failure::NotNow => "the app server asked to wait",
            Failure::Timeout => "the app server did not answer",
            Failure::Crowded => "too many notifications are under way; try again later",
            Failure::Rate => "the device was told too often",
        }
    }

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
    pub(super) underway: AtomicU64,
    answer_micros: AtomicU64,
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

    /// One was taken so long after it was published.
    pub(super) fn take(&self, micros: i64) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(micros).unwrap_or(0);
        self.answer_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Seconds from publishing to the answer, of all that were taken together.
    pub fn answer_seconds(&self) -> f64 {
        self.answer_micros.load(Ordering::Relaxed) as f64 / 1e6
    }

    /// Those that were published and are not answered yet.
    pub fn underway(&self) -> u64 {
        self.underway.load(Ordering::Relaxed)
    }

    /// Messages, calls and contact requests that an earlier notification stands for.
    pub fn collapsed(&self) -> u64 {
        self.collapsed.load(Ordering::Relaxed)
    }

    /// Attempts that failed, by reason.
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = Failure::ALL.iter().zip(&self.failed);
        counts.map(|(failure, count)| (failure.as_str(), count.load(Ordering::Relaxed)))
    }
}
