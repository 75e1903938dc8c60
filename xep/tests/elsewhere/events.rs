//! Events and items of accounts (XEP-0060, XEP-0163, XEP-0384, XEP-0084) across servers, both ways.

use kim_core::testing::{Client, House, Neighbour};
use kim_core::wire::Element;

use super::{ROMEO, all, befriend, house, say};

const DEVICES: &str = "urn:xmpp:omemo:2:devices";
const TUNE: &str = "http://jabber.org/protocol/tune";

fn caps(ver: &str) -> String {
    format!("<c xmlns='http://jabber.org/protocol/caps' node='urn:client' ver='{ver}'/>")
}

/// Romeo's client comes, and is asked in Alice's name what it wants. Gives the id of the question.
async fn come(there: &mut Neighbour, from: &str) -> String {
    say(
        there,
        &format!(
            "<presence from='{from}' to='alice@localhost'>{}</presence>",
            caps(from)
        ),
    )
    .await;
    let question = there.next().expect("a question");
    let question = Element::parse(&question).unwrap();
    assert_eq!(question.attr("to").as_deref(), Some(from));
    assert_eq!(question.attr("from").as_deref(), Some("alice@localhost"));
    question.attr("id").unwrap().into_owned()
}

async fn answer(there: &mut Neighbour, from: &str, id: &str, nodes: &[&str]) {
    let features: String = nodes
        .iter()
        .map(|node| format!("<feature var='{node}+notify'/>"))
        .collect();
    say(
        there,
        &format!("<iq from='{from}' to='alice@localhost' id='{id}' type='result'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc'/>{features}</query></iq>"),
    )
    .await;
}

/// Publishes an item at a node, made with these fields.
async fn publish(alice: &mut Client, node: &str, access: &str) {
    alice.skip();
    let field = |var: &str, value: &str| format!("<field var='{var}'><value>{value}</value></field>");
    let options = field("FORM_TYPE", "http://jabber.org/protocol/pubsub#publish-options")
        + &field("pubsub#access_model", access);
    alice
        .ask(
            &format!("<iq id='p' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{node}'><item id='current'><x xmlns='urn:x'/></item></publish><publish-options><x xmlns='jabber:x:data' type='submit'>{options}</x></publish-options></pubsub></iq>"),
            "<iq id='p' type='result'>...</iq>",
        )
        .await;
}

fn event(node: &str) -> String {
    format!(
        "<message from='alice@localhost' to='{ROMEO}' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='{node}'><item id='current'>...</item></items></event>...</message>"
    )
}

/// Alice and Romeo are contacts, and his client has said that it wants to hear of her tunes.
async fn listening() -> (House, Client, Neighbour) {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    befriend(&mut alice, &mut there).await;
    let id = come(&mut there, ROMEO).await;
    answer(&mut there, ROMEO, &id, &[TUNE]).await;
    there.expect_nothing();
    (house, alice, there)
}

#[tokio::test]
async fn contacts_elsewhere_hear_what_they_want_to() {
    let (_house, mut alice, mut there) = listening().await;
    publish(&mut alice, "urn:other", "presence").await;
    there.expect_nothing();
    publish(&mut alice, TUNE, "presence").await;
    there.expect(&event(TUNE));
    there.expect_nothing();
    // The same presence again changes nothing; another client of his gets the last item once it has said that it wants it.
    say(
        &mut there,
        &format!(
            "<presence from='{ROMEO}' to='alice@localhost/phone'>{}</presence>",
            caps(ROMEO)
        ),
    )
    .await;
    there.expect_nothing();
    let id = come(&mut there, "romeo@example.org/balcony").await;
    answer(&mut there, "romeo@example.org/balcony", &id, &[TUNE]).await;
    there.expect(&event(TUNE).replace("/orchard", "/balcony"));
    publish(&mut alice, TUNE, "presence").await;
    let told = all(&mut there);
    assert_eq!(told.len(), 2, "{told:#?}");
}

#[tokio::test]
async fn verified_capabilities_are_asked_for_once() {
    let (_house, _alice, mut there) = listening().await;
    // The example of XEP-0115 §5.2 is about another client; this one's string is the hash of what it answers.
    let ver = "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:client' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>";
    let come = |resource: &str| {
        format!("<presence from='romeo@example.org/{resource}' to='alice@localhost'>{ver}</presence>")
    };
    say(&mut there, &come("a")).await;
    let question = Element::parse(&there.next().expect("a question")).unwrap();
    let id = question.attr("id").unwrap().into_owned();
    say(
        &mut there,
        &format!("<iq from='romeo@example.org/a' to='alice@localhost' id='{id}' type='result'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' name='Exodus 0.9.1' type='pc'/><feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/></query></iq>"),
    )
    .await;
    say(&mut there, &come("b")).await;
    there.expect_nothing();
}

#[tokio::test]
async fn who_is_gone_hears_nothing_more() {
    let error = |condition: &str| {
        format!("<error type='cancel'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
    };
    for going in [
        format!("<presence from='{ROMEO}' to='alice@localhost' type='unavailable'/>"),
        format!(
            "<presence from='romeo@example.org' to='alice@localhost' type='error'>{}</presence>",
            error("remote-server-timeout")
        ),
        format!(
            "<message from='{ROMEO}' to='alice@localhost' type='error'>{}</message>",
            error("recipient-unavailable")
        ),
        "<presence from='romeo@example.org' to='alice@localhost' type='unsubscribe'/>".to_owned(),
    ] {
        let (_house, mut alice, mut there) = listening().await;
        say(&mut there, &going).await;
        there.skip();
        publish(&mut alice, TUNE, "presence").await;
        there.expect_nothing();
    }
    // After a week without a word nobody knows.
    let (house, mut alice, mut there) = listening().await;
    house.clock.advance(8 * 86_400);
    publish(&mut alice, TUNE, "presence").await;
    there.expect_nothing();
    // Who is blocked neither.
    let (_house, mut alice, mut there) = listening().await;
    alice.send("<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='romeo@example.org'/></block></iq>").await;
    there.skip();
    publish(&mut alice, TUNE, "open").await;
    there.expect_nothing();
}

#[tokio::test]
async fn strangers_are_not_asked_and_not_told() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    say(
        &mut there,
        &format!(
            "<presence from='{ROMEO}' to='alice@localhost'>{}</presence>",
            caps("x")
        ),
    )
    .await;
    publish(&mut alice, TUNE, "open").await;
    there.expect_nothing();
}

#[tokio::test]
async fn who_may_see_from_now_on_gets_the_last_item() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    publish(&mut alice, TUNE, "presence").await;
    alice
        .send("<presence to='romeo@example.org' type='subscribe'/>")
        .await;
    say(
        &mut there,
        "<presence from='romeo@example.org' to='alice@localhost' type='subscribed'/>",
    )
    .await;
    there.skip();
    let id = come(&mut there, ROMEO).await;
    answer(&mut there, ROMEO, &id, &[TUNE]).await;
    there.expect_nothing();
    say(
        &mut there,
        "<presence from='romeo@example.org' to='alice@localhost' type='subscribe'/>",
    )
    .await;
    alice
        .send("<presence to='romeo@example.org' type='subscribed'/>")
        .await;
    let told = all(&mut there);
    assert!(
        told.iter()
            .any(|xml| xml.contains("#event") && xml.contains(ROMEO)),
        "{told:#?}"
    );
}

#[tokio::test]
async fn nobody_answers_for_a_client_elsewhere() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    let mut other = house.neighbour("example.net");
    befriend(&mut alice, &mut there).await;
    let id = come(&mut there, ROMEO).await;
    answer(&mut other, "romeo@example.net/orchard", &id, &[TUNE]).await;
    answer(&mut there, ROMEO, "guess", &[TUNE]).await;
    publish(&mut alice, TUNE, "presence").await;
    there.expect_nothing();
}

#[tokio::test]
async fn items_are_read_by_their_access_model() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    let read = |node: &str, who: &str| {
        format!(
            "<iq from='romeo@example.org/orchard' to='{who}@localhost' id='i' type='get'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{node}'/></pubsub></iq>"
        )
    };
    publish(&mut alice, DEVICES, "open").await;
    publish(&mut alice, "urn:xmpp:omemo:2:bundles", "open").await;
    publish(&mut alice, TUNE, "presence").await;
    publish(&mut alice, "urn:private", "whitelist").await;
    for node in [DEVICES, "urn:xmpp:omemo:2:bundles"] {
        say(&mut there, &read(node, "alice")).await;
        there.expect(&format!("<iq from='alice@localhost' to='{ROMEO}' type='result'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{node}'><item id='current'>...</item></items></pubsub></iq>"));
    }
    // A node that a stranger may not see, one that is not there, and an account that is not there look alike.
    let mut heard = Vec::new();
    for (node, who) in [
        (TUNE, "alice"),
        ("urn:private", "alice"),
        ("urn:none", "alice"),
        (TUNE, "nobody"),
    ] {
        say(&mut there, &read(node, who)).await;
        let got = there.next().expect("an answer");
        assert!(got.contains("type='error'"), "{got}");
        heard.push(got.replace(who, "*").replace(node, "*"));
    }
    assert!(heard.iter().all(|one| *one == heard[0]), "{heard:#?}");
    befriend(&mut alice, &mut there).await;
    say(&mut there, &read(TUNE, "alice")).await;
    there.expect(&format!(
        "<iq from='alice@localhost' to='{ROMEO}' type='result'>...</iq>"
    ));
}

#[tokio::test]
async fn somebody_elsewhere_subscribes_to_a_node() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    publish(&mut alice, "urn:blog", "open").await;
    say(
        &mut there,
        &format!("<iq from='{ROMEO}' to='alice@localhost' id='s' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='urn:blog' jid='romeo@example.org'/></pubsub></iq>"),
    )
    .await;
    let got = all(&mut there);
    assert!(
        got.iter()
            .any(|xml| xml.starts_with("<iq") && xml.contains("type='result'")),
        "{got:#?}"
    );
    publish(&mut alice, "urn:blog", "open").await;
    there.expect("<message from='alice@localhost' to='romeo@example.org' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'>...</event>...</message>");
    // In nobody else's name.
    say(
        &mut there,
        &format!("<iq from='{ROMEO}' to='alice@localhost' id='s' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='urn:blog' jid='tybalt@example.org'/></pubsub></iq>"),
    )
    .await;
    there.expect(&format!(
        "<iq from='alice@localhost' to='{ROMEO}' type='error'>...</iq>"
    ));
}

#[tokio::test]
async fn events_from_elsewhere_reach_the_client_that_wants_them() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    let mut there = house.neighbour("example.org");
    alice.skip();
    let question = "<iq from='romeo@example.org' to='alice@localhost/phone' id='d' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
    say(&mut there, question).await;
    alice.expect(question);
    let event = "<message from='romeo@example.org' to='alice@localhost/phone' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:omemo:2:devices'><item id='current'/></items></event></message>";
    say(&mut there, event).await;
    alice.expect(event);
    tablet.expect_nothing();
    alice
        .send("<iq to='romeo@example.org' id='f' type='get'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:omemo:2:bundles'/></pubsub></iq>")
        .await;
    there.expect("<iq from='alice@localhost/phone' to='romeo@example.org' id='f' type='get'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:omemo:2:bundles'/></pubsub></iq>");
}

#[tokio::test]
async fn the_pubsub_service_is_read_from_elsewhere_and_filled_from_here() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    let ask = |kind: &str, what: &str| {
        format!(
            "<iq from='{ROMEO}' to='pubsub.localhost' id='q' type='{kind}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>{what}</pubsub></iq>"
        )
    };
    say(&mut there, &ask("set", "<create node='news'/>")).await;
    there.expect(&format!("<iq from='pubsub.localhost' to='{ROMEO}' type='error'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"));
    alice
        .send("<iq to='pubsub.localhost' id='c' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'><create node='news'/></pubsub></iq>")
        .await;
    alice.skip();
    say(
        &mut there,
        &ask("set", "<subscribe node='news' jid='romeo@example.org'/>"),
    )
    .await;
    there.expect(&format!(
        "<iq from='pubsub.localhost' to='{ROMEO}' type='result'>...</iq>"
    ));
    let publish = "<publish node='news'><item id='1'><x xmlns='urn:x'/></item></publish>";
    say(&mut there, &ask("set", publish)).await;
    there.expect(&format!(
        "<iq from='pubsub.localhost' to='{ROMEO}' type='error'>...</iq>"
    ));
    alice
        .send(&format!("<iq to='pubsub.localhost' id='p' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'>{publish}</pubsub></iq>"))
        .await;
    there.expect("<message from='pubsub.localhost' to='romeo@example.org' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'>...</event></message>");
    say(&mut there, &ask("get", "<items node='news'/>")).await;
    there.expect(&format!(
        "<iq from='pubsub.localhost' to='{ROMEO}' type='result'>...</iq>"
    ));
}

#[tokio::test]
async fn a_vcard_is_read_from_elsewhere() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    let card = "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>";
    alice.skip();
    alice
        .ask(
            &format!("<iq id='v' type='set'>{card}</iq>"),
            "<iq id='v' type='result'/>",
        )
        .await;
    say(
        &mut there,
        &format!(
            "<iq from='{ROMEO}' to='alice@localhost' id='v' type='get'><vCard xmlns='vcard-temp'/></iq>"
        ),
    )
    .await;
    there.expect(&format!(
        "<iq from='alice@localhost' to='{ROMEO}' type='result'>{card}</iq>"
    ));
    say(
        &mut there,
        &format!("<iq from='{ROMEO}' to='alice@localhost' id='v' type='set'>{card}</iq>"),
    )
    .await;
    there.expect(&format!(
        "<iq from='alice@localhost' to='{ROMEO}' type='error'>...</iq>"
    ));
}

#[tokio::test]
async fn a_server_that_is_gone_is_not_told_again() {
    let (house, mut alice, there) = listening().await;
    there.disappear();
    publish(&mut alice, TUNE, "presence").await;
    alice.expect_nothing();
    let mut there = house.neighbour("example.org");
    publish(&mut alice, TUNE, "presence").await;
    there.expect_nothing();
    // Its people are known again once they say that they are there.
    let id = come(&mut there, ROMEO).await;
    answer(&mut there, ROMEO, &id, &[TUNE]).await;
    there.expect(&event(TUNE));
}

#[tokio::test]
async fn a_subscription_ends_with_the_right_to_see() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    befriend(&mut alice, &mut there).await;
    publish(&mut alice, "urn:diary", "presence").await;
    say(
        &mut there,
        &format!("<iq from='{ROMEO}' to='alice@localhost' id='s' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='urn:diary' jid='romeo@example.org'/></pubsub></iq>"),
    )
    .await;
    let got = all(&mut there);
    assert!(
        got.iter()
            .any(|xml| xml.starts_with("<iq") && xml.contains("type='result'")),
        "{got:#?}"
    );
    publish(&mut alice, "urn:diary", "presence").await;
    assert_eq!(all(&mut there).len(), 1);
    alice
        .send("<presence to='romeo@example.org' type='unsubscribed'/>")
        .await;
    there.skip();
    publish(&mut alice, "urn:diary", "presence").await;
    there.expect_nothing();
}
