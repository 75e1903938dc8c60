//! What is stored of messages to other servers, with all modules at work.

use kim_core::db::Query;
use kim_core::testing::{Client, House};

use crate::MODULES;

/// Whose messages wait for other servers, in order.
async fn queued(house: &House) -> Vec<String> {
    let query = Query::new("SELECT owner FROM s2s_queue ORDER BY id");
    let rows = house.db.fetch_all(query).await.unwrap();
    rows.iter().map(|row| row.text(0).unwrap()).collect()
}

/// How many messages are in an account's archive.
async fn archived(house: &House, account: &str) -> i64 {
    let query = Query::new("SELECT COUNT(*) FROM mam_archive WHERE owner = $1").bind(account);
    house
        .db
        .fetch_optional(query)
        .await
        .unwrap()
        .unwrap()
        .i64(0)
        .unwrap()
}

async fn rename(house: &House, sql: &'static str) {
    house.db.execute(Query::new(sql)).await.unwrap();
}

async fn say(client: &mut Client, id: &str) {
    let message =
        format!("<message id='{id}' to='romeo@example.org' type='chat'><body>{id}</body></message>");
    client.send(&message).await;
}

#[tokio::test]
async fn a_message_is_in_its_senders_archive_and_in_the_queue_or_in_neither() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    say(&mut alice, "m1").await;
    assert_eq!(archived(&house, "alice@localhost").await, 1);
    assert_eq!(queued(&house).await, ["alice@localhost"]);
    there.expect("<message to='romeo@example.org' type='chat'><body>m1</body>...</message>");
    alice.skip();

    rename(&house, "ALTER TABLE s2s_queue RENAME TO away").await;
    say(&mut alice, "m2").await;
    assert!(
        alice
            .next()
            .is_some_and(|error| error.contains("<internal-server-error"))
    );
    there.expect_nothing();
    rename(&house, "ALTER TABLE away RENAME TO s2s_queue").await;
    assert_eq!(archived(&house, "alice@localhost").await, 1);
    assert_eq!(queued(&house).await, ["alice@localhost"]);
}

#[tokio::test]
async fn of_a_room_only_what_it_says_to_one_person_is_stored() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    let join = |nick: &str| {
        format!(
            "<presence to='coven@conference.localhost/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        )
    };
    alice.send(&join("alice")).await;
    alice
        .send(
            "<iq id='c' type='set' to='coven@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'/></query></iq>",
        )
        .await;
    let from_romeo = join("romeo").replacen("<presence", "<presence from='romeo@example.org/orchard'", 1);
    assert_eq!(there.send(&from_romeo).await, None);
    let came: Vec<_> = std::iter::from_fn(|| there.next()).collect();
    assert!(
        came.iter().any(|stanza| stanza.contains("code='110'")),
        "{came:#?}"
    );
    alice.skip();

    alice
        .send(
            "<message id='g' type='groupchat' to='coven@conference.localhost'><body>to all</body></message>",
        )
        .await;
    assert!(there.next().is_some_and(|message| message.contains("to all")));
    assert!(queued(&house).await.is_empty(), "the room's history has it");

    alice
        .send("<message id='p' type='chat' to='coven@conference.localhost/romeo'><body>psst</body></message>")
        .await;
    assert!(there.next().is_some_and(|message| message.contains("psst")));
    alice
        .send(
            "<message id='i' to='coven@conference.localhost'><x xmlns='http://jabber.org/protocol/muc#user'>\
             <invite to='juliet@example.org'/></x></message>",
        )
        .await;
    assert!(there.next().is_some_and(|message| message.contains("<invite")));
    assert_eq!(
        queued(&house).await,
        ["coven@conference.localhost", "coven@conference.localhost"]
    );
}
