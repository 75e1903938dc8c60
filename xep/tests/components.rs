//! External components (XEP-0114) among all modules: what reaches them, what they may say, and what is kept from them.

use kim_core::error::StreamCondition;
use kim_core::testing::House;

use crate::MODULES;

const CONFIG: &str = "[[component]]\njid = \"irc.localhost\"\nsecret = \"open sesame\"\n";

async fn house() -> House {
    House::configured(MODULES, CONFIG).await
}

#[tokio::test]
async fn messages_and_requests_pass_both_ways() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/tablet").await;
    let mut irc = house.program("irc.localhost");

    alice
        .send("<message to='#rust@irc.localhost' id='m1' type='chat'><body>hello</body></message>")
        .await;
    irc.expect(
        "<message from='alice@localhost/tablet' to='#rust@irc.localhost' id='m1' type='chat'><body>hello</body>...</message>",
    );
    let closing = irc
        .send("<message from='#rust@irc.localhost/bob' to='alice@localhost' type='chat'><body>hi</body></message>")
        .await;
    assert_eq!(closing, None);
    alice.expect("<message from='#rust@irc.localhost/bob' to='alice@localhost' type='chat'><body>hi</body>...</message>");

    alice
        .send("<iq to='irc.localhost' id='q1' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
        .await;
    irc.expect("<iq from='alice@localhost/tablet' to='irc.localhost' id='q1' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
    irc.send("<iq from='irc.localhost' to='alice@localhost/tablet' id='q1' type='result'/>")
        .await;
    alice.expect("<iq from='irc.localhost' to='alice@localhost/tablet' id='q1' type='result'/>");

    irc.send("<iq from='irc.localhost' to='localhost' id='v' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    irc.expect("<iq from='localhost' to='irc.localhost' id='v' type='result'/>");
}

#[tokio::test]
async fn a_component_speaks_for_its_own_domain_only() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/tablet").await;
    let mut irc = house.program("irc.localhost");
    let mut ends_with = async |xml: &str| irc.send(xml).await.map(|error| error.condition);

    for forged in [
        "bob@localhost",
        "localhost",
        "sub.irc.localhost",
        "irc.example.org",
        "conference.localhost/x",
    ] {
        let xml = format!("<message from='{forged}' to='alice@localhost'><body>trust me</body></message>");
        assert_eq!(
            ends_with(&xml).await,
            Some(StreamCondition::InvalidFrom),
            "{forged}"
        );
    }
    let without_from = "<message to='alice@localhost'><body>x</body></message>";
    assert_eq!(
        ends_with(without_from).await,
        Some(StreamCondition::ImproperAddressing)
    );
    let without_to = "<message from='irc.localhost'><body>x</body></message>";
    assert_eq!(
        ends_with(without_to).await,
        Some(StreamCondition::ImproperAddressing)
    );
    alice.expect_nothing();
}

#[tokio::test]
async fn what_an_absent_component_is_sent_comes_back_at_once() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/tablet").await;

    alice
        .send("<message to='#rust@irc.localhost' id='m1'><body>anybody?</body></message>")
        .await;
    alice.expect("<message from='#rust@irc.localhost' to='alice@localhost/tablet' id='m1' type='error'><error type='cancel' code='503'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>");
    alice
        .send("<iq to='irc.localhost' id='q1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    alice.expect("<iq from='irc.localhost' to='alice@localhost/tablet' id='q1' type='error'><error type='cancel' code='503'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
    // Presence is news, not a question.
    alice.send("<presence to='#rust@irc.localhost/alice'/>").await;
    alice.expect_nothing();
}

#[tokio::test]
async fn an_absent_component_cannot_be_subscribed_to() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/tablet").await;

    alice
        .send("<presence to='irc.localhost' id='s1' type='subscribe'/>")
        .await;
    alice.expect("<presence from='irc.localhost' id='s1' type='error'><error type='cancel' code='503'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>");
    alice.expect_nothing();
    let _irc = house.program("irc.localhost");
    alice
        .send("<presence to='irc.localhost' id='s2' type='subscribe'/>")
        .await;
    alice.expect("<iq type='set' id='*'><query xmlns='jabber:iq:roster' ver='*'><item jid='irc.localhost' subscription='none' ask='subscribe'/></query></iq>");
}

#[tokio::test]
async fn what_a_lost_component_had_not_taken_comes_back() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/tablet").await;
    let irc = house.program("irc.localhost");

    alice
        .send("<message to='#rust@irc.localhost' id='m1'><body>1</body></message>")
        .await;
    alice.expect_nothing();
    irc.disconnect().await;
    alice.expect(
        "<message from='#rust@irc.localhost' to='alice@localhost/tablet' id='m1' type='error'>...</message>",
    );

    // The place is free for the program when it comes back.
    let mut irc = house.program("irc.localhost");
    alice
        .send("<message to='#rust@irc.localhost' id='m2'><body>2</body></message>")
        .await;
    irc.expect(
        "<message from='alice@localhost/tablet' to='#rust@irc.localhost' id='m2'><body>2</body>...</message>",
    );
}

#[tokio::test]
async fn guests_and_components_do_not_meet() {
    let house = house().await;
    let mut guest = house.guest("abc@guest.localhost/web").await;
    let mut irc = house.program("irc.localhost");

    guest
        .send("<message to='#rust@irc.localhost' id='m1'><body>spam</body></message>")
        .await;
    guest.expect(
        "<message from='#rust@irc.localhost' to='abc@guest.localhost/web' id='m1' type='error'>...</message>",
    );
    irc.expect_nothing();
    irc.send(
        "<message from='irc.localhost' to='abc@guest.localhost/web' id='m2'><body>spam</body></message>",
    )
    .await;
    irc.expect(
        "<message from='abc@guest.localhost/web' to='irc.localhost' id='m2' type='error'>...</message>",
    );
    guest.expect_nothing();
}

#[tokio::test]
async fn the_blocked_do_not_see_what_the_server_says_for_an_account() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/tablet").await;
    let mut irc = house.program("irc.localhost");

    alice
        .send("<presence to='bob@irc.localhost' type='subscribe'/>")
        .await;
    irc.expect(
        "<presence from='alice@localhost' to='bob@irc.localhost' type='subscribe'>\
         <info xmlns='urn:xmpp:raa:0' affiliation='member'/></presence>",
    );
    irc.send("<presence from='bob@irc.localhost' to='alice@localhost' type='subscribed'/>")
        .await;
    irc.send("<presence from='bob@irc.localhost' to='alice@localhost' type='subscribe'/>")
        .await;
    alice
        .send("<presence to='bob@irc.localhost' type='subscribed'/>")
        .await;
    irc.expect("<presence from='alice@localhost' to='bob@irc.localhost' type='subscribed'/>");
    irc.expect("<presence from='alice@localhost/tablet' to='bob@irc.localhost'>...</presence>");

    alice
        .send("<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='bob@irc.localhost'/></block></iq>")
        .await;
    irc.expect("<presence from='alice@localhost/tablet' to='bob@irc.localhost' type='unavailable'/>");
    alice.send("<presence><show>away</show></presence>").await;
    irc.send("<presence from='bob@irc.localhost' to='alice@localhost' type='probe'/>")
        .await;
    irc.expect_nothing();
}

#[tokio::test]
async fn service_discovery_lists_components() {
    let house = house().await;
    let items =
        "<iq to='localhost' id='i' type='get'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>";
    let mut alice = house.online("alice@localhost/tablet").await;
    alice.send(items).await;
    assert!(
        alice
            .next()
            .is_some_and(|answer| answer.contains("jid='irc.localhost'"))
    );
    let mut guest = house.guest("abc@guest.localhost/web").await;
    guest
        .send(&items.replace("'localhost'", "'guest.localhost'"))
        .await;
    let answer = guest.next().expect("an answer");
    assert!(
        answer.contains("conference.localhost") && !answer.contains("irc.localhost"),
        "{answer}"
    );
}
