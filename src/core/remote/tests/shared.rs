//! Stories of several processes on one database: none sends what another sends, and none leaves lying what another left.

use std::time::{Duration, Instant};

use super::*;
use crate::remote::Standing;
use crate::remote::lease::{GONE_AFTER, HELD_FOR};

const SECOND: Duration = Duration::from_secs(1);

async fn beat(house: &House, now: Instant) -> Standing {
    house.router.outbound().beat_at(now).await.unwrap()
}

#[tokio::test]
async fn what_a_living_process_sends_no_other_takes() {
    for db in databases().await {
        let (old, new) = (house_in(&db, 1).await, house_in(&db, 2).await);
        let mut alice = old.connect("alice@localhost/phone").await;
        let _there = old.neighbour("example.org");
        send(&mut alice, &["m1", "m2"]).await;
        assert!(taken_up(&new).await.is_empty());
        // It goes on showing that it lives.
        let start = Instant::now();
        for beats in 0..20 {
            let now = start + 10 * beats * SECOND;
            assert_eq!(beat(&old, now).await, Standing::Holds);
            assert_eq!(beat(&new, now).await, Standing::Holds);
            assert!(taken_up(&new).await.is_empty());
        }
        // A rolling restart: when the old one has drained, the new one takes what it leaves, at once.
        old.router.outbound().leave().await.unwrap();
        assert!(!old.router.outbound().may_send());
        assert_eq!(ids(&taken_up(&new).await), ["m1", "m2"]);
        // What its last commits leave is taken too.
        send(&mut alice, &["m3"]).await;
        assert_eq!(ids(&taken_up(&new).await), ["m3"]);
    }
}

#[tokio::test]
async fn what_a_killed_process_left_elsewhere_is_taken_once_it_was_silent_for_long() {
    for db in databases().await {
        let (killed, next) = (house_in(&db, 1).await, house_in(&db, 2).await);
        let mut alice = killed.connect("alice@localhost/phone").await;
        let _there = killed.neighbour("example.org");
        send(&mut alice, &["m1"]).await;
        let start = Instant::now();
        beat(&next, start).await;
        beat(&next, start + GONE_AFTER - SECOND).await;
        assert!(taken_up(&next).await.is_empty(), "it may still live");
        beat(&next, start + GONE_AFTER).await;
        assert_eq!(ids(&taken_up(&next).await), ["m1"]);
    }
}

#[tokio::test]
async fn of_two_that_want_the_same_one_gets_it() {
    for db in databases().await {
        let killed = house_in(&db, 1).await;
        let mut alice = killed.connect("alice@localhost/phone").await;
        let _there = killed.neighbour("example.org");
        let sent: Vec<String> = (0..60).map(|at| format!("m{at}")).collect();
        for id in &sent {
            alice.send(&chat(id)).await;
        }
        killed.router.outbound().leave().await.unwrap();
        let (one, other) = (house_in(&db, 2).await, house_in(&db, 3).await);
        let (mine, theirs) = tokio::join!(taken_up(&one), taken_up(&other));
        let mut all: Vec<&str> = ids(&mine).into_iter().chain(ids(&theirs)).collect();
        all.sort_by_key(|id| id[1..].parse::<u32>().unwrap());
        assert_eq!(all, sent);
    }
}

/// A process that stood still (SIGSTOP, a machine that slept) does not send what another has taken meanwhile.
#[tokio::test]
async fn who_stood_still_for_too_long_forgets_what_is_anothers() {
    for db in databases().await {
        let (asleep, awake) = (house_in(&db, 1).await, house_in(&db, 2).await);
        let mut alice = asleep.connect("alice@localhost/phone").await;
        let mut there = asleep.neighbour("example.org");
        send(&mut alice, &["m1", "m2"]).await;
        let kept = there.kept();
        there.skip();
        let pending = asleep
            .router
            .depart(&alice.session, Stanza::parse(&chat("m3")).unwrap())
            .await;
        let start = Instant::now();
        assert!(asleep.router.outbound().may_send_at(start + HELD_FOR / 2));
        assert!(!asleep.router.outbound().may_send_at(start + HELD_FOR));
        assert!(HELD_FOR + 10 * SECOND <= GONE_AFTER);
        beat(&awake, start).await;
        beat(&awake, start + GONE_AFTER).await;
        let taken = taken_up(&awake).await;
        assert_eq!(ids(&taken)[..2], ["m1", "m2"]);

        assert_eq!(beat(&asleep, start + GONE_AFTER).await, Standing::Lost);
        // It bounces nothing of what the other sends, and sends nothing whose commit ran meanwhile.
        asleep
            .router
            .outbound()
            .failed(&kept[0], Condition::RemoteServerTimeout)
            .await;
        alice.expect_nothing();
        asleep.router.perform(pending).await;
        there.expect_nothing();
        let rest = taken_up(&awake).await;
        assert_eq!(ids(&[taken, rest].concat()), ["m1", "m2", "m3"]);
        // And it goes on.
        assert_eq!(beat(&asleep, start + GONE_AFTER).await, Standing::Holds);
        send(&mut alice, &["m4"]).await;
        assert_eq!(ids(&there.kept()), ["m4"]);
        assert!(taken_up(&awake).await.is_empty());
        assert_eq!(queued(&db).await, 4);
    }
}

#[tokio::test]
async fn where_federation_is_off_an_old_message_comes_back_to_its_author() {
    for db in databases().await {
        let before = house(&db).await;
        let mut alice = before.connect("alice@localhost/phone").await;
        let _there = before.neighbour("example.org");
        send(&mut alice, &["m1"]).await;
        before.clock.advance(3_600);
        send(&mut alice, &["m2"]).await;
        drop((alice, before));

        // After the restart there is no way to other servers.
        let after = house(&db).await;
        let mut alice = after.connect("alice@localhost/phone").await;
        let queue = after.router.outbound();
        after.clock.advance(48 * 3_600 - 1);
        assert_eq!(queue.return_expired(48, after.clock.now()).await.unwrap(), 0);
        alice.expect_nothing();
        after.clock.advance(1);
        assert_eq!(queue.return_expired(48, after.clock.now()).await.unwrap(), 1);
        alice.expect(
            "<message id='m1' from='romeo@example.org' to='alice@localhost/phone' type='error'><error type='wait'>
               <remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>...</error></message>",
        );
        alice.expect_nothing();
        queue.settled().await.unwrap();
        assert_eq!(queued(&db).await, 1, "the other one has an hour left");
    }
}

#[tokio::test]
async fn how_long_the_oldest_message_waits_is_known() {
    for db in databases().await {
        let house = house(&db).await;
        let mut alice = house.connect("alice@localhost/phone").await;
        let there = house.neighbour("example.org");
        let queue = house.router.outbound();
        queue.beat().await.unwrap();
        assert_eq!(queue.oldest_seconds(house.clock.now()), 0);
        send(&mut alice, &["m1"]).await;
        house.clock.advance(60);
        send(&mut alice, &["m2"]).await;
        queue.beat().await.unwrap();
        assert_eq!(queue.oldest_seconds(house.clock.now()), 60);
        queue.delivered(&row_ids(&there.kept())[..1]);
        queue.settled().await.unwrap();
        house.clock.advance(5);
        queue.beat().await.unwrap();
        assert_eq!(queue.oldest_seconds(house.clock.now()), 5);
    }
}
