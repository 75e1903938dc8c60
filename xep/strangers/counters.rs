//! What became of what strangers sent, since the start of this process.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a stranger sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentByStranger {
    /// A message for a person.
    Message,
    /// A typing notification, a marker, an event.
    Signal,
    /// A subscription request.
    Subscription,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It went on like everybody's.
    Accepted,
    /// It waits in the recipient's request box.
    Held,
    /// It waits for the end of a wave.
    Delayed,
    /// A policy sent it back.
    Refused,
    /// It was one too many and came back.
    Limited,
    /// It was dropped in silence.
    Dropped,
    /// It waited and went on: the wave was none of it, or the recipient wanted it.
    Released,
}

const SENT: [(SentByStranger, &str); 3] = [
    (SentByStranger::Message, "message"),
    (SentByStranger::Signal, "signal"),
    (SentByStranger::Subscription, "subscription"),
];
const BECAME: [(Became, &str); 7] = [
    (Became::Accepted, "accepted"),
    (Became::Held, "held"),
    (Became::Delayed, "delayed"),
    (Became::Refused, "refused"),
    (Became::Limited, "limited"),
    (Became::Dropped, "dropped"),
    (Became::Released, "released"),
];

/// Counts by what was sent and what became of it.
#[derive(Debug, Default)]
pub struct Counters([[AtomicU64; BECAME.len()]; SENT.len()]);

impl Counters {
    pub(super) fn count(&self, sent: SentByStranger, became: Became) {
        if let Some(counter) = self.counter(sent, became) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counter(&self, sent: SentByStranger, became: Became) -> Option<&AtomicU64> {
        self.0.get(sent as usize)?.get(became as usize)
    }

    /// One count.
    pub fn of(&self, sent: SentByStranger, became: Became) -> u64 {
        self.counter(sent, became)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// All counts, with their names in the metrics.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        SENT.iter().flat_map(move |(sent, its)| {
            BECAME
                .iter()
                .map(move |(became, name)| (*its, *name, self.of(*sent, *became)))
        })
    }
}
