//! A session that outlives its connection (XEP-0198 §5): it waits, looked after by a task of its own, until another
//! connection of the same account claims it, its time is up, or the house ends it. Whoever has the [`Registered`] has the
//! session; it passes from hand to hand and is never in two.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kim_core::session::{Session, Step};
use tokio::sync::oneshot;

use super::bind::Registered;

/// A connection that wants to go on with a session, until the session's task notices.
#[derive(Default)]
struct Handover(Mutex<Option<oneshot::Sender<Registered>>>);

impl Handover {
    fn lock(&self) -> MutexGuard<'_, Option<oneshot::Sender<Registered>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks whoever has a session for it and waits until what it had begun is done. `None`: the session is over, or yet
/// another connection claims it.
pub(super) async fn claim(session: &Arc<Session>) -> Option<Registered> {
    let (sender, receiver) = oneshot::channel();
    let handover = session.fact::<Handover>();
    // The last to ask gets it: the client has given up on the connections before.
    *handover.lock() = Some(sender);
    if session.outbox.is_closed() {
        // Whoever had it may have looked for the last time already.
        *handover.lock() = None;
        return None;
    }
    session.outbox.wake();
    let registered = receiver.await.ok()?;
    session.step(Step::Claim);
    Some(registered)
}

/// Whether another connection wants to go on with a session.
pub(super) fn is_wanted(session: &Session) -> bool {
    session
        .known_fact::<Handover>()
        .is_some_and(|handover| handover.lock().is_some())
}

/// Hands a session to the connection that claims it; it comes back if there is none any more.
pub(super) fn hand(registered: Registered) -> Result<(), Registered> {
    let handover = registered.session().known_fact::<Handover>();
    match handover.and_then(|handover| handover.lock().take()) {
        Some(claimant) => claimant.send(registered),
        None => Err(registered),
    }
}

/// The session is over; who claims it is told.
pub(super) fn forget(session: &Session) {
    if let Some(handover) = session.known_fact::<Handover>() {
        *handover.lock() = None;
    }
}

/// The connection is gone. The session waits for another where it can, and ends where it cannot or nobody came.
pub(super) async fn outlive(mut registered: Registered) {
    let session = registered.session().clone();
    if registered.park().await {
        tracing::info!(event = "session_parked", session = %session.id);
        let seconds = session.tally().map_or(0, |tally| tally.resumable_seconds());
        match wait(registered, Duration::from_secs(seconds.into())).await {
            Some(left) => registered = left,
            None => return,
        }
        tracing::info!(event = "session_not_resumed", session = %session.id);
    }
    registered.end().await;
    registered.give_back().await;
}

/// Waits until the session was handed over, which is `None`, or has to end.
async fn wait(mut registered: Registered, time: Duration) -> Option<Registered> {
    let session = registered.session().clone();
    let expiry = tokio::time::sleep(time);
    tokio::pin!(expiry);
    while !session.outbox.is_closed() && !registered.is_stopping() {
        if is_wanted(&session) {
            match hand(registered) {
                Ok(()) => return None,
                Err(back) => registered = back,
            }
        }
        tokio::select! {
            () = session.outbox.ready() => {}
            () = &mut expiry => break,
        }
    }
    Some(registered)
}
