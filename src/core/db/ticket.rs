//! The promise that a queued write was, or was not, committed.

use super::error::DbError;
use super::queue::Queue;
use futures_util::task::AtomicWaker;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

const QUEUED: u8 = 0;
const TAKEN: u8 = 1;
const DONE: u8 = 2;

struct Slot {
    state: AtomicU8,
    result: OnceLock<Result<(), DbError>>,
    waker: AtomicWaker,
}

/// Resolves when the write it stands for is committed (or has failed). Never before.
///
/// Awaiting a ticket is what sets the committer going: rows that are queued before the first await share its commit.
/// Dropping a ticket does not cancel the write; it means that nobody waits for it.
#[must_use = "a write is acknowledged only when its ticket resolved"]
pub struct Ticket {
    slot: Result<Arc<Slot>, DbError>,
    queue: Option<Arc<Queue>>,
}

impl Ticket {
    /// A ticket with its result known already, for where there was nothing to store or no room to queue it.
    pub fn resolved(result: Result<(), DbError>) -> Ticket {
        match result {
            Err(error) => Ticket {
                slot: Err(error),
                queue: None,
            },
            Ok(()) => {
                let slot = Slot {
                    state: AtomicU8::new(DONE),
                    result: OnceLock::new(),
                    waker: AtomicWaker::new(),
                };
                let _ = slot.result.set(Ok(()));
                Ticket {
                    slot: Ok(Arc::new(slot)),
                    queue: None,
                }
            }
        }
    }

    /// A ticket for something else than a write: done when the promise is kept, failed when it is dropped. It makes a
    /// chain wait for what somebody else does in an order of their own (a room, which tells everybody the same things in
    /// the same order).
    pub fn promised() -> (Promise, Ticket) {
        let slot = Arc::new(Slot {
            state: AtomicU8::new(TAKEN),
            result: OnceLock::new(),
            waker: AtomicWaker::new(),
        });
        let end = TicketEnd { slot: slot.clone() };
        (
            Promise(end),
            Ticket {
                slot: Ok(slot),
                queue: None,
            },
        )
    }

    pub(super) fn pair(queue: &Arc<Queue>) -> (TicketEnd, Ticket) {
        let slot = Arc::new(Slot {
            state: AtomicU8::new(QUEUED),
            result: OnceLock::new(),
            waker: AtomicWaker::new(),
        });
        (
            TicketEnd { slot: slot.clone() },
            Ticket {
                slot: Ok(slot),
                queue: Some(queue.clone()),
            },
        )
    }

    /// True when the outcome is known, so that awaiting returns at once.
    pub fn is_done(&self) -> bool {
        match &self.slot {
            Err(_) => true,
            Ok(slot) => slot.state.load(Ordering::Acquire) == DONE,
        }
    }

    /// The outcome if it is known.
    pub fn result(&self) -> Option<Result<(), DbError>> {
        match &self.slot {
            Err(error) => Some(Err(error.clone())),
            Ok(slot) => slot.result.get().cloned(),
        }
    }

    /// Sets the committer going without waiting for it, for a ticket that is kept and looked at later.
    pub fn hurry(&self) {
        if let (Ok(slot), Some(queue)) = (&self.slot, &self.queue)
            && slot.state.load(Ordering::Acquire) == QUEUED
        {
            queue.demand();
        }
    }
}

impl Future for Ticket {
    type Output = Result<(), DbError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let slot = match &self.slot {
            Err(error) => return Poll::Ready(Err(error.clone())),
            Ok(slot) => slot,
        };
        if let Some(result) = slot.result.get() {
            return Poll::Ready(result.clone());
        }
        slot.waker.register(cx.waker());
        // The result may have come between the look above and the registration.
        if let Some(result) = slot.result.get() {
            return Poll::Ready(result.clone());
        }
        self.hurry();
        Poll::Pending
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.hurry();
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("result", &self.result()).finish()
    }
}

/// The other end of [`Ticket::promised`].
#[must_use = "a promise that is dropped is a failure"]
pub struct Promise(TicketEnd);

impl Promise {
    /// Tells the waiter how it ended.
    pub fn keep(self, result: Result<(), DbError>) {
        self.0.resolve(result);
    }
}

/// The committer's end of a ticket. Dropped without a result (the runtime is going down) it says so to the waiter.
pub(super) struct TicketEnd {
    slot: Arc<Slot>,
}

impl TicketEnd {
    /// The item left the queue: awaiting its ticket needs no further commit.
    pub(super) fn taken(&self) {
        self.slot.state.store(TAKEN, Ordering::Release);
    }

    pub(super) fn resolve(self, result: Result<(), DbError>) {
        self.settle(result);
    }

    fn settle(&self, result: Result<(), DbError>) {
        if self.slot.result.set(result).is_ok() {
            self.slot.state.store(DONE, Ordering::Release);
            self.slot.waker.wake();
        }
    }
}

impl Drop for TicketEnd {
    fn drop(&mut self) {
        self.settle(Err(DbError::Closed));
    }
}
