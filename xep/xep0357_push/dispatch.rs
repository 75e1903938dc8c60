//! What becomes of news for a device: it is published at once, collapsed into the notification that went before, or tried
//! again later ([`super::due`]). The table knows what is owed ([`super::store`]), so a restart forgets nothing; in memory is
//! only what is under way, and what makes notifications few.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::{Rate, Rates};
use kim_core::random;
use kim_core::router::{Destination, Router};
use kim_core::session::{Mark, Session, SessionId};
use quick_cache::unsync::Cache;
use tokio::sync::oneshot;

use super::PushConfig;
use super::figures::{Failure, Figures};
use super::publish::{self, Priority, Summary};
use super::registration::{Registration, Registrations};
use super::state::{
    OverNews, PushPlace, RINGING_SECONDS, UnseenNews, WakeDecision, WakeNews, WasWoken, Watched, after, lock,
};
use crate::xep0198_sm::api::Patience;
use crate::xep0402_sticky::api::RoomWishes;

/// So long an app server may take to answer.
const ANSWER_SECONDS: u32 = 60;
/// Before the first further attempt; each one doubles it.
const RETRY_SECONDS: u32 = 30;
/// It is doubled up to here.
const RETRY_SECONDS_MAX: u32 = 3_600;
/// Attempts for one notification. Together they take about an hour.
const TRIES_MAX: u32 = 8;
/// What stands in front of a domain of this server in the address of its own app server.
const OWN: &str = "push.";
/// How often an account's devices may be woken to see whether that works. All of them can be, one after another.
const TESTS: Rate = Rate {
    per_second: 1.0 / 6.0,
    burst: 20.0,
};
/// Accounts whose tests are counted.
const TESTERS_MAX: usize = 10_000;
/// A notification that found no room waits so long.
const CROWDED_SECONDS: u32 = 10;

/// A notification that an app server has and did not answer.
pub(super) struct Underway {
    place: PushPlace,
    registration: Arc<Registration>,
    since: Timestamp,
    pub deadline: Timestamp,
    tries: u32,
    /// It is not tried again: nobody rings an hour later, and what is over may begin again.
    is_fleeting: bool,
    /// Who wants to know how it went.
    tester: Option<PushTester>,
}

/// Is told how a notification went.
type PushTester = oneshot::Sender<Result<(), Failure>>;

/// A notification that is about to be published.
pub(super) struct Sending {
    summary: Summary,
    pub tries: u32,
    is_fleeting: bool,
    tester: Option<PushTester>,
}

impl Sending {
    pub fn new(summary: Summary, is_fleeting: bool) -> Sending {
        Sending {
            summary,
            tries: 0,
            is_fleeting,
            tester: None,
        }
    }
}

/// The module at work.
pub(super) struct Dispatch {
    pub config: PushConfig,
    pub registrations: Registrations,
    pub figures: Arc<Figures>,
    pub(super) watched: Mutex<HashMap<SessionId, Watched>>,
    /// What members want to hear of rooms, where there are any.
    pub wishes: Option<Arc<RoomWishes>>,
    patience: Option<Arc<Patience>>,
    pub(super) unseen: Mutex<Cache<PushPlace, UnseenNews>>,
    pub(super) underway: Mutex<HashMap<Box<str>, Underway>>,
    /// When something is due in the table, in microseconds since 1970; the largest number while nothing is.
    pub(super) next_due: AtomicI64,
    /// Until when a device may ring that was told of a call, in microseconds since 1970.
    ringing_until: AtomicI64,
    pub(super) ticking: AtomicBool,
    pub(super) turn: tokio::sync::Mutex<()>,
    tests: Rates<BareJid>,
}

impl Dispatch {
    pub fn new(
        config: PushConfig,
        registrations: Registrations,
        patience: Option<Arc<Patience>>,
        wishes: Option<Arc<RoomWishes>>,
        figures: Arc<Figures>,
    ) -> Dispatch {
        let unseen = Mutex::new(Cache::new(config.remembered_max / 4));
        Dispatch {
            config,
            registrations,
            figures,
            watched: Mutex::default(),
            wishes,
            patience,
            unseen,
            underway: Mutex::default(),
            next_due: AtomicI64::new(i64::MAX),
            ringing_until: AtomicI64::new(0),
            ticking: AtomicBool::new(false),
            turn: tokio::sync::Mutex::default(),
            tests: Rates::new(TESTERS_MAX),
        }
    }

    // ——— who is there ———

    /// The session is that of a device with a registration.
    pub fn belongs(&self, session: &Session) {
        session.mark(Mark::Push, true);
        if let Some(patience) = &self.patience {
            patience.extend(session);
        }
    }

    /// The client of a session with a registration is there and hears: it is owed nothing.
    pub async fn back(&self, session: &Session) -> Result<(), Fault> {
        if let Some(woken) = session.known_fact::<WasWoken>() {
            woken.0.store(false, Ordering::Release);
        }
        for registration in self.registrations.of(&session.account).await?.iter() {
            if registration.is_of(&session.jid) {
                self.belongs(session);
                self.forget(&session.account, registration.tag);
            }
        }
        Ok(())
    }

    /// What was to be told under a registration is known.
    pub fn forget(&self, account: &BareJid, tag: i64) {
        let place = (account.clone(), tag);
        let mut unseen = lock(&self.unseen);
        let Some(mut of_device) = unseen.get_mut(&place) else {
            return;
        };
        let was_owed = of_device.is_owed;
        of_device.seen();
        drop(of_device);
        drop(unseen);
        if was_owed {
            drop(self.registrations.store.settled(account, tag));
        }
    }

    /// Something is over on all devices of an account, wherever it was seen. Devices that show it still are told, as far as
    /// this server's own app server wakes them: others cannot be told without being woken.
    pub async fn over(
        self: &Arc<Self>,
        account: &BareJid,
        over: OverNews<'_>,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let router = cx.router().clone();
        let now = router.clock().now();
        for registration in self.registrations.of(account).await?.iter() {
            let place = (account.clone(), registration.tag);
            let shows_it = lock(&self.unseen).get_mut(&place).map(|mut unseen| match over {
                OverNews::Read(chat) => unseen.read(chat),
                OverNews::Call => unseen.hang_up(now),
            });
            if shows_it != Some(true) {
                continue;
            }
            if matches!(over, OverNews::Read(_)) {
                self.forget(account, registration.tag);
            }
            if is_own(registration, &router) {
                let mut summary = self.summary(&place, registration, None, &router);
                summary.priority = Priority::Low;
                self.publish(place, registration, Sending::new(summary, true), cx);
            }
        }
        Ok(())
    }

    /// Ends registrations. Sessions that have no other are waited for no longer than any.
    pub async fn remove(
        &self,
        account: &BareJid,
        which: &[Arc<Registration>],
        router: &Router,
    ) -> Result<(), Fault> {
        if which.is_empty() {
            return Ok(());
        }
        self.registrations.remove(account, which).await?;
        for registration in which {
            lock(&self.unseen).remove(&(account.clone(), registration.tag));
        }
        let rest = self.registrations.of(account).await?;
        for session in router.sessions().of(account) {
            if session.has(Mark::Push) && !rest.iter().any(|one| one.is_of(&session.jid)) {
                session.mark(Mark::Push, false);
                if let Some(patience) = &self.patience {
                    patience.shorten(&session);
                }
            }
        }
        Ok(())
    }

    // ——— sending ———

    /// There is news for a device that sleeps or is gone.
    pub fn tell(
        self: &Arc<Self>,
        account: &BareJid,
        registration: &Arc<Registration>,
        news: &WakeNews<'_>,
        cx: &mut Cx,
    ) {
        let now = cx.router().clock().now();
        let place = (account.clone(), registration.tag);
        match self.decide(&place, news, now) {
            WakeDecision::Collapsed => {
                self.figures.collapsed.fetch_add(1, Ordering::Relaxed);
            }
            WakeDecision::TooMany => self.figures.fail(Failure::Rate),
            WakeDecision::Later(seconds) => self.owe(&place, after(now, seconds), 0, cx.router()),
            WakeDecision::Send => {
                for session in cx.router().sessions().of(account) {
                    if registration.is_of(&session.jid) {
                        session.fact::<WasWoken>().0.store(true, Ordering::Release);
                        if let Some(patience) = &self.patience {
                            patience.woken(&session, now);
                        }
                    }
                }
                let is_call = matches!(news, WakeNews::Call(_));
                if is_call {
                    self.ringing_until
                        .fetch_max(after(now, RINGING_SECONDS).0, Ordering::AcqRel);
                }
                let mut summary = self.summary(&place, registration, Some(news), cx.router());
                if is_call && is_own(registration, cx.router()) {
                    summary.priority = Priority::High;
                }
                self.publish(place, registration, Sending::new(summary, is_call), cx);
            }
        }
    }

    /// Whether there may be a device that rings because it was told of a call. Each message asks, so where nobody was ever
    /// called nobody looks at the clock.
    pub fn may_ring(&self, router: &Router) -> bool {
        let until = self.ringing_until.load(Ordering::Acquire);
        until > 0 && until > router.clock().now().0
    }

    fn decide(&self, place: &PushPlace, news: &WakeNews<'_>, now: Timestamp) -> WakeDecision {
        let mut unseen = lock(&self.unseen);
        if unseen.get(place).is_none() {
            unseen.insert(place.clone(), UnseenNews::default());
        }
        match unseen.get_mut(place) {
            Some(mut unseen) => unseen.decide(news, now, self.config.repeat_seconds),
            None => WakeDecision::Send,
        }
    }

    /// What a notification says. Who wrote, and what, only where the client asked for it and the policy allows. This server's
    /// own app server learns nothing new by the address, and passes it on only to whom it can encrypt it for.
    pub(super) fn summary(
        &self,
        place: &PushPlace,
        registration: &Registration,
        news: Option<&WakeNews<'_>>,
        router: &Router,
    ) -> Summary {
        let mut unseen = lock(&self.unseen);
        let counted = unseen
            .get_mut(place)
            .map(|unseen| (unseen.messages(), unseen.subscriptions()));
        // What was counted before a restart is not known any more. It was something.
        let (messages, subscriptions) = counted.unwrap_or((1, 0));
        let (from, body) = match news {
            Some(WakeNews::Message(said)) => (said.from.as_ref(), said.body.as_deref()),
            Some(WakeNews::Call(from) | WakeNews::Subscription(from)) => (*from, None),
            None => (None, None),
        };
        let content = self.config.content;
        Summary {
            messages,
            subscriptions,
            sender: from
                .filter(|_| {
                    registration.wish.sender && (content.tells_sender() || is_own(registration, router))
                })
                .cloned(),
            body: body
                .filter(|_| registration.wish.body && content.tells_body())
                .map(str::to_owned),
            priority: Priority::Normal,
        }
    }

    pub(super) fn publish(
        self: &Arc<Self>,
        place: PushPlace,
        registration: &Arc<Registration>,
        sending: Sending,
        cx: &mut Cx,
    ) {
        let (tries, is_fleeting) = (sending.tries, sending.is_fleeting);
        if registration.removed.load(Ordering::Acquire) {
            return;
        }
        let now = cx.router().clock().now();
        let id: Box<str> = format!("{}{}", publish::ID, random::token()).into();
        let stanza = publish::stanza(&place.0, registration, &sending.summary, &id);
        let deadline = after(now, ANSWER_SECONDS);
        let mut underway = lock(&self.underway);
        if underway.len() >= self.config.underway_max {
            drop(underway);
            self.figures.fail(Failure::Crowded);
            if !is_fleeting {
                self.owe(&place, after(now, CROWDED_SECONDS), tries, cx.router());
            }
            return;
        }
        let sent = Underway {
            place: place.clone(),
            registration: registration.clone(),
            since: now,
            deadline,
            tries,
            is_fleeting,
            tester: sending.tester,
        };
        underway.insert(id, sent);
        self.count(&underway);
        drop(underway);
        self.figures.sent.fetch_add(1, Ordering::Relaxed);
        match is_fleeting {
            true => self.keep_ticking(cx.router()),
            // Should the process end before the answer, the next one sends it again.
            false => self.owe(&place, deadline, tries, cx.router()),
        }
        cx.send(stanza);
    }

    /// Says how many are under way.
    pub(super) fn count(&self, underway: &HashMap<Box<str>, Underway>) {
        self.figures
            .underway
            .store(underway.len() as u64, Ordering::Relaxed);
    }

    /// The table knows that a notification is to be sent.
    fn owe(self: &Arc<Self>, place: &PushPlace, at: Timestamp, tries: u32, router: &Arc<Router>) {
        let (account, tag) = place;
        if let Some(mut unseen) = lock(&self.unseen).get_mut(place) {
            unseen.is_owed = true;
        }
        drop(self.registrations.store.due(account, *tag, at, tries));
        self.next_due.fetch_min(at.0, Ordering::AcqRel);
        self.keep_ticking(router);
    }

    pub(super) fn owes_nothing(&self, place: &PushPlace) {
        if let Some(mut unseen) = lock(&self.unseen).get_mut(place) {
            unseen.is_owed = false;
        }
    }

    /// Forgets what is under way, so that nobody waits for an answer.
    #[cfg(test)]
    pub fn settle_all(&self) {
        for (_, sent) in lock(&self.underway).drain() {
            drop(self.registrations.store.settled(&sent.place.0, sent.place.1));
        }
        lock(&self.watched).clear();
    }

    /// Wakes the device of a registration, to see whether that works. Tells how it went; an answer takes at most a minute.
    pub async fn test(
        self: &Arc<Self>,
        account: &BareJid,
        registration: &Arc<Registration>,
        router: &Arc<Router>,
    ) -> Result<(), Failure> {
        if !self.tests.take(account, TESTS, router.clock().now()) {
            return Err(Failure::Rate);
        }
        let (tester, outcome) = oneshot::channel();
        let Some(mut cx) = router.cx() else {
            return Err(Failure::Unreachable);
        };
        let sending = Sending {
            tester: Some(tester),
            ..Sending::new(Summary::nothing(), true)
        };
        self.publish(
            (account.clone(), registration.tag),
            registration,
            sending,
            &mut cx,
        );
        router.finish(cx).await;
        // It was not sent, or its registration has ended meanwhile.
        outcome.await.unwrap_or(Err(Failure::Crowded))
    }

    // ——— answers ———

    /// Takes the notification that an app server answers. Nobody else can answer for it.
    fn answered(&self, id: &str, from: &Jid, to: &BareJid) -> Option<Underway> {
        let mut underway = lock(&self.underway);
        let sent = underway.get(id)?;
        let is_theirs = sent.registration.service == *from && sent.place.0 == *to;
        let sent = is_theirs.then(|| underway.remove(id)).flatten();
        self.count(&underway);
        sent
    }

    /// The app server's word on a notification.
    pub async fn hear(
        self: &Arc<Self>,
        id: &str,
        from: &Jid,
        to: &BareJid,
        answer: publish::Answered,
        cx: &mut Cx,
    ) -> Result<bool, Fault> {
        let Some(mut sent) = self.answered(id, from, to) else {
            return Ok(false);
        };
        let (account, tag) = &sent.place;
        let now = cx.router().clock().now();
        match answer {
            publish::Answered::Taken => {
                sent.registration.failures.store(0, Ordering::Relaxed);
                let store = &self.registrations.store;
                drop(match sent.is_fleeting {
                    true => store.taken(account, *tag, now),
                    false => {
                        self.owes_nothing(&sent.place);
                        store.delivered(account, *tag, now)
                    }
                });
                self.figures.take(now.0 - sent.since.0);
                if let Some(tester) = sent.tester {
                    // Whoever asked may have gone.
                    let _ = tester.send(Ok(()));
                }
            }
            publish::Answered::Refused => {
                self.failed(&mut sent, Failure::Refused, now);
                self.end(&sent, "refused", cx.router()).await?;
            }
            publish::Answered::Useless => {
                self.failed(&mut sent, Failure::Useless, now);
                self.give_up(&sent, cx.router()).await?;
            }
            publish::Answered::Unreachable => self.again(sent, Failure::Unreachable, cx.router()).await?,
            publish::Answered::NotNow => self.again(sent, Failure::NotNow, cx.router()).await?,
        }
        Ok(true)
    }

    fn failed(&self, sent: &mut Underway, failure: Failure, now: Timestamp) {
        self.figures.fail(failure);
        let (account, tag) = &sent.place;
        drop(self.registrations.store.failed(account, *tag, now, failure.why()));
        if let Some(tester) = sent.tester.take() {
            let _ = tester.send(Err(failure));
        }
    }

    /// The notification failed, and may not fail the next time.
    pub(super) async fn again(
        self: &Arc<Self>,
        mut sent: Underway,
        failure: Failure,
        router: &Arc<Router>,
    ) -> Result<(), Fault> {
        self.failed(&mut sent, failure, router.clock().now());
        let tries = sent.tries + 1;
        if sent.is_fleeting {
            return Ok(());
        }
        if tries >= TRIES_MAX {
            return self.give_up(&sent, router).await;
        }
        let seconds = RETRY_SECONDS
            .saturating_mul(1 << sent.tries.min(16))
            .min(RETRY_SECONDS_MAX);
        // Up to a quarter more, so that those who failed together do not all come back together.
        let [more] = random::bytes::<1>();
        let seconds = seconds + seconds / 4 * u32::from(more) / 255;
        self.owe(&sent.place, after(router.clock().now(), seconds), tries, router);
        Ok(())
    }

    /// A notification was in vain. A registration under which that happens too often in a row is over (§7.1).
    async fn give_up(self: &Arc<Self>, sent: &Underway, router: &Arc<Router>) -> Result<(), Fault> {
        let failures = sent.registration.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= self.config.failures_max {
            return self.end(sent, "failed too often", router).await;
        }
        if !sent.is_fleeting
            && let Some(mut unseen) = lock(&self.unseen).get_mut(&sent.place)
        {
            unseen.failed();
        }
        drop(self.registrations.store.given_up(&sent.place.0, sent.place.1));
        Ok(())
    }

    async fn end(&self, sent: &Underway, why: &'static str, router: &Router) -> Result<(), Fault> {
        let (account, service) = (&sent.place.0, sent.registration.service.domain());
        tracing::info!(event = "push_registration_ended", %account, service, why);
        self.remove(account, std::slice::from_ref(&sent.registration), router)
            .await
    }
}

/// Whether a registration is with this server's own app server. Other services of this server pass on what they are told.
pub(super) fn is_own(registration: &Registration, router: &Router) -> bool {
    let served = registration.service.as_str().strip_prefix(OWN);
    served.is_some_and(|domain| router.destination(domain) == Destination::Users)
}
