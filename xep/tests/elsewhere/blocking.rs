//! Blocked people and servers elsewhere (XEP-0191): nothing passes, and the blocked see somebody who is away.

use kim_core::testing::{Client, House, Neighbour};

use super::{ROMEO, UNAVAILABLE, all, befriend, house, say};

async fn blocked(jid: &str) -> (House, Client, Neighbour) {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    befriend(&mut alice, &mut there).await;
    alice
        .send(&format!(
            "<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='{jid}'/></block></iq>"
        ))
        .await;
    // §3.3: whoever saw us sees us go.
    there.expect("<presence from='alice@localhost/phone' to='romeo@example.org' type='unavailable'/>");
    there.expect_nothing();
    alice.skip();
    (house, alice, there)
}

#[tokio::test]
async fn nothing_leaks_to_the_blocked() {
    for jid in ["romeo@example.org", "example.org"] {
        let (_house, mut alice, mut there) = blocked(jid).await;
        alice.send("<presence><show>away</show></presence>").await;
        alice.send("<presence type='unavailable'/>").await;
        alice.send("<presence/>").await;
        alice
            .send("<iq id='p' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:x'><item id='1'><x xmlns='urn:x'/></item></publish></pubsub></iq>")
            .await;
        let told = all(&mut there);
        assert!(
            told.iter().all(|xml| xml.contains("type='unavailable'")),
            "{jid}: {told:#?}"
        );
        say(
            &mut there,
            "<presence from='romeo@example.org' to='alice@localhost' type='probe'/>",
        )
        .await;
        say(
            &mut there,
            "<presence from='romeo@example.org' to='alice@localhost' type='subscribe'/>",
        )
        .await;
        say(
            &mut there,
            &format!("<presence from='{ROMEO}' to='alice@localhost'/>"),
        )
        .await;
        there.expect_nothing();
        alice.skip();
        for to in ["alice@localhost", "alice@localhost/phone"] {
            say(
                &mut there,
                &format!("<message from='{ROMEO}' to='{to}' id='m' type='chat'><body>x</body></message>"),
            )
            .await;
            there.expect(&format!(
                "<message from='{to}' to='{ROMEO}' id='m' type='error'>{UNAVAILABLE}</message>"
            ));
            say(
                &mut there,
                &format!("<iq from='{ROMEO}' to='{to}' id='q' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"),
            )
            .await;
            there.expect(&format!(
                "<iq from='{to}' to='{ROMEO}' id='q' type='error'>{UNAVAILABLE}</iq>"
            ));
        }
        alice.expect_nothing();
        there.expect_nothing();
    }
}

#[tokio::test]
async fn who_blocks_cannot_write_either() {
    let (_house, mut alice, mut there) = blocked("example.org").await;
    alice
        .send("<message to='romeo@example.org' id='m' type='chat'><body>x</body></message>")
        .await;
    alice.expect("<message from='romeo@example.org' id='m' type='error'><error type='cancel' code='406'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><blocked xmlns='urn:xmpp:blocking:errors'/></error></message>");
    there.expect_nothing();
}

#[tokio::test]
async fn unblocking_shows_both_to_each_other_again() {
    let (_house, mut alice, mut there) = blocked("romeo@example.org").await;
    alice
        .send("<iq id='u' type='set'><unblock xmlns='urn:xmpp:blocking'/></iq>")
        .await;
    there.expect("<presence from='alice@localhost/phone' to='romeo@example.org'/>");
    there.expect("<presence from='alice@localhost' to='romeo@example.org' type='probe'/>");
}

#[tokio::test]
async fn a_blocked_room_elsewhere_is_silent_and_hears_no_error() {
    let (_house, mut alice, mut there) = blocked("example.org").await;
    say(
        &mut there,
        "<message from='coven@example.org/nurse' to='alice@localhost/phone' type='groupchat'><body>x</body></message>",
    )
    .await;
    alice.expect_nothing();
    there.expect_nothing();
}
