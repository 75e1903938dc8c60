//! Counts the tasks that panicked, and logs where.

use std::sync::atomic::{AtomicU64, Ordering};

/// Tasks that panicked since the start.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Tasks that panicked since the start.
pub(crate) fn count() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// A panic ends its task and nothing else. What it says may hold what somebody wrote, so only its place is logged.
pub(crate) fn log() {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(event = "panic", place, "a task panicked");
    }));
}
