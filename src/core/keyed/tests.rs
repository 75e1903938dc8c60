//! Stories of caches that are read while others change what they hold, of locks by key, and of rates.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use tokio::sync::Notify;

use super::*;
use crate::clock::Timestamp;
use crate::jid::BareJid;

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

fn cache(name: &'static str) -> (Caches, Shared<BareJid, u32>) {
    let caches = Caches::default();
    let shared = Shared::new(&caches, name, 100);
    (caches, shared)
}

async fn read(shared: &Shared<BareJid, u32>, key: &BareJid, value: u32) -> u32 {
    let read = async || Ok::<_, ()>(value);
    shared.read(key, read).await.unwrap()
}

#[tokio::test]
async fn a_value_is_read_once_until_it_is_invalidated() {
    let (_, shared) = cache("test");
    let alice = jid("alice@localhost");
    assert_eq!(read(&shared, &alice, 1).await, 1);
    assert_eq!(read(&shared, &alice, 2).await, 1, "from memory");
    shared.invalidate(&alice);
    assert_eq!(read(&shared, &alice, 3).await, 3);
    assert_eq!(read(&shared, &jid("bob@localhost"), 4).await, 4);
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let (_, shared) = cache("test");
    let alice = jid("alice@localhost");
    assert_eq!(shared.read(&alice, async || Err("away")).await, Err("away"));
    assert_eq!(read(&shared, &alice, 1).await, 1);
}

#[tokio::test]
async fn several_who_want_the_same_read_it_once() {
    let (_, shared) = cache("test");
    let (alice, reads) = (jid("alice@localhost"), AtomicUsize::new(0));
    let one = || {
        shared.read(&alice, async || {
            reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok::<_, ()>(7)
        })
    };
    let all = futures_util::future::join_all((0..20).map(|_| one())).await;
    assert_eq!(all, vec![Ok(7); 20]);
    assert_eq!(reads.into_inner(), 1);
}

/// Invalidates in one of several ways while a value is being read; the value must not stay.
async fn read_while(invalidate: impl FnOnce(&Caches, &Shared<BareJid, u32>, &BareJid)) {
    let (caches, shared) = cache("test");
    let alice = jid("alice@localhost");
    let (began, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let reader = {
        let (shared, alice, began, goes_on) = (shared.clone(), alice.clone(), began.clone(), goes_on.clone());
        tokio::spawn(async move {
            let read = async || {
                began.notify_one();
                goes_on.notified().await;
                Ok::<_, ()>(1)
            };
            shared.read(&alice, read).await
        })
    };
    began.notified().await;
    invalidate(&caches, &shared, &alice);
    // Whoever asks from here on does not wait for the old value either.
    let fresh = shared.get(&alice);
    if fresh.is_none() {
        assert_eq!(read(&shared, &alice, 2).await, 2);
    }
    goes_on.notify_one();
    assert_eq!(reader.await.unwrap(), Ok(1), "it was asked for before the change");
    assert_eq!(shared.get(&alice), Some(2));
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept() {
    read_while(|_, shared, alice| shared.invalidate(alice)).await;
    read_while(|_, shared, alice| shared.put(alice, 2, shared.mark(alice))).await;
    read_while(|caches, _, alice| assert!(caches.invalidate("test", alice.as_str()))).await;
    read_while(|caches, _, _| assert!(caches.invalidate("test", "no address @ all"))).await;
    read_while(|caches, _, _| caches.drop_all()).await;
}

#[tokio::test]
async fn a_reader_that_gives_up_lets_the_next_one_read() {
    let (_, shared) = cache("test");
    let alice = jid("alice@localhost");
    {
        let read = shared.read(&alice, std::future::pending::<Result<u32, ()>>);
        assert!(read.now_or_never().is_none());
    }
    assert_eq!(read(&shared, &alice, 1).await, 1);
}

#[test]
fn a_new_value_is_kept_unless_something_else_changed() {
    let (caches, shared) = cache("test");
    let alice = jid("alice@localhost");
    shared.put(&alice, 1, shared.mark(&alice));
    assert_eq!(shared.get(&alice), Some(1));

    // Another node was faster.
    let mark = shared.mark(&alice);
    caches.invalidate("test", alice.as_str());
    shared.put(&alice, 2, mark);
    assert_eq!(shared.get(&alice), None);

    // Two changes here: the first mark counts no more after the second one.
    let (first, second) = (shared.mark(&alice), shared.mark(&alice));
    shared.put(&alice, 4, second);
    shared.put(&alice, 3, first);
    assert_eq!(shared.get(&alice), None);

    // What was read before a change is not kept after it.
    let mark = shared.mark(&alice);
    shared.put(&alice, 6, shared.mark(&alice));
    shared.keep(&alice, 5, mark);
    assert_eq!(shared.get(&alice), Some(6));
}

#[tokio::test]
async fn a_change_is_seen_even_if_its_author_went_away() {
    let (_, shared) = cache("test");
    let alice = jid("alice@localhost");
    assert_eq!(read(&shared, &alice, 1).await, 1);
    let (commits, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    {
        let (commits, done) = (commits.clone(), done.clone());
        let change = shared.change(&alice, async move {
            commits.notified().await;
            done.notify_one();
        });
        assert!(change.now_or_never().is_none());
    }
    commits.notify_one();
    done.notified().await;
    tokio::task::yield_now().await;
    assert_eq!(read(&shared, &alice, 2).await, 2);

    let panics = shared.change(&alice, async { panic!("a job that fails") });
    assert!(panics.await.is_err());
    assert_eq!(shared.get(&alice), None);
}

#[test]
fn it_never_holds_more_than_it_may() {
    let caches = Caches::default();
    let count = Shared::<String, u32>::new(&caches, "count", 50);
    let bytes = Shared::<String, Arc<str>>::weighed(&caches, "bytes", 1_000, 10, |_, text| text.len() as u64);
    for number in 0..500 {
        let key = number.to_string();
        count.put(key.as_str(), number, count.mark(key.as_str()));
        bytes.put(key.as_str(), "x".repeat(100).into(), bytes.mark(key.as_str()));
    }
    let kept = |has: &dyn Fn(&str) -> bool| (0..500).filter(|number| has(&number.to_string())).count();
    assert!((1..=50).contains(&kept(&|key| count.get(key).is_some())));
    assert!((1..=10).contains(&kept(&|key| bytes.get(key).is_some())));
}

/// Two nodes on one database: what is changed here is dropped there.
#[test]
fn the_other_node_hears_of_every_change() {
    type CacheKey = (BareJid, Box<str>);
    let (here, there) = (Caches::default(), Caches::default());
    let mine = Shared::<CacheKey, u32>::new(&here, "nodes", 10);
    let theirs = Shared::<CacheKey, u32>::new(&there, "nodes", 10);
    assert_eq!(here.names(), ["nodes"]);
    {
        let there = there.clone();
        assert!(here.on_change(move |name, key| assert!(there.invalidate(name, key))));
    }
    assert!(!here.on_change(|_, _| ()), "there is one who hears it");
    let alice = jid("alice@localhost");
    for name in ["urn:xmpp:bookmarks:1", "a name with spaces", "", "ä\u{2028}"] {
        let (key, other) = (Pair(&alice, name), Pair(&alice, "other"));
        theirs.keep(&key, 1, theirs.mark(&key));
        theirs.keep(&other, 1, theirs.mark(&other));
        mine.put(&key, 2, mine.mark(&key));
        assert_eq!((mine.get(&key), theirs.get(&key)), (Some(2), None), "{name}");
        assert_eq!(theirs.get(&other), Some(1), "only the one that changed");
        theirs.keep(&key, 2, theirs.mark(&key));
        mine.invalidate(&key);
        assert_eq!((mine.get(&key), theirs.get(&key)), (None, None), "{name}");
    }
    assert!(!there.invalidate("nobody", "x"));
    drop(theirs);
    assert!(!there.invalidate("nodes", "x"), "it is gone");
}

#[test]
fn keys_are_the_same_after_a_trip_as_text() {
    let alice = jid("alice@localhost");
    assert_eq!(BareJid::decode(&alice.encode()), Some(alice.clone()));
    assert_eq!(
        String::decode(&"any text".to_owned().encode()),
        Some("any text".to_owned())
    );
    let pair: (BareJid, Box<str>) = (alice, "a b".into());
    assert_eq!(<(BareJid, Box<str>)>::decode(&pair.encode()), Some(pair));
    assert_eq!(<(BareJid, Box<str>)>::decode("nospace"), None);
}

#[tokio::test]
async fn one_task_at_a_time_holds_a_key() {
    let locks = Locks::new(16);
    let alice = jid("alice@localhost");
    let held = locks.hold(&alice).await;
    let mut second = std::pin::pin!(locks.hold_owned(alice.as_str()));
    assert!(
        (&mut second).now_or_never().is_none(),
        "the borrowed key is the same key"
    );
    drop(held);
    let owned = second.await;
    tokio::spawn(async move { drop(owned) }).await.unwrap();
    drop(locks.hold(&alice).await);
}

const THREE: Rate = Rate {
    per_second: 0.1,
    burst: 3.0,
};

#[test]
fn so_many_at_once_and_then_one_at_a_time() {
    let rates = Rates::new(100);
    let at = |seconds: i64| Timestamp(1_700_000_000_000_000 + seconds * 1_000_000);
    let taken: Vec<bool> = (0..5).map(|_| rates.take(&"a", THREE, at(0))).collect();
    assert_eq!(taken, [true, true, true, false, false]);
    assert!(rates.take(&"b", THREE, at(0)));
    assert!(!rates.has(&"a", THREE, at(9)));
    assert!(rates.take(&"a", THREE, at(10)));
    assert!(!rates.take(&"a", THREE, at(10)));
    let later: Vec<bool> = (0..4).map(|_| rates.take(&"a", THREE, at(1_000))).collect();
    assert_eq!(later, [true, true, true, false]);
    rates.forget(&"a");
    assert!(rates.has(&"a", THREE, at(1_000)));
}

#[test]
fn who_keeps_trying_is_not_pushed_out_by_a_crowd() {
    let (rates, now) = (Rates::new(1_000), Timestamp(1_700_000_000_000_000));
    for _ in 0..4 {
        rates.take(&0, THREE, now);
    }
    for number in 1..50_000 {
        assert!(rates.take(&number, THREE, now));
        if number % 100 == 0 {
            assert!(!rates.take(&0, THREE, now), "after {number} others");
        }
    }
    assert!(rates.len() <= 1_000);
}

#[test]
fn a_clock_that_goes_back_gives_nothing() {
    let rate = Rate {
        per_second: 2.0,
        burst: 3.0,
    };
    let mut bucket = Bucket::default();
    let at = |seconds: f64| Timestamp(1_700_000_000_000_000 + (seconds * 1e6) as i64);
    let taken: Vec<bool> = (0..5).map(|_| bucket.take(rate, at(0.0))).collect();
    assert_eq!(taken, [true, true, true, false, false]);
    assert!(bucket.take(rate, at(0.6)));
    assert!(!bucket.take(rate, at(0.6)));
    assert!(!bucket.take(rate, at(0.1)));
}
