//! What a session's client has said, and what is held back from it meanwhile.
//!
//! A task that decides about a stanza for an inactive client holds the session's lock until what has to leave before it is in
//! the outbox. So nothing overtakes what was held, whichever task delivers (§5.1, RFC 6120 §10.1). What leaves passes
//! all hooks of `Delivery` again: the other stages have not seen it yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kim_core::clock::Timestamp;
use kim_core::config::LimitsInForce;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{Delivery, Nonza, SessionEnded, SessionResumed};
use kim_core::hook::{Flow, Hear, On};
use kim_core::session::{Session, SessionId};
use tokio::sync::Mutex;

use super::NS;
use super::api;
use super::held::{Held, HeldLimits};

tokio::task_local! {
    /// The session for which a task lets go what was held: what it delivers there now is not to be held again.
    static LETTING_GO: SessionId;
}

/// The session's fact. A session that never said that it is inactive has none.
#[derive(Default)]
struct State {
    /// Since when it is inactive, in microseconds since 1970; 0 while it is active.
    inactive_since: AtomicI64,
    held: Mutex<Held>,
}

impl State {
    fn is_inactive(&self) -> bool {
        self.inactive_since.load(Ordering::Acquire) != 0
    }
}

/// Lets go what is held, in order. If the session is over it finds another way from there. Should this be interrupted, the
/// rest stays where it is.
async fn let_go(held: &mut Held, session: &Arc<Session>, cx: &Cx) {
    while let Some(stanza) = held.pop() {
        let Some(mut out) = cx.router().cx() else { return };
        out.deliver(session, stanza);
        // Boxed, so that the futures of those who have nothing to let go stay small.
        Box::pin(LETTING_GO.scope(session.id, cx.router().finish(out))).await;
    }
}

fn is_let_go(session: &Session) -> bool {
    LETTING_GO.try_with(|id| *id == session.id).unwrap_or(false)
}

/// Whether a session's client has said that it is inactive.
pub fn is_inactive(session: &Session) -> bool {
    session
        .known_fact::<State>()
        .is_some_and(|state| state.is_inactive())
}

/// Since when a session's client is inactive, if it is.
pub fn inactive_since(session: &Session) -> Option<Timestamp> {
    let since = session
        .known_fact::<State>()?
        .inactive_since
        .load(Ordering::Acquire);
    (since != 0).then_some(Timestamp(since))
}

/// The client is active: it gets what was held back.
pub async fn activate(session: &Arc<Session>, cx: &Cx) {
    if let Some(state) = session.known_fact::<State>() {
        let mut held = state.held.lock().await;
        let_go(&mut held, session, cx).await;
        state.inactive_since.store(0, Ordering::Release);
    }
}

/// Hears `<active/>` and `<inactive/>` (§4.2). Nothing that the client sends afterwards is dealt with before that is done.
pub struct Indications;

impl On<Nonza> for Indications {
    async fn on(&self, event: &mut Nonza, cx: &mut Cx) -> Result<Flow, Fault> {
        if event.element.ns() != NS {
            return Ok(Flow::Next);
        }
        match event.element.name() {
            "inactive" => {
                let state = event.session.fact::<State>();
                if !state.is_inactive() {
                    let now = cx.router().clock().now();
                    state.inactive_since.store(now.0, Ordering::Release);
                }
                Ok(Flow::Done)
            }
            "active" => {
                activate(&event.session, cx).await;
                Ok(Flow::Done)
            }
            _ => Ok(Flow::Next),
        }
    }
}

/// Holds back what can wait, and lets everything go before what cannot.
pub struct HoldBack(pub HeldLimits, pub LimitsInForce);

impl On<Delivery> for HoldBack {
    async fn on(&self, event: &mut Delivery, cx: &mut Cx) -> Result<Flow, Fault> {
        let Some(state) = event.session.known_fact::<State>() else {
            return Ok(Flow::Next);
        };
        match !state.is_inactive() || is_let_go(&event.session) {
            true => Ok(Flow::Next),
            // Boxed, so that the future stays small for clients that are active.
            false => Box::pin(self.hold_back(&state, event, cx)).await,
        }
    }
}

impl HoldBack {
    async fn hold_back(&self, state: &State, event: &mut Delivery, cx: &mut Cx) -> Result<Flow, Fault> {
        let important = api::is_important(&event.stanza, &event.session, cx).await;
        let mut held = state.held.lock().await;
        // It may have become active, or have ended, while others had the lock.
        if !state.is_inactive() || event.session.has_left() {
            return Ok(Flow::Next);
        }
        if important {
            let_go(&mut held, &event.session, cx).await;
            return Ok(Flow::Next);
        }
        held.push(event.stanza.clone());
        let limits = HeldLimits {
            bytes_max: self.0.bytes_max.min(self.1.now().outbox_bytes_max / 4),
            ..self.0
        };
        if held.exceeds(&limits) {
            let_go(&mut held, &event.session, cx).await;
        }
        Ok(Flow::Done)
    }
}

/// A resumed stream begins active, whatever was said on the one before (§5.2). What waited comes behind what was lost on the
/// way.
pub struct Resumption;

impl On<SessionResumed> for Resumption {
    async fn on(&self, event: &mut SessionResumed, cx: &mut Cx) -> Result<Flow, Fault> {
        activate(&event.session, cx).await;
        Ok(Flow::Next)
    }
}

/// What a session never got because it was held back goes the way of what it did not read.
pub struct GiveBack;

impl Hear<SessionEnded> for GiveBack {
    async fn hear(&self, event: &mut SessionEnded, cx: &mut Cx) -> Result<(), Fault> {
        activate(&event.session, cx).await;
        Ok(())
    }
}
