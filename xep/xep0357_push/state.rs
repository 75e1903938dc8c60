//! What the parts of the module speak of: news, registrations, sessions that are looked after.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use kim_core::clock::Timestamp;
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::{Bucket, Rate};
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

/// What ends what a device was told.
#[derive(Clone, Copy)]
pub(super) enum OverNews<'a> {
    /// A chat was read on another device.
    Read(&'a BareJid),
    /// A call was taken elsewhere, or given up.
    Call,
}

/// Notifications of one registration, calls included.
const RATE: Rate = Rate {
    per_second: 0.1,
    burst: 20.0,
};
/// Chats whose messages are counted apart, so that reading one of them elsewhere is known to leave nothing. Further ones are
/// counted together.
const CHATS_MAX: usize = 32;
/// Nobody rings longer.
pub(super) const RINGING_SECONDS: u32 = 120;

/// What is to become of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WakeDecision {
    /// It is told now.
    Send,
    /// It is told after so many seconds, with what comes until then.
    Later(u32),
    /// An earlier notification stands for it.
    Collapsed,
    /// There were too many, and it is worth nothing later or is told later anyway.
    TooMany,
}

/// What a device has not seen: what is known of its registration since its client was last there.
#[derive(Default)]
pub(super) struct UnseenNews {
    chats: Vec<(BareJid, u32)>,
    other_messages: u32,
    subscriptions: u32,
    /// When it was last told of messages or requests.
    pushed_at: Option<Timestamp>,
    /// When it was last told of a call that may still ring.
    rang_at: Option<Timestamp>,
    /// The table has an attempt for it.
    pub is_owed: bool,
    bucket: Bucket,
}

impl UnseenNews {
    /// Counts news, and decides whether it is told. What was told less than `repeat_seconds` ago stands for it, but for calls.
    pub fn decide(&mut self, news: &WakeNews<'_>, now: Timestamp, repeat_seconds: u32) -> WakeDecision {
        let is_call = matches!(news, WakeNews::Call(_));
        match news {
            WakeNews::Message(said) => self.count(said),
            WakeNews::Subscription(_) => self.subscriptions = self.subscriptions.saturating_add(1),
            WakeNews::Call(_) => {}
        }
        let pushed = self.pushed_at.map(|at| now.seconds_since(at));
        if !is_call && pushed.is_some_and(|seconds| seconds < repeat_seconds.into()) {
            return WakeDecision::Collapsed;
        }
        if !self.bucket.take(RATE, now) {
            if is_call || self.is_owed {
                return WakeDecision::TooMany;
            }
            self.pushed_at = Some(now);
            return WakeDecision::Later(self.bucket.wait_seconds(RATE).max(1));
        }
        match is_call {
            true => self.rang_at = Some(now),
            false => self.pushed_at = Some(now),
        }
        WakeDecision::Send
    }

    fn count(&mut self, said: &SaidText) {
        let has_room = self.chats.len() < CHATS_MAX;
        let chat = said.from.as_ref().map(Jid::bare);
        match (
            self.chats.iter_mut().find(|(one, _)| Some(one) == chat.as_ref()),
            chat,
        ) {
            (Some((_, count)), _) => *count = count.saturating_add(1),
            (None, Some(chat)) if has_room => self.chats.push((chat, 1)),
            (None, _) => self.other_messages = self.other_messages.saturating_add(1),
        }
    }

    /// Messages that came.
    pub fn messages(&self) -> u32 {
        let counts = self.chats.iter().map(|(_, count)| *count);
        counts.fold(self.other_messages, u32::saturating_add)
    }

    /// Requests for a subscription that came.
    pub fn subscriptions(&self) -> u32 {
        self.subscriptions
    }

    /// A chat was read on another device. `true`: what the device was told of is all read now, and it shows it still.
    pub fn read(&mut self, chat: &BareJid) -> bool {
        self.chats.retain(|(one, _)| one != chat);
        self.pushed_at.is_some() && self.messages() == 0 && self.subscriptions == 0
    }

    /// A call is over. `true`: the device was told of one, and may still ring.
    pub fn hang_up(&mut self, now: Timestamp) -> bool {
        let rang = self.rang_at.take();
        rang.is_some_and(|at| now.seconds_since(at) < RINGING_SECONDS.into())
    }

    /// Its client is there, or its user has seen everything. The rate stays: a client that comes and goes is not to be told
    /// more often for it.
    pub fn seen(&mut self) {
        *self = UnseenNews {
            bucket: self.bucket,
            ..UnseenNews::default()
        };
    }

    /// The last notification reached nobody: the next message tries again.
    pub fn failed(&mut self) {
        self.is_owed = false;
        self.pushed_at = None;
    }
}

/// What a session knows of its being woken. A fact of the session.
#[derive(Default)]
pub(super) struct WasWoken(pub AtomicBool);

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
