//! Since when somebody is away, told to who may know, and that nothing stays of an account that goes.

use kim_core::db::Query;
use kim_core::module::Entry;
use kim_core::testing::{Client, House};

use super::LastActivity;
use crate::rfc6121_im::Im;
use crate::xep0359_ids::StanzaIds;

const MODULES: &[Entry] = &[
    Entry::of::<StanzaIds>(),
    Entry::of::<Im>(),
    Entry::of::<LastActivity>(),
];

/// Alice, whose presence Bob may see, and Bob.
async fn friends() -> (House, Client, Client) {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    bob.send("<presence to='alice@localhost' type='subscribe'/>")
        .await;
    alice
        .send("<presence to='bob@localhost' type='subscribed'/>")
        .await;
    alice.skip();
    bob.skip();
    (house, alice, bob)
}

async fn ask(bob: &mut Client, answer: &str) {
    bob.skip();
    bob.ask(
        "<iq id='l' to='alice@localhost' type='get'><query xmlns='jabber:iq:last'/></iq>",
        &format!("<iq id='l' from='alice@localhost' {answer}</iq>"),
    )
    .await;
}

fn last(seconds: u64, status: &str) -> String {
    format!("type='result'><query xmlns='jabber:iq:last' seconds='{seconds}'>{status}</query>")
}

#[tokio::test]
async fn who_may_see_the_presence_learns_when_it_ended() {
    let (house, mut alice, mut bob) = friends().await;
    // §3: an available resource.
    ask(&mut bob, &last(0, "")).await;
    alice
        .send("<presence type='unavailable'><status>Heading &lt;Home></status><x xmlns='urn:x'/></presence>")
        .await;
    house.clock.advance(903);
    // Still connected, but not to be seen.
    ask(&mut bob, &last(903, "Heading &lt;Home>")).await;
    alice.disconnect().await;
    house.clock.advance(7);
    ask(&mut bob, &last(910, "Heading &lt;Home>")).await;
    // The other direction was not granted, and the contact hears nothing of it.
    let mut alice = house.online("alice@localhost/phone").await;
    ask(&mut bob, &last(0, "")).await;
    alice
        .ask(
            "<iq id='l' to='bob@localhost' type='get'><query xmlns='jabber:iq:last'/></iq>",
            "<iq id='l' type='error'><error type='auth'>
               <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        )
        .await;
    // A line that breaks has no words; another device that stays is there.
    let tablet = house.online("alice@localhost/tablet").await;
    alice.disconnect().await;
    ask(&mut bob, &last(0, "")).await;
    tablet.disconnect().await;
    house.clock.advance(60);
    ask(&mut bob, &last(60, "")).await;
}

#[tokio::test]
async fn a_client_is_asked_by_who_may_see_it() {
    let (_house, mut alice, mut bob) = friends().await;
    bob.send("<iq id='f' to='alice@localhost/phone' type='get'><query xmlns='jabber:iq:last'/></iq>")
        .await;
    alice.expect("<iq id='f' from='bob@localhost/laptop' type='get'><query xmlns='jabber:iq:last'/></iq>");
    // Answers pass, also from somebody who may not ask.
    alice.send("<iq id='f' to='bob@localhost/laptop' type='result'><query xmlns='jabber:iq:last' seconds='1'/></iq>").await;
    bob.expect("<iq id='f' type='result'><query xmlns='jabber:iq:last' seconds='1'/></iq>");
}

#[tokio::test]
async fn who_was_never_there_never_left() {
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    bob.send("<presence to='alice@localhost' type='subscribe'/>")
        .await;
    alice
        .send("<presence to='bob@localhost' type='subscribed'/>")
        .await;
    ask(
        &mut bob,
        "type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    )
    .await;
}

#[tokio::test]
async fn long_words_are_cut_and_nothing_stays_of_an_account_that_goes() {
    let (house, mut alice, mut bob) = friends().await;
    let words = format!("<status>x{}</status>", "é".repeat(2_000));
    alice
        .send(&format!("<presence type='unavailable'>{words}</presence>"))
        .await;
    let kept = format!("x{}", "é".repeat(511));
    ask(&mut bob, &last(0, &kept)).await;
    house.router.erase_account(&alice.session.account).await.unwrap();
    let rows = house
        .db
        .fetch_all(Query::new("SELECT account FROM last_activity"))
        .await
        .unwrap();
    assert!(rows.is_empty());
    // A guest leaves no trace.
    let mut ghost = house.guest("ghost@guest.localhost/web").await;
    ghost.send("<presence/>").await;
    ghost.disconnect().await;
    let rows = house
        .db
        .fetch_all(Query::new("SELECT account FROM last_activity"))
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn the_words_are_sealed_and_damaged_ones_cost_only_themselves() {
    let (house, mut alice, mut bob) = friends().await;
    alice
        .send("<presence type='unavailable'><status>Heading home</status></presence>")
        .await;
    let kept = Query::new("SELECT status, sealed FROM last_activity");
    let row = house.db.fetch_optional(kept).await.unwrap().unwrap();
    let mut sealed = row.bytes(1).unwrap();
    assert_eq!(row.text(0).unwrap(), "");
    assert!(!sealed.windows(7).any(|window| window == b"Heading"));
    ask(&mut bob, &last(0, "Heading home")).await;
    sealed[30] ^= 1;
    let damage = Query::new("UPDATE last_activity SET sealed = $1").bind(&sealed);
    house.db.execute(damage).await.unwrap();
    ask(&mut bob, &last(0, "")).await;
}
