//! The queue of messages for other servers. A message is stored in the same transaction as everything else that it leaves
//! behind here, before its sender gets an acknowledgement, and stays until the other server has it or its sender has it back.
//! After a restart the queue gives what earlier processes left ([`lease`](super::lease)).
//!
//! Only messages are kept. Presence and requests are worth nothing once the connection of their sender is gone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::config::LimitsInForce;
use crate::cx::Cx;
use crate::db::{Db, DbError, Sink};
use crate::error::{Condition, Fault};
use crate::jid::Jid;
use crate::keyed::Locks;
use crate::ns;
use crate::random;
use crate::router::{Destination, Router};
use crate::seal::{SealError, Seals};
use crate::stanza::{Kind, MessageType, Stanza};
use crate::wire::El;

use super::lease::{Lease, Standing};
use super::store::{self, Left, Usage, Waiting};
use super::{Outbound, RowId};

/// Namespaces of elements that mean nothing later.
const PASSING: [&str; 4] = [
    "http://jabber.org/protocol/chatstates",
    HINTS,
    "urn:xmpp:sid:0",
    "urn:xmpp:rtt:0",
];
const HINTS: &str = "urn:xmpp:hints";
/// Low bits of a row's id, which are random: several servers may use one database.
const TIE_BITS: u32 = 11;
/// Rows that are deleted in one transaction.
const DELETED_ROWS_MAX: usize = 256;
/// Domains whose usage is remembered.
const USAGES_MAX: usize = 10_000;
/// Messages that are judged by what is counted in memory before the database is asked again: accounts may be removed, and
/// other servers may use the same database.
const COUNTED_MESSAGES_MAX: usize = 256;
/// Domains that can be counted at the same time.
const LOCKS: usize = 256;
/// Messages that are read at once.
const READ_ROWS_MAX: u32 = 200;
/// Pause before what failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The messages that wait for other servers. Cheap to clone.
#[derive(Clone)]
pub struct OutboundQueue {
    inner: Arc<Inner>,
}

struct Inner {
    router: Weak<Router>,
    db: Db,
    seals: Seals,
    limits: LimitsInForce,
    sink: Sink<Waiting>,
    /// Which rows are this process's own.
    lease: Lease,
    /// When the oldest message was received that waited at the last look; none waits: `i64::MAX`.
    oldest: AtomicI64,
    /// The id of the last row.
    last: AtomicI64,
    usages: Mutex<HashMap<String, Counted>>,
    counting: Locks,
    /// Rows that are no longer needed.
    done: Mutex<Vec<RowId>>,
    /// Whether a task deletes them.
    is_sweeping: AtomicBool,
    sweep: tokio::sync::Mutex<()>,
}

/// How much waits for a domain, and how many messages were judged by that since the database was asked.
#[derive(Clone, Copy)]
struct Counted {
    usage: Usage,
    since: usize,
}

impl OutboundQueue {
    pub(crate) fn new(router: Weak<Router>, db: &Db, seals: &Seals, limits: &LimitsInForce) -> OutboundQueue {
        OutboundQueue {
            inner: Arc::new(Inner {
                router,
                sink: db.sink(store::insert),
                db: db.clone(),
                seals: seals.clone(),
                limits: limits.clone(),
                lease: Lease::new(),
                oldest: AtomicI64::new(i64::MAX),
                last: AtomicI64::new(i64::MIN),
                usages: Mutex::default(),
                counting: Locks::new(LOCKS),
                done: Mutex::default(),
                is_sweeping: AtomicBool::new(false),
                sweep: tokio::sync::Mutex::default(),
            }),
        }
    }

    // ——— keeping ———

    /// Stores a message together with all else that its chain leaves behind, if it is one that is kept. A full queue is
    /// `resource-constraint`.
    pub(crate) async fn keep(&self, stanza: &Stanza, cx: &mut Cx) -> Result<Option<RowId>, Fault> {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else {
            return Ok(None);
        };
        if !is_kept(cx.router().destination(from.domain()), from, stanza) {
            return Ok(None);
        }
        let owner = from.bare();
        let key = self.inner.seals.key(owner.as_str()).await?;
        let (id, process) = self.inner.lease.row(|| self.next_id(cx.received));
        let sealed = key.seal(
            &[&b"outbound"[..], owner.as_str().as_bytes(), &id.0.to_be_bytes()],
            stanza.to_xml().as_bytes(),
        );
        let bytes = sealed.len();
        self.reserve(to.domain(), bytes).await?;
        let domain = to.domain().to_owned();
        let row = Waiting {
            id,
            owner,
            domain: domain.clone(),
            process,
            received_at: cx.received.0,
            stanza: sealed,
        };
        cx.store(&self.inner.sink, row);
        let queue = self.clone();
        cx.afterwards(move |committed| {
            if committed.is_err() {
                queue.release([(domain, bytes)]);
            }
        });
        Ok(Some(id))
    }

    /// Ids rise with each message, whatever the clock does.
    pub(super) fn next_id(&self, received: Timestamp) -> RowId {
        let tie = i64::from(u16::from_le_bytes(random::bytes())) & ((1 << TIE_BITS) - 1);
        let fresh = received.0.saturating_mul(1 << TIE_BITS) | tie;
        let after = |last: i64| fresh.max(last.saturating_add(1));
        let last = self
            .inner
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
        // The closure refuses nothing.
        RowId(after(last.unwrap_or_else(|last| last)))
    }

    /// Counts one more message for a domain, or says that its queue is full.
    async fn reserve(&self, domain: &str, bytes: usize) -> Result<(), Fault> {
        if let Some(reserved) = self.try_reserve(domain, bytes) {
            return Ok(reserved?);
        }
        let _one = self.inner.counting.hold(domain).await;
        if let Some(reserved) = self.try_reserve(domain, bytes) {
            return Ok(reserved?);
        }
        let usage = store::usage(&self.inner.db, domain).await?;
        let mut usages = self.usages();
        if usages.len() >= USAGES_MAX && !usages.contains_key(domain) {
            usages.clear();
        }
        let mut counted = Counted { usage, since: 0 };
        let reserved = self.reserve_in(&mut counted, bytes);
        usages.insert(domain.to_owned(), counted);
        Ok(reserved?)
    }

    /// The same by what is counted in memory, if that is recent.
    fn try_reserve(&self, domain: &str, bytes: usize) -> Option<Result<(), Condition>> {
        let mut usages = self.usages();
        let counted = usages
            .get_mut(domain)
            .filter(|counted| counted.since < COUNTED_MESSAGES_MAX)?;
        Some(self.reserve_in(counted, bytes))
    }

    fn reserve_in(&self, counted: &mut Counted, bytes: usize) -> Result<(), Condition> {
        let limits = self.inner.limits.now();
        let usage = &mut counted.usage;
        counted.since += 1;
        if usage.messages >= limits.s2s_queue_messages_max || usage.bytes + bytes > limits.s2s_queue_bytes_max
        {
            return Err(Condition::ResourceConstraint);
        }
        usage.messages += 1;
        usage.bytes += bytes;
        Ok(())
    }

    /// These wait no longer.
    fn release(&self, rows: impl IntoIterator<Item = (String, usize)>) {
        let mut usages = self.usages();
        for (domain, bytes) in rows {
            if let Some(counted) = usages.get_mut(&domain) {
                counted.usage.messages = counted.usage.messages.saturating_sub(1);
                counted.usage.bytes = counted.usage.bytes.saturating_sub(bytes);
            }
        }
    }

    fn usages(&self) -> MutexGuard<'_, HashMap<String, Counted>> {
        self.inner.usages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ——— whose it is ———

    /// Says where this process runs: `home` stands for a place in which there is one process at a time. What earlier ones left
    /// there can be taken up from now on.
    pub async fn enter(&self, home: i64) -> Result<(), DbError> {
        self.inner.lease.enter(&self.inner.db, home, Instant::now()).await
    }

    /// Shows others that this process lives, and strikes out those that do not. To be called every
    /// [`BEAT_EVERY`](super::BEAT_EVERY).
    pub async fn beat(&self) -> Result<Standing, DbError> {
        self.beat_at(Instant::now()).await
    }

    pub(super) async fn beat_at(&self, now: Instant) -> Result<Standing, DbError> {
        let (lease, db) = (&self.inner.lease, &self.inner.db);
        let last = || RowId(self.inner.last.load(Ordering::Relaxed));
        let standing = lease.beat(db, now, last).await?;
        lease.strike_silent(db, now).await?;
        let oldest = store::oldest(db, lease.process(), RowId(i64::MIN), 1).await?;
        let oldest = oldest.first().map_or(i64::MAX, |row| row.received_at);
        self.inner.oldest.store(oldest, Ordering::Relaxed);
        Ok(standing)
    }

    /// For how many seconds the oldest message has waited, as far as the last [`beat`](OutboundQueue::beat) has seen.
    pub fn oldest_seconds(&self, now: Timestamp) -> u64 {
        match self.inner.oldest.load(Ordering::Relaxed) {
            i64::MAX => 0,
            received => now.seconds_since(Timestamp(received)),
        }
    }

    /// Whether what is kept may be sent now. If not, another process may already send it.
    pub fn may_send(&self) -> bool {
        self.may_send_at(Instant::now())
    }

    pub(super) fn may_send_at(&self, now: Instant) -> bool {
        self.inner.lease.is_held(now)
    }

    /// Whether another process sends this message.
    pub(crate) fn is_lost(&self, row: Option<RowId>) -> bool {
        row.is_some_and(|row| self.inner.lease.is_lost(row))
    }

    /// This process sends nothing more; others may take what it leaves.
    pub async fn leave(&self) -> Result<(), DbError> {
        self.inner.lease.leave(&self.inner.db).await
    }

    /// Takes up messages that processes left that are gone, in the order in which they were sent, at most `limit` at once. From
    /// then on they are this process's own. An empty page is the end. At the start this is to be done before anybody can send,
    /// so that no new message overtakes an old one.
    pub async fn take_up(&self, limit: u32) -> Result<Vec<Outbound>, SealError> {
        loop {
            let rows = self.claim(limit).await?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let found = self.open_all(rows).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn claim(&self, limit: u32) -> Result<Vec<Left>, DbError> {
        let (db, lease) = (&self.inner.db, &self.inner.lease);
        for gone in store::gone(db).await? {
            let process = lease.process();
            if gone == process {
                // It was never entered; these are its own.
                continue;
            }
            let rows = store::claim(db, process, gone, limit).await?;
            if let Some(last) = rows.last() {
                // The clock may have been set back: new messages still come after these.
                self.inner.last.fetch_max(last.id.0, Ordering::Relaxed);
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    }

    /// Reads messages again that are too many to be kept in memory. Those that are missing are not there any more.
    pub async fn read(&self, rows: &[RowId]) -> Result<Vec<Outbound>, SealError> {
        let left = store::read(&self.inner.db, rows).await?;
        self.open_all(left).await
    }

    /// Where nothing can be sent: takes up what is left, and gives messages that have waited for so many hours back to their
    /// senders. Tells how many.
    pub async fn return_expired(&self, keep_hours: u64, now: Timestamp) -> Result<usize, SealError> {
        while !self.claim(READ_ROWS_MAX).await?.is_empty() {}
        let (mut returned, mut after) = (0, RowId(i64::MIN));
        loop {
            let process = self.inner.lease.process();
            let rows = store::oldest(&self.inner.db, process, after, READ_ROWS_MAX).await?;
            let Some(last) = rows.last() else {
                return Ok(returned);
            };
            after = last.id;
            let mut outbounds = self.open_all(rows).await?;
            outbounds.retain(|outbound| outbound.has_expired(keep_hours, now));
            if outbounds.is_empty() {
                // Those that follow are younger.
                return Ok(returned);
            }
            for outbound in &outbounds {
                self.failed(outbound, Condition::RemoteServerTimeout).await;
            }
            returned += outbounds.len();
        }
    }

    async fn open_all(&self, rows: Vec<Left>) -> Result<Vec<Outbound>, SealError> {
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            match self.open(&row).await? {
                Some(outbound) => found.push(outbound),
                None => {
                    tracing::error!(
                        event = "outbound_unreadable",
                        owner = row.owner,
                        bytes = row.stanza.len()
                    );
                    self.delivered(&[row.id]);
                }
            }
        }
        Ok(found)
    }

    /// The message of a row; `None` if nothing will ever open it: its room is gone, or its bytes are damaged.
    async fn open(&self, row: &Left) -> Result<Option<Outbound>, SealError> {
        let Some(key) = self.inner.seals.known_key(&row.owner).await? else {
            return Ok(None);
        };
        let place = [&b"outbound"[..], row.owner.as_bytes(), &row.id.0.to_be_bytes()];
        let opened = key.open(&place, &row.stanza).ok();
        let xml = opened.and_then(|bytes| String::from_utf8(bytes).ok());
        let stanza = xml.and_then(|xml| Stanza::parse(&xml).ok());
        Ok(stanza.map(|stanza| Outbound {
            stanza: Arc::new(stanza),
            received: Timestamp(row.received_at),
            row: Some(row.id),
        }))
    }

    // ——— leaving the queue ———

    /// The other servers have these messages. Their rows are deleted soon, together with others'; nobody waits for that, because
    /// a crash before it only sends them again.
    pub fn delivered(&self, rows: &[RowId]) {
        if rows.is_empty() {
            return;
        }
        self.done().extend_from_slice(rows);
        if !self.inner.is_sweeping.swap(true, Ordering::AcqRel) {
            let queue = self.clone();
            tokio::spawn(async move { queue.sweep_all().await });
        }
    }

    /// The other server cannot have this one: its sender gets it back with the condition. That comes first. If the server
    /// is killed in between, the sender hears of it once more, instead of never. A message that another process has taken
    /// over is that one's business.
    pub async fn failed(&self, outbound: &Outbound, condition: Condition) {
        if let Some(row) = outbound.row
            && !self.owns(row).await
        {
            return;
        }
        if let Some(router) = self.inner.router.upgrade() {
            router.bounce(&outbound.stanza, condition).await;
        }
        self.delivered(outbound.row.as_slice());
    }

    /// Whether a message is still this process's own; waits until that can be said.
    async fn owns(&self, row: RowId) -> bool {
        loop {
            match store::process_of(&self.inner.db, row).await {
                Ok(process) if process != Some(self.inner.lease.process()) => return false,
                Ok(_) if self.may_send() => return true,
                Err(DbError::Closed) => return false,
                Ok(_) | Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// Waits until the rows of all messages that are said to be delivered or to have failed are deleted.
    pub async fn settled(&self) -> Result<(), DbError> {
        let _one = self.inner.sweep.lock().await;
        loop {
            let rows: Vec<RowId> = {
                let mut done = self.done();
                let count = done.len().min(DELETED_ROWS_MAX);
                done.drain(..count).collect()
            };
            if rows.is_empty() {
                return Ok(());
            }
            match store::delete(&self.inner.db, rows.clone()).await {
                Ok(deleted) => self.release(deleted),
                Err(error) => {
                    self.done().extend(rows);
                    return Err(error);
                }
            }
        }
    }

    async fn sweep_all(&self) {
        loop {
            match self.settled().await {
                Ok(()) => {
                    self.inner.is_sweeping.store(false, Ordering::Release);
                    // Somebody may have added one just before.
                    if self.done().is_empty() || self.inner.is_sweeping.swap(true, Ordering::AcqRel) {
                        return;
                    }
                }
                // The server stops. The next one sends these again.
                Err(DbError::Closed) => return,
                Err(error) => {
                    tracing::error!(event = "queue_not_swept", %error);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    fn done(&self) -> MutexGuard<'_, Vec<RowId>> {
        self.inner.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a message is kept: what an account writes, and what a room says to one person (invitations, private messages).
/// A room's own traffic is in its history. What means nothing later, and what its sender does not want stored anywhere
/// (XEP-0334 §3.4), is not.
fn is_kept(sender: Destination, from: &Jid, stanza: &Stanza) -> bool {
    let Kind::Message(kind) = stanza.kind else {
        return false;
    };
    let is_wanted = matches!(
        (sender, kind),
        (
            Destination::Users,
            MessageType::Chat | MessageType::Normal | MessageType::Groupchat
        ) | (Destination::Service(_), MessageType::Chat | MessageType::Normal)
    );
    is_wanted
        && from.local().is_some()
        && !stanza.has("no-store", HINTS)
        && (stanza.has("store", HINTS) || stanza.children().any(|child| lasts(&child)))
}

fn lasts(child: &El<'_>) -> bool {
    !PASSING.contains(&child.ns()) && !child.is("thread", ns::CLIENT)
}
