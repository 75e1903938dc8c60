//! Stories of a block list beyond the dialogues: what is matched, what is refused, what is kept.

use kim_core::jid::{BareJid, Jid};
use kim_core::testing::{Client, House};

use super::list::BlockList;
use super::store;
use crate::MODULES;

const BLOCKED: &str = "<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                       <blocked xmlns='urn:xmpp:blocking:errors'/></error>";
const UNAVAILABLE: &str =
    "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

async fn block(client: &mut Client, jid: &str) {
    let request =
        format!("<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='{jid}'/></block></iq>");
    client.ask(&request, "<iq id='b' type='result'/>").await;
}

#[test]
fn an_entry_matches_what_section_6_says() {
    let list = |entry: &str| -> BlockList { [Jid::parse(entry).unwrap()].into_iter().collect() };
    for (entry, matched, free) in [
        (
            "a@b.example/c",
            vec!["a@b.example/c"],
            vec!["a@b.example/d", "a@b.example", "b.example"],
        ),
        (
            "a@b.example",
            vec!["a@b.example/c", "a@b.example"],
            vec!["x@b.example", "b.example"],
        ),
        (
            "b.example/c",
            vec!["b.example/c", "a@b.example/c"],
            vec!["b.example", "a@b.example/d"],
        ),
        (
            "b.example",
            vec!["b.example", "b.example/c", "a@b.example", "a@b.example/c"],
            vec!["c.b.example"],
        ),
    ] {
        for jid in matched {
            assert!(
                list(entry).blocks(&Jid::parse(jid).unwrap()),
                "{entry} blocks {jid}"
            );
        }
        for jid in free {
            assert!(
                !list(entry).blocks(&Jid::parse(jid).unwrap()),
                "{entry} does not block {jid}"
            );
        }
    }
}

#[tokio::test]
async fn requests_that_name_nobody_properly_block_nobody() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let many: String = (0..1_001)
        .map(|n| format!("<item jid='u{n}@b.example'/>"))
        .collect();
    for (items, condition) in [
        ("", "bad-request"),
        ("<item/>", "bad-request"),
        (
            "<item jid='bob@localhost'/><thing jid='x@b.example'/>",
            "bad-request",
        ),
        (
            "<item jid='bob@localhost'/><item xmlns='other' jid='x@b.example'/>",
            "bad-request",
        ),
        (
            "<item jid='bob@localhost'/><item jid='@b.example'/>",
            "jid-malformed",
        ),
        ("<item jid='alice@localhost'/>", "not-acceptable"),
        ("<item jid='alice@localhost/laptop'/>", "not-acceptable"),
        (many.as_str(), "not-acceptable"),
    ] {
        alice
            .send(&format!(
                "<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'>{items}</block></iq>"
            ))
            .await;
        let answer = alice.next().unwrap_or_default();
        assert!(
            answer.contains(&format!("<{condition} ")),
            "{condition}: {answer}"
        );
    }
    let empty = "<iq id='l' type='result'><blocklist xmlns='urn:xmpp:blocking'/></iq>";
    alice
        .ask(
            "<iq id='l' type='get'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
            empty,
        )
        .await;
}

#[tokio::test]
async fn the_list_is_bounded() {
    let house = House::configured(MODULES, "[limits]\nblock_list_max = 2\n").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    for jid in ["a@b.example", "b@b.example", "a@b.example"] {
        block(&mut alice, jid).await;
    }
    alice
        .send("<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='c@b.example'/></block></iq>")
        .await;
    assert!(
        alice
            .next()
            .is_some_and(|answer| answer.contains("<resource-constraint "))
    );
}

#[tokio::test]
async fn nobody_reads_or_changes_the_list_of_another() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut mallory = house.connect("mallory@localhost/x").await;
    block(&mut alice, "mallory@localhost").await;
    for (kind, payload) in [("get", "<blocklist"), ("set", "<unblock")] {
        for to in ["alice@localhost", "nobody@localhost"] {
            let request =
                format!("<iq id='x' to='{to}' type='{kind}'>{payload} xmlns='urn:xmpp:blocking'/></iq>");
            mallory
                .ask(&request, &format!("<iq id='x' type='error'>{UNAVAILABLE}</iq>"))
                .await;
        }
    }
    // A push that another account made up does not pass either: it is an iq from somebody who is blocked.
    mallory
        .send("<iq id='f' to='alice@localhost/phone' type='set'><unblock xmlns='urn:xmpp:blocking'/></iq>")
        .await;
    alice.expect_nothing();
}

#[tokio::test]
async fn both_directions_are_closed_for_every_kind_of_stanza() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    block(&mut alice, "bob@localhost").await;

    bob.ask(
        "<message id='1' to='alice@localhost' type='chat'><body>x</body></message>",
        &format!("<message id='1' from='alice@localhost' type='error'>{UNAVAILABLE}</message>"),
    )
    .await;
    bob.ask(
        "<message id='2' to='alice@localhost/phone'><body>x</body></message>",
        &format!("<message id='2' type='error'>{UNAVAILABLE}</message>"),
    )
    .await;
    bob.ask(
        "<iq id='3' to='alice@localhost/phone' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
        &format!("<iq id='3' type='error'>{UNAVAILABLE}</iq>"),
    )
    .await;
    for silent in [
        "<presence to='alice@localhost'/>",
        "<presence to='alice@localhost' type='subscribe'/>",
        "<presence to='alice@localhost' type='unsubscribed'/>",
        "<iq id='4' to='alice@localhost/phone' type='result'/>",
        "<message to='alice@localhost/phone' type='error'/>",
    ] {
        bob.send(silent).await;
    }
    alice.expect_nothing();
    // What goes to a subscriber-to-be may change bob's own roster, but nothing comes from alice.
    while let Some(stanza) = bob.next() {
        assert!(!stanza.contains("from='alice@localhost"), "{stanza}");
    }

    for (to_bob, kind) in [
        (
            "<message id='5' to='bob@localhost'><body>x</body></message>",
            "message",
        ),
        (
            "<iq id='5' to='bob@localhost/laptop' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
            "iq",
        ),
        ("<presence id='5' to='bob@localhost'/>", "presence"),
    ] {
        alice
            .ask(to_bob, &format!("<{kind} id='5' type='error'>{BLOCKED}</{kind}>"))
            .await;
    }
    alice
        .send("<iq id='6' to='bob@localhost/laptop' type='result'/>")
        .await;
    alice.expect_nothing();
    bob.expect_nothing();
}

#[tokio::test]
async fn blocked_mail_is_not_kept_for_later() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    block(&mut alice, "bob@localhost").await;
    alice.disconnect().await;
    bob.ask(
        "<message id='1' to='alice@localhost' type='chat'><body>x</body></message>",
        &format!("<message id='1' type='error'>{UNAVAILABLE}</message>"),
    )
    .await;
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send("<presence/>").await;
    alice.expect("<presence from='alice@localhost/phone'/>");
    alice.expect_nothing();
}

#[tokio::test]
async fn a_list_outlives_the_process_and_goes_with_the_account() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    block(&mut alice, "bob@localhost").await;
    let account = BareJid::parse("alice@localhost").unwrap();
    assert_eq!(store::list(&house.db, &account).await.unwrap().len(), 1);
    house.router.erase_account(&account).await.unwrap();
    assert!(store::list(&house.db, &account).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_hot_query_uses_the_key() {
    let house = House::new(MODULES).await;
    let plan = house
        .db
        .explain(store::list_query(&BareJid::parse("a@localhost").unwrap()))
        .await
        .unwrap();
    assert!(
        plan.iter()
            .any(|line| line.contains("USING") && line.contains("INDEX")),
        "{plan:?}"
    );
}

/// The blocked saw the account go when it was blocked; they do not see it go again, which would tell that it was back.
#[tokio::test]
async fn a_blocked_contact_does_not_see_sessions_come_and_go() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    bob.send("<presence to='alice@localhost' type='subscribe'/>")
        .await;
    alice
        .send("<presence to='bob@localhost' type='subscribed'/>")
        .await;
    alice.skip();
    block(&mut alice, "bob@localhost").await;
    bob.skip();
    let mut tablet = house.online("alice@localhost/tablet").await;
    tablet.send("<presence><status>here</status></presence>").await;
    tablet.send("<presence type='unavailable'/>").await;
    alice.disconnect().await;
    bob.expect_nothing();
}
