//! The table on both databases, and what a restart finds in it.

use kim_core::clock::Timestamp;
use kim_core::db::{CORE_MIGRATIONS, DbError};
use kim_core::jid::BareJid;
use kim_core::testing::db::{databases, migrated_databases};

use super::super::store::{MIGRATIONS, PushStore, next_query, of_query};
use super::*;

#[tokio::test]
async fn rows_are_put_replaced_and_found_by_their_time() {
    for db in migrated_databases(&[CORE_MIGRATIONS, MIGRATIONS]).await {
        let store = PushStore::new(&db);
        let (alice, bob) = (
            BareJid::parse("alice@localhost").unwrap(),
            BareJid::parse("bob@localhost").unwrap(),
        );
        let at = Timestamp;
        store.put(&alice, 1, b"one".to_vec(), at(1), 2).await.unwrap();
        store.put(&alice, 2, b"two".to_vec(), at(2), 2).await.unwrap();
        store.put(&bob, 1, b"bob".to_vec(), at(3), 2).await.unwrap();
        let third = store.put(&alice, 3, b"three".to_vec(), at(4), 2).await;
        assert!(matches!(third, Err(DbError::Refused(_))), "{third:?}");
        store.given_up(&alice, 1).await.unwrap();
        let rows = store.of(&alice).await.unwrap();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.tag, &row.sealed[..], row.failures))
            .collect();
        assert_eq!(seen, [(1, &b"one"[..], 1), (2, &b"two"[..], 0)]);

        store.due(&alice, 1, at(500), 3).await.unwrap();
        store.due(&alice, 2, at(400), 0).await.unwrap();
        store.due(&bob, 1, at(450), 1).await.unwrap();
        let due = |rows: Vec<super::super::store::DueRow>| -> Vec<(String, i64, i64, u32)> {
            let row = |row: &super::super::store::DueRow| {
                (row.account.to_string(), row.tag, row.due_at.0, row.tries)
            };
            rows.iter().map(row).collect()
        };
        let first = due(store.next(2).await.unwrap());
        assert_eq!(
            first,
            [
                ("alice@localhost".into(), 2, 400, 0),
                ("bob@localhost".into(), 1, 450, 1)
            ]
        );
        // Enabled again, it owes nothing and is forgiven.
        store.put(&alice, 1, b"anew".to_vec(), at(5), 2).await.unwrap();
        store.settled(&alice, 2).await.unwrap();
        store.delivered(&bob, 1, at(460)).await.unwrap();
        assert!(store.next(10).await.unwrap().is_empty());
        assert_eq!(store.of(&alice).await.unwrap()[0].failures, 0);
        store.remove(&alice, &[1, 2]).await.unwrap();
        assert!(store.of(&alice).await.unwrap().is_empty());
        assert_eq!(store.of(&bob).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn both_questions_are_answered_by_an_index() {
    let house = house().await;
    let alice = BareJid::parse("alice@localhost").unwrap();
    for (query, index) in [
        (of_query(&alice), "sqlite_autoindex_push_registration_1"),
        (next_query(10), "push_registration_due"),
    ] {
        let plan = house.db.explain(query).await.unwrap();
        assert!(plan.iter().any(|line| line.contains(index)), "{plan:?}");
    }
}

#[tokio::test]
async fn a_restart_sends_what_was_owed_and_nothing_else() {
    for db in databases().await {
        let first = House::on(db.db(), MODULES, CONFIG).await;
        let mut app = first.neighbour(APP);
        phone(&first, "alice@localhost/phone", "n")
            .await
            .disconnect()
            .await;
        phone(&first, "dave@localhost/phone", "d")
            .await
            .disconnect()
            .await;
        let mut bob = first.online("bob@localhost/desk").await;
        chat(&mut bob, "alice@localhost", "one").await;
        app.expect(&notification("n", 1, "a"));
        chat(&mut bob, "dave@localhost", "one").await;
        let asked = app.next().unwrap();
        let id = asked.split("id='").nth(1).unwrap().split('\'').next().unwrap();
        let answer = format!("<iq from='{APP}' to='dave@localhost' id='{id}' type='result'/>");
        assert_eq!(app.send(&answer).await, None);
        // Before the app server answers for Alice, the process is gone.
        drop(first);

        let second = House::on(db.db(), MODULES, CONFIG).await;
        let mut app = second.neighbour(APP);
        second.router.open().await;
        second.clock.advance(61);
        dispatch(&second).tick(&second.router).await.unwrap();
        app.expect(&notification("n", 1, "b"));
        app.expect_nothing();
        take(&mut app, "b").await;
        later(&second, 86_400).await;
        app.expect_nothing();
    }
}

#[tokio::test]
async fn a_client_that_is_back_is_owed_nothing() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    phone(&house, "alice@localhost/phone", "n")
        .await
        .disconnect()
        .await;
    let mut bob = house.online("bob@localhost/desk").await;
    chat(&mut bob, "alice@localhost", "one").await;
    app.expect(&notification("n", 1, "a"));
    refuse(&mut app, "a", "wait", "resource-constraint").await;
    // She binds anew, under the same resource, and does not even enable it again.
    let alice = house.online("alice@localhost/phone").await;
    later(&house, 3_600).await;
    app.expect_nothing();
    alice.disconnect().await;
    chat(&mut bob, "alice@localhost", "two").await;
    app.expect(&notification("n", 1, "b"));
}
