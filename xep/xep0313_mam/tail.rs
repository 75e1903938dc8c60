//! What is remembered of the end of an archive that is being written to: its last stamp; what is on its way into it, so
//! that a reader sees no message before an earlier one; and what has come into it lately, so that a message that a client or
//! another server sends again, not knowing whether it arrived, is recognised.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kim_core::clock::Timestamp;
use tokio::sync::Notify;

/// How long a message that comes again counts as the same, in microseconds.
const RESEND_MICROS_MAX: i64 = 15 * 60 * 1_000_000;
/// Messages that are remembered for one archive because they may come again. A client has far fewer under way.
pub const RESENDS_MAX: usize = 1_024;
/// How long a reader waits for what is on its way, in seconds; a database that takes longer has other troubles.
const SETTLE_SECONDS_MAX: u64 = 2;

/// Since when messages are remembered that may come again.
pub fn remembered_since(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_sub(RESEND_MICROS_MAX))
}

/// The end of an archive.
#[derive(Default)]
pub struct Tail {
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Default)]
struct State {
    last: i64,
    /// Stamps of messages that are not committed yet.
    under_way: Vec<i64>,
    /// Stamp and tag of what its owner sent, oldest first.
    sent: VecDeque<(i64, i64)>,
}

/// A message on its way into an archive. It has arrived, or will never, when this is dropped.
pub struct UnderWay {
    tail: Arc<Tail>,
    stamp: i64,
}

impl UnderWay {
    /// When the message is stored, in microseconds.
    pub fn stamp(&self) -> i64 {
        self.stamp
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.tail.lock();
        if let Some(at) = state.under_way.iter().position(|stamp| *stamp == self.stamp) {
            state.under_way.swap_remove(at);
        }
        if state.under_way.is_empty() {
            state.under_way = Vec::new();
        }
        drop(state);
        self.tail.settled.notify_waiters();
    }
}

impl Tail {
    /// From the newest messages, newest first.
    pub fn new(newest: &[(i64, Option<i64>)], now: Timestamp) -> Tail {
        let mut state = State {
            last: newest.first().map_or(i64::MIN, |(stamp, _)| *stamp),
            under_way: Vec::new(),
            sent: newest
                .iter()
                .rev()
                .filter_map(|(stamp, tag)| Some((*stamp, (*tag)?)))
                .collect(),
        };
        state.forget(now);
        Tail {
            state: Mutex::new(state),
            settled: Notify::new(),
        }
    }

    /// Nothing under this lock can leave the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stamp of the same message, if it was sent lately.
    pub fn sent(&self, tag: i64, now: Timestamp) -> Option<i64> {
        let mut state = self.lock();
        state.forget(now);
        let known = state.sent.iter().rev().find(|(_, known)| *known == tag);
        known.map(|(stamp, _)| *stamp)
    }

    /// A stamp behind every stamp of the archive, for a message with this tag. Clocks go back, also between two starts of a
    /// server; archives do not.
    pub fn next(self: &Arc<Self>, now: Timestamp, tag: Option<i64>) -> UnderWay {
        let mut state = self.lock();
        state.last = now.0.max(state.last.saturating_add(1));
        let stamp = state.last;
        state.under_way.push(stamp);
        if let Some(tag) = tag {
            if state.sent.len() >= RESENDS_MAX {
                state.sent.pop_front();
            }
            state.sent.push_back((stamp, tag));
        }
        drop(state);
        UnderWay {
            tail: self.clone(),
            stamp,
        }
    }

    /// Waits until what is on its way now has arrived. Who reads afterwards misses nothing that is earlier than what they
    /// see, and a client that goes on from the last message it saw gets the rest.
    pub async fn settled(&self) {
        let last = self.lock().last;
        let wait = async {
            loop {
                let changed = self.settled.notified();
                if self.lock().under_way.iter().all(|stamp| *stamp > last) {
                    return;
                }
                changed.await;
            }
        };
        // Past it, what is under way may be waiting for the reader itself.
        let settled = tokio::time::timeout(Duration::from_secs(SETTLE_SECONDS_MAX), wait).await;
        if settled.is_err() {
            tracing::warn!(
                event = "archive_unsettled",
                under_way = self.lock().under_way.len()
            );
        }
    }
}

impl State {
    fn forget(&mut self, now: Timestamp) {
        let is_old = |stamp: i64| now.0.saturating_sub(stamp) > RESEND_MICROS_MAX;
        while self.sent.front().is_some_and(|(stamp, _)| is_old(*stamp)) {
            self.sent.pop_front();
        }
        if self.sent.is_empty() {
            self.sent = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_769_860_800_000_000);

    #[tokio::test]
    async fn a_reader_waits_for_what_came_before_it_and_for_nothing_else() {
        let tail = Arc::new(Tail::new(&[], NOON));
        tail.settled().await;
        let (first, second) = (tail.next(NOON, None), tail.next(NOON, None));
        assert!(first.stamp() < second.stamp());
        let reader = tokio::spawn({
            let tail = tail.clone();
            async move { tail.settled().await }
        });
        tokio::task::yield_now().await;
        let later = tail.next(NOON, None);
        drop(second);
        tokio::task::yield_now().await;
        assert!(!reader.is_finished(), "the first one is still on its way");
        drop(first);
        reader.await.unwrap();
        drop(later);
        assert!(tail.lock().under_way.is_empty());
    }

    #[test]
    fn stamps_go_on_from_the_archive_whatever_the_clock_says() {
        let newest = [(NOON.0 + 7, Some(3)), (NOON.0 + 5, None)];
        let tail = Arc::new(Tail::new(&newest, NOON));
        assert_eq!(tail.next(NOON, None).stamp(), NOON.0 + 8);
        assert_eq!(tail.sent(3, NOON), Some(NOON.0 + 7));
        assert_eq!(tail.sent(3, Timestamp(NOON.0 + 8 + RESEND_MICROS_MAX)), None);
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let tail = Arc::new(Tail::new(&[], NOON));
        for tag in 0..10_000 {
            tail.next(NOON, Some(tag));
        }
        assert_eq!(tail.lock().sent.len(), RESENDS_MAX);
        assert!(tail.sent(9_999, NOON).is_some() && tail.sent(0, NOON).is_none());
    }
}
