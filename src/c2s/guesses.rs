//! Passwords tried in vain, by account (docs/security.md, row 10; decision 22). Whoever tries from an address at which the
//! account has not logged in before waits the longer, the more was tried; its owner, where they are known, never does, and
//! hears of it.
//!
//! An account is a name that was asked for, whether there is one or not: who waits learns nothing by it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kim_core::clock::Timestamp;
use kim_core::config::Limits;
use kim_core::jid::BareJid;
use kim_core::ns;
use kim_core::router::{Destination, Router};
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;
use quick_cache::sync::Cache;

use super::places::Origin;

/// Names remembered.
const NAMES_MAX: usize = 100_000;
/// Where somebody has logged in: accounts with addresses.
const KNOWN_MAX: usize = 100_000;
/// One failure is forgotten in so many seconds.
const FORGET_ONE_SECONDS: u64 = 60;
/// More than that makes no difference, so that all of it is forgotten in half an hour.
const FAILURES_MAX: u32 = 30;
/// Tries of one name that may wait at the same time: more of them are refused unheard.
const WAITING_MAX: u32 = 16;
/// Failures that are worth a word to the owner, who gets one a day.
const NOTICE_FAILURES: u32 = 10;
const DAY_SECONDS: u64 = 86_400;

/// What is known of a name.
struct Tried {
    failures: u32,
    /// When the last was forgotten.
    at: Timestamp,
    /// When the last was added.
    last: Timestamp,
    /// Tries that are being judged or wait for it.
    waiting: u32,
    /// Failures of which the owner has not heard, and when the first was.
    untold: u32,
    since: Timestamp,
    told: Option<Timestamp>,
}

impl Tried {
    fn new(now: Timestamp) -> Tried {
        Tried {
            failures: 0,
            at: now,
            last: now,
            waiting: 0,
            untold: 0,
            since: now,
            told: None,
        }
    }

    fn forgive(&mut self, now: Timestamp) {
        let forgiven = now.seconds_since(self.at) / FORGET_ONE_SECONDS;
        if forgiven > 0 {
            let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
            self.failures = self.failures.saturating_sub(forgiven);
            self.at = now;
        }
    }

    /// Whether the entry is still needed, for the delay or for the daily notice. One day after the last failure everything is
    /// forgiven, and the owner may be told of the next failure.
    fn matters(&self, now: Timestamp) -> bool {
        self.waiting > 0 || now.seconds_since(self.last) < DAY_SECONDS
    }
}

/// What the owner is to hear.
#[derive(Debug, PartialEq, Eq)]
pub struct Notice {
    account: BareJid,
    failures: u32,
    since: Timestamp,
}

/// All of it, for every door.
pub struct Guesses {
    names: Mutex<HashMap<BareJid, Tried>>,
    known: Cache<(BareJid, Origin), ()>,
}

/// A turn at an account's password. Dropped, it is over without anything having been judged.
pub struct Turn {
    guesses: Arc<Guesses>,
    account: BareJid,
    origin: Origin,
    is_counted: bool,
}

impl Guesses {
    /// Nobody has tried anything.
    pub fn new() -> Arc<Guesses> {
        Arc::new(Guesses {
            names: Mutex::default(),
            known: Cache::new(KNOWN_MAX),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BareJid, Tried>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a password is judged: waits as long as it takes. `None`: too many wait already.
    pub async fn turn(
        self: &Arc<Guesses>,
        account: &BareJid,
        origin: Origin,
        limits: &Limits,
        now: Timestamp,
    ) -> Option<Turn> {
        let (attempt, delay) = self.begin(account, origin, limits, now)?;
        if !delay.is_zero() {
            tracing::info!(event = "login_delayed", seconds = delay.as_secs());
            tokio::time::sleep(delay).await;
        }
        Some(attempt)
    }

    fn begin(
        self: &Arc<Guesses>,
        account: &BareJid,
        origin: Origin,
        limits: &Limits,
        now: Timestamp,
    ) -> Option<(Turn, Duration)> {
        let mut attempt = Turn {
            guesses: self.clone(),
            account: account.clone(),
            origin,
            is_counted: false,
        };
        if self.known.get(&(account.clone(), origin)).is_some() {
            return Some((attempt, Duration::ZERO));
        }
        let mut names = self.lock();
        make_room(&mut names, account, limits, now);
        let tried = names.entry(account.clone()).or_insert_with(|| Tried::new(now));
        tried.forgive(now);
        // Those that are not judged yet count as wrong, or many at once would all be free.
        let wrong = tried.failures.saturating_add(tried.waiting);
        if tried.waiting >= WAITING_MAX {
            return None;
        }
        tried.waiting += 1;
        attempt.is_counted = true;
        Some((attempt, delay(wrong, limits)))
    }

    /// Tries that are being judged or wait for it, where nobody is known.
    pub fn in_hand(&self) -> usize {
        self.lock().values().map(|tried| tried.waiting as usize).sum()
    }

    /// Forgets what does not matter any more.
    pub fn forget(&self, now: Timestamp) {
        let mut names = self.lock();
        names.retain(|_, tried| tried.matters(now));
        names.shrink_to_fit();
    }
}

/// 1, 2, 4 … seconds behind those that are free.
fn delay(wrong: u32, limits: &Limits) -> Duration {
    let Some(beyond) = wrong.checked_sub(limits.account_failures_burst) else {
        return Duration::ZERO;
    };
    let seconds = 1_u64.checked_shl(beyond.min(32)).unwrap_or(u64::MAX);
    Duration::from_secs(seconds.min(limits.account_failure_delay_seconds_max))
}

/// So many names at once are an attack: those go first for which little was tried, and nobody who is guessed at in earnest.
fn make_room(names: &mut HashMap<BareJid, Tried>, account: &BareJid, limits: &Limits, now: Timestamp) {
    if names.len() < NAMES_MAX || names.contains_key(account) {
        return;
    }
    names.retain(|_, tried| {
        tried.forgive(now);
        tried.waiting > 0 || tried.failures > limits.account_failures_burst
    });
    if names.len() >= NAMES_MAX {
        names.clear();
    }
}

impl Turn {
    /// Whose password it is at.
    pub fn account(&self) -> &BareJid {
        &self.account
    }

    /// Where it is tried from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The password was right: the account is known here from now on. So many tries before it, on the same stream, were
    /// wrong: they were the owner's own mistakes.
    pub fn succeeded(self, mistakes: u32) {
        self.guesses.known.insert((self.account.clone(), self.origin), ());
        if mistakes > 0
            && let Some(tried) = self.guesses.lock().get_mut(&self.account)
        {
            tried.failures = tried.failures.saturating_sub(mistakes);
            tried.untold = tried.untold.saturating_sub(mistakes);
        }
    }

    /// It was wrong.
    #[must_use = "the owner is to hear of it"]
    pub fn failed(self, now: Timestamp) -> Option<Notice> {
        let mut names = self.guesses.lock();
        let tried = names
            .entry(self.account.clone())
            .or_insert_with(|| Tried::new(now));
        tried.forgive(now);
        tried.failures = tried.failures.saturating_add(1).min(FAILURES_MAX);
        tried.at = now;
        tried.last = now;
        if tried.untold == 0 {
            tried.since = now;
        }
        tried.untold = tried.untold.saturating_add(1);
        let is_told = tried
            .told
            .is_some_and(|told| now.seconds_since(told) < DAY_SECONDS);
        if tried.untold < NOTICE_FAILURES || is_told {
            return None;
        }
        tried.told = Some(now);
        Some(Notice {
            account: self.account.clone(),
            failures: std::mem::take(&mut tried.untold),
            since: tried.since,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_counted
            && let Some(tried) = self.guesses.lock().get_mut(&self.account)
        {
            tried.waiting = tried.waiting.saturating_sub(1);
        }
    }
}

impl Notice {
    /// Writes to the owner, if there is one: at once, or when they come online. Who guesses does not wait for it.
    pub fn send(self, router: &Arc<Router>) {
        let router = router.clone();
        tokio::spawn(async move {
            let is_ours = router.destination(self.account.domain()) == Destination::Users;
            if !is_ours || !router.accounts().exists(&self.account).await.unwrap_or(false) {
                return;
            }
            let Some(mut cx) = router.cx() else { return };
            tracing::warn!(event = "account_guessed_at", account = %self.account, failures = self.failures);
            cx.send(self.message());
            router.finish(cx).await;
        });
    }

    fn message(&self) -> Stanza {
        let since = self.since.to_string();
        let since = since.split('.').next().unwrap_or_default().replace('T', " ");
        let text = format!(
            "Somebody has tried to log in to this account with a wrong password {} times since {since} UTC. Nobody got in. \
             If that was not one of your own devices, there is nothing you need to do, as long as your password is a good \
             one and not used elsewhere. You hear of this once a day at most.",
            self.failures
        );
        let mut xml = Writer::new();
        xml.start("body", ns::CLIENT).text(&text).end();
        let message = Stanza::new(Kind::Message(MessageType::Normal), &xml.finish_string());
        message
            .from(self.account.to_domain())
            .to(self.account.clone())
            .id(kim_core::random::token())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const DAY: i64 = 1_700_000_000_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(DAY + seconds as i64 * 1_000_000)
    }

    fn from(last: u8) -> Origin {
        Origin::of([192, 0, 2, last].into())
    }

    fn alice() -> BareJid {
        BareJid::parse("alice@localhost").unwrap()
    }

    fn fail(guesses: &Arc<Guesses>, origin: Origin, now: Timestamp) -> (Duration, Option<Notice>) {
        let (attempt, delay) = guesses.begin(&alice(), origin, &Limits::default(), now).unwrap();
        (delay, attempt.failed(now))
    }

    fn wait_of(guesses: &Arc<Guesses>, origin: Origin, now: Timestamp) -> u64 {
        let begun = guesses.begin(&alice(), origin, &Limits::default(), now);
        begun.unwrap().1.as_secs()
    }

    #[test]
    fn who_guesses_waits_longer_and_longer_wherever_they_come_from() {
        let guesses = Guesses::new();
        let waits: Vec<u64> = (0..12)
            .map(|from_there| fail(&guesses, from(from_there), at(0)).0.as_secs())
            .collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 10, 10, 10]);
        // Other names are not concerned.
        let bob = BareJid::parse("bob@localhost").unwrap();
        let begun = guesses.begin(&bob, from(0), &Limits::default(), at(0));
        assert_eq!(begun.unwrap().1, Duration::ZERO);
        // Time heals.
        assert_eq!(wait_of(&guesses, from(50), at(60 * 4)), 8);
        assert_eq!(wait_of(&guesses, from(50), at(60 * 8)), 0);
        assert_eq!(
            wait_of(&guesses, from(50), at(0)),
            0,
            "a clock that goes back harms nobody"
        );
    }

    #[test]
    fn the_owner_never_waits_where_they_are_known() {
        let guesses = Guesses::new();
        let home = guesses.begin(&alice(), from(1), &Limits::default(), at(0));
        home.unwrap().0.succeeded(0);
        for _ in 0..20 {
            let _ = fail(&guesses, from(66), at(1));
        }
        let held: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                guesses
                    .begin(&alice(), from(66), &Limits::default(), at(1))
                    .unwrap()
            })
            .collect();
        assert!(
            guesses
                .begin(&alice(), from(66), &Limits::default(), at(1))
                .is_none()
        );
        assert_eq!(wait_of(&guesses, from(1), at(1)), 0);
        // Elsewhere they wait like anybody, and are known from then on.
        drop(held);
        let (elsewhere, delay) = guesses
            .begin(&alice(), from(2), &Limits::default(), at(1))
            .unwrap();
        assert_eq!(delay.as_secs(), 10);
        elsewhere.succeeded(0);
        assert_eq!(wait_of(&guesses, from(2), at(1)), 0);
    }

    #[test]
    fn mistakes_before_a_success_are_forgiven_and_those_of_others_are_not() {
        let guesses = Guesses::new();
        for _ in 0..7 {
            let _ = fail(&guesses, from(3), at(0));
        }
        for _ in 0..2 {
            let _ = fail(&guesses, from(4), at(0));
        }
        let (turn, _) = guesses
            .begin(&alice(), from(4), &Limits::default(), at(0))
            .unwrap();
        turn.succeeded(2);
        assert_eq!(wait_of(&guesses, from(3), at(0)), 4, "as after seven");
        // Nine were wrong, and two of them do not count: the owner hears after three more.
        let told: Vec<bool> = (0..3)
            .map(|_| fail(&guesses, from(3), at(0)).1.is_some())
            .collect();
        assert_eq!(told, [false, false, true]);
    }

    #[test]
    fn many_at_once_are_no_way_around() {
        let guesses = Guesses::new();
        let all: Vec<_> =
            std::iter::from_fn(|| guesses.begin(&alice(), from(9), &Limits::default(), at(0))).collect();
        let waits: Vec<u64> = all.iter().map(|(_, delay)| delay.as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 10, 10, 10, 10, 10, 10, 10]);
        // Who hangs up has not been judged.
        drop(all);
        assert_eq!(wait_of(&guesses, from(9), at(0)), 0);
    }

    #[test]
    fn the_owner_hears_of_it_once_a_day() {
        let guesses = Guesses::new();
        let notices = |count: usize, now: Timestamp| -> Vec<Notice> {
            (0..count)
                .filter_map(|_| fail(&guesses, from(3), now).1)
                .collect()
        };
        assert_eq!(notices(9, at(100)), []);
        let told = notices(1, at(160));
        assert_eq!((told[0].failures, told[0].since), (10, at(100)));
        let text = told[0].message().to_xml();
        assert!(text.contains("10 times since 2023-11-14 22:15:00 UTC"), "{text}");
        assert!(
            text.contains("from='localhost'") && text.contains("to='alice@localhost'"),
            "{text}"
        );
        guesses.forget(at(4_000));
        assert_eq!(notices(50, at(5_000)), []);
        let told = notices(1, at(160 + DAY_SECONDS));
        assert_eq!((told[0].failures, told[0].since), (51, at(5_000)));
        // When nothing was tried for a day, nothing is remembered.
        guesses.forget(at(3 * DAY_SECONDS));
        assert!(guesses.lock().is_empty());
    }

    #[test]
    fn names_that_nobody_has_do_not_push_out_the_one_that_is_guessed_at() {
        let guesses = Guesses::new();
        for _ in 0..10 {
            let _ = fail(&guesses, from(4), at(0));
        }
        for at_name in 0..NAMES_MAX + 10 {
            let name = BareJid::parse(&format!("n{at_name}@localhost")).unwrap();
            let (attempt, _) = guesses.begin(&name, from(4), &Limits::default(), at(0)).unwrap();
            let _ = attempt.failed(at(0));
        }
        assert!(guesses.lock().len() <= NAMES_MAX);
        assert_eq!(wait_of(&guesses, from(5), at(0)), 10);
    }

    #[tokio::test]
    async fn who_must_wait_is_not_judged_at_once() {
        let guesses = Guesses::new();
        let limits = Limits::default();
        for _ in 0..8 {
            let _ = fail(&guesses, from(3), at(0));
        }
        let (here, there) = (from(3), from(4));
        guesses.known.insert((alice(), there), ());
        assert!(
            guesses
                .turn(&alice(), here, &limits, at(0))
                .now_or_never()
                .is_none()
        );
        let known = guesses.turn(&alice(), there, &limits, at(0)).now_or_never();
        assert!(known.is_some_and(|turn| turn.is_some()));
        // Who did not wait to the end is not in anybody's way.
        assert_eq!(guesses.lock()[&alice()].waiting, 0);
    }
}
