//! The door for clients. [`listener`] accepts, `negotiate`, `login` and `bind` take a connection to its session, and
//! `session` is the loop it then spends its life in. [`Door`] is what all of them share.

mod bind;
mod bucket;
mod connection;
mod end;
mod features;
mod guesses;
mod handover;
pub mod link;
pub mod listener;
mod login;
mod negotiate;
mod places;
pub mod sasl;
mod secured;
mod session;
mod socket;
mod stream;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use kim_core::config::Limits;
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_core::wire;
use tokio::sync::{Semaphore, watch};

use self::bucket::Failures;
pub(crate) use self::bucket::{Bucket, Rate};
pub(crate) use self::connection::serve;
pub(crate) use self::end::End;
use self::guesses::Guesses;
pub(crate) use self::guesses::Turn;
pub(crate) use self::handover::Registered;
pub(crate) use self::link::bosh;
pub(crate) use self::link::websocket::WebSocket;
pub(crate) use self::link::{Link, Tcp};
pub use self::negotiate::Security;
pub(crate) use self::negotiate::Start;
pub(crate) use self::places::{Origin, Place, Places};
pub(crate) use self::secured::handshake;
pub(crate) use self::socket::Socket;
use self::stream::FAREWELL;
use crate::tls::Certificates;

/// How often addresses that are good again are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// How long clients have to hear their last words while everybody waits for the server to stop.
const FAREWELL_STOPPING: Duration = Duration::from_millis(250);

/// What all client connections share.
pub struct Door {
    router: Arc<Router>,
    certificates: Arc<Certificates>,
    places: Arc<Places>,
    failures: Failures,
    guesses: Arc<Guesses>,
    /// TLS handshakes being computed.
    handshakes: Turns,
    /// Passwords being hashed (PLAIN).
    hashing: Semaphore,
    /// Turns true when the server stops.
    stopping: watch::Sender<bool>,
    /// Connections there are.
    alive: watch::Sender<usize>,
    /// Sessions that have none and are looked after, till another comes or they end.
    waiting: watch::Sender<usize>,
    /// What happened so far.
    pub counters: Counters,
}

/// Turns at something of which only so much is done at a time.
struct Turns(RwLock<Arc<Semaphore>>);

impl Turns {
    fn new(turns_max: usize) -> Turns {
        Turns(RwLock::new(Arc::new(Semaphore::new(turns_max))))
    }

    /// Those to be had now.
    fn now(&self) -> Arc<Semaphore> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on so many, beside those that have begun.
    fn resize(&self, turns_max: usize) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Semaphore::new(turns_max));
    }
}

/// How fast clients may send.
pub(crate) struct Rates {
    pub stanzas: Rate,
    pub bytes: Rate,
}

impl Rates {
    /// What the limits allow, a guest or anybody else.
    pub fn of(limits: &Limits, guest: bool) -> Rates {
        let rate = |per_second: u32, burst: u32| {
            let rate = Rate {
                per_second: per_second as f32,
                burst: burst as f32,
            };
            if guest {
                rate.percent(limits.guest_rate_percent)
            } else {
                rate
            }
        };
        Rates {
            stanzas: rate(limits.stanzas_per_second, limits.stanzas_burst),
            bytes: rate(limits.bytes_per_second, limits.bytes_burst),
        }
    }
}

/// What happened since the start.
#[derive(Default)]
pub struct Counters {
    logins: AtomicU64,
    failed_logins: AtomicU64,
    refused_connections: AtomicU64,
}

impl Counters {
    fn logged_in(&self) {
        self.logins.fetch_add(1, Ordering::Relaxed);
    }

    fn login_failed(&self) {
        self.failed_logins.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused_connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Logins that succeeded.
    pub fn logins(&self) -> u64 {
        self.logins.load(Ordering::Relaxed)
    }

    /// Logins that failed.
    pub fn failed_logins(&self) -> u64 {
        self.failed_logins.load(Ordering::Relaxed)
    }

    /// Connections closed at once because their address had too many.
    pub fn refused_connections(&self) -> u64 {
        self.refused_connections.load(Ordering::Relaxed)
    }
}

impl Door {
    /// A door to the house behind `router`.
    pub fn new(router: Arc<Router>, certificates: Arc<Certificates>) -> Arc<Door> {
        let limits = router.limits();
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Arc::new(Door {
            places: Places::new(
                limits.streams_per_address_max,
                limits.streams_unauthenticated_per_address_max,
            ),
            failures: Failures::new(limits.login_failures_burst, limits.login_failure_refill_seconds),
            guesses: Guesses::new(),
            handshakes: Turns::new(limits.tls_handshakes_concurrent_max),
            hashing: Semaphore::new((cores / 2).max(1)),
            stopping: watch::Sender::new(false),
            alive: watch::Sender::new(0),
            waiting: watch::Sender::new(0),
            counters: Counters::default(),
            router,
            certificates,
        })
    }

    /// The house behind it.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// Goes by other limits from now on: connections that are there keep the form of XML they began with, and their place.
    pub(crate) fn go_by(&self, limits: &Limits) {
        self.places.resize(
            limits.streams_per_address_max,
            limits.streams_unauthenticated_per_address_max,
        );
        self.failures
            .resize(limits.login_failures_burst, limits.login_failure_refill_seconds);
        self.handshakes.resize(limits.tls_handshakes_concurrent_max);
    }

    /// The certificates it shows.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Connections there are.
    pub fn connections(&self) -> usize {
        *self.alive.borrow()
    }

    /// How long a client has to hear our last words.
    fn patience(&self) -> Duration {
        if self.is_stopping() {
            FAREWELL_STOPPING
        } else {
            FAREWELL
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Sessions that wait for a connection.
    pub fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Waits until the server stops.
    pub(crate) async fn stopped(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Whether an address may try a password, after those that were wrong.
    pub(crate) fn may_log_in(&self, address: IpAddr, now: Instant) -> bool {
        self.failures.allows(Origin::of(address), now)
    }

    /// A login failed before a password was looked at.
    pub(crate) fn login_refused(&self) {
        self.counters.login_failed();
    }

    /// A turn at an account's password, for which one may have to wait; `None`: too many others do.
    pub(crate) async fn turn_at(&self, account: &BareJid, origin: Origin) -> Option<Turn> {
        let now = self.router.clock().now();
        self.guesses
            .turn(account, origin, &self.router.limits(), now)
            .await
    }

    /// Logins that are being judged or wait for it, from addresses where nobody is known.
    pub fn logins_in_hand(&self) -> usize {
        self.guesses.in_hand()
    }

    /// A password was looked at, and it is wrong: that costs the address, and the account's name.
    pub(crate) fn guessed(&self, attempt: Turn, now: Instant) {
        self.counters.login_failed();
        self.failures.failed(attempt.origin(), now);
        if let Some(notice) = attempt.failed(self.router.clock().now()) {
            notice.send(&self.router);
        }
    }

    /// Somebody has logged in without a stream.
    pub(crate) fn logged_in(&self) {
        self.counters.logged_in();
    }

    /// A place for a stream from an address, if it may have one more.
    pub(crate) fn place(&self, address: IpAddr) -> Option<Place> {
        self.places.take(Origin::of(address))
    }

    /// How much of anything is read before login.
    pub(crate) fn wire_before_login(&self) -> wire::Limits {
        let limits = self.router.limits();
        wire::Limits {
            space_counts: true,
            ..wire_limits(&limits, limits.stanza_bytes_before_login_max)
        }
    }

    /// How much of anything is read after login.
    pub(crate) fn wire_after_login(&self) -> wire::Limits {
        let limits = self.router.limits();
        wire_limits(&limits, limits.stanza_bytes_max)
    }

    fn alive(self: &Arc<Door>) -> Counted {
        Counted::new(self, |door| &door.alive)
    }

    /// One more session that the end of the server has to wait for.
    pub(crate) fn wait(self: &Arc<Door>) -> Counted {
        Counted::new(self, |door| &door.waiting)
    }

    /// Forgets now and then which addresses failed to log in.
    pub async fn keep_house(&self) {
        loop {
            tokio::time::sleep(FORGET_EVERY).await;
            self.failures.forget(Instant::now());
            self.guesses.forget(self.router.clock().now());
        }
    }

    /// Sends every client away with `system-shutdown` and waits until all are gone. What they sent before is dealt
    /// with, and what waited for those without a connection is handed on. Listeners must have stopped.
    pub async fn close(&self) {
        self.router.stop();
        self.stopping.send_replace(true);
        for session in self.router.sessions().all() {
            // Not closed from here: its answers to what is in hand are still to come.
            session.outbox.wake();
        }
        // The senders live in `self`, so this cannot fail.
        let _ = self.alive.subscribe().wait_for(|alive| *alive == 0).await;
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await;
    }
}

/// One connection, or one session without, as long as it is there.
pub(crate) struct Counted {
    door: Arc<Door>,
    among: fn(&Door) -> &watch::Sender<usize>,
}

impl Counted {
    fn new(door: &Arc<Door>, among: fn(&Door) -> &watch::Sender<usize>) -> Counted {
        among(door).send_modify(|all| *all += 1);
        Counted {
            door: door.clone(),
            among,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.among)(&self.door).send_modify(|all| *all = all.saturating_sub(1));
    }
}

fn wire_limits(limits: &Limits, stanza_bytes_max: usize) -> wire::Limits {
    wire::Limits {
        stanza_bytes_max,
        depth_max: limits.depth_max,
        attributes_max: limits.attributes_max,
        name_bytes_max: limits.name_bytes_max,
        namespaces_max: limits.namespaces_max,
        children_max: limits.children_max,
        header_bytes_max: limits.header_bytes_max,
        space_counts: false,
    }
}
