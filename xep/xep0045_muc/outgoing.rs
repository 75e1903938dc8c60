//! What a room has still to send: a queue of batches, each with the rows that are committed before it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kim_core::cx::Cx;
use kim_core::db::Promise;
use kim_core::jid::Jid;
use kim_core::stanza::Stanza;

use super::settled::Then;

/// What a recipient costs in the queue beside the stanza, in bytes, about.
const RECIPIENT_BYTES: usize = 64;

/// Something to be sent.
pub enum Post {
    /// To its addressee.
    One(Stanza),
    /// To each of these.
    All(Stanza, Arc<[Jid]>),
    /// To each of these sessions of one account, whose archive has it once.
    Copies(Stanza, Arc<[Jid]>),
}

impl Post {
    /// What it costs in the queue, about.
    pub fn bytes(&self) -> usize {
        match self {
            Post::One(stanza) => stanza.weight_bytes(),
            Post::All(stanza, to) | Post::Copies(stanza, to) => {
                stanza.weight_bytes() + to.len() * RECIPIENT_BYTES
            }
        }
    }
}

/// What one change of the room leads to.
pub struct Batch {
    /// Has the rows.
    pub cx: Cx,
    /// What is sent once they are there.
    pub posts: Vec<Post>,
    /// Whether the room in memory is wrong if the commit fails.
    pub is_change: bool,
    /// What else is done then.
    pub then: Option<Then>,
}

/// A batch in its place.
pub(super) struct Queued {
    pub(super) batch: Batch,
    pub(super) bytes: usize,
    pub(super) promise: Promise,
}

/// What waits.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) batches: VecDeque<Queued>,
    pub(super) bytes: usize,
    pub(super) is_sending: bool,
}

/// The queue.
#[derive(Default)]
pub struct RoomQueue(Mutex<Queue>);

impl RoomQueue {
    /// The queue, held.
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        let queue = self.lock();
        !queue.is_sending && queue.batches.is_empty()
    }
}
