//! The order of a room: what it sends, in the order in which it was decided, each behind its commit.
//!
//! Whoever changes a room does so while holding it, and puts what follows from it at the end of this queue before letting go.
//! One task at a time works the queue off: it waits for the first one's commit while those behind it are on their way to
//! the database already (they share commits), sends, and goes on. So all occupants see the same order, nothing is seen
//! that could be lost, and nobody waits for a slow reader. An idle room has neither task nor queue.

use std::collections::VecDeque;
use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::db::{DbError, Ticket};
use kim_core::router::Redelivered;

use super::outgoing::{Batch, Post, Queued};
use super::rooms::{Registry, Room};
use crate::xep0313_mam::api::KeptOnce;

/// Stanzas sent before other tasks of the thread get their turn.
const SENDS_PER_TURN: usize = 256;

tokio::task_local! {
    /// Set in the tasks that work queues off: what such a task causes must not wait for a queue, which may be its own.
    static SENDING: ();
}

/// Puts a batch into a room's order. Its rows are queued for their commit now, so they are committed in the same order. The
/// chain that caused it waits until it has been sent, unless that chain is itself a part of some room's sending.
pub fn put(registry: &Arc<Registry>, room: &Arc<Room>, mut batch: Batch, cause: &mut Cx) {
    batch.cx.flush();
    let (promise, ticket) = Ticket::promised();
    let bytes = batch.posts.iter().map(Post::bytes).sum();
    let begins = {
        let mut queue = room.outgoing.lock();
        queue.bytes += bytes;
        queue.batches.push_back(Queued {
            batch,
            bytes,
            promise,
        });
        !std::mem::replace(&mut queue.is_sending, true)
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
            let mut queue = room.outgoing.lock();
            let next = queue.batches.pop_front();
            if next.is_none() {
                queue.is_sending = false;
                queue.batches = VecDeque::new();
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
