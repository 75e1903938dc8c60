//! Stories of members on other servers who are woken by the room itself.

use std::time::Duration;

use super::*;

const ROOM: &str = "tea@conference.localhost";

/// What juliet, who is on another server, asks the room.
fn asks(what: &str, jid: &str, node: &str) -> String {
    format!(
        "<iq from='juliet@example.net/phone' id='e' to='{ROOM}' type='set'><{what} xmlns='urn:xmpp:push:0' jid='{jid}' \
         node='{node}'/></iq>"
    )
}

async fn member(bob: &mut Client, jid: &str, affiliation: &str) {
    bob.send(&format!(
        "<iq id='m' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>\
         <item affiliation='{affiliation}' jid='{jid}'/></query></iq>"
    ))
    .await;
    bob.skip();
}

/// A room of bob's, in which he is.
async fn room(house: &House) -> Client {
    let mut bob = house.online("bob@localhost/desk").await;
    bob.send(&format!(
        "<presence to='{ROOM}/bob'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
    ))
    .await;
    bob.send(&format!(
        "<iq id='s' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
         <x xmlns='jabber:x:data' type='submit'/></query></iq>"
    ))
    .await;
    bob.skip();
    bob
}

async fn says(bob: &mut Client, body: &str) {
    bob.send(&format!(
        "<message to='{ROOM}' type='groupchat'><body>{body}</body></message>"
    ))
    .await;
    bob.skip();
}

/// The next stanza; the room tells in a task of its own.
async fn awaited(neighbour: &mut Neighbour) -> String {
    for _ in 0..5_000 {
        if let Some(xml) = neighbour.next() {
            return xml;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("nothing came");
}

#[tokio::test]
async fn a_member_elsewhere_whose_place_is_lost_is_woken_by_the_room() {
    let house = house().await;
    let mut bob = room(&house).await;
    let (mut net, mut app) = (house.neighbour("example.net"), house.neighbour(APP));
    let enable = asks("enable", APP, "n");

    net.send(&enable).await;
    assert!(net.next().unwrap().contains("<forbidden"), "no member");
    member(&mut bob, "juliet@example.net", "member").await;
    net.skip();
    net.send(&enable).await;
    assert!(net.next().unwrap().contains("type='result'"));

    // While she is inside, what is said comes to her.
    let presence = "<x xmlns='http://jabber.org/protocol/muc'/>";
    let to = format!("from='juliet@example.net/phone' to='{ROOM}/juliet'");
    net.send(&format!("<presence {to}>{presence}</presence>")).await;
    says(&mut bob, "while she is here").await;
    net.send(&format!("<presence {to} type='unavailable'/>")).await;
    net.skip();
    says(&mut bob, "while she is away").await;
    let came = awaited(&mut app).await;
    assert!(
        came.contains(&format!("from='{ROOM}'")) && came.contains("node='n'") && !came.contains("away"),
        "{came}"
    );
    assert!(
        came.contains("<value>1</value>") && app.next().is_none(),
        "{came}"
    );

    net.send(&asks("disable", APP, "")).await;
    assert!(net.next().unwrap().contains("type='result'"));
    let left = house.router.fact::<Dispatch>().unwrap();
    let left = left.registrations.of(&ROOM.parse().unwrap()).await.unwrap();
    assert!(left.is_empty());
}

#[tokio::test]
async fn who_is_no_member_any_more_is_not_woken() {
    let house = house().await;
    let mut bob = room(&house).await;
    let (mut net, mut app) = (house.neighbour("example.net"), house.neighbour(APP));
    for jid in ["juliet@example.net", "romeo@example.net"] {
        member(&mut bob, jid, "member").await;
        net.skip();
        let node = jid.split('@').next().unwrap();
        let enable = asks("enable", APP, node).replace("juliet@example.net/phone", &format!("{jid}/phone"));
        net.send(&enable).await;
        assert!(net.next().unwrap().contains("type='result'"));
    }
    member(&mut bob, "juliet@example.net", "none").await;
    says(&mut bob, "juliet is gone").await;
    let came = awaited(&mut app).await;
    assert!(came.contains("node='romeo'"), "{came}");
    assert!(app.next().is_none());

    // With the room go all of them.
    bob.send(&format!(
        "<iq id='d' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>"
    ))
    .await;
    let dispatch = house.router.fact::<Dispatch>().unwrap();
    let left = dispatch.registrations.of(&ROOM.parse().unwrap()).await.unwrap();
    assert!(left.is_empty());
}

#[tokio::test]
async fn nobody_is_woken_for_somebody_else() {
    let house = house().await;
    let mut bob = room(&house).await;
    let mut net = house.neighbour("example.net");
    for jid in ["juliet@example.net", "tybalt@example.net"] {
        member(&mut bob, jid, "member").await;
    }
    net.skip();
    for (jid, node, condition) in [
        ("romeo@example.net/phone", "n", "not-acceptable"),
        // The one of this server is for its accounts.
        ("push.localhost", "n", "not-acceptable"),
        (APP, "", "bad-request"),
    ] {
        net.send(&asks("enable", jid, node)).await;
        let answer = net.next().unwrap();
        assert!(answer.contains(condition), "{jid} {node}: {answer}");
    }
    // Her own client is woken, as an address that she has.
    net.send(&asks("enable", "juliet@example.net/phone", "n")).await;
    assert!(net.next().unwrap().contains("type='result'"));

    net.send(&asks("enable", APP, "hers")).await;
    net.skip();
    let theft = asks("enable", APP, "hers").replace("juliet@", "tybalt@");
    net.send(&theft).await;
    assert!(net.next().unwrap().contains("<conflict"));
    let theft = asks("disable", APP, "hers").replace("juliet@", "tybalt@");
    net.send(&theft).await;
    let dispatch = house.router.fact::<Dispatch>().unwrap();
    let left = dispatch.registrations.of(&ROOM.parse().unwrap()).await.unwrap();
    assert_eq!(left.len(), 2);

    let nowhere = asks("enable", APP, "n").replace(ROOM, "nowhere@conference.localhost");
    net.skip();
    net.send(&nowhere).await;
    assert!(net.next().unwrap().contains("item-not-found"));
}
