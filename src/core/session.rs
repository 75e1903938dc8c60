//! A session as the rest of the house sees it: who it is, what it told us, and an outbox. The task that owns the
//! socket holds the other end; nobody else ever waits for that socket.

use std::any::{Any, TypeId};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dashmap::DashMap;
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::error::{StreamCondition, StreamError};
use crate::jid::{BareJid, Jid};
use crate::stanza::Stanza;

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
    /// Set when it is taken out of the house while its socket may still be open.
    left: AtomicBool,
    /// Rooms' own facts about the session. Empty for most: allocated when first used.
    facts: Mutex<Vec<(TypeId, Arc<dyn Any + Send + Sync>)>>,
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
            left: AtomicBool::new(false),
            facts: Mutex::new(Vec::new()),
        })
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
    pub fn set_presence(&self, presence: Option<Presence>) -> Option<Presence> {
        std::mem::replace(&mut *lock(&self.presence), presence)
    }

    /// A room's fact about this session, made on first use.
    pub fn fact<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        let key = TypeId::of::<T>();
        let mut facts = lock(&self.facts);
        if let Some(found) = facts
            .iter()
            .find(|(id, _)| *id == key)
            .and_then(|(_, f)| f.clone().downcast().ok())
        {
            return found;
        }
        let made = Arc::new(T::default());
        facts.push((key, made.clone()));
        made
    }

    /// A room's fact about this session, if the room ever left one.
    pub fn known_fact<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let key = TypeId::of::<T>();
        lock(&self.facts)
            .iter()
            .find(|(id, _)| *id == key)
            .and_then(|(_, fact)| fact.clone().downcast().ok())
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

/// A stanza ready to be written: its own opening, and the tail all recipients share.
pub struct Parcel {
    /// The opening tag with its attributes.
    pub head: Bytes,
    /// The rest.
    pub tail: Bytes,
    /// What it was, should it never be written.
    pub stanza: Arc<Stanza>,
    /// When what caused it was received: its place among others if it has to find another way.
    pub received: Timestamp,
}

impl Parcel {
    /// How many bytes it writes.
    pub fn bytes(&self) -> usize {
        self.head.len() + self.tail.len()
    }
}

/// Why a parcel was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The session is over.
    Closed,
    /// The limit in bytes is reached; the session is being ended for it.
    Full,
}

/// A queue towards one socket, bounded in bytes, that allocates nothing while it is empty.
pub struct Outbox {
    queue: Mutex<Queue>,
    bytes_max: usize,
    /// Wakes the socket's task. A permit is kept, so a push between two waits is not lost.
    ready: Notify,
    /// Read without the lock by those who only want to know.
    closed: AtomicBool,
}

#[derive(Default)]
struct Queue {
    parcels: VecDeque<Parcel>,
    bytes: usize,
    /// Set once; nothing is taken afterwards.
    closing: Option<StreamError>,
}

impl Outbox {
    fn new(bytes_max: usize) -> Outbox {
        Outbox {
            queue: Mutex::new(Queue::default()),
            bytes_max,
            ready: Notify::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Queues a stanza. A reader too slow for the limit is ended with `resource-constraint`; what it did not
    /// take goes back to the router.
    pub fn push(&self, stanza: Arc<Stanza>, received: Timestamp) -> Result<(), Refused> {
        let parcel = Parcel {
            head: stanza.head(),
            tail: stanza.tail(),
            stanza,
            received,
        };
        let weight = parcel.bytes();
        let mut queue = lock(&self.queue);
        if queue.closing.is_some() {
            return Err(Refused::Closed);
        }
        if queue.bytes + weight > self.bytes_max {
            drop(queue);
            self.close(StreamError::new(StreamCondition::ResourceConstraint).text("you read too slowly"));
            return Err(Refused::Full);
        }
        queue.bytes += weight;
        queue.parcels.push_back(parcel);
        drop(queue);
        self.ready.notify_one();
        Ok(())
    }

    /// Takes everything that waits, and the closing error once the session is to end.
    pub fn take(&self) -> (VecDeque<Parcel>, Option<StreamError>) {
        let mut queue = lock(&self.queue);
        queue.bytes = 0;
        (std::mem::take(&mut queue.parcels), queue.closing.clone())
    }

    /// Takes the first parcels, as many as fit in `bytes_max` but at least one. What stays counts against the
    /// limit. The closing error comes with the last parcel.
    pub fn take_some(&self, bytes_max: usize) -> (VecDeque<Parcel>, Option<StreamError>) {
        let mut queue = lock(&self.queue);
        let mut taken = VecDeque::new();
        let mut bytes = 0;
        while let Some(weight) = queue.parcels.front().map(Parcel::bytes) {
            if !taken.is_empty() && bytes + weight > bytes_max {
                return (taken, None);
            }
            bytes += weight;
            queue.bytes = queue.bytes.saturating_sub(weight);
            taken.extend(queue.parcels.pop_front());
        }
        // An idle session keeps no memory for its next message.
        queue.parcels = VecDeque::new();
        (taken, queue.closing.clone())
    }

    /// Bytes that wait to be taken.
    pub fn queued_bytes(&self) -> usize {
        lock(&self.queue).bytes
    }

    /// Waits until [`Outbox::take`] has something to give.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Wakes the socket's task although there is nothing to take.
    pub fn wake(&self) {
        self.ready.notify_one();
    }

    /// Takes nothing more; the first reason stays.
    pub fn close(&self, error: StreamError) {
        lock(&self.queue).closing.get_or_insert(error);
        self.closed.store(true, Ordering::Release);
        self.ready.notify_one();
    }

    /// Whether the session is ending or over.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
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
