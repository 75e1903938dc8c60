//! The order of a room: what it sends, in the order in which it was decided, each behind its commit.
//!
//! Whoever changes a room does so while holding it, and puts what follows from it at the end of this queue before letting go.
//! One task at a time works the queue off: it waits for the first one's commit while those behind it are on their way to
//! the database already (they share commits), sends, and goes on. So all occupants see the same order, nothing is seen
//! that could be lost, and nobody waits for a slow reader. An idle room has neither task nor queue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kim_core::cx::Cx;
use kim_core::db::{DbError, Promise, Ticket};
use kim_core::jid::Jid;
use kim_core::router::Redelivered;
use kim_core::stanza::Stanza;

use super::rooms::{Registry, Room};
use crate::xep0313_mam::api::KeptOnce;

/// What a recipient costs in the queue beside the stanza, in bytes, about.
const RECIPIENT_BYTES: usize = 64;
/// Stanzas sent before other tasks of the thread get their turn.
const SENDS_PER_TURN: usize = 256;

tokio::task_local! {
    /// Set in the tasks that work queues off: what such a task causes must not wait for a queue, which may be its own.
    static SENDING: ();
}

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
    fn bytes(&self) -> usize {
        match self {
            Post::One(stanza) => stanza.weight_bytes(),
            Post::All(stanza, to) | Post::Copies(stanza, to) => {
                stanza.weight_bytes() + to.len() * RECIPIENT_BYTES
            }
        }
    }
}

/// What is done behind the commit, told whether it worked.
pub type Then = Box<dyn FnOnce(bool) + Send>;

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

struct Queued {
    batch: Batch,
    bytes: usize,
    promise: Promise,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Queued>,
    bytes: usize,
    is_sending: bool,
}

/// The queue.
#[derive(Default)]
pub struct Outgoing(Mutex<State>);

impl Outgoing {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        let state = self.lock();
        !state.is_sending && state.queue.is_empty()
    }
}

/// Puts a batch into a room's order. Its rows are queued for their commit now, so they are committed in the same order. The
/// chain that caused it waits until it has been sent, unless that chain is itself a part of some room's sending.
pub fn put(registry: &Arc<Registry>, room: &Arc<Room>, mut batch: Batch, cause: &mut Cx) {
    batch.cx.flush();
    let (promise, ticket) = Ticket::promised();
    let bytes = batch.posts.iter().map(Post::bytes).sum();
    let begins = {
        let mut state = room.outgoing.lock();
        state.bytes += bytes;
        state.queue.push_back(Queued {
            batch,
            bytes,
            promise,
        });
        !std::mem::replace(&mut state.is_sending, true)
    };
    if begins {
        tokio::spawn(SENDING.scope((), send(registry.clone(), room.clone())));
    }
    if SENDING.try_with(|()| ()).is_err() {
        cause.await_ticket(ticket);
    }
}

async fn send(registry: Arc<Registry>, room: Arc<Room>) {
    loop {
        let Some(next) = ({
            let mut state = room.outgoing.lock();
            let next = state.queue.pop_front();
            if next.is_none() {
                state.is_sending = false;
                state.queue = VecDeque::new();
            }
            next
        }) else {
            return;
        };
        let result = perform(&registry, &room, next.batch).await;
        room.outgoing.lock().bytes -= next.bytes;
        next.promise.keep(result);
    }
}

async fn perform(registry: &Arc<Registry>, room: &Arc<Room>, mut batch: Batch) -> Result<(), DbError> {
    let result = batch.cx.committed().await;
    if let Err(error) = &result {
        tracing::error!(event = "room_commit_failed", %error);
        if batch.is_change {
            // What is in the database is right; it is read again.
            registry.unload(room).await;
        }
    } else {
        let router = batch.cx.router().clone();
        let mut sent = 0;
        for post in batch.posts {
            match post {
                Post::One(stanza) => {
                    batch.cx.send(stanza);
                    sent += 1;
                }
                Post::All(stanza, to) => {
                    for to in to.iter() {
                        batch.cx.send(stanza.clone().to(to.clone()));
                        sent += 1;
                        if sent >= SENDS_PER_TURN {
                            sent = 0;
                            batch.cx = turn(&router, batch.cx).await;
                        }
                    }
                }
                Post::Copies(stanza, to) => {
                    batch.cx = turn(&router, batch.cx).await;
                    let kept = KeptOnce::default();
                    for (at, to) in to.iter().enumerate() {
                        batch.cx.learn(kept.clone());
                        if at > 0 {
                            batch.cx.learn(Redelivered);
                        }
                        batch.cx.send(stanza.clone().to(to.clone()));
                        batch.cx = turn(&router, batch.cx).await;
                    }
                }
            }
            if sent >= SENDS_PER_TURN {
                sent = 0;
                batch.cx = turn(&router, batch.cx).await;
            }
        }
        router.finish(batch.cx).await;
    }
    if let Some(then) = batch.then {
        then(result.is_ok());
    }
    result
}

/// Sends what was asked for so far and lets others have the thread.
async fn turn(router: &Arc<kim_core::router::Router>, cx: Cx) -> Cx {
    let fresh = cx.fresh();
    router.finish(cx).await;
    tokio::task::yield_now().await;
    fresh
}
