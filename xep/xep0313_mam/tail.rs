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

/// How long the same message waits for what becomes of the one before it, in seconds. Whoever sends it has all the time.
const ARRIVE_SECONDS_MAX: u64 = 10;

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

/// The same message came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CameBefore {
    /// Its stamp.
    pub stamp: i64,
    /// Its tag.
    pub tag: i64,
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

    /// A stamp behind every stamp of the archive, for a message with this tag; or what is known of the same message, if that
    /// came lately. Both in one step: the same may come over two streams at once. Clocks go back, also between two starts of a
    /// server; archives do not.
    pub fn next(self: &Arc<Self>, now: Timestamp, tag: Option<i64>) -> Result<UnderWay, CameBefore> {
        let mut state = self.lock();
        state.forget(now);
        if let Some(tag) = tag
            && let Some((stamp, _)) = state.sent.iter().rev().find(|(_, known)| *known == tag)
        {
            return Err(CameBefore { stamp: *stamp, tag });
        }
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
        Ok(UnderWay {
            tail: self.clone(),
            stamp,
        })
    }

    /// Forgets a message: it is not in the archive.
    pub fn withdraw(&self, message: CameBefore) {
        let CameBefore { stamp, tag } = message;
        self.lock().sent.retain(|sent| *sent != (stamp, tag));
    }

    /// Waits until the message with this stamp has arrived, or never will.
    pub async fn arrived(&self, stamp: i64) {
        self.wait(ARRIVE_SECONDS_MAX, |under_way| under_way != stamp)
            .await;
    }

    /// Waits until what is on its way now has arrived. Who reads afterwards misses nothing that is earlier than what they
    /// see, and a client that goes on from the last message it saw gets the rest.
    pub async fn settled(&self) {
        let last = self.lock().last;
        // Past it, what is under way may be waiting for the reader itself.
        self.wait(SETTLE_SECONDS_MAX, |under_way| under_way > last).await;
    }

    /// Waits until no message is under way but those that may be.
    async fn wait(&self, seconds_max: u64, may_be: impl Fn(i64) -> bool) {
        let wait = async {
            loop {
                let changed = self.settled.notified();
                if self.lock().under_way.iter().all(|stamp| may_be(*stamp)) {
                    return;
                }
                changed.await;
            }
        };
        let settled = tokio::time::timeout(Duration::from_secs(seconds_max), wait).await;
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

    fn next(tail: &Arc<Tail>, tag: Option<i64>) -> UnderWay {
        tail.next(NOON, tag).ok().unwrap()
    }

    #[tokio::test]
    async fn a_reader_waits_for_what_came_before_it_and_for_nothing_else() {
        let tail = Arc::new(Tail::new(&[], NOON));
        tail.settled().await;
        let (first, second) = (next(&tail, None), next(&tail, None));
        assert!(first.stamp() < second.stamp());
        let reader = tokio::spawn({
            let tail = tail.clone();
            async move { tail.settled().await }
        });
        tokio::task::yield_now().await;
        let later = next(&tail, None);
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
        assert_eq!(next(&tail, None).stamp(), NOON.0 + 8);
        assert_eq!(tail.next(NOON, Some(3)).err().unwrap().stamp, NOON.0 + 7);
        let later = Timestamp(NOON.0 + 8 + RESEND_MICROS_MAX);
        assert!(tail.next(later, Some(3)).is_ok());
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let tail = Arc::new(Tail::new(&[], NOON));
        for tag in 0..10_000 {
            next(&tail, Some(tag));
        }
        assert_eq!(tail.lock().sent.len(), RESENDS_MAX);
        assert!(tail.next(NOON, Some(9_999)).is_err() && tail.next(NOON, Some(0)).is_ok());
    }

    #[tokio::test]
    async fn the_same_message_waits_for_what_becomes_of_the_first() {
        let tail = Arc::new(Tail::new(&[], NOON));
        let first = next(&tail, Some(1));
        let before = tail.next(NOON, Some(1)).err().unwrap();
        assert_eq!(before.stamp, first.stamp());
        // Another one does not hold it up.
        let other = next(&tail, Some(2));
        let again = tokio::spawn({
            let tail = tail.clone();
            async move { tail.arrived(before.stamp).await }
        });
        tokio::task::yield_now().await;
        assert!(!again.is_finished());
        drop(first);
        again.await.unwrap();
        // It was not committed: now it has a place of its own.
        tail.withdraw(before);
        assert!(tail.next(NOON, Some(1)).is_ok());
        drop(other);
    }
}
