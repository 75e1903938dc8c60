//! One stream between servers as others see it: who has proved what on it, which pairs it carries, what is to be said next,
//! and how it ends. The task that owns its socket is in `exchange`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kim_core::clock::Timestamp;
use kim_core::error::{StreamCondition, StreamError};
use kim_core::remote::Outbound;
use tokio::sync::{Notify, watch};

use super::pair::DomainPair;
use super::talk::SM;
use crate::c2s::Place;

/// Bytes of control words that may wait; whoever makes us say more without listening is sent away.
const WORDS_BYTES_MAX: usize = 256 * 1024;

/// How a stream ends.
#[derive(Clone, Debug)]
pub enum PeerEnd {
    /// The other side is told why.
    Error(StreamError),
    /// One side has closed it in order.
    Closed,
    /// The connection is gone, or another one goes on in its place.
    Lost,
}

impl From<StreamError> for PeerEnd {
    fn from(error: StreamError) -> PeerEnd {
        PeerEnd::Error(error)
    }
}

impl From<StreamCondition> for PeerEnd {
    fn from(condition: StreamCondition) -> PeerEnd {
        PeerEnd::Error(condition.into())
    }
}

/// How a domain was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By a certificate.
    Certificate,
    /// By dialback.
    Dialback,
}

impl How {
    /// For operators.
    pub fn as_str(self) -> &'static str {
        match self {
            How::Certificate => "certificate",
            How::Dialback => "dialback",
        }
    }
}

/// A place among the streams that have proved nothing; free again when dropped.
pub struct Unverified {
    count: Arc<std::sync::atomic::AtomicUsize>,
}

impl Unverified {
    /// A place, if there is one.
    pub fn take(count: &Arc<std::sync::atomic::AtomicUsize>, max: usize) -> Option<Unverified> {
        let fits = |taken: usize| (taken < max).then(|| taken + 1);
        count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
            .ok()?;
        Some(Unverified { count: count.clone() })
    }
}

impl Drop for Unverified {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A stream.
pub struct Life {
    /// Its number.
    pub id: u64,
    /// The other server opened it.
    pub is_incoming: bool,
    /// Where the other server is.
    pub address: Option<SocketAddr>,
    /// Since when it exists.
    pub since: Timestamp,
    /// Stanzas that came.
    pub received: AtomicU64,
    /// Stanzas that went.
    pub sent: AtomicU64,
    /// When a stanza passed last, in microseconds since 1970.
    pub active: AtomicI64,
    /// Stanzas pass in both directions (XEP-0288).
    pub bidi: AtomicBool,
    /// Wakes the writer.
    pub ready: Arc<Notify>,
    state: Mutex<State>,
    /// Turns true when it is to end.
    pub ends: watch::Sender<bool>,
    /// Turns true when everything about the stream is over.
    pub done: watch::Sender<bool>,
}

/// What changes while a stream lives.
#[derive(Default)]
pub struct State {
    /// What is written before any stanza.
    pub words: String,
    /// The id that the stream has.
    pub stream_id: String,
    /// The domains elsewhere that may speak on it, and how each was proved.
    pub proved: Vec<(Arc<str>, How)>,
    /// The pairs that it carries.
    pub pairs: Vec<Arc<DomainPair>>,
    /// Dialback requests that wait for an answer.
    pub pending: usize,
    /// Stream management, once it is on.
    pub counting: Option<Counting>,
    /// Why it ends.
    pub end: Option<PeerEnd>,
    /// Its place among those that have proved nothing, and that of its address.
    pub unverified: Option<Unverified>,
    /// The place of its address.
    pub place: Option<Place>,
    /// The domain here that it was opened to or from.
    pub local: Option<Arc<str>>,
    /// The domain elsewhere that it names.
    pub remote: Option<Arc<str>>,
}

/// What both sides count (XEP-0198).
pub struct Counting {
    /// Its name for a resumption, if there may be one.
    pub id: Option<String>,
    /// Stanzas of the other side that were dealt with.
    pub handled: u32,
    /// Our stanzas that the other side has confirmed.
    pub confirmed: u32,
    /// Those that it has not, in order.
    pub unconfirmed: VecDeque<(Arc<DomainPair>, Outbound)>,
    /// Since when it owes an answer.
    asked: Option<Instant>,
    /// How many stanzas had been sent when it was asked last.
    asked_of: u32,
}

impl Counting {
    /// Counting from nothing.
    pub fn new(id: Option<String>) -> Counting {
        Counting {
            id,
            handled: 0,
            confirmed: 0,
            unconfirmed: VecDeque::new(),
            asked: None,
            asked_of: 0,
        }
    }

    /// Whether the other side is to be asked how much it has; whoever gets a yes must ask. Not twice about the same.
    pub fn must_ask(&mut self) -> bool {
        let sent = self
            .confirmed
            .wrapping_add(u32::try_from(self.unconfirmed.len()).unwrap_or(u32::MAX));
        let is_due = self.asked.is_none() && !self.unconfirmed.is_empty() && self.asked_of != sent;
        if is_due {
            self.asked = Some(Instant::now());
            self.asked_of = sent;
        }
        is_due
    }

    /// From now on it may be asked again about the same.
    pub fn ask_again(&mut self) {
        self.asked_of = self.confirmed;
    }

    /// Whether it has owed an answer for so long that it must be dead.
    pub fn is_overdue(&self, patience: Duration) -> bool {
        self.asked.is_some_and(|since| since.elapsed() > patience)
    }

    /// Takes a confirmation, and gives what is delivered by it. More than was sent ends the stream (XEP-0198 §4).
    pub fn confirm(&mut self, h: u32) -> Result<Vec<(Arc<DomainPair>, Outbound)>, StreamError> {
        let news = h.wrapping_sub(self.confirmed);
        let unconfirmed = u32::try_from(self.unconfirmed.len()).unwrap_or(u32::MAX);
        if news > unconfirmed {
            if news > u32::MAX / 2 {
                // Older than what it said before.
                return Ok(Vec::new());
            }
            let sent = self.confirmed.wrapping_add(unconfirmed);
            let detail = format!("<handled-count-too-high xmlns='{SM}' h='{h}' send-count='{sent}'/>");
            return Err(StreamError::new(StreamCondition::UndefinedCondition).detail(detail));
        }
        self.confirmed = h;
        self.asked = None;
        let count = usize::try_from(news).unwrap_or(0).min(self.unconfirmed.len());
        Ok(self.unconfirmed.drain(..count).collect())
    }
}

impl Life {
    /// A stream that has just begun.
    pub fn new(id: u64, is_incoming: bool, address: Option<SocketAddr>, since: Timestamp) -> Arc<Life> {
        Arc::new(Life {
            id,
            is_incoming,
            address,
            since,
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            active: AtomicI64::new(since.0),
            bidi: AtomicBool::new(false),
            ready: Arc::default(),
            state: Mutex::default(),
            ends: watch::Sender::new(false),
            done: watch::Sender::new(false),
        })
    }

    /// What changes. A poisoned lock only means that another task panicked between plain assignments.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something that is no stanza.
    pub fn say(&self, xml: &str) {
        let mut state = self.state();
        if state.words.len() + xml.len() > WORDS_BYTES_MAX {
            drop(state);
            return self
                .end(StreamError::new(StreamCondition::PolicyViolation).text("you do not read the answers"));
        }
        state.words.push_str(xml);
        drop(state);
        self.ready.notify_one();
    }

    /// Ends it; the first reason stays.
    pub fn end(&self, why: impl Into<PeerEnd>) {
        self.state().end.get_or_insert(why.into());
        self.ends.send_replace(true);
        self.ready.notify_one();
    }

    /// Why it ends, if it does.
    pub fn ending(&self) -> Option<PeerEnd> {
        self.state().end.clone()
    }

    /// A domain has been proved. Tells whether it is the first.
    pub fn prove(&self, domain: &str, how: How) -> bool {
        let mut state = self.state();
        state.unverified = None;
        if let Some(place) = &mut state.place {
            place.authenticated();
        }
        if !state.proved.iter().any(|(proved, _)| **proved == *domain) {
            state.proved.push((domain.into(), how));
        }
        state.proved.len() == 1
    }

    /// Whether a domain may speak.
    pub fn proved(&self, domain: &str) -> Option<Arc<str>> {
        let state = self.state();
        let found = state.proved.iter().find(|(proved, _)| **proved == *domain);
        found.map(|(proved, _)| proved.clone())
    }

    /// A stanza has passed.
    pub fn touch(&self, now: Timestamp) {
        self.active.store(now.0, Ordering::Relaxed);
    }

    /// Waits until everything about the stream is over.
    pub async fn over(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.done.subscribe().wait_for(|done| *done).await;
    }
}

#[cfg(test)]
mod tests {
    use kim_core::stanza::{Kind, MessageType, Stanza};

    use super::*;

    fn counting(sent: u32) -> Counting {
        let pair = DomainPair::new("a.example", "b.example", Arc::default());
        let mut counting = Counting::new(None);
        for _ in 0..sent {
            let outbound = Outbound {
                stanza: Arc::new(Stanza::new(Kind::Message(MessageType::Chat), "")),
                received: Timestamp(0),
                row: None,
            };
            counting.unconfirmed.push_back((pair.clone(), outbound));
        }
        counting
    }

    #[test]
    fn confirmations_deliver_once_and_never_more_than_was_sent() {
        let mut counting = counting(3);
        let delivered =
            |result: Result<Vec<_>, StreamError>| result.map(|all| all.len()).map_err(|e| e.condition);
        assert_eq!(delivered(counting.confirm(2)), Ok(2));
        assert_eq!(delivered(counting.confirm(2)), Ok(0));
        assert_eq!(delivered(counting.confirm(1)), Ok(0), "an old one");
        assert_eq!(
            delivered(counting.confirm(4)),
            Err(StreamCondition::UndefinedCondition)
        );
        assert_eq!(delivered(counting.confirm(3)), Ok(1));
    }

    #[test]
    fn nobody_is_asked_twice_about_the_same() {
        let mut counting = counting(3);
        assert!(counting.must_ask());
        assert!(!counting.must_ask(), "an answer is due");
        assert_eq!(counting.confirm(1).map(|all| all.len()), Ok(1));
        assert!(!counting.must_ask(), "nothing new has been sent");
        counting.ask_again();
        assert!(counting.must_ask());
        assert!(counting.is_overdue(Duration::ZERO));
        assert_eq!(counting.confirm(3).map(|all| all.len()), Ok(2));
        assert!(!counting.must_ask() && !counting.is_overdue(Duration::ZERO));
    }

    #[test]
    fn the_count_goes_round() {
        let mut counting = counting(3);
        counting.confirmed = u32::MAX - 1;
        assert_eq!(counting.confirm(0).map(|all| all.len()), Ok(2));
        assert_eq!(counting.confirmed, 0);
    }

    #[test]
    fn unverified_streams_are_counted() {
        let count = Arc::default();
        let first = Unverified::take(&count, 1);
        assert!(first.is_some());
        assert!(Unverified::take(&count, 1).is_none());
        drop(first);
        assert!(Unverified::take(&count, 1).is_some());
    }
}
