//! Stories of messages on their way to other servers: stored before they count as sent, there after a crash, gone when they are
//! delivered. Each is told on both databases.

mod shared;

use super::store::{self, CLAIM, DELETE, ERASE, FIRST_OF, NEXT_PROCESS, OLDEST, PROCESS, READ, USAGE};
use super::{Outbound, RowId};
use crate::clock::Timestamp;
use crate::config::NoSettings;
use crate::cx::Cx;
use crate::db::{BoxFuture, CORE_MIGRATIONS, Db, DbError, Migration, Query, Sink, SinkRow, Tx};
use crate::error::{Condition, Fault};
use crate::events::{Arrival, Departure, Verdict};
use crate::hook::{Flow, On, Stage};
use crate::jid::BareJid;
use crate::module::{Entry, Module, Registrar, Spec};
use crate::stanza::Stanza;
use crate::testing::{Client, House, TestDb, migrated_databases};

/// Keeps a diary of what sessions send, and gives all sessions what arrives.
struct Diary(Sink<Line>);

struct Line(String);

impl SinkRow for Line {
    fn row_bytes(&self) -> usize {
        self.0.len()
    }
}

fn write<'a>(tx: &'a mut Tx, lines: &'a [Line]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        let lines = lines.iter().map(|line| [(&line.0).into()]);
        tx.insert_rows("INSERT INTO diary (line)", lines, "")
            .await
            .map(drop)
    })
}

impl On<Departure> for Diary {
    async fn on(&self, departure: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let id = departure.stanza.id.as_deref().unwrap_or_default();
        cx.store(&self.0, Line(id.to_owned()));
        Ok(Flow::Next)
    }
}

impl On<Arrival> for Diary {
    async fn on(&self, arrival: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        arrival.verdict = Verdict::Chosen(cx.router().sessions_of(&arrival.account).await);
        Ok(Flow::Next)
    }
}

struct DiaryModule;

impl Module for DiaryModule {
    type Config = NoSettings;
    const NAME: &'static str = "xep0001_diary";
    const SPECS: &'static [Spec] = &[Spec::complete("TEST", "Test", "")];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "xep0001_diary",
        name: "0001_diary",
        sql: "CREATE TABLE diary (line TEXT NOT NULL)",
    }];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let diary = || Diary(house.db.sink(write));
        let (departure, arrival) = (diary(), diary());
        house.on::<Departure>(Stage::Store, departure);
        house.on::<Arrival>(Stage::Deliver, arrival);
        Ok(())
    }
}

const MODULES: &[Entry] = &[Entry::of::<DiaryModule>()];

/// A house on each kind of database.
async fn databases() -> Vec<TestDb> {
    migrated_databases(&[CORE_MIGRATIONS]).await
}

/// A process, in the place where the others of its story ran before.
async fn house(db: &TestDb) -> House {
    house_in(db, 1).await
}

async fn house_in(db: &TestDb, place: i64) -> House {
    let house = House::on(db.db(), MODULES, "").await;
    house.router.outbound().enter(place).await.unwrap();
    house
}

fn chat(id: &str) -> String {
    format!("<message id='{id}' to='romeo@example.org' type='chat'><body>{id}</body></message>")
}

/// How many rows a table has.
async fn rows(db: &Db, sql: &'static str) -> i64 {
    let row = db.fetch_optional(Query::new(sql)).await.unwrap();
    row.unwrap().i64(0).unwrap()
}

async fn queued(db: &Db) -> i64 {
    rows(db, "SELECT COUNT(*) FROM s2s_queue").await
}

async fn noted(db: &Db) -> i64 {
    rows(db, "SELECT COUNT(*) FROM diary").await
}

fn ids(outbounds: &[Outbound]) -> Vec<&str> {
    outbounds
        .iter()
        .filter_map(|outbound| outbound.stanza.id.as_deref())
        .collect()
}

fn row_ids(outbounds: &[Outbound]) -> Vec<RowId> {
    outbounds.iter().filter_map(|outbound| outbound.row).collect()
}

/// Takes up what earlier processes left, in pages of two.
async fn taken_up(house: &House) -> Vec<Outbound> {
    let mut all: Vec<Outbound> = Vec::new();
    loop {
        let page = house.router.outbound().take_up(2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

async fn send(client: &mut Client, ids: &[&str]) {
    for id in ids {
        client.send(&chat(id)).await;
    }
}

#[tokio::test]
async fn a_message_is_stored_before_it_counts_as_sent_and_gone_when_it_is_delivered() {
    for db in databases().await {
        let house = house(&db).await;
        let alice = house.connect("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        let outcome = house
            .router
            .depart(&alice.session, Stanza::parse(&chat("m1")).unwrap())
            .await;
        assert!(!outcome.is_settled(), "it waits for the commit");
        there.expect_nothing();
        house.router.perform(outcome).await;
        assert_eq!((queued(&db).await, noted(&db).await), (1, 1));
        there.expect("<message id='m1' to='romeo@example.org' type='chat' from='alice@localhost/phone'><body>m1</body></message>");

        let kept = there.kept();
        assert_eq!(ids(&kept), ["m1"]);
        house.router.outbound().delivered(&row_ids(&kept));
        house.router.outbound().settled().await.unwrap();
        assert_eq!((queued(&db).await, noted(&db).await), (0, 1));
    }
}

#[tokio::test]
async fn what_was_not_delivered_before_a_crash_is_there_once_and_in_order() {
    for db in databases().await {
        let before = house(&db).await;
        let mut alice = before.connect("alice@localhost/phone").await;
        let mut bob = before.connect("bob@localhost/phone").await;
        let there = before.neighbour("example.org");
        send(&mut alice, &["m1", "m2", "m3"]).await;
        send(&mut bob, &["m4", "m5"]).await;
        let kept = there.kept();
        assert_eq!(ids(&kept), ["m1", "m2", "m3", "m4", "m5"]);
        assert!(
            taken_up(&before).await.is_empty(),
            "a process does not take over from itself"
        );
        before.router.outbound().delivered(&row_ids(&kept)[..2]);
        before.router.outbound().settled().await.unwrap();
        drop((alice, bob, there, before));

        // The clock was set back meanwhile.
        let after = house(&db).await;
        let left = taken_up(&after).await;
        assert_eq!(ids(&left), ["m3", "m4", "m5"]);
        assert_eq!(left[0].received, kept[2].received);
        assert_eq!(
            left[0].stanza.to_xml(),
            "<message from='alice@localhost/phone' to='romeo@example.org' id='m3' type='chat'><body>m3</body></message>"
        );
        let mut alice = after.connect("alice@localhost/phone").await;
        let there = after.neighbour("example.org");
        send(&mut alice, &["m6"]).await;
        let new = there.kept();
        assert_eq!(ids(&new), ["m6"]);
        assert!(
            new[0].row > left[2].row,
            "new messages come after those from before"
        );
        assert!(taken_up(&after).await.is_empty(), "they are its own now");

        // Another crash, with one more delivered.
        after.router.outbound().delivered(&row_ids(&left)[1..2]);
        after.router.outbound().settled().await.unwrap();
        drop((alice, there, after));
        let last = house(&db).await;
        let left = taken_up(&last).await;
        assert_eq!(ids(&left), ["m3", "m5", "m6"]);
        last.router.outbound().delivered(&row_ids(&left));
        last.router.outbound().settled().await.unwrap();
        assert_eq!(queued(&db).await, 0);
        assert!(taken_up(&last).await.is_empty());
    }
}

#[tokio::test]
async fn many_are_deleted_together() {
    for db in databases().await {
        let house = house(&db).await;
        let mut alice = house.connect("alice@localhost/phone").await;
        let there = house.neighbour("example.org");
        for at in 0..300 {
            alice.send(&chat(&format!("m{at}"))).await;
        }
        let kept = row_ids(&there.kept());
        assert_eq!(kept.len(), 300);
        assert!(kept.is_sorted());
        let commits = house.db.stats().commits;
        for row in &kept {
            house.router.outbound().delivered(&[*row]);
        }
        // Those who ask twice, or for what is gone, change nothing.
        house.router.outbound().delivered(&kept[..3]);
        house.router.outbound().settled().await.unwrap();
        assert_eq!(queued(&db).await, 0);
        assert!(house.db.stats().commits - commits <= 3);
    }
}

#[tokio::test]
async fn a_failed_commit_leaves_nothing_here_and_nothing_there() {
    for db in databases().await {
        let house = house(&db).await;
        let mut alice = house.connect("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        alice.send(&chat("m1")).await;
        there.skip();
        house
            .db
            .execute(Query::new("ALTER TABLE s2s_queue RENAME TO away"))
            .await
            .unwrap();
        alice.send(&chat("m2")).await;
        alice.expect(
            "<message id='m2' from='romeo@example.org' to='alice@localhost/phone' type='error'><error type='cancel'>
               <internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>...</error></message>",
        );
        there.expect_nothing();
        house
            .db
            .execute(Query::new("ALTER TABLE away RENAME TO s2s_queue"))
            .await
            .unwrap();
        assert_eq!((queued(&db).await, noted(&db).await), (1, 1), "only m1");
        alice.send(&chat("m3")).await;
        there.expect("<message id='m3' to='romeo@example.org' type='chat' from='alice@localhost/phone'><body>m3</body></message>");
        assert_eq!((queued(&db).await, noted(&db).await), (2, 2));
    }
}

#[tokio::test]
async fn a_full_queue_refuses_more_for_that_domain_alone_until_something_is_delivered() {
    for db in databases().await {
        let limit = "[limits]\ns2s_queue_messages_max = 100";
        let house = House::on(db.db(), MODULES, limit).await;
        let mut alice = house.connect("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        let mut elsewhere = house.neighbour("example.net");
        for at in 0..100 {
            alice.send(&chat(&format!("m{at}"))).await;
        }
        let kept = there.kept();
        assert_eq!(kept.len(), 100);
        there.skip();
        alice.expect_nothing();
        alice.send(&chat("more")).await;
        let full = "<message id='more' from='romeo@example.org' to='alice@localhost/phone' type='error'><error type='wait'>
               <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>...</error></message>";
        alice.expect(full);
        there.expect_nothing();
        assert_eq!(
            (queued(&db).await, noted(&db).await),
            (100, 100),
            "nothing of it is stored"
        );
        alice
            .send("<message id='n1' to='juliet@example.net'><body>hi</body></message>")
            .await;
        elsewhere.expect(
            "<message id='n1' to='juliet@example.net' from='alice@localhost/phone'><body>hi</body></message>",
        );
        // Whatever is not kept passes.
        alice
            .send("<iq id='i1' type='get' to='romeo@example.org/x'><q xmlns='urn:example'/></iq>")
            .await;
        there.expect("<iq id='i1' type='get' to='romeo@example.org/x' from='alice@localhost/phone'><q xmlns='urn:example'/></iq>");

        house.router.outbound().delivered(&row_ids(&kept[..1]));
        house.router.outbound().settled().await.unwrap();
        alice.send(&chat("more")).await;
        assert_eq!(ids(&there.kept()), ["more"]);
        alice.send(&chat("more")).await;
        alice.expect(full);
        drop((alice, house));

        // After a restart the queue is as full as it was.
        let again = House::on(db.db(), MODULES, limit).await;
        let mut alice = again.connect("alice@localhost/phone").await;
        let _there = again.neighbour("example.org");
        alice.send(&chat("more")).await;
        alice.expect(full);
    }
}

#[tokio::test]
async fn a_queue_is_full_by_its_bytes_too() {
    for db in databases().await {
        let house = House::on(db.db(), MODULES, "[limits]\ns2s_queue_bytes_max = 65536").await;
        let mut alice = house.connect("alice@localhost/phone").await;
        let there = house.neighbour("example.org");
        let text = "x".repeat(20_000);
        for at in 0..4 {
            let body = format!("<message id='m{at}' to='romeo@example.org'><body>{text}</body></message>");
            alice.send(&body).await;
        }
        assert_eq!(ids(&there.kept()), ["m0", "m1", "m2"]);
        assert!(
            alice
                .next()
                .is_some_and(|error| error.contains("resource-constraint"))
        );
    }
}

#[tokio::test]
async fn what_cannot_be_delivered_goes_back_to_its_sender() {
    for db in databases().await {
        let house = house(&db).await;
        let mut alice = house.connect("alice@localhost/phone").await;
        let there = house.neighbour("example.org");
        alice.send(&chat("m1")).await;
        let kept = there.kept();
        house.clock.advance(48 * 3_600 - 1);
        assert!(!kept[0].has_expired(48, house.clock.now()));
        house.clock.advance(1);
        assert!(kept[0].has_expired(48, house.clock.now()));
        house
            .router
            .outbound()
            .failed(&kept[0], Condition::RemoteServerTimeout)
            .await;
        alice.expect(
            "<message id='m1' from='romeo@example.org' to='alice@localhost/phone' type='error'><error type='wait'>
               <remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>...</error></message>",
        );
        house.router.outbound().settled().await.unwrap();
        assert_eq!(queued(&db).await, 0);

        // One that the way out does not take is not kept either.
        let outcome = house
            .router
            .depart(&alice.session, Stanza::parse(&chat("m2")).unwrap())
            .await;
        there.disappear();
        house.router.perform(outcome).await;
        assert!(
            alice
                .next()
                .is_some_and(|error| error.contains("remote-server-timeout"))
        );
        house.router.outbound().settled().await.unwrap();
        assert_eq!(queued(&db).await, 0);
    }
}

#[tokio::test]
async fn only_messages_that_mean_something_later_are_kept() {
    let db = TestDb::sqlite().await;
    let house = house(&db).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut guest = house.guest("anna@guest.localhost/web").await;
    let mut there = house.neighbour("example.org");
    for stanza in [
        "<presence to='romeo@example.org'/>",
        "<presence to='romeo@example.org' type='subscribe'/>",
        "<iq to='romeo@example.org/x' id='i1' type='get'><q xmlns='urn:example'/></iq>",
        "<message to='romeo@example.org' type='headline'><body>news</body></message>",
        "<message to='romeo@example.org' type='error'><error/></message>",
        "<message to='romeo@example.org' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
        "<message to='romeo@example.org' type='chat'><body>psst</body><no-store xmlns='urn:xmpp:hints'/></message>",
        "<message to='romeo@example.org' type='chat'/>",
    ] {
        alice.send(stanza).await;
        assert!(there.next().is_some(), "it goes out: {stanza}");
        assert_eq!(queued(&db).await, 0, "{stanza}");
    }
    guest.send(&chat("g1")).await;
    assert_eq!(queued(&db).await, 0, "a guest's");
    for (at, stanza) in [
        "<message to='romeo@example.org'><body>hi</body></message>",
        "<message to='coven@example.org' type='groupchat'><body>hi</body></message>",
        "<message to='romeo@example.org' type='chat'><received xmlns='urn:xmpp:receipts' id='x'/></message>",
        "<message to='romeo@example.org' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/></message>",
    ]
    .into_iter()
    .enumerate()
    {
        alice.send(stanza).await;
        assert_eq!(queued(&db).await, at as i64 + 1, "{stanza}");
    }
}

#[tokio::test]
async fn nothing_readable_lies_in_the_queue_and_what_cannot_be_opened_holds_up_nobody() {
    for db in databases().await {
        let before = house(&db).await;
        let mut alice = before.connect("alice@localhost/phone").await;
        let mut bob = before.connect("bob@localhost/phone").await;
        let _there = before.neighbour("example.org");
        send(&mut alice, &["secret1", "secret2", "secret3"]).await;
        send(&mut bob, &["secret4"]).await;
        let stored = before
            .db
            .fetch_all(Query::new("SELECT id, stanza FROM s2s_queue ORDER BY id"))
            .await
            .unwrap();
        for row in &stored {
            let bytes = row.bytes(1).unwrap();
            assert!(
                !bytes
                    .windows(6)
                    .any(|part| part == b"secret" || part == b"romeo@")
            );
        }
        // The bytes of one row are put into another: they do not open there.
        let swap = Query::new("UPDATE s2s_queue SET stanza = $1 WHERE id = $2")
            .bind(stored[0].bytes(1).unwrap())
            .bind(stored[1].i64(0).unwrap());
        before.db.execute(swap).await.unwrap();
        let bob_jid = BareJid::parse("bob@localhost").unwrap();
        before
            .db
            .write(move |tx| {
                let bob = bob_jid.clone();
                Box::pin(async move { crate::seal::erase(tx, &bob).await })
            })
            .await
            .unwrap();
        before.router.seals().forget("bob@localhost");
        drop((alice, bob, before));
        let after = house(&db).await;
        assert_eq!(ids(&taken_up(&after).await), ["secret1", "secret3"]);
        after.router.outbound().settled().await.unwrap();
        assert_eq!(queued(&db).await, 2, "what nobody can read is gone");
    }
}

#[tokio::test]
async fn an_account_takes_its_messages_along_when_it_is_removed() {
    for db in databases().await {
        let house = house(&db).await;
        let mut alice = house.connect("alice@localhost/phone").await;
        let mut bob = house.connect("bob@localhost/phone").await;
        let _there = house.neighbour("example.org");
        send(&mut alice, &["m1", "m2"]).await;
        send(&mut bob, &["m3"]).await;
        let account = BareJid::parse("alice@localhost").unwrap();
        house.router.erase_account(&account).await.unwrap();
        let left = Query::new("SELECT owner FROM s2s_queue");
        let left = house.db.fetch_all(left).await.unwrap();
        let owners: Vec<_> = left.iter().map(|row| row.text(0).unwrap()).collect();
        assert_eq!(owners, ["bob@localhost"]);
    }
}

#[tokio::test]
async fn every_statement_uses_an_index() {
    for db in databases().await {
        db.assert_uses_index(Query::new(USAGE).bind("example.org")).await;
        db.assert_uses_index(Query::new(CLAIM).bind(0_i64).bind(0_i64).bind(9_i64))
            .await;
        db.assert_uses_index(Query::new(OLDEST).bind(0_i64).bind(0_i64).bind(9_i64))
            .await;
        for one in [READ, PROCESS, NEXT_PROCESS, FIRST_OF] {
            db.assert_uses_index(Query::new(one).bind(0_i64)).await;
        }
        db.assert_uses_index(Query::new(DELETE).bind(0_i64)).await;
        db.assert_uses_index(Query::new(ERASE).bind("alice@localhost"))
            .await;
        assert_eq!(store::usage(&db, "example.org").await.unwrap().messages, 0);
    }
}

#[tokio::test]
async fn ids_rise_whatever_the_clock_does() {
    let db = TestDb::sqlite().await;
    let house = house(&db).await;
    let queue = house.router.outbound();
    let times = [5, 5, 3, 9, 0, i64::MAX, i64::MAX - 1].map(Timestamp);
    let ids: Vec<_> = times.into_iter().map(|time| queue.next_id(time)).collect();
    assert!(ids[..6].windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
}
