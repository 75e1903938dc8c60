//! A session as the rest of the house sees it: who it is, what it told us, and an outbox. The task that owns the
//! socket holds the other end; nobody else ever waits for that socket.

use std::any::Any;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use dashmap::DashMap;
use smallvec::SmallVec;

use crate::clock::Timestamp;
use crate::error::StreamError;
use crate::facts::Facts;
use crate::jid::{BareJid, Jid};
use crate::stanza::Stanza;

pub use crate::outbox::{Confirmation, Outbox, Parcel, Refused, Taken, Terms};

/// One bound resource of an account or guest.
pub struct Session {
    /// The full JID.
    pub jid: Jid,
    /// The account or guest it belongs to.
    pub account: BareJid,
    /// Distinguishes this session from one of the same full JID before or after it.
    pub id: u64,
    /// Whether it signed in anonymously (XEP-0175).
    pub guest: bool,
    /// Where it connects from, for limits and for the owner's list of sessions.
    pub address: Option<IpAddr>,
    /// When it began, in microseconds since 1970.
    pub since: i64,
    /// What the socket's task writes next.
    pub outbox: Outbox,
    presence: Mutex<Option<Presence>>,
    /// Since when it gets what is addressed to the bare JID, in microseconds; 0 while it does not.
    takes_since: AtomicI64,
    /// What it counts once its client wants that (XEP-0198).
    tally: OnceLock<Box<Tally>>,
    /// Set when it is taken out of the house while its socket may still be open.
    left: AtomicBool,
    /// Rooms' own facts about the session. Empty for most: allocated when first used.
    facts: Facts,
}

/// What a session counts so that another connection can go on where one was lost (XEP-0198).
pub struct Tally {
    handled: AtomicU32,
    resumable_seconds: AtomicU32,
    /// For so long the client may owe an answer to the question what it has; 0 for ever.
    pub answer_seconds_max: u32,
    /// Since when it has no connection, in microseconds; 0 while it has one.
    parked_at: AtomicI64,
}

/// The session counts already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyCounting;

impl Tally {
    /// How many of the client's stanzas were dealt with, all that they caused being committed, modulo 2³².
    pub fn handled(&self) -> u32 {
        self.handled.load(Ordering::Acquire)
    }

    /// For so many seconds the session outlives its connection; 0 where it does not.
    pub fn resumable_seconds(&self) -> u32 {
        self.resumable_seconds.load(Ordering::Acquire)
    }

    /// From now on the session outlives its connection.
    pub fn make_resumable(&self, seconds: u32) {
        self.resumable_seconds.store(seconds, Ordering::Release);
    }

    /// One more was; only [`crate::router::Router::perform`] says so.
    pub(crate) fn count(&self) {
        self.handled.fetch_add(1, Ordering::AcqRel);
    }

    /// Since when the session has no connection, in microseconds since 1970.
    pub fn parked_at(&self) -> Option<i64> {
        Some(self.parked_at.load(Ordering::Acquire)).filter(|at| *at != 0)
    }

    pub(crate) fn set_parked_at(&self, at: Option<i64>) {
        self.parked_at.store(at.unwrap_or(0), Ordering::Release);
    }
}

/// The last presence a session broadcast; no presence means that it is not available (RFC 6121 §4.2).
#[derive(Clone)]
pub struct Presence {
    /// −128 … 127; negative sessions get nothing addressed to the bare JID.
    pub priority: i8,
    /// The presence as it was broadcast.
    pub stanza: Arc<Stanza>,
}

impl Session {
    /// A session that is not registered anywhere yet.
    pub fn new(jid: Jid, guest: bool, address: Option<IpAddr>, outbox_bytes_max: usize) -> Arc<Session> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Session {
            account: jid.bare(),
            jid,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            guest,
            address,
            since: crate::db::now_us(),
            outbox: Outbox::new(outbox_bytes_max),
            presence: Mutex::new(None),
            takes_since: AtomicI64::new(0),
            tally: OnceLock::new(),
            left: AtomicBool::new(false),
            facts: Facts::default(),
        })
    }

    /// Whether its client may say that a stanza is from there: any address of its account. Which of them is written is not
    /// the client's choice (RFC 6120 §8.1.2.1).
    pub fn may_speak_as(&self, from: Option<&Jid>) -> bool {
        from.is_none_or(|from| from.bare_str() == self.account.as_str())
    }

    /// The last broadcast presence, if the session is available.
    pub fn presence(&self) -> Option<Presence> {
        lock(&self.presence).clone()
    }

    /// The priority, if the session is available.
    pub fn priority(&self) -> Option<i8> {
        lock(&self.presence).as_ref().map(|presence| presence.priority)
    }

    /// Replaces the presence and gives back the one before.
    pub fn set_presence(&self, presence: Option<Presence>, now: Timestamp) -> Option<Presence> {
        let takes =
            |presence: &Option<Presence>| presence.as_ref().is_some_and(|presence| presence.priority >= 0);
        let mut current = lock(&self.presence);
        match (takes(&current), takes(&presence)) {
            (false, true) => self.takes_since.store(now.0, Ordering::Release),
            (_, false) => self.takes_since.store(0, Ordering::Release),
            _ => {}
        }
        std::mem::replace(&mut *current, presence)
    }

    /// Whether it got at that moment what was addressed to the bare JID, and has ever since.
    pub fn took_at(&self, moment: Timestamp) -> bool {
        let since = self.takes_since.load(Ordering::Acquire);
        since != 0 && since < moment.0
    }

    /// Begins to count what the client sends. Refused where it counts already.
    pub fn begin_tally(&self, answer_seconds_max: u32) -> Result<(), AlreadyCounting> {
        let tally = Tally {
            handled: AtomicU32::new(0),
            resumable_seconds: AtomicU32::new(0),
            answer_seconds_max,
            parked_at: AtomicI64::new(0),
        };
        self.tally.set(Box::new(tally)).map_err(|_| AlreadyCounting)
    }

    /// What it counts, if it does.
    pub fn tally(&self) -> Option<&Tally> {
        self.tally.get().map(|tally| &**tally)
    }

    /// Whether it waits for a new connection.
    pub fn is_parked(&self) -> bool {
        self.tally().is_some_and(|tally| tally.parked_at().is_some())
    }

    /// A module's fact about this session, made on first use.
    pub fn fact<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        self.facts.of()
    }

    /// A module's fact about this session, if the module ever left one.
    pub fn known_fact<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.facts.known()
    }

    /// Whether the session was taken out of the house: replaced, or its account is gone. What it sends is not heard.
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Ends the session: what is queued is still written, then the error, then the stream closes.
    pub fn close(&self, error: impl Into<StreamError>) {
        self.outbox.close(error.into());
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({}#{})", self.jid, self.id)
    }
}

/// The sessions of this node, by account.
#[derive(Default)]
pub struct Sessions {
    accounts: DashMap<BareJid, SmallVec<[Arc<Session>; 2]>>,
}

/// Why a session could not be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyResources;

impl Sessions {
    /// Registers a session. One of the same full JID is handed back for the caller to end with `conflict`
    /// (RFC 6120 §7.7.2.2: the newer session wins).
    pub fn add(
        &self,
        session: &Arc<Session>,
        resources_max: usize,
    ) -> Result<Option<Arc<Session>>, TooManyResources> {
        let mut of_account = self.accounts.entry(session.account.clone()).or_default();
        let twin = of_account.iter().position(|other| other.jid == session.jid);
        if twin.is_none() && of_account.len() >= resources_max {
            return Err(TooManyResources);
        }
        let replaced = twin.map(|at| of_account.remove(at));
        if let Some(replaced) = &replaced {
            replaced.left.store(true, Ordering::Release);
        }
        of_account.push(session.clone());
        Ok(replaced)
    }

    /// Forgets a session; tells whether it was still registered.
    pub fn remove(&self, session: &Session) -> bool {
        let Some(mut of_account) = self.accounts.get_mut(&session.account) else {
            return false;
        };
        session.left.store(true, Ordering::Release);
        let before = of_account.len();
        of_account.retain(|other| other.id != session.id);
        let (removed, empty) = (of_account.len() != before, of_account.is_empty());
        drop(of_account);
        if empty {
            self.accounts
                .remove_if(&session.account, |_, sessions| sessions.is_empty());
        }
        removed
    }

    /// The sessions of an account, in the order in which they were bound. One that is ending takes nothing more, so
    /// it is not among them: what it refuses must not be routed to it again.
    pub fn of(&self, account: &BareJid) -> SmallVec<[Arc<Session>; 2]> {
        let Some(sessions) = self.accounts.get(account) else {
            return SmallVec::new();
        };
        sessions
            .iter()
            .filter(|session| !session.outbox.is_closed())
            .cloned()
            .collect()
    }

    /// Whether an account has a session, be it one that is ending. Cheaper than [`Sessions::of`] for those who have none.
    pub fn has(&self, account: &BareJid) -> bool {
        self.accounts.contains_key(account)
    }

    /// The session of that full JID, unless it is ending.
    pub fn get(&self, jid: &Jid) -> Option<Arc<Session>> {
        self.accounts
            .get(jid.bare_str())?
            .iter()
            .find(|session| session.jid == *jid && !session.outbox.is_closed())
            .cloned()
    }

    /// The sessions of an account, those that are ending included.
    pub fn all_of(&self, account: &BareJid) -> Vec<Arc<Session>> {
        self.accounts
            .get(account)
            .map(|sessions| sessions.to_vec())
            .unwrap_or_default()
    }

    /// Every session of this node, those that are ending included.
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.accounts
            .iter()
            .flat_map(|entry| entry.value().to_vec())
            .collect()
    }
}

/// A poisoned lock only means that another task panicked between two plain assignments; the data is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
