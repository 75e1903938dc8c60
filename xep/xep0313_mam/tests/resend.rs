//! A message that its client sends again, because it does not know whether it arrived, is stored and delivered once.

use super::*;

const HELLO: &str = "<message id='m1' to='bob@localhost' type='chat'><body>hello</body><origin-id xmlns='urn:xmpp:sid:0' id='m1'/></message>";

/// How many messages both archives have.
async fn both(alice: &mut Client, bob: &mut Client) -> (usize, usize) {
    (ask(alice, "").await.ids.len(), ask(bob, "").await.ids.len())
}

#[tokio::test]
async fn the_same_message_from_another_session_is_one() {
    let house = house().await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice.send(HELLO).await;
    bob.next().unwrap();
    alice.disconnect().await;
    let mut alice = house.online("alice@localhost/other").await;
    alice.send(HELLO).await;
    bob.expect_nothing();
    // With how long it waited on it.
    let delayed = HELLO.replace(
        "</message>",
        "<delay xmlns='urn:xmpp:delay' stamp='2026-01-31T12:00:00Z'/></message>",
    );
    alice.send(&delayed).await;
    bob.expect_nothing();
    alice.expect_nothing();
    assert_eq!(both(&mut alice, &mut bob).await, (1, 1));
}

#[tokio::test]
async fn whatever_differs_is_another_message() {
    let house = house().await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    house.account("carol@localhost").await;
    alice.send(HELLO).await;
    for other in [
        HELLO.replace("hello", "hallo"),
        HELLO.replace("sid:0' id='m1'", "sid:0' id='m2'"),
        HELLO.replace("bob@localhost", "carol@localhost"),
        HELLO.replace("bob@localhost", "bob@localhost/laptop"),
        HELLO.replace(" type='chat'", ""),
        "<message to='bob@localhost' type='chat'><body>no origin-id</body></message>".to_owned(),
        "<message to='bob@localhost' type='chat'><body>no origin-id</body></message>".to_owned(),
    ] {
        alice.send(&other).await;
    }
    assert_eq!(both(&mut alice, &mut bob).await, (8, 7));
    // Somebody else's is somebody else's.
    let mut carol = house.online("carol@localhost/x").await;
    carol.send(HELLO).await;
    assert_eq!(both(&mut alice, &mut bob).await, (8, 8));
}

#[tokio::test]
async fn after_a_quarter_of_an_hour_it_is_meant() {
    let house = house().await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice.send(HELLO).await;
    house.clock.advance(14 * 60);
    alice.send(HELLO).await;
    assert_eq!(both(&mut alice, &mut bob).await, (1, 1));
    house.clock.advance(2 * 60);
    alice.send(HELLO).await;
    assert_eq!(both(&mut alice, &mut bob).await, (2, 2));
}

#[tokio::test]
async fn the_archive_remembers_when_the_server_starts_again() {
    let db = kim_core::testing::TestDb::sqlite().await;
    let house = House::on(db.db(), MODULES, "").await;
    house.account("bob@localhost").await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice.send(HELLO).await;
    let again = House::on(db.db(), MODULES, "").await;
    let mut alice = again.online("alice@localhost/phone").await;
    alice.send(HELLO).await;
    let mut bob = again.connect("bob@localhost/laptop").await;
    assert_eq!(both(&mut alice, &mut bob).await, (1, 1));
    bob.send("<presence/>").await;
    let mut waited = 0;
    while let Some(stanza) = bob.next() {
        waited += usize::from(stanza.contains("hello"));
    }
    assert_eq!(waited, 1);
}

#[tokio::test]
async fn what_was_refused_may_be_sent_again() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice.send(HELLO).await;
    assert!(
        alice.next().unwrap().contains("type='error'"),
        "there is no bob yet"
    );
    let mut bob = house.online("bob@localhost/laptop").await;
    alice.send(HELLO).await;
    assert!(bob.next().unwrap().contains("hello"));
    assert_eq!(both(&mut alice, &mut bob).await, (1, 1));
}

#[tokio::test]
async fn to_oneself_as_well() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut laptop = house.online("alice@localhost/laptop").await;
    laptop.skip();
    let note = HELLO.replace("bob@localhost", "alice@localhost");
    alice.send(&note).await;
    alice.send(&note).await;
    assert!(laptop.next().unwrap().contains("hello"));
    laptop.expect_nothing();
    assert_eq!(ask(&mut alice, "").await.ids.len(), 1);
}

#[tokio::test]
async fn what_another_server_repeats_after_a_lost_connection_is_one_however_late() {
    let db = kim_core::testing::TestDb::sqlite().await;
    let said = |number: u32, waited: &str| {
        format!(
            "<message from='juliet@example.net/x' to='bob@localhost' id='j{number}' type='chat'>\
             <body>{number}</body>{waited}</message>"
        )
    };
    let house = House::on(db.db(), MODULES, "").await;
    house.account("bob@localhost").await;
    let mut there = house.neighbour("example.net");
    for number in 0..40 {
        there.send(&said(number, "")).await;
    }
    // The server was killed before it confirmed them, and is back only days later.
    let again = House::on(db.db(), MODULES, "").await;
    again.clock.advance(2 * 86_400);
    let mut bob = again.online("bob@localhost/laptop").await;
    bob.skip();
    let mut there = again.neighbour("example.net");
    there.reconnect();
    // Their server adds what it did not say the first time.
    let delay = "<delay xmlns='urn:xmpp:delay' from='example.net' stamp='2026-01-31T12:00:00Z'/>\
                 <info xmlns='urn:xmpp:raa:0' affiliation='member'/>";
    for number in 0..42 {
        there.send(&said(number, delay)).await;
    }
    let archived = ask(&mut bob, "").await;
    assert_eq!(archived.ids.len(), 42, "{:?}", archived.bodies());
    // What differs is another message, under whatever id.
    there.send(&said(7, "").replace("<body>7", "<body>other")).await;
    assert_eq!(ask(&mut bob, "").await.ids.len(), 43);
}

#[tokio::test]
async fn what_another_server_sends_over_two_streams_at_once_is_one() {
    let house = house().await;
    let mut bob = house.online("bob@localhost/laptop").await;
    bob.skip();
    // The old stream is cut while this server still reads what came over it; the new one brings the same.
    let (mut old, mut new) = (house.neighbour("example.net"), house.neighbour("example.net"));
    old.reconnect();
    new.reconnect();
    for number in 0..20 {
        let said = format!(
            "<message from='juliet@example.net/x' to='bob@localhost' id='j{number}' type='chat'><body>{number}</body></message>"
        );
        tokio::join!(old.send(&said), new.send(&said));
    }
    let delivered = std::iter::from_fn(|| bob.next()).filter(|xml| xml.contains("<body>"));
    assert_eq!(delivered.count(), 20);
    assert_eq!(ask(&mut bob, "").await.ids.len(), 20);
}
