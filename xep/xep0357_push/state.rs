//! What the parts of the module speak of: news, registrations, sessions that are looked after.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use kim_core::clock::Timestamp;
use kim_core::jid::{BareJid, Jid};
use kim_core::session::Session;

use super::worth::SaidText;

/// A registration among all.
pub(super) type PushPlace = (BareJid, i64);

/// What a device is to be woken for.
pub(super) enum WakeNews<'a> {
    /// Somebody has written.
    Message(&'a SaidText),
    /// Somebody calls.
    Call(Option<&'a Jid>),
    /// Somebody asks for a subscription.
    Subscription(Option<&'a Jid>),
}

/// What a session knows of its being woken. A fact of the session.
#[derive(Default)]
pub(super) struct Woken(pub AtomicBool);

/// A session that was sent something and has not acknowledged it yet.
pub(super) struct Watched {
    pub session: Weak<Session>,
    pub due: Timestamp,
}

pub(super) fn after(now: Timestamp, seconds: u32) -> Timestamp {
    Timestamp(now.0 + i64::from(seconds) * 1_000_000)
}

/// A poisoned lock only means that another task panicked between two plain assignments; the data is whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
