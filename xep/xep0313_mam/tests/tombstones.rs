//! XEP-0424: what is left of retracted messages.

use super::*;

const RETRACTION: &str = "<message id='r1' to='bob@localhost' type='chat'><retract xmlns='urn:xmpp:message-retract:1' id='m1'/>\
     <fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/><body>gone</body></message>";

async fn send(client: &mut Client, id: &str, to: &str, body: &str) {
    client
        .send(&format!(
            "<message id='{id}' to='{to}' type='chat'><body>{body}</body></message>"
        ))
        .await;
}

#[tokio::test]
async fn a_retracted_message_leaves_a_tombstone_in_both_archives() {
    // §4
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    send(&mut alice, "m0", "bob@localhost", "before").await;
    send(&mut alice, "m1", "bob@localhost", "a mistake").await;
    send(&mut alice, "m2", "bob@localhost", "after").await;
    let before = (ask(&mut alice, "").await, ask(&mut bob, "").await);
    alice.disconnect().await;
    // From another client: it is the bare JID that counts (§5).
    let mut alice = house.online("alice@localhost/tablet").await;
    alice.send(RETRACTION).await;
    assert!(bob.next().unwrap().contains("<retract "), "it is delivered");
    for (client, before) in [(&mut alice, before.0), (&mut bob, before.1)] {
        let after = ask(client, "").await;
        assert_eq!(after.ids[..3], before.ids[..], "ids and places stay");
        assert_eq!(
            after.bodies(),
            ["before", "", "after", "gone"],
            "the retraction itself is stored (§5)"
        );
        let tombstone = &after.results[1];
        assert!(
            tombstone.contains(
                "<message xmlns='jabber:client' from='alice@localhost/phone' to='bob@localhost' id='m1' type='chat'>\
                 <retracted xmlns='urn:xmpp:message-retract:1' stamp='2026-01-31T12:00:00."
            ) && tombstone.contains("id='r1'/></message>"),
            "{tombstone}"
        );
        // The time is that of the message, not of the retraction.
        let delay = |result: &str| {
            result
                .split("<delay ")
                .nth(1)
                .unwrap()
                .split("/>")
                .next()
                .unwrap()
                .to_owned()
        };
        assert_eq!(delay(tombstone), delay(&before.results[1]));
    }
    // Once more changes nothing.
    let ids = ask(&mut bob, "").await.results[1].clone();
    alice.send(&RETRACTION.replace("r1", "r2")).await;
    assert_eq!(ask(&mut bob, "").await.results[1], ids);
}

#[tokio::test]
async fn nobody_retracts_what_somebody_else_sent() {
    // §5
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut carol = house.online("carol@localhost/x").await;
    send(&mut alice, "m1", "bob@localhost", "hello").await;
    send(&mut alice, "m1", "carol@localhost", "hello carol").await;
    send(&mut bob, "m1", "alice@localhost", "hello alice").await;
    // Bob retracts his own message of that id, not Alice's; Carol has sent none.
    bob.send(&RETRACTION.replace("bob@localhost", "alice@localhost"))
        .await;
    carol.send(RETRACTION).await;
    carol
        .send(&RETRACTION.replace("bob@localhost", "alice@localhost"))
        .await;
    assert_eq!(
        ask(&mut alice, "").await.bodies()[..3],
        ["hello", "hello carol", ""]
    );
    assert_eq!(ask(&mut bob, "").await.bodies()[..2], ["hello", ""]);
    // In another conversation an id is another message's.
    alice
        .send(&RETRACTION.replace("bob@localhost", "carol@localhost"))
        .await;
    assert_eq!(ask(&mut alice, "").await.bodies()[..3], ["hello", "", ""]);
    assert_eq!(ask(&mut bob, "").await.bodies()[..1], ["hello"]);
}

#[tokio::test]
async fn retractions_that_mean_nothing_are_messages_like_others() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    send(&mut alice, "m0", "bob@localhost", "hello").await;
    alice.send(RETRACTION).await;
    alice.send(&RETRACTION.replace(" id='m1'", "")).await;
    alice.send(&RETRACTION.replace("m1", "r1")).await;
    assert_eq!(
        ask(&mut bob, "").await.bodies(),
        ["hello", "gone", "gone", "gone"]
    );
}
