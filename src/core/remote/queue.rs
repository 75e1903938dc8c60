//! The queue of messages for other servers. A message is stored in the same transaction as everything else that it leaves
//! behind here, before its sender gets an acknowledgement, and stays until the other server has it or its sender has it back.
//! After a restart the queue gives what earlier processes left.
//!
//! Only messages are kept. Presence and requests are worth nothing once the connection of their sender is gone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

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
/// Pause before a failed deletion is tried again.
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
    process: i64,
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
                process: i64::from_le_bytes(random::bytes()),
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
        let id = self.next_id(cx.received);
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
            process: self.inner.process,
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

    // ——— after a restart ———

    /// The messages that earlier processes left, in the order in which they were sent, at most `limit` at once. The next page
    /// begins after the row of the last one; an empty page is the end. To be called before anybody can send, so that no new
    /// message overtakes an old one, and while no other server works on the same database.
    pub async fn waiting(&self, after: Option<RowId>, limit: u32) -> Result<Vec<Outbound>, SealError> {
        let mut after = after.unwrap_or(RowId(i64::MIN));
        loop {
            let rows = store::page(&self.inner.db, after, self.inner.process, limit).await?;
            let Some(last) = rows.last() else {
                return Ok(Vec::new());
            };
            after = last.id;
            // The clock may have been set back: new messages still come after these.
            self.inner.last.fetch_max(after.0, Ordering::Relaxed);
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
            if !found.is_empty() {
                return Ok(found);
            }
        }
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
    /// is killed in between, the sender hears of it once more, instead of never.
    pub async fn failed(&self, outbound: &Outbound, condition: Condition) {
        if let Some(router) = self.inner.router.upgrade() {
            router.bounce(&outbound.stanza, condition).await;
        }
        self.delivered(outbound.row.as_slice());
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
