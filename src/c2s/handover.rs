//! A session that the house knows, and how it outlives its connection (XEP-0198 §5): it waits, looked after by a task of its
//! own, until another connection of the same account claims it, its time is up, or the house ends it. Whoever has the
//! [`Registered`] has the session; it passes from hand to hand and is never in two.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kim_core::accounts::Epoch;
use kim_core::cx::Outcome;
use kim_core::error::StreamCondition;
use kim_core::router::{NotStarted, Router};
use kim_core::session::{Parcel, Session, Step};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Door;

/// Work of the house that a connection waits for, boxed so that an idle connection does not make room for it.
pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A session that the house knows, and what its connection still owes to others. However its task ends, the house is
/// told: in order by [`Registered::end`], and by tasks of its own if the connection's was torn down.
pub struct Registered {
    door: Arc<Door>,
    session: Arc<Session>,
    /// Outcomes that wait for those before them.
    pub(super) pending: VecDeque<Outcome>,
    /// The outcome whose turn it is.
    pub(super) performing: Option<BoxFuture<()>>,
    /// Parcels taken from the outbox, and not kept there, whose last byte the kernel does not have yet.
    pub(super) in_flight: VecDeque<Parcel>,
    ended: bool,
}

impl Registered {
    fn new(door: &Arc<Door>, session: Arc<Session>) -> Registered {
        Registered {
            door: door.clone(),
            session,
            pending: VecDeque::new(),
            performing: None,
            in_flight: VecDeque::new(),
            ended: false,
        }
    }

    /// Registers a session. With the epoch of the password that let it in, unless it is a guest's.
    pub async fn start(
        door: &Arc<Door>,
        session: Arc<Session>,
        epoch: Option<Epoch>,
    ) -> Result<Registered, NotStarted> {
        // Made first: should a module panic while it is told of the session, the session still ends.
        let mut registered = Registered::new(door, session);
        let started = match epoch {
            Some(epoch) => door.router.start_proved(&registered.session, epoch).await,
            None => door
                .router
                .start(&registered.session)
                .await
                .map_err(NotStarted::from),
        };
        registered.ended = started.is_err();
        started.map(|()| registered)
    }

    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The router that knows it.
    pub fn router(&self) -> &Arc<Router> {
        &self.door.router
    }

    /// Whether the server stops.
    pub fn is_stopping(&self) -> bool {
        self.door.is_stopping()
    }

    /// Takes it from a connection that does not wait for anything any more.
    pub fn take(&mut self) -> Registered {
        let mut taken = Registered::new(&self.door, self.session.clone());
        taken.in_flight = std::mem::take(&mut self.in_flight);
        self.ended = true;
        taken
    }

    /// The connection is gone: from here on a task of its own looks after the session.
    pub fn part(self) {
        let waiting = self.door.wait();
        tokio::spawn(async move {
            outlive(self).await;
            drop(waiting);
        });
    }

    /// The connection is gone; tells whether the session waits for another.
    pub async fn park(&mut self) -> bool {
        let parked = self.door.router.park(&self.session).await;
        if parked {
            // What came before the client asked for counting; it finds its way, be it back here.
            let unwritten = std::mem::take(&mut self.in_flight);
            self.door.router.give_back(&self.session, unwritten).await;
        }
        parked
    }

    /// Takes the session from the house: nothing is routed to it any more.
    pub async fn end(&mut self) {
        self.ended = true;
        self.door.router.end(&self.session, []).await;
        // Only now, so that nothing was refused that could still be written. The reason is told elsewhere, if at all.
        self.session.close(StreamCondition::UndefinedCondition);
        forget(&self.session);
    }

    /// Gives back to the house what the socket did not take, and what its client did not confirm.
    pub async fn give_back(&mut self) {
        let (queued, _) = self.session.outbox.take();
        let unwritten = std::mem::take(&mut self.in_flight).into_iter().chain(queued);
        self.door.router.end(&self.session, unwritten).await;
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // While the process ends there may be no runtime left; then there is no house left either.
        let Some(runtime) = tokio::runtime::Handle::try_current().ok().filter(|_| !self.ended) else {
            return;
        };
        let mut again = Registered::new(&self.door, self.session.clone());
        // Until its task runs: a runtime that is about to end drops tasks instead of running them.
        again.ended = true;
        again.in_flight = std::mem::take(&mut self.in_flight);
        let pending = std::mem::take(&mut self.pending);
        // If this is what panicked, it panics again, alone.
        let performing = self.performing.take().map(|performing| runtime.spawn(performing));
        let waiting = self.door.wait();
        runtime.spawn(async move {
            again.ended = false;
            if let Some(performing) = performing {
                let _ = performing.await;
            }
            for outcome in pending {
                again.door.router.perform(outcome).await;
            }
            outlive(again).await;
            drop(waiting);
        });
    }
}

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
        match wait(registered).await {
            Some(left) => registered = left,
            None => return,
        }
        tracing::info!(event = "session_not_resumed", session = %session.id);
    }
    registered.end().await;
    registered.give_back().await;
}

/// Waits until the session was handed over, which is `None`, or has to end.
async fn wait(mut registered: Registered) -> Option<Registered> {
    let session = registered.session().clone();
    let since = Instant::now();
    // Asked again after each waking: a module may change how long the session is waited for.
    let until = || {
        let seconds = session.tally().map_or(0, |tally| tally.resumable_seconds());
        since + Duration::from_secs(seconds.into())
    };
    let expiry = tokio::time::sleep_until(until());
    tokio::pin!(expiry);
    while !session.outbox.is_closed() && !registered.is_stopping() {
        if is_wanted(&session) {
            match hand(registered) {
                Ok(()) => return None,
                Err(back) => registered = back,
            }
        }
        tokio::select! {
            () = session.outbox.ready() => {
                let until = until();
                if expiry.deadline() != until {
                    expiry.as_mut().reset(until);
                }
            }
            () = &mut expiry => break,
        }
    }
    Some(registered)
}
