//! Messages for an account that is away (XEP-0160): kept in order, and handed over, before anything live, to the next
//! session that takes messages for the bare JID.
//!
//! Between "nobody is there, keep it" and "I am there, what waited?" nothing may slip through. Both decide while they
//! hold the account's lock, and a session counts as there only once it has seen that nothing waits any more: until then
//! it is [`Mark::CatchingUp`] and live messages queue behind the old ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kim_core::clock::Timestamp;
use kim_core::config::LimitsInForce;
use kim_core::cx::Cx;
use kim_core::db::Db;
use kim_core::error::{Condition, Fault};
use kim_core::events::{Keeping, Undelivered};
use kim_core::hook::Hear;
use kim_core::jid::BareJid;
use kim_core::keyed::Locks;
use kim_core::router::{Destination, Router};
use kim_core::seal::{self, Seals};
use kim_core::session::{Mark, Presence, Resources, Session};
use kim_core::stanza::{self, Stanza};

use super::api::Archived;
use super::delivery::takes_bare;
use super::guard::is_our_delay;
use super::rosters::Rosters;
use super::store::offline::{OfflineKey, OfflineStore, Usage, Waiting};
use super::{kept, worth};

/// Bytes handed to a session at once; then its client has to read.
const BATCH_BYTES_MAX: usize = 262_144;
/// How often it is looked whether the client has read, in milliseconds.
const LOOK_MS: u64 = 20;
/// Accounts whose usage is remembered.
const USAGES_MAX: usize = 10_000;
/// Messages judged by what is counted in memory before the database is asked again: other nodes keep messages too.
const COUNTED_MESSAGES_MAX: usize = 64;

/// How much an account is known to have waiting, and how many messages were judged by that since the database was asked.
#[derive(Clone, Copy)]
struct Counted {
    usage: Usage,
    since: usize,
}

/// Accounts whose messages can be worked on at the same time.
const LOCKS: usize = 256;

/// Messages that wait.
pub struct Offline {
    store: OfflineStore,
    seals: Seals,
    limits: LimitsInForce,
    bytes_max: usize,
    locks: Locks,
    usages: Mutex<HashMap<BareJid, Counted>>,
}

impl Offline {
    /// The messages in a database.
    pub fn new(db: &Db, seals: &Seals, limits: LimitsInForce, bytes_max: usize) -> Offline {
        Offline {
            store: OfflineStore::new(db.clone()),
            seals: seals.clone(),
            limits,
            bytes_max,
            locks: Locks::new(LOCKS),
            usages: Mutex::default(),
        }
    }

    /// How many messages may wait; 0: none.
    fn messages_max(&self) -> usize {
        self.limits.now().offline_messages_max
    }

    /// Whether messages wait here at all.
    pub fn is_kept(&self) -> bool {
        self.messages_max() > 0
    }

    /// Forgets everything that waits for an account: its client has it from elsewhere.
    pub async fn clear(&self, account: &BareJid) -> Result<(), Fault> {
        let _held = self.locks.hold(account).await;
        self.forget_usage(account);
        Ok(self.store.clear(account).await?)
    }

    // ——— keeping ———

    /// Keeps a message for an account. The ticket is on the `cx`: whoever sent it is answered after the commit.
    async fn keep(&self, account: &BareJid, stanza: &Stanza, cx: &mut Cx) -> Result<(), Fault> {
        let key = OfflineKey::new(cx.received);
        let sealing = self.seals.key(account.as_str()).await?;
        let sealed = kept::seal(stanza, &sealing, &aad(account, key));
        let usage = self.usage(account).await?;
        if usage.messages >= self.messages_max() || usage.bytes + sealed.len() > self.bytes_max {
            if cx
                .fact::<Archived>()
                .is_some_and(|archived| archived.account == *account)
            {
                return Ok(());
            }
            // XEP-0160 §2: the queue is full.
            return Err(Condition::ServiceUnavailable.into());
        }
        self.count(account, sealed.len());
        cx.store(&self.store.sink, Waiting::new(account, key, sealed));
        // Under the lock that its caller holds: whoever comes next must find it in the queue.
        cx.flush();
        Ok(())
    }

    /// How much waits for an account, committed or not. Its caller holds the account's lock.
    async fn usage(&self, account: &BareJid) -> Result<Usage, Fault> {
        if let Some(usage) = self.known_usage(account) {
            return Ok(usage);
        }
        let usage = self.store.usage(account).await?;
        let mut usages = self.usages.lock().unwrap_or_else(PoisonError::into_inner);
        if usages.len() >= USAGES_MAX && !usages.contains_key(account) {
            usages.clear();
        }
        usages.insert(account.clone(), Counted { usage, since: 0 });
        Ok(usage)
    }

    fn known_usage(&self, account: &BareJid) -> Option<Usage> {
        let mut usages = self.usages.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = usages
            .get_mut(account)
            .filter(|counted| counted.since < COUNTED_MESSAGES_MAX)?;
        counted.since += 1;
        Some(counted.usage)
    }

    /// One more waits.
    fn count(&self, account: &BareJid, bytes: usize) {
        let mut usages = self.usages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = usages.get_mut(account) {
            counted.usage.messages += 1;
            counted.usage.bytes += bytes;
        }
    }

    pub(super) fn forget_usage(&self, account: &BareJid) {
        self.usages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(account);
    }

    // ——— handing over ———

    /// A session becomes available with a non-negative priority: it gets what waits, oldest first, then counts as there.
    /// What its outbox cannot take at once follows as the client reads.
    pub async fn arrive(self: &Arc<Self>, router: &Arc<Router>, session: &Arc<Session>, presence: Presence) {
        // If an earlier presence began it, it goes on.
        let begin = self.messages_max() > 0 && !session.has(Mark::CatchingUp);
        if begin {
            session.mark(Mark::CatchingUp, true);
        }
        session.set_presence(Some(presence), router.clock().now());
        if begin && !self.hand_over(router, session).await {
            let (offline, router, session) = (self.clone(), router.clone(), session.clone());
            tokio::spawn(async move { offline.hand_over_slowly(&router, &session).await });
        }
    }

    /// Hands over as much as goes at once; tells whether that was all. If the database fails, what waits goes on waiting
    /// for the next arrival.
    async fn hand_over(&self, router: &Arc<Router>, session: &Arc<Session>) -> bool {
        match self.try_hand_over(router, session).await {
            Ok(all) => all,
            Err(fault) => {
                tracing::error!(event = "offline_messages_stuck", ?fault);
                session.mark(Mark::CatchingUp, false);
                true
            }
        }
    }

    async fn try_hand_over(&self, router: &Arc<Router>, session: &Arc<Session>) -> Result<bool, Fault> {
        loop {
            let held = self.locks.hold(&session.account).await;
            let waiting = self.store.first(&session.account).await?;
            let wanted =
                session.priority().is_some_and(|priority| priority >= 0) && !session.outbox.is_closed();
            if waiting.is_empty() || !wanted {
                session.mark(Mark::CatchingUp, false);
                return Ok(true);
            }
            drop(held);
            let sealing = self.seals.key(session.account.as_str()).await?;
            let (keys, stanzas) = self.batch(router, session, &sealing, waiting);
            if keys.is_empty() {
                return Ok(false);
            }
            let Some(mut cx) = router.cx() else {
                return Ok(true);
            };
            for stanza in stanzas {
                cx.deliver(session, Arc::new(stanza));
            }
            router.finish(cx).await;
            let _held = self.locks.hold(&session.account).await;
            self.store.delete(&session.account, keys).await?;
            self.forget_usage(&session.account);
        }
    }

    /// What fits into the session's outbox now, stamped; and the keys of it and of what cannot be read.
    fn batch(
        &self,
        router: &Router,
        session: &Session,
        sealing: &seal::Key,
        waiting: Vec<(OfflineKey, Vec<u8>)>,
    ) -> (Vec<OfflineKey>, Vec<Stanza>) {
        let queued_bytes_max = queued_bytes_max(router);
        let mut queued_bytes = session.outbox.queued_bytes();
        let (mut keys, mut stanzas) = (Vec::new(), Vec::new());
        for (key, bytes) in waiting {
            if queued_bytes > 0 && queued_bytes + bytes.len() > queued_bytes_max {
                break;
            }
            queued_bytes += bytes.len();
            keys.push(key);
            let stanza = kept::open(&session.account, &bytes, sealing, &aad(&session.account, key));
            stanzas.extend(stanza.map(|stanza| stamped(router, session, stanza, key)));
        }
        (keys, stanzas)
    }

    async fn hand_over_slowly(&self, router: &Arc<Router>, session: &Arc<Session>) {
        loop {
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
            let unread = session.outbox.queued_bytes() > queued_bytes_max(router) / 2;
            if (!unread || session.outbox.is_closed()) && self.hand_over(router, session).await {
                return;
            }
        }
    }
}

/// Where a waiting message belongs, and opens.
fn aad(account: &BareJid, key: OfflineKey) -> Vec<Vec<u8>> {
    vec![
        b"offline".to_vec(),
        account.as_str().into(),
        key.received_at.to_be_bytes().to_vec(),
        key.id.to_be_bytes().to_vec(),
    ]
}

/// What waits to be read by one client may fill its outbox up to here, so that live stanzas find room.
fn queued_bytes_max(router: &Router) -> usize {
    BATCH_BYTES_MAX.min(router.limits().outbox_bytes_max / 2)
}

/// XEP-0203: since when it waited, in the name of the account's server. A message on its way for the second time says
/// that already.
fn stamped(router: &Router, session: &Session, mut stanza: Stanza, key: OfflineKey) -> Stanza {
    if !stanza.children().any(|child| is_our_delay(router, &child)) {
        stanza.append(&stanza::delay(
            session.account.domain(),
            Timestamp(key.received_at),
        ));
    }
    stanza
}

/// Keeps messages that found nobody.
pub struct KeepOffline {
    /// Where.
    pub offline: Arc<Offline>,
    /// Who may know that somebody is away.
    pub rosters: Arc<Rosters>,
}

impl Hear<Undelivered> for KeepOffline {
    async fn hear(&self, event: &mut Undelivered, cx: &mut Cx) -> Result<(), Fault> {
        let router = cx.router().clone();
        if event.keeping != Keeping::Nobody
            || self.offline.messages_max() == 0
            || router.destination(event.account.domain()) != Destination::Users
        {
            return Ok(());
        }
        match worth::of(&event.stanza) {
            worth::Worth::Keep => {}
            worth::Worth::Nothing => {
                event.keeping = Keeping::Settled;
                return Ok(());
            }
            worth::Worth::Unwanted => return self.lose(&router, event).await,
        }
        let held = self.offline.locks.hold(&event.account).await;
        let here: Resources = router
            .sessions_of(&event.account)
            .await
            .into_iter()
            .filter(|s| takes_bare(s))
            .collect();
        if here.is_empty() {
            self.offline.keep(&event.account, &event.stanza, cx).await?;
            event.keeping = Keeping::Stored;
        } else {
            // Somebody came meanwhile.
            let shared = Arc::new(event.stanza.clone());
            here.iter()
                .for_each(|session| cx.deliver(session, shared.clone()));
            event.keeping = Keeping::Settled;
        }
        drop(held);
        Ok(())
    }
}

impl KeepOffline {
    /// A message that its sender does not want kept (XEP-0334 §4.2) is lost. Only those who may see that the recipient is
    /// away are told.
    async fn lose(&self, router: &Router, event: &mut Undelivered) -> Result<(), Fault> {
        let sender = event.stanza.from.as_ref().map(|from| from.bare());
        let may_know = match sender {
            None => false,
            Some(sender) if sender == event.account => true,
            Some(sender) => self
                .rosters
                .item(router, &event.account, &sender)
                .await?
                .is_some_and(|item| item.state.is_from()),
        };
        if !may_know {
            event.keeping = Keeping::Settled;
        }
        Ok(())
    }
}
