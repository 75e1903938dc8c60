//! What waits to be written to one session, and, for a session whose client confirms what it has (XEP-0198), what was
//! written and is not confirmed yet. Both are one queue under one lock, so that a new connection can go on exactly where
//! the old one stopped. Bounded in bytes; nothing is allocated while there is nothing in it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::error::{StreamCondition, StreamError};
use crate::stanza::Stanza;

/// Something ready to be written: its own opening, and the tail all recipients share.
#[derive(Clone)]
pub struct Parcel {
    /// The opening tag with its attributes.
    pub head: Bytes,
    /// The rest.
    pub tail: Bytes,
    /// What it was, should it never be written; `None` for anything but a stanza: it is of use to this connection alone.
    pub stanza: Option<Arc<Stanza>>,
    /// When what caused it was received: its place among others if it has to find another way.
    pub received: Timestamp,
}

impl Parcel {
    /// A stanza for one session.
    pub fn of(stanza: Arc<Stanza>, received: Timestamp) -> Parcel {
        Parcel {
            head: stanza.head(),
            tail: stanza.tail(),
            stanza: Some(stanza),
            received,
        }
    }

    fn word(xml: Bytes) -> Parcel {
        Parcel {
            head: xml,
            tail: Bytes::new(),
            stanza: None,
            received: Timestamp(0),
        }
    }

    /// How many bytes it writes.
    pub fn bytes(&self) -> usize {
        self.head.len() + self.tail.len()
    }
}

/// Why a parcel was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The session is over.
    Closed,
    /// The limit in bytes is reached; the session is being ended for it.
    Full,
}

/// On what terms an outbox keeps what it wrote.
pub struct Terms {
    /// What is written to ask the client what it has.
    pub request: Bytes,
    /// Stanzas that may be unconfirmed. While a connection is there no more are written until some are; without one, no more
    /// may wait in all.
    pub stanzas_max: usize,
    /// Bytes that may be unconfirmed or wait.
    pub bytes_max: usize,
}

/// What a client says it has of what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// So it can be.
    Fits,
    /// Less than it said before.
    Stale,
    /// More than was written.
    TooHigh {
        /// How many stanzas were.
        sent: u32,
    },
    /// Nothing is kept, so there is nothing to confirm.
    Unasked,
}

/// What was taken to be written.
pub struct Taken {
    /// The parcels, in order.
    pub parcels: VecDeque<Parcel>,
    /// So many of them, from the first, are the taker's alone; the outbox keeps the others until they are confirmed.
    pub unkept: usize,
    /// The error that ends the session; it comes with the last parcel.
    pub closing: Option<StreamError>,
}

/// A queue towards one session.
pub struct Outbox {
    queue: Mutex<Queue>,
    bytes_max: usize,
    /// Wakes the session's task. A permit is kept, so a push between two waits is not lost.
    ready: Notify,
    /// Read without the lock by those who only want to know.
    closed: AtomicBool,
    /// Odd while the client owes an answer to the question what it has; another number after each sign of life.
    asked: AtomicU32,
}

#[derive(Default)]
struct Queue {
    parcels: VecDeque<Parcel>,
    bytes: usize,
    /// Set once; nothing is taken afterwards.
    closing: Option<StreamError>,
    kept: Option<Box<Kept>>,
}

/// What was written and not confirmed.
struct Kept {
    terms: Terms,
    /// Parcels at the front of the queue that are not counted: they were there before, or open the counting.
    before: usize,
    unconfirmed: VecDeque<Parcel>,
    bytes: usize,
    /// Stanzas taken since the counting began, modulo 2³².
    sent: u32,
    /// Asked, and no answer yet.
    asked: bool,
    /// Nobody takes anything for now.
    parked: bool,
}

impl Kept {
    fn is_window_shut(&self) -> bool {
        self.unconfirmed.len() >= self.terms.stanzas_max || self.bytes >= self.terms.bytes_max
    }

    /// How many parcels a client's number confirms.
    fn judge(&self, h: u32) -> Result<usize, Confirmation> {
        let unconfirmed = u32::try_from(self.unconfirmed.len()).unwrap_or(u32::MAX);
        let confirmed = self.sent.wrapping_sub(unconfirmed);
        let news = h.wrapping_sub(confirmed);
        if news <= unconfirmed {
            Ok(news as usize)
        } else if news > u32::MAX / 2 {
            Err(Confirmation::Stale)
        } else {
            Err(Confirmation::TooHigh { sent: self.sent })
        }
    }
}

impl Queue {
    fn put(&mut self, parcel: Parcel) {
        self.bytes += parcel.bytes();
        self.parcels.push_back(parcel);
    }

    /// Whether a parcel of this weight is one too many.
    fn is_full(&self, weight: usize, bytes_max: usize) -> bool {
        match &self.kept {
            None => self.bytes + weight > bytes_max,
            Some(kept) => {
                let stanzas = kept.unconfirmed.len() + self.parcels.len();
                self.bytes + kept.bytes + weight > kept.terms.bytes_max
                    || (kept.parked && stanzas >= kept.terms.stanzas_max)
            }
        }
    }
}

impl Outbox {
    pub(crate) fn new(bytes_max: usize) -> Outbox {
        Outbox {
            queue: Mutex::new(Queue::default()),
            bytes_max,
            ready: Notify::new(),
            closed: AtomicBool::new(false),
            asked: AtomicU32::new(0),
        }
    }

    /// Queues a stanza. A reader too slow for the limit is ended with `resource-constraint`; what it did not
    /// take goes back to the router.
    pub fn push(&self, stanza: Arc<Stanza>, received: Timestamp) -> Result<(), Refused> {
        let parcel = Parcel::of(stanza, received);
        let mut queue = lock(&self.queue);
        if queue.closing.is_some() {
            return Err(Refused::Closed);
        }
        let full = queue.is_full(parcel.bytes(), self.bytes_max);
        // Where what waits is handed on later, one more may wait: it must not get there before the others.
        let taken = !full || queue.kept.is_some();
        if taken {
            queue.put(parcel);
        }
        drop(queue);
        if full {
            self.close(
                StreamError::new(StreamCondition::ResourceConstraint)
                    .text("the client did not read its data in time"),
            );
        } else {
            self.ready.notify_one();
        }
        if taken { Ok(()) } else { Err(Refused::Full) }
    }

    /// Queues something other than a stanza. It is for the current connection, and is lost with it.
    pub fn say(&self, xml: impl Into<Bytes>) {
        let parcel = Parcel::word(xml.into());
        let mut queue = lock(&self.queue);
        if queue.closing.is_some() || queue.kept.as_ref().is_some_and(|kept| kept.parked) {
            return;
        }
        if queue.is_full(parcel.bytes(), self.bytes_max) {
            drop(queue);
            return self.close(
                StreamError::new(StreamCondition::ResourceConstraint)
                    .text("the client did not read its data in time"),
            );
        }
        queue.put(parcel);
        drop(queue);
        self.ready.notify_one();
    }

    /// Takes everything that waits or is not confirmed, for the end of the session, and the closing error.
    pub fn take(&self) -> (VecDeque<Parcel>, Option<StreamError>) {
        let mut queue = lock(&self.queue);
        queue.bytes = 0;
        let waiting = std::mem::take(&mut queue.parcels);
        let Some(kept) = &mut queue.kept else {
            return (waiting, queue.closing.clone());
        };
        kept.bytes = 0;
        let mut all = std::mem::take(&mut kept.unconfirmed);
        all.extend(waiting);
        (all, queue.closing.clone())
    }

    /// Takes the first parcels, as many as fit in `bytes_max` but at least one. What stays counts against the
    /// limit. The closing error comes with the last parcel.
    pub fn take_some(&self, bytes_max: usize) -> Taken {
        let mut guard = lock(&self.queue);
        let queue = &mut *guard;
        let mut taken = Taken {
            parcels: VecDeque::new(),
            unkept: 0,
            closing: None,
        };
        let mut bytes = 0;
        while let Some(front) = queue.parcels.front() {
            let weight = front.bytes();
            if !taken.parcels.is_empty() && bytes + weight > bytes_max {
                break;
            }
            if let Some(kept) = &mut queue.kept {
                if kept.before > 0 {
                    kept.before -= 1;
                    taken.unkept += 1;
                } else if front.stanza.is_some() {
                    // Once the session is to end, nobody waits for a confirmation.
                    if kept.is_window_shut() && queue.closing.is_none() {
                        break;
                    }
                    kept.unconfirmed.push_back(front.clone());
                    kept.bytes += weight;
                    kept.sent = kept.sent.wrapping_add(1);
                }
            } else {
                taken.unkept += 1;
            }
            bytes += weight;
            queue.bytes = queue.bytes.saturating_sub(weight);
            taken.parcels.extend(queue.parcels.pop_front());
        }
        if let Some(kept) = &mut queue.kept
            && !kept.asked
            && !kept.unconfirmed.is_empty()
            && !taken.parcels.is_empty()
        {
            kept.asked = true;
            taken.parcels.push_back(Parcel::word(kept.terms.request.clone()));
            self.ask();
        }
        if queue.parcels.is_empty() {
            // An idle session keeps no memory for its next message.
            queue.parcels = VecDeque::new();
            taken.closing = queue.closing.clone();
        }
        taken
    }

    // ——— what was written ———

    /// From here on, what is taken is kept until it is confirmed. `opening` is written first, and what was queued before it
    /// does not count. Only the first call means anything.
    pub fn keep(&self, opening: Bytes, terms: Terms) {
        let mut queue = lock(&self.queue);
        if queue.kept.is_some() || queue.closing.is_some() {
            return;
        }
        queue.put(Parcel::word(opening));
        queue.kept = Some(Box::new(Kept {
            terms,
            before: queue.parcels.len(),
            unconfirmed: VecDeque::new(),
            bytes: 0,
            sent: 0,
            asked: false,
            parked: false,
        }));
        drop(queue);
        self.ready.notify_one();
    }

    /// What a client's number would mean, without taking it at its word.
    pub fn judge(&self, h: u32) -> Confirmation {
        match &lock(&self.queue).kept {
            None => Confirmation::Unasked,
            Some(kept) => kept.judge(h).err().unwrap_or(Confirmation::Fits),
        }
    }

    /// The client has `h` stanzas, modulo 2³²: those are no longer kept. Where more are, it is asked again.
    pub fn confirm(&self, h: u32) -> Confirmation {
        let mut guard = lock(&self.queue);
        let queue = &mut *guard;
        let Some(kept) = &mut queue.kept else {
            return Confirmation::Unasked;
        };
        let news = match kept.judge(h) {
            Ok(news) => news,
            Err(other) => return other,
        };
        for parcel in kept.unconfirmed.drain(..news) {
            kept.bytes = kept.bytes.saturating_sub(parcel.bytes());
        }
        kept.asked = false;
        if kept.unconfirmed.is_empty() {
            kept.unconfirmed = VecDeque::new();
        }
        if kept.unconfirmed.is_empty() || kept.parked {
            self.settle();
        } else if news > 0 || kept.is_window_shut() {
            // Before all that waits, which may be waiting for the answer.
            kept.asked = true;
            let request = Parcel::word(kept.terms.request.clone());
            queue.bytes += request.bytes();
            queue.parcels.push_front(request);
            if news > 0 {
                self.ask();
            }
        } else {
            self.settle();
        }
        let waits = !queue.parcels.is_empty();
        drop(guard);
        if waits {
            self.ready.notify_one();
        }
        Confirmation::Fits
    }

    /// Something while the client owes an answer to the question what it has, and something else once it gave a sign.
    pub fn unanswered(&self) -> Option<u32> {
        let asked = self.asked.load(Ordering::Acquire);
        (asked & 1 == 1).then_some(asked)
    }

    /// The client was asked. Only under the lock of the queue, like its opposite.
    fn ask(&self) {
        let next = (self.asked.load(Ordering::Relaxed) | 1).wrapping_add(2);
        self.asked.store(next, Ordering::Release);
    }

    /// The client owes nothing.
    fn settle(&self) {
        let asked = self.asked.load(Ordering::Relaxed) & !1;
        self.asked.store(asked, Ordering::Release);
    }

    /// The connection is gone and the session stays: what comes waits. Tells whether another connection can go on, which
    /// takes a client that knows of the counting.
    pub fn park(&self) -> bool {
        let mut queue = lock(&self.queue);
        let open = queue.closing.is_none();
        // Anything but a stanza was for the connection that is gone.
        queue.parcels.retain(|parcel| parcel.stanza.is_some());
        queue.bytes = queue.parcels.iter().map(Parcel::bytes).sum();
        self.settle();
        match &mut queue.kept {
            Some(kept) if kept.before == 0 => {
                kept.parked = true;
                kept.asked = false;
                open
            }
            _ => false,
        }
    }

    /// Another connection goes on: what is not confirmed waits again, before all else. `edit` may change what is written
    /// for the second time, or so late.
    pub fn unpark(&self, mut edit: impl FnMut(&mut Parcel)) {
        let mut guard = lock(&self.queue);
        let queue = &mut *guard;
        let Some(kept) = &mut queue.kept else { return };
        kept.parked = false;
        kept.sent = kept
            .sent
            .wrapping_sub(u32::try_from(kept.unconfirmed.len()).unwrap_or(u32::MAX));
        kept.bytes = 0;
        let mut all = std::mem::take(&mut kept.unconfirmed);
        all.append(&mut queue.parcels);
        all.iter_mut().for_each(&mut edit);
        queue.bytes = all.iter().map(Parcel::bytes).sum();
        queue.parcels = all;
        drop(guard);
        self.ready.notify_one();
    }

    /// Stanzas that are kept, unconfirmed or not yet taken.
    pub fn kept_stanzas(&self) -> usize {
        let queue = lock(&self.queue);
        let waiting = queue.parcels.iter().filter(|parcel| parcel.stanza.is_some());
        queue
            .kept
            .as_ref()
            .map_or(0, |kept| kept.unconfirmed.len() + waiting.count())
    }

    /// Looks at the kept stanzas that were received before a moment, oldest first, for one that is wanted.
    pub fn find_kept(&self, before: Timestamp, wanted: impl Fn(&Stanza) -> bool) -> Option<Arc<Stanza>> {
        let queue = lock(&self.queue);
        let kept = queue.kept.as_ref()?;
        let all = kept.unconfirmed.iter().chain(&queue.parcels);
        all.filter(|parcel| parcel.received < before)
            .filter_map(|parcel| parcel.stanza.as_ref())
            .find(|stanza| wanted(stanza))
            .cloned()
    }

    // ——— waiting and ending ———

    /// Bytes that wait to be taken.
    pub fn queued_bytes(&self) -> usize {
        lock(&self.queue).bytes
    }

    /// Waits until [`Outbox::take`] has something to give.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Wakes the session's task although there is nothing to take.
    pub fn wake(&self) {
        self.ready.notify_one();
    }

    /// Takes nothing more; the first reason stays.
    pub fn close(&self, error: StreamError) {
        lock(&self.queue).closing.get_or_insert(error);
        self.closed.store(true, Ordering::Release);
        self.ready.notify_one();
    }

    /// Why the session ends, if it does.
    pub fn closing(&self) -> Option<StreamError> {
        lock(&self.queue).closing.clone()
    }

    /// Whether the session is ending or over.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// A poisoned lock only means that another task panicked between two plain assignments; the data is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
