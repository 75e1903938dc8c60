//! What the module keeps of one managed session: its id, and how it answers `<r/>`.
//!
//! An acknowledgement is a promise, so its number is made durable before it leaves. While one number is being committed,
//! further requests wait for the next: a client that asks after each of its stanzas costs a commit now and then, and
//! nobody waits for it but the answer itself.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use kim_core::clock::Clock;
use kim_core::db::DbError;
use kim_core::session::Session;
use subtle::ConstantTimeEq;

use super::store::{SessionKey, SmStore};
use super::words;

/// A session's part in stream management. A fact of the session.
#[derive(Default)]
pub(super) struct Managed {
    identity: OnceLock<Identity>,
    answers: Mutex<Answers>,
}

struct Identity {
    id: Box<str>,
    key: SessionKey,
}

#[derive(Default)]
struct Answers {
    /// What the client was told at most, and what the table says at least.
    durable: u32,
    /// Requests that were not answered yet.
    owed: u32,
    /// A task is at it.
    at_work: bool,
}

/// Where answers are made durable, and with which stamps.
pub(super) struct Ledger {
    pub store: SmStore,
    pub clock: Clock,
}

impl Managed {
    /// From now on the session can be resumed by this id.
    pub fn identify(&self, id: String, key: SessionKey) {
        let _ = self.identity.set(Identity { id: id.into(), key });
    }

    /// The id by which it can be resumed.
    pub fn id(&self) -> Option<&str> {
        self.identity.get().map(|identity| &*identity.id)
    }

    /// Whether this is the session that a client means. Takes as long whether it is or not.
    pub fn is_called(&self, previd: &str) -> bool {
        self.id()
            .is_some_and(|id| bool::from(id.as_bytes().ct_eq(previd.as_bytes())))
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one `<r/>`. To be called when everything that the client sent before it has been dealt with.
    pub fn answer(session: &Arc<Session>, ledger: &Arc<Ledger>) {
        let managed = session.fact::<Managed>();
        let handled = handled(session);
        let mut answers = managed.lock();
        if !answers.at_work && (managed.identity.get().is_none() || answers.durable == handled) {
            // Nothing outlives the connection, or it is known already.
            session.outbox.say(words::acknowledgement(handled));
            return;
        }
        answers.owed = answers.owed.saturating_add(1);
        if !std::mem::replace(&mut answers.at_work, true) {
            drop(answers);
            let (session, ledger) = (session.clone(), ledger.clone());
            tokio::spawn(async move { managed.work(&session, &ledger).await });
        }
    }

    /// Answers until nothing is owed.
    async fn work(&self, session: &Session, ledger: &Ledger) {
        loop {
            let before = self.lock().owed;
            // Should it fail, the client learns what was durable before, and what is missing it keeps.
            if let Err(error) = self.make_durable(session, ledger).await {
                tracing::error!(event = "acknowledgement_failed", session = %session.id, %error);
            }
            let mut answers = self.lock();
            for _ in 0..before {
                session.outbox.say(words::acknowledgement(answers.durable));
            }
            answers.owed -= before;
            if answers.owed == 0 {
                answers.at_work = false;
                return;
            }
        }
    }

    /// Makes durable what is handled by now, and gives it.
    pub async fn make_durable(&self, session: &Session, ledger: &Ledger) -> Result<u32, DbError> {
        let handled = handled(session);
        if let Some(identity) = self.identity.get()
            && self.lock().durable != handled
        {
            let ticket = ledger
                .store
                .put(&identity.key, &session.account, handled, ledger.clock.now());
            ticket.await?;
        }
        let mut answers = self.lock();
        // Another number may have become durable meanwhile; it only grows, modulo 2³².
        if handled.wrapping_sub(answers.durable) <= u32::MAX / 2 {
            answers.durable = handled;
        }
        Ok(answers.durable)
    }

    /// The session is over: what was handled in the end is remembered for a client that asks later.
    pub fn end(&self, session: &Session, ledger: &Ledger) {
        let handled = handled(session);
        if let Some(identity) = self.identity.get()
            // That it was nothing is known only now.
            && (handled == 0 || self.lock().durable != handled)
        {
            // Nobody waits for it: the client knows a lower number, or none.
            drop(
                ledger
                    .store
                    .put(&identity.key, &session.account, handled, ledger.clock.now()),
            );
        }
    }
}

fn handled(session: &Session) -> u32 {
    session.tally().map_or(0, |tally| tally.handled())
}
