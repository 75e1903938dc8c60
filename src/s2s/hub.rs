//! What all streams between servers share.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use kim_core::config::{Proof, S2s};
use kim_core::error::{Condition, StreamCondition, StreamError};
use kim_core::jid::Jid;
use kim_core::remote::{Outbound, Remotes};
use kim_core::router::{Destination, Router};
use kim_core::wire;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::rustls::RootCertStore;

use super::courier;
use super::dialback::{self, Addresses, Verdict};
use super::dns::{self, Dns, SharedLookup};
use super::exchange::{Chain, is_fatal};
use super::identity::{self, Unproven};
use super::key::DialbackSecret;
use super::ledger::{Ledger, QueueLedger};
use super::life::{Counting, How, Life, PeerEnd};
use super::management::Parked;
use super::pair::{Carrier, DomainPair, Pushed, Room, Suspended, put_back};
use super::reach::{self, Failed};
use super::status::Probes;
use super::{dane, tls};
use crate::c2s::Door;
use crate::tls::Certificates;

/// How long a stream that was cut can be resumed.
pub const RESUMABLE: Duration = Duration::from_secs(300);
/// How long streams have to end while everybody waits for the server to stop.
const CLOSING: Duration = Duration::from_secs(5);
/// Servers of a domain whose TLSA records are asked for when one connects without a trusted certificate.
const DANE_TARGETS_MAX: usize = 4;

/// How far the end of the server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not begun.
    Open,
    /// Nothing more is taken from other servers.
    Quiet,
    /// Streams are closed once everything is written.
    Closing,
}

/// What happened since the start.
#[derive(Default)]
pub struct FederationCounters {
    /// Stanzas that came.
    pub received: AtomicU64,
    /// Stanzas that went.
    pub sent: AtomicU64,
    /// Stanzas that came back to their senders.
    pub returned: AtomicU64,
    /// Connections closed because there were too many.
    pub refused: AtomicU64,
    /// Failed attempts to reach a server, by what the senders were told.
    pub failures: Mutex<HashMap<&'static str, u64>>,
}

pub(super) type Pairs = HashMap<Arc<str>, HashMap<Arc<str>, Arc<DomainPair>>>;

/// The streams to and from other servers.
pub struct Federation {
    door: Arc<Door>,
    settings: S2s,
    /// The settings whose `allow` and `deny` hold.
    pub(super) listed: RwLock<S2s>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) lookup: SharedLookup,
    pub(super) roots: RootCertStore,
    pub(super) secret: DialbackSecret,
    dialbacks: Semaphore,
    ledger: RwLock<Arc<dyn Ledger>>,
    pub(super) pairs: RwLock<Pairs>,
    pub(super) pairs_count: AtomicUsize,
    waiting_bytes: Arc<AtomicUsize>,
    streams: Mutex<HashMap<u64, Arc<Life>>>,
    stream_count: watch::Sender<usize>,
    pub(super) unverified: Arc<AtomicUsize>,
    pub(super) parked: Mutex<HashMap<String, Parked>>,
    /// Pings of operators.
    pub(super) probes: Probes,
    next_id: AtomicU64,
    phase: watch::Sender<Phase>,
    /// What happened so far.
    pub counters: FederationCounters,
    own: Weak<Federation>,
}

impl Federation {
    /// What other servers are reached by, as the configuration says. Reads files.
    pub fn open(door: Arc<Door>, certificates: Arc<Certificates>) -> Result<Arc<Federation>, String> {
        let settings = door.router().config().s2s.clone();
        let lookup = Arc::new(Dns::open(&settings).map_err(|error| format!("DNS: {error}"))?);
        Federation::with(door, certificates, lookup)
    }

    /// The same with another DNS.
    pub fn with(
        door: Arc<Door>,
        certificates: Arc<Certificates>,
        lookup: SharedLookup,
    ) -> Result<Arc<Federation>, String> {
        let router = door.router().clone();
        let settings = router.config().s2s.clone();
        let roots = tls::roots(settings.ca.as_deref())?;
        let limits = router.limits();
        let ledger: Arc<dyn Ledger> = Arc::new(QueueLedger::of(&router));
        Ok(Arc::new_cyclic(|own| Federation {
            listed: RwLock::new(settings.clone()),
            settings,
            certificates,
            lookup,
            roots,
            secret: DialbackSecret::random(),
            dialbacks: Semaphore::new(limits.s2s_dialbacks_concurrent_max),
            ledger: RwLock::new(ledger),
            pairs: RwLock::default(),
            pairs_count: AtomicUsize::new(0),
            waiting_bytes: Arc::default(),
            streams: Mutex::default(),
            stream_count: watch::Sender::new(0),
            unverified: Arc::default(),
            parked: Mutex::default(),
            probes: Probes::default(),
            next_id: AtomicU64::new(1),
            phase: watch::Sender::new(Phase::Open),
            counters: FederationCounters::default(),
            own: own.clone(),
            door,
        }))
    }

    /// From now on, stanzas are accounted for there.
    pub fn account_to(&self, ledger: Arc<dyn Ledger>) {
        *self.ledger.write().unwrap_or_else(PoisonError::into_inner) = ledger;
    }

    /// The house.
    pub fn router(&self) -> &Arc<Router> {
        self.door.router()
    }

    /// The door for clients, whose limits by address hold here too.
    pub(super) fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// For tasks that outlive a call.
    pub(super) fn itself(&self) -> Option<Arc<Federation>> {
        self.own.upgrade()
    }

    /// `[s2s]`.
    pub fn settings(&self) -> &S2s {
        &self.settings
    }

    pub(super) fn wire_before_proof(&self) -> wire::Limits {
        self.door.wire_before_login()
    }

    pub(super) fn wire_after_proof(&self) -> wire::Limits {
        self.door.wire_after_login()
    }

    // ——— who is who ———

    /// Whether a domain is one of this server, in whatever way.
    pub(super) fn is_ours(&self, domain: &str) -> bool {
        self.router().destination(domain) != Destination::Remote
    }

    /// Whether this server speaks to others as that domain. Guests stay inside.
    pub(super) fn speaks_as(&self, domain: &str) -> bool {
        !matches!(
            self.router().destination(domain),
            Destination::Remote | Destination::Guests
        )
    }

    /// Whether the certificates that a server has shown prove a domain: by an authority, or by DANE.
    pub(super) async fn judge_chain(&self, domain: &str, chain: &Chain) -> Result<(), Unproven> {
        let unproven = match identity::judge(chain, &self.roots, domain) {
            Ok(()) => return Ok(()),
            Err(unproven) if chain.is_empty() => return Err(unproven),
            Err(unproven) => unproven,
        };
        let targets = dns::targets(&*self.lookup, domain, &self.settings).await;
        for target in targets.unwrap_or_default().iter().take(DANE_TARGETS_MAX) {
            let named = self.lookup.associations(domain, target).await;
            if !named.is_empty() && dane::judge(chain, &named, Err(unproven.clone()), domain).is_ok() {
                return Ok(());
            }
        }
        Err(unproven)
    }

    /// Answers whether a key is one of ours (XEP-0220 §2.2.2).
    pub(super) fn recognise(&self, asked: &Addresses, id: &str, key: &str) -> Verdict {
        if !self.speaks_as(&asked.to) {
            return Verdict::Error(Some(Condition::ItemNotFound));
        }
        match self.secret.is_key(key, &asked.from, &asked.to, id) {
            true => Verdict::Valid,
            false => Verdict::Invalid,
        }
    }

    /// Judges a key that was shown as proof of a domain (XEP-0220 §2.2.1); an error ends the stream.
    pub(super) async fn judge_key(
        self: &Arc<Federation>,
        life: &Arc<Life>,
        addresses: Addresses,
        key: String,
        chain: &Chain,
    ) -> Result<(), PeerEnd> {
        if self.is_ours(&addresses.from) {
            return Err(StreamCondition::InvalidFrom.into());
        }
        let limits = self.router().limits();
        let (pending, proved, id) = {
            let state = life.state();
            (state.pending, state.proved.len(), state.stream_id.clone())
        };
        if pending >= limits.s2s_dialbacks_per_stream_max || proved >= limits.s2s_domains_per_stream_max {
            let error = StreamError::new(StreamCondition::PolicyViolation);
            return Err(error.text("too many domains on one stream").into());
        }
        let refuse = |condition| {
            life.say(&dialback::result(
                &addresses.swapped(),
                &Verdict::Error(Some(condition)),
            ));
            Ok(())
        };
        if !self.speaks_as(&addresses.to) {
            return refuse(Condition::ItemNotFound);
        }
        if !self.permits(&addresses.from) {
            return refuse(Condition::PolicyViolation);
        }
        if self.judge_chain(&addresses.from, chain).await.is_ok() {
            let answer = dialback::result(&addresses.swapped(), &Verdict::Valid);
            self.proved(life, &addresses.to, &addresses.from, How::Certificate, &answer);
            return Ok(());
        }
        // A name that is the sum of a key can be asked back, and cannot have a certificate.
        let is_hidden = dns::is_hidden(&addresses.from) && self.settings.socks.is_some();
        if self.settings.proof_of(&addresses.from) == Proof::Certificate && !is_hidden {
            tracing::info!(
                event = "s2s_refused",
                from = addresses.from,
                to = addresses.to,
                "a certificate is required ([s2s] require)"
            );
            return refuse(Condition::NotAuthorized);
        }
        life.state().pending += 1;
        let (hub, life) = (self.clone(), life.clone());
        tokio::spawn(async move { hub.ask_back(&life, addresses, &id, &key).await });
        Ok(())
    }

    /// Asks the authoritative server, and tells the other side what it said.
    async fn ask_back(&self, life: &Life, addresses: Addresses, id: &str, key: &str) {
        let verdict = match self.dialbacks.try_acquire() {
            Err(_) => Verdict::Error(Some(Condition::ResourceConstraint)),
            Ok(_turn) => {
                let question = addresses.swapped();
                let asked = tokio::select! {
                    asked = reach::ask(self, &question, id, key) => Some(asked),
                    () = life.over() => None,
                };
                match asked {
                    None => return,
                    Some(Ok(Verdict::Error(_))) => Verdict::Error(Some(Condition::RemoteServerNotFound)),
                    Some(Ok(verdict)) => verdict,
                    Some(Err(failed)) => {
                        self.failed(&addresses.to, &addresses.from, &failed);
                        Verdict::Error(Some(failed.condition))
                    }
                }
            }
        };
        {
            let mut state = life.state();
            state.pending = state.pending.saturating_sub(1);
        }
        let answer = dialback::result(&addresses.swapped(), &verdict);
        match verdict {
            Verdict::Valid => {
                self.proved(life, &addresses.to, &addresses.from, How::Dialback, &answer);
            }
            Verdict::Invalid => {
                tracing::warn!(event = "s2s_forged", claimed = addresses.from, to = addresses.to);
                if is_fatal(life, &verdict) {
                    life.say(&answer);
                    life.end(PeerEnd::Closed);
                } else {
                    let forbidden = Verdict::Error(Some(Condition::Forbidden));
                    life.say(&dialback::result(&addresses.swapped(), &forbidden));
                }
            }
            Verdict::Error(_) => life.say(&answer),
        }
    }

    /// A domain has been proved on a stream, and the other side is told. With XEP-0288 the stream then also carries what goes
    /// there.
    pub(super) fn proved(&self, life: &Life, local: &str, remote: &str, how: How, answer: &str) {
        if life.prove(remote, how) {
            tracing::info!(
                event = "s2s_proved",
                stream = life.id,
                from = remote,
                to = local,
                proof = how.as_str()
            );
        }
        life.say(answer);
        if !life.bidi.load(Ordering::Acquire) {
            return;
        }
        let Ok(pair) = self.pair(local, remote) else {
            return;
        };
        let carrier = Carrier {
            id: life.id,
            ready: life.ready.clone(),
        };
        if pair.attach(carrier) {
            life.state().pairs.push(pair);
            life.ready.notify_one();
        }
    }

    // ——— streams ———

    /// A new stream.
    pub(super) fn begin(&self, is_incoming: bool, address: Option<SocketAddr>) -> Arc<Life> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let life = Life::new(id, is_incoming, address, self.router().clock().now());
        let mut streams = self.lock_streams();
        streams.insert(id, life.clone());
        self.stream_count.send_replace(streams.len());
        life
    }

    /// A stream is over: what it has not delivered waits for another one.
    pub(super) fn bury(self: &Arc<Federation>, life: &Arc<Life>) {
        let (pairs, counting, end, proved) = {
            let mut state = life.state();
            state.place = None;
            state.unverified = None;
            let pairs = std::mem::take(&mut state.pairs);
            (
                pairs,
                state.counting.take(),
                state.end.clone(),
                state.proved.clone(),
            )
        };
        if let Some(counting) = counting {
            self.put_aside(
                life,
                counting,
                matches!(end, None | Some(PeerEnd::Lost)),
                &pairs,
                proved,
            );
        }
        for pair in &pairs {
            if pair.detach(life.id) {
                self.send_courier(pair);
            }
        }
        let mut streams = self.lock_streams();
        streams.remove(&life.id);
        self.stream_count.send_replace(streams.len());
        drop(streams);
        life.done.send_replace(true);
    }

    /// What is left of stream management.
    fn put_aside(
        &self,
        life: &Arc<Life>,
        counting: Counting,
        was_cut: bool,
        pairs: &[Arc<DomainPair>],
        proved: Vec<(Arc<str>, How)>,
    ) {
        let until = Instant::now() + RESUMABLE;
        match (counting.id.clone(), pairs.first()) {
            (Some(id), _) if was_cut && life.is_incoming && self.phase() == Phase::Open => {
                self.park(id, Parked::new(counting, proved, until));
            }
            (Some(id), Some(pair)) if was_cut && !life.is_incoming => pair.suspend(Suspended {
                id,
                confirmed: counting.confirmed,
                unconfirmed: counting
                    .unconfirmed
                    .into_iter()
                    .map(|(_, outbound)| outbound)
                    .collect(),
                handled: counting.handled,
                until,
            }),
            (id, _) => {
                if let Some(id) = id {
                    self.forget_parked(&id);
                }
                put_back(counting.unconfirmed.into());
            }
        }
    }

    fn lock_streams(&self) -> MutexGuard<'_, HashMap<u64, Arc<Life>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All streams, in the order in which they began.
    pub fn streams(&self) -> Vec<Arc<Life>> {
        let mut all: Vec<_> = self.lock_streams().values().cloned().collect();
        all.sort_by_key(|life| life.id);
        all
    }

    /// How many streams there are.
    pub fn stream_count(&self) -> usize {
        *self.stream_count.borrow()
    }

    // ——— what leaves ———

    /// The pair of two domains, made if need be.
    fn pair(&self, local: &str, remote: &str) -> Result<Arc<DomainPair>, Condition> {
        let pairs_max = self.router().limits().s2s_pairs_max;
        self.pair_of(local, remote, pairs_max)
            .ok_or(Condition::ResourceConstraint)
    }

    /// The same, unless it would be one too many.
    pub(super) fn pair_of(&self, local: &str, remote: &str, pairs_max: usize) -> Option<Arc<DomainPair>> {
        let known = |pairs: &Pairs| pairs.get(remote)?.get(local).cloned();
        if let Some(pair) = known(&self.pairs.read().unwrap_or_else(PoisonError::into_inner)) {
            return Some(pair);
        }
        let mut pairs = self.pairs.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(pair) = known(&pairs) {
            return Some(pair);
        }
        if self.pairs_count.load(Ordering::Relaxed) >= pairs_max {
            return None;
        }
        let pair = DomainPair::new(local, remote, self.waiting_bytes.clone());
        let of_remote = pairs.entry(pair.remote.clone()).or_default();
        of_remote.insert(pair.local.clone(), pair.clone());
        self.pairs_count.fetch_add(1, Ordering::Relaxed);
        Some(pair)
    }

    /// All pairs.
    pub(super) fn pairs(&self) -> Vec<Arc<DomainPair>> {
        let pairs = self.pairs.read().unwrap_or_else(PoisonError::into_inner);
        pairs.values().flat_map(HashMap::values).cloned().collect()
    }

    /// Whom a stanza is from and for, if it may leave.
    pub(super) fn addresses(&self, outbound: &Outbound) -> Result<(Jid, Jid), Condition> {
        let (Some(from), Some(to)) = (&outbound.stanza.from, &outbound.stanza.to) else {
            return Err(Condition::BadRequest);
        };
        if !self.speaks_as(from.domain()) {
            return Err(Condition::Forbidden);
        }
        match self.refusal(to.domain()) {
            Some(condition) => Err(condition),
            None => Ok((from.clone(), to.clone())),
        }
    }

    /// How much may wait.
    pub(super) fn room(&self) -> Room {
        let limits = self.router().limits();
        Room {
            bytes_max: limits.s2s_queue_bytes_max,
            total_bytes_max: limits.s2s_queues_bytes_max,
        }
    }

    pub(super) fn send_courier(&self, pair: &Arc<DomainPair>) {
        if let (Some(hub), Phase::Open) = (self.own.upgrade(), self.phase()) {
            tokio::spawn(courier::run(hub, pair.clone()));
        }
    }

    pub(super) fn delivered(&self, outbound: &Outbound) {
        let ledger = self.ledger.read().unwrap_or_else(PoisonError::into_inner).clone();
        ledger.delivered(outbound);
    }

    pub(super) fn returned(&self, outbound: Outbound, condition: Condition) {
        self.counters.returned.fetch_add(1, Ordering::Relaxed);
        self.probes.returned(&outbound.stanza, condition);
        let ledger = self.ledger.read().unwrap_or_else(PoisonError::into_inner).clone();
        ledger.returned(outbound, condition);
    }

    /// An attempt has failed: one line that says why.
    pub(super) fn failed(&self, local: &str, remote: &str, failed: &Failed) {
        let condition = failed.condition.as_str();
        let mut failures = self
            .counters
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *failures.entry(condition).or_default() += 1;
        drop(failures);
        let why: String = failed.why.chars().filter(|c| !c.is_control()).take(500).collect();
        tracing::warn!(event = "s2s_failed", from = local, to = remote, condition, why);
    }

    /// Stanzas and bytes that wait for all domains.
    pub fn waiting(&self) -> (usize, usize) {
        let stanzas = self.pairs().iter().map(|pair| pair.waiting().0).sum();
        (stanzas, self.waiting_bytes.load(Ordering::Relaxed))
    }

    // ——— the end ———

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the end has come so far.
    pub(super) async fn reached(&self, phase: Phase) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Takes nothing more from other servers.
    pub fn hush(&self) {
        self.phase.send_replace(Phase::Quiet);
    }

    /// Writes what waits for streams that are there, and closes all with `system-shutdown`.
    pub async fn close(&self) {
        self.phase.send_replace(Phase::Closing);
        let mut count = self.stream_count.subscribe();
        let all_over = count.wait_for(|count| *count == 0);
        let _ = tokio::time::timeout(CLOSING, all_over).await;
    }
}

impl Remotes for Federation {
    fn push(&self, outbound: Outbound) -> Result<(), Condition> {
        let (from, to) = self.addresses(&outbound)?;
        if self.phase() == Phase::Closing {
            return Err(Condition::RemoteServerTimeout);
        }
        let pair = self.pair(from.domain(), to.domain())?;
        if pair.push(outbound, self.room(), Instant::now())? == Pushed::NeedsCourier {
            self.send_courier(&pair);
        }
        Ok(())
    }

    fn refusal(&self, domain: &str) -> Option<Condition> {
        if self.is_ours(domain) || (dns::is_hidden(domain) && self.settings.socks.is_none()) {
            return Some(Condition::RemoteServerNotFound);
        }
        (!self.permits(domain)).then_some(Condition::RemoteServerNotFound)
    }
}
