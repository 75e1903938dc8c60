//! What wakes nobody, and how few notifications there are.

use kim_core::jid::BareJid;
use kim_core::stanza::Stanza;

use super::super::worth::{self, WakeWorth, speaks_to};
use super::*;

#[test]
fn a_device_is_woken_for_what_its_user_wants_to_know_now() {
    let alice = BareJid::parse("alice@localhost").unwrap();
    let copy = |way: &str, from: &str, inner: &str| {
        format!(
            "<message from='alice@localhost' to='alice@localhost/p' type='chat'><{way} xmlns='urn:xmpp:carbons:2'>\
             <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='{from}' to='bob@localhost' type='chat'>{inner}\
             </message></forwarded></{way}></message>"
        )
    };
    let message = |kind: &str, inner: &str| {
        format!("<message from='bob@localhost/x' to='alice@localhost' type='{kind}'>{inner}</message>")
    };
    let omemo = |inner: &str| {
        format!("<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/>{inner}</encrypted>")
    };
    for (xml, wakes) in [
        (message("chat", "<body>hi</body>"), "message"),
        (message("normal", "<body>hi</body>"), "message"),
        (message("groupchat", "<body>hi</body>"), "room"),
        (message("headline", "<body>hi</body>"), "nothing"),
        (message("error", "<body>hi</body>"), "nothing"),
        (message("chat", "<body/>"), "nothing"),
        (
            message(
                "chat",
                &(omemo("<payload>x</payload>") + "<body>encrypted</body>"),
            ),
            "message",
        ),
        (message("chat", &omemo("")), "nothing"),
        (
            message(
                "chat",
                "<encrypted xmlns='urn:xmpp:omemo:2'><payload>x</payload></encrypted>",
            ),
            "message",
        ),
        (
            message("chat", "<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>"),
            "message",
        ),
        (
            message(
                "chat",
                "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
            ),
            "nothing",
        ),
        (
            message("chat", "<received xmlns='urn:xmpp:receipts' id='1'/>"),
            "nothing",
        ),
        (
            message("chat", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"),
            "nothing",
        ),
        (
            message("chat", "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>"),
            "nothing",
        ),
        (
            message("chat", "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>"),
            "call",
        ),
        (
            message("chat", "<retract xmlns='urn:xmpp:jingle-message:0' id='1'/>"),
            "over",
        ),
        (
            message("normal", "<x xmlns='jabber:x:conference' jid='r@x'/>"),
            "message",
        ),
        (message("normal", "<mentions xmlns='urn:xmpp:mmn:0'/>"), "message"),
        (
            message(
                "normal",
                "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
            ),
            "nothing",
        ),
        (copy("received", "bob@localhost/x", "<body>hi</body>"), "message"),
        (
            copy(
                "received",
                "bob@localhost/x",
                "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>",
            ),
            "call",
        ),
        (copy("sent", "alice@localhost/desk", "<body>hi</body>"), "nothing"),
        (
            copy(
                "sent",
                "alice@localhost/desk",
                "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
            ),
            "read",
        ),
        (
            copy(
                "sent",
                "alice@localhost/desk",
                "<proceed xmlns='urn:xmpp:jingle-message:0' id='1'/>",
            ),
            "over",
        ),
        (
            message("chat", "<ringing xmlns='urn:xmpp:jingle-message:0' id='1'/>"),
            "nothing",
        ),
        // A copy is the account's own word; from others it is nothing to look into.
        (
            copy("received", "bob@localhost/x", "<body>hi</body>").replace(
                "<message from='alice@localhost'",
                "<message from='mallory@localhost'",
            ),
            "nothing",
        ),
        (
            "<message from='alice@localhost/desk' to='alice@localhost'><body>note</body></message>".into(),
            "nothing",
        ),
        (
            "<presence from='bob@localhost' type='subscribe'/>".into(),
            "subscription",
        ),
        ("<presence from='bob@localhost/x'/>".into(), "nothing"),
        (
            "<iq from='bob@localhost/x' id='1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>".into(),
            "nothing",
        ),
    ] {
        let found = match worth::of(&Stanza::parse(&xml).unwrap(), &alice) {
            WakeWorth::Nothing => "nothing",
            WakeWorth::Message(said) => {
                assert!(said.body.as_deref().is_none_or(|body| body == "hi"), "{xml}");
                "message"
            }
            WakeWorth::InRoom(_) => "room",
            WakeWorth::Call(_) => "call",
            WakeWorth::Subscription(_) => "subscription",
            WakeWorth::CallOver => "over",
            WakeWorth::ReadElsewhere(chat) => {
                assert_eq!(chat.as_str(), "bob@localhost");
                "read"
            }
        };
        assert_eq!(found, wakes, "{xml}");
    }
}

#[test]
fn a_nickname_is_spoken_to_as_a_word() {
    for body in ["Alice: hi", "hi alice", "alice", "(ALICE)", "what, alice?"] {
        assert!(speaks_to(body, "alice"), "{body}");
    }
    for body in ["malice", "alices", "hi", ""] {
        assert!(!speaks_to(body, "alice"), "{body}");
    }
    assert!(!speaks_to("hi", ""));
    assert!(speaks_to("ÄÖ: ß", "äö"));
}

#[tokio::test]
async fn one_notification_stands_for_all_until_the_client_is_back() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let mut alice = phone(&house, "alice@localhost/phone", "n").await;
    let mut bob = house.online("bob@localhost/desk").await;
    house.router.park(&alice.session).await;
    for body in ["one", "two", "three"] {
        chat(&mut bob, "alice@localhost", body).await;
    }
    app.expect(&notification("n", 1, "a"));
    app.expect_nothing();
    take(&mut app, "a").await;
    // She does not come: after a while one more, which counts them all.
    later(&house, 601).await;
    app.expect_nothing();
    chat(&mut bob, "alice@localhost", "four").await;
    app.expect(&notification("n", 4, "b"));
    take(&mut app, "b").await;
    chat(&mut bob, "alice@localhost", "five").await;
    app.expect_nothing();
    assert_eq!(dispatch(&house).figures.collapsed(), 3);
    assert_eq!(dispatch(&house).figures.taken(), 2);

    // She comes, has everything, and is gone again.
    house.router.resume(&alice.session, 0).await.unwrap();
    alice.skip();
    alice.send("<a xmlns='urn:xmpp:sm:3' h='6'/>").await;
    house.router.park(&alice.session).await;
    chat(&mut bob, "alice@localhost", "six").await;
    app.expect(&notification("n", 1, "c"));
}

#[tokio::test]
async fn calls_ring_each_time_within_reason() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let alice = phone(&house, "alice@localhost/phone", "n").await;
    let mut bob = house.online("bob@localhost/desk").await;
    house.router.park(&alice.session).await;
    chat(&mut bob, "alice@localhost", "one").await;
    app.expect(&notification("n", 1, "a"));
    for _ in 0..30 {
        bob.send("<message to='alice@localhost' type='chat'><propose xmlns='urn:xmpp:jingle-message:0' id='c'/></message>")
            .await;
    }
    let rung = std::iter::from_fn(|| app.next()).count();
    assert_eq!(rung, 19, "the burst, less the message");
    assert_eq!(failed(&house, "rate"), 11);
    // A call that nobody answered is not repeated.
    take(&mut app, "a").await;
    later(&house, 61).await;
    app.expect_nothing();
    assert_eq!(failed(&house, "timeout"), 19);
}

#[tokio::test]
async fn who_wrote_and_what_is_told_if_policy_and_client_agree() {
    let wishes = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:push:summary</value></field>\
                  <field var='last-message-sender'><value>1</value></field>\
                  <field var='last-message-body'><value>true</value></field></x>";
    for (policy, asks, expected) in [
        ("count", wishes, ["", ""]),
        ("body", "", ["", ""]),
        ("sender", wishes, ["bob@localhost/desk", ""]),
        ("body", wishes, ["bob@localhost/desk", "hello"]),
    ] {
        let config = format!("{CONFIG}[xep0357_push]\ncontent = \"{policy}\"\n");
        let house = House::configured(MODULES, &config).await;
        let mut app = house.neighbour(APP);
        let mut bob = house.online("bob@localhost/desk").await;
        for (node, message, body) in [
            ("plain", "<body>hello</body>", expected[1]),
            (
                "omemo",
                "<encrypted xmlns='urn:xmpp:omemo:2'><payload>x</payload></encrypted><body>hello</body>",
                "",
            ),
        ] {
            let mut phone = house.online(&format!("alice@localhost/{node}")).await;
            phone
                .ask(&enable(APP, node, asks), "<iq id='e' type='result'/>")
                .await;
            phone.disconnect().await;
            bob.send(&format!(
                "<message to='alice@localhost' type='chat'>{message}</message>"
            ))
            .await;
            let mut more = String::new();
            if !expected[0].is_empty() {
                more += &field("last-message-sender", expected[0]);
            }
            if !body.is_empty() {
                more += &field("last-message-body", body);
            }
            app.expect(&format!(
                "<iq type='set' id='*'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{node}'><item>\
                 <notification xmlns='urn:xmpp:push:0'>{}</notification></item></publish></pubsub></iq>",
                summary(1, &more)
            ));
            // The next one is about another registration.
            let alice = BareJid::parse("alice@localhost").unwrap();
            let dispatch = dispatch(&house);
            let all = dispatch.registrations.of(&alice).await.unwrap();
            dispatch.remove(&alice, &all, &house.router).await.unwrap();
            app.expect_nothing();
        }
    }
}

#[tokio::test]
async fn a_request_for_a_subscription_wakes_where_that_is_wanted() {
    for (wanted, config) in [(true, ""), (false, "[xep0357_push]\nsubscriptions = false\n")] {
        let house = House::configured(MODULES, &format!("{CONFIG}{config}")).await;
        let mut app = house.neighbour(APP);
        phone(&house, "alice@localhost/phone", "n")
            .await
            .disconnect()
            .await;
        let mut bob = house.online("bob@localhost/desk").await;
        for _ in 0..2 {
            bob.send("<presence to='alice@localhost' type='subscribe'/>")
                .await;
        }
        if wanted {
            app.expect(
                "<iq from='alice@localhost' id='*' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
                 <publish node='n'><item><notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data' type='submit'>\
                 <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:push:summary</value></field>\
                 <field var='pending-subscription-count'><value>1</value></field></x></notification></item></publish>\
                 </pubsub></iq>",
            );
        }
        app.expect_nothing();
    }
}
