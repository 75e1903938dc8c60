//! A session as the rest of the house sees it: who it is, what it told us, and an outbox. The task that owns the
//! socket holds the other end; nobody else ever waits for that socket.

use std::any::Any;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use dashmap::DashMap;
use smallvec::SmallVec;

use crate::clock::Timestamp;
use crate::error::StreamError;
use crate::facts::Facts;
use crate::jid::{BareJid, Jid};
use crate::random;
use crate::stanza::Stanza;

pub use crate::outbox::{Confirmation, Outbox, Parcel, Refused, Taken, Terms};

/// What others may know of a session, also on another node. A card says whose session it is and how it is, and has
/// nothing to write to.
pub struct SessionCard {
    /// The full JID.
    pub jid: Jid,
    /// The account or guest it belongs to.
    pub account: BareJid,
    /// Distinguishes this session from one of the same full JID before or after it.
    pub id: SessionId,
    /// Whether it signed in anonymously (XEP-0175).
    pub guest: bool,
    /// When it began, in microseconds since 1970.
    pub since: i64,
    presence: Mutex<Option<Presence>>,
    /// Since when it gets what is addressed to the bare JID, in microseconds; 0 while it does not.
    takes_since: AtomicI64,
    life: AtomicU8,
    /// Since when it has no connection, in microseconds; 0 while it has one.
    parked_at: AtomicI64,
    marks: AtomicU8,
}

/// Tells sessions apart, also those of several nodes and of one node before and after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    /// Drawn at random when its node started.
    boot: u64,
    /// Counts the sessions of that node.
    count: u64,
}

impl SessionId {
    fn next() -> SessionId {
        static BOOT: LazyLock<u64> = LazyLock::new(|| u64::from_be_bytes(random::bytes()));
        static NEXT: AtomicU64 = AtomicU64::new(1);
        SessionId {
            boot: *BOOT,
            count: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// In logs, where one node speaks, the count says which.
impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.count)
    }
}

/// What a session's client has asked for or waits for, in one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Copies of what other clients of the account send and get (XEP-0280).
    Carbons = 1,
    /// Changes of the roster: an "interested resource" (RFC 6121 §2.2).
    Roster = 2,
    /// Changes of the block list (XEP-0191 §3.3).
    BlockList = 4,
    /// It is being handed messages that waited, and takes no live ones for the bare JID yet.
    CatchingUp = 8,
    /// Push notifications for this device (XEP-0357).
    Push = 16,
}

/// Where a session is in its life. [`Session::step`] is the only way from one to another:
///
/// | from | [`Step::Park`] | [`Step::Claim`] | [`Step::Resume`] | [`Step::End`] |
/// |---|---|---|---|---|
/// | `Connected` | `Parked` | `Moving` | – | `Ended` |
/// | `Parked` | – | `Moving` | `Connected` | `Ended` |
/// | `Moving` | `Parked` | – | `Connected` | `Ended` |
/// | `Ended` | – | – | – | – |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// A connection writes what it gets.
    Connected,
    /// It waits for another connection; what it gets waits in its outbox (XEP-0198 §5).
    Parked,
    /// Another connection has claimed it and does not write yet.
    Moving,
    /// It is out of the house. Its socket may still be open; what it sends is not heard.
    Ended,
}

/// What happens to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its connection was lost at that moment.
    Park(Timestamp),
    /// Another connection takes it over.
    Claim,
    /// It goes on over the connection that took it over.
    Resume,
    /// It ends: closed, replaced, expired, or its account is gone.
    End,
}

impl Life {
    /// Where a step leads, if it leads anywhere from here.
    pub fn after(self, step: Step) -> Option<Life> {
        match (self, step) {
            (Life::Connected | Life::Moving, Step::Park(_)) => Some(Life::Parked),
            (Life::Connected | Life::Parked, Step::Claim) => Some(Life::Moving),
            (Life::Parked | Life::Moving, Step::Resume) => Some(Life::Connected),
            (Life::Connected | Life::Parked | Life::Moving, Step::End) => Some(Life::Ended),
            _ => None,
        }
    }

    fn of(byte: u8) -> Life {
        match byte {
            0 => Life::Connected,
            1 => Life::Parked,
            2 => Life::Moving,
            _ => Life::Ended,
        }
    }
}

/// One bound resource of an account or guest, on the node that has its connection. It is its [`SessionCard`] and more.
pub struct Session {
    card: SessionCard,
    /// Where it connects from, for limits and for the owner's list of sessions.
    pub address: Option<IpAddr>,
    /// What the socket's task writes next.
    pub outbox: Outbox,
    /// What it counts once its client wants that (XEP-0198).
    tally: OnceLock<Box<Tally>>,
    /// Modules' own facts about the session. Empty for most: allocated when first used.
    facts: Facts,
}

impl Deref for Session {
    type Target = SessionCard;

    fn deref(&self) -> &SessionCard {
        &self.card
    }
}

/// A session of an account, wherever it is.
#[derive(Clone, Debug)]
pub enum Resource {
    /// On this node.
    Here(Arc<Session>),
    /// On another node.
    Elsewhere(Arc<SessionCard>),
}

impl Resource {
    /// The session, if it is on this node: only there it has an outbox and modules' facts.
    pub fn here(&self) -> Option<&Arc<Session>> {
        match self {
            Resource::Here(session) => Some(session),
            Resource::Elsewhere(_) => None,
        }
    }
}

impl Deref for Resource {
    type Target = SessionCard;

    fn deref(&self) -> &SessionCard {
        match self {
            Resource::Here(session) => session,
            Resource::Elsewhere(card) => card,
        }
    }
}

impl From<&Arc<Session>> for Resource {
    fn from(session: &Arc<Session>) -> Resource {
        Resource::Here(session.clone())
    }
}

/// Sessions of one account. Most accounts have one or two.
pub type Resources = SmallVec<[Resource; 2]>;

/// What a session counts so that another connection can go on where one was lost (XEP-0198).
pub struct Tally {
    handled: AtomicU32,
    resumable_seconds: AtomicU32,
    /// For so long the client may owe an answer to the question what it has; 0 for ever.
    pub answer_seconds_max: u32,
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

    /// From now on the session outlives its connection for so many seconds, counted from its loss.
    pub fn make_resumable(&self, seconds: u32) {
        self.resumable_seconds.store(seconds, Ordering::Release);
    }

    /// One more was; only [`crate::router::Router::perform`] says so.
    pub(crate) fn count(&self) {
        self.handled.fetch_add(1, Ordering::AcqRel);
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

impl SessionCard {
    /// The last broadcast presence, if the session is available.
    pub fn presence(&self) -> Option<Presence> {
        lock(&self.presence).clone()
    }

    /// The priority, if the session is available.
    pub fn priority(&self) -> Option<i8> {
        lock(&self.presence).as_ref().map(|presence| presence.priority)
    }

    /// Whether it got at that moment what was addressed to the bare JID, and has ever since.
    pub fn took_at(&self, moment: Timestamp) -> bool {
        let since = self.takes_since.load(Ordering::Acquire);
        since != 0 && since < moment.0
    }

    /// Where it is in its life.
    pub fn life(&self) -> Life {
        Life::of(self.life.load(Ordering::Acquire))
    }

    /// Whether it has no connection and waits for another, be it claimed by one already.
    pub fn is_parked(&self) -> bool {
        self.parked_at().is_some()
    }

    /// Since when it has no connection, in microseconds since 1970.
    pub fn parked_at(&self) -> Option<i64> {
        Some(self.parked_at.load(Ordering::Acquire)).filter(|at| *at != 0)
    }

    /// Whether it was taken out of the house: replaced, or its account is gone. What it sends is not heard.
    pub fn has_left(&self) -> bool {
        self.life() == Life::Ended
    }

    /// Whether its client has asked for something.
    pub fn has(&self, mark: Mark) -> bool {
        self.marks.load(Ordering::Acquire) & mark as u8 != 0
    }
}

impl std::fmt::Debug for SessionCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({}#{})", self.jid, self.id)
    }
}

impl Session {
    /// A session that is not registered anywhere yet.
    pub fn new(jid: Jid, guest: bool, address: Option<IpAddr>, outbox_bytes_max: usize) -> Arc<Session> {
        Arc::new(Session {
            card: SessionCard {
                account: jid.bare(),
                jid,
                id: SessionId::next(),
                guest,
                since: crate::db::now_us(),
                presence: Mutex::new(None),
                takes_since: AtomicI64::new(0),
                life: AtomicU8::new(Life::Connected as u8),
                parked_at: AtomicI64::new(0),
                marks: AtomicU8::new(0),
            },
            address,
            outbox: Outbox::new(outbox_bytes_max),
            tally: OnceLock::new(),
            facts: Facts::default(),
        })
    }

    /// What others may know of it.
    pub fn card(&self) -> &SessionCard {
        &self.card
    }

    /// Takes a step in its life, if it can from where it is, and tells where that leads.
    pub fn step(&self, step: Step) -> Option<Life> {
        let life = &self.card.life;
        let before = life.fetch_update(Ordering::AcqRel, Ordering::Acquire, |life| {
            Life::of(life).after(step).map(|life| life as u8)
        });
        let after = Life::of(before.ok()?).after(step)?;
        match step {
            Step::Park(at) => self.card.parked_at.store(at.0, Ordering::Release),
            Step::Resume | Step::End => self.card.parked_at.store(0, Ordering::Release),
            Step::Claim => {}
        }
        Some(after)
    }

    /// Notes that the client asks for something, or does not any more.
    pub fn mark(&self, mark: Mark, on: bool) {
        match on {
            true => self.card.marks.fetch_or(mark as u8, Ordering::AcqRel),
            false => self.card.marks.fetch_and(!(mark as u8), Ordering::AcqRel),
        };
    }

    /// Whether its client may say that a stanza is from there: any address of its account. Which of them is written is not
    /// the client's choice (RFC 6120 §8.1.2.1).
    pub fn may_speak_as(&self, from: Option<&Jid>) -> bool {
        from.is_none_or(|from| from.bare_str() == self.account.as_str())
    }

    /// Replaces the presence and gives back the one before.
    pub fn set_presence(&self, presence: Option<Presence>, now: Timestamp) -> Option<Presence> {
        let takes =
            |presence: &Option<Presence>| presence.as_ref().is_some_and(|presence| presence.priority >= 0);
        let mut current = lock(&self.card.presence);
        match (takes(&current), takes(&presence)) {
            (false, true) => self.card.takes_since.store(now.0, Ordering::Release),
            (_, false) => self.card.takes_since.store(0, Ordering::Release),
            _ => {}
        }
        std::mem::replace(&mut *current, presence)
    }

    /// Begins to count what the client sends. Refused where it counts already.
    pub fn begin_tally(&self, answer_seconds_max: u32) -> Result<(), AlreadyCounting> {
        let tally = Tally {
            handled: AtomicU32::new(0),
            resumable_seconds: AtomicU32::new(0),
            answer_seconds_max,
        };
        self.tally.set(Box::new(tally)).map_err(|_| AlreadyCounting)
    }

    /// What it counts, if it does.
    pub fn tally(&self) -> Option<&Tally> {
        self.tally.get().map(|tally| &**tally)
    }

    /// A module's fact about this session, made on first use.
    pub fn fact<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        self.facts.of()
    }

    /// A module's fact about this session, if the module ever left one.
    pub fn known_fact<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.facts.known()
    }

    /// Ends the session: what is queued is still written, then the error, then the stream closes.
    pub fn close(&self, error: impl Into<StreamError>) {
        self.outbox.close(error.into());
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.card.fmt(f)
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
            replaced.step(Step::End);
        }
        of_account.push(session.clone());
        Ok(replaced)
    }

    /// Forgets a session; tells whether it was still registered.
    pub fn remove(&self, session: &Session) -> bool {
        let Some(mut of_account) = self.accounts.get_mut(&session.account) else {
            return false;
        };
        session.step(Step::End);
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
