//! Who hears what, and when (XEP-0163 §4).

use super::cast::{appear, ask, befriend, house, outcome, owner, publish, pubsub, wanting, was_told};

#[tokio::test]
async fn own_clients_and_contacts_hear_from_the_bare_jid() {
    // §4.3.1: from the bare JID, to full JIDs, as a headline; only to clients that want it.
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &["urn:a"]).await;
    let mut tablet = wanting(&house, "alice@localhost/tablet", &["urn:other"]).await;
    let mut bob = wanting(&house, "bob@localhost/laptop", &["urn:a"]).await;
    let mut deaf = wanting(&house, "bob@localhost/old", &[]).await;
    befriend(&mut alice, &mut bob).await;
    for client in [&mut alice, &mut tablet, &mut bob, &mut deaf] {
        client.skip();
    }
    publish(&mut tablet, "", "urn:a", "1", &[]).await;
    let told = |to: &str| {
        format!(
            "<message from='alice@localhost' to='{to}' type='headline'>
             <event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:a'><item id='1'>
             <note xmlns='urn:note'>hello</note></item></items></event></message>"
        )
    };
    alice.expect(&told("alice@localhost/phone"));
    bob.expect(&told("bob@localhost/laptop"));
    tablet.expect_nothing();
    deaf.expect_nothing();
    // §7.2.2.1: removing it is told too; deleting the node only where it is configured so.
    pubsub(
        &mut tablet,
        "",
        "set",
        "<retract node='urn:a' notify='1'><item id='1'/></retract>",
    )
    .await;
    bob.expect(
        "<message type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'>
        <items node='urn:a'><retract id='1'/></items></event></message>",
    );
    owner(&mut tablet, "", "set", "<delete node='urn:a'/>").await;
    bob.expect_nothing();
    publish(&mut tablet, "", "urn:a", "1", &[("notify_delete", "1")]).await;
    bob.skip();
    owner(&mut tablet, "", "set", "<delete node='urn:a'/>").await;
    bob.expect("<message type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><delete node='urn:a'/></event></message>");
}

#[tokio::test]
async fn last_items_come_with_the_first_presence_and_not_with_the_next() {
    // §4.3.3, §4.3.4
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/laptop", &[]).await;
    befriend(&mut alice, &mut bob).await;
    publish(&mut alice, "", "urn:a", "1", &[]).await;
    publish(
        &mut alice,
        "",
        "urn:b",
        "1",
        &[("send_last_published_item", "never")],
    )
    .await;
    let mut phone = house.connect("bob@localhost/phone").await;
    appear(&mut phone, &["urn:a", "urn:b"]).await;
    let told = std::iter::from_fn(|| phone.next())
        .find(|xml| xml.contains("pubsub#event"))
        .unwrap();
    assert!(
        told.contains("node='urn:a'") && told.contains("<delay xmlns='urn:xmpp:delay'"),
        "{told}"
    );
    assert_eq!(was_told(&mut phone, "urn:b"), 0);
    phone.send("<presence><show>away</show></presence>").await;
    assert_eq!(
        was_told(&mut phone, "urn:a"),
        0,
        "a later presence brings nothing"
    );
    phone.send("<presence type='unavailable'/>").await;
    appear(&mut phone, &["urn:a"]).await;
    assert_eq!(was_told(&mut phone, "urn:a"), 1, "one after an absence does");
    // What the client wants later is brought then: only what is new.
    appear(&mut phone, &["urn:a", "urn:none"]).await;
    assert_eq!(was_told(&mut phone, "urn:a"), 0);
    // Alice's own clients get her own.
    let mut tablet = house.connect("alice@localhost/tablet").await;
    appear(&mut tablet, &["urn:a"]).await;
    assert_eq!(was_told(&mut tablet, "urn:a"), 1);
}

#[tokio::test]
async fn who_begins_to_see_the_presence_gets_the_last_items() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/laptop", &["urn:a", "urn:friends"]).await;
    publish(&mut alice, "", "urn:a", "1", &[]).await;
    let fields = [("access_model", "roster"), ("roster_groups_allowed", "Friends")];
    publish(&mut alice, "", "urn:friends", "1", &fields).await;
    bob.skip();
    bob.send("<presence to='alice@localhost' type='subscribe'/>")
        .await;
    assert_eq!(was_told(&mut bob, "urn:a"), 0);
    alice
        .send("<presence to='bob@localhost' type='subscribed'/>")
        .await;
    assert_eq!(was_told(&mut bob, "urn:a"), 1);
    let group = |group: &str| {
        format!(
            "<query xmlns='jabber:iq:roster'><item jid='bob@localhost'><group>{group}</group></item></query>"
        )
    };
    ask(&mut alice, "", "set", &group("Friends")).await;
    assert_eq!(
        was_told(&mut bob, "urn:friends"),
        1,
        "and when put into the group"
    );
    // §7.1: access ends with the group, and a subscription with it.
    let subscribe = "<subscribe node='urn:friends' jid='bob@localhost'/>";
    assert_eq!(
        outcome(&pubsub(&mut bob, "alice@localhost", "set", subscribe).await),
        "result"
    );
    bob.skip();
    ask(&mut alice, "", "set", &group("Work")).await;
    let ended = std::iter::from_fn(|| bob.next())
        .find(|xml| xml.contains("pubsub#event"))
        .unwrap();
    assert!(ended.contains("subscription='none'"), "{ended}");
    publish(&mut alice, "", "urn:friends", "2", &[]).await;
    assert_eq!(was_told(&mut bob, "urn:friends"), 0);
    publish(&mut alice, "", "urn:a", "2", &[]).await;
    assert_eq!(was_told(&mut bob, "urn:a"), 1);
    alice
        .send("<presence to='bob@localhost' type='unsubscribed'/>")
        .await;
    bob.skip();
    publish(&mut alice, "", "urn:a", "3", &[]).await;
    assert_eq!(was_told(&mut bob, "urn:a"), 0);
}

#[tokio::test]
async fn nobody_gets_a_thing_twice() {
    // §4.3.2: a bare JID that subscribed, whose sessions we know, gets it at those that want it.
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/laptop", &["urn:a"]).await;
    befriend(&mut alice, &mut bob).await;
    publish(&mut alice, "", "urn:a", "1", &[]).await;
    for jid in ["bob@localhost", "bob@localhost/laptop"] {
        pubsub(
            &mut bob,
            "alice@localhost",
            "set",
            &format!("<subscribe node='urn:a' jid='{jid}'/>"),
        )
        .await;
    }
    bob.skip();
    publish(&mut alice, "", "urn:a", "2", &[]).await;
    assert_eq!(was_told(&mut bob, "urn:a"), 1);
}

#[tokio::test]
async fn what_is_published_is_there_after_a_restart_and_sealed() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    publish(
        &mut alice,
        "",
        "urn:a",
        "secret-id",
        &[("title", "a secret title")],
    )
    .await;
    for sql in ["SELECT sealed FROM pubsub_item", "SELECT config FROM pubsub_node"] {
        let row = house
            .db
            .fetch_optional(kim_core::db::Query::new(sql))
            .await
            .unwrap()
            .unwrap();
        let sealed = row.bytes(0).unwrap();
        for word in [&b"hello"[..], b"secret", b"presence"] {
            assert!(!sealed.windows(word.len()).any(|part| part == word));
        }
    }
    let again = kim_core::testing::House::on(house.db.clone(), crate::MODULES, "").await;
    let mut tablet = again.connect("alice@localhost/tablet").await;
    let items = pubsub(&mut tablet, "", "get", "<items node='urn:a'/>").await;
    assert!(items.contains("secret-id") && items.contains("hello"), "{items}");
    let config = owner(&mut tablet, "", "get", "<configure node='urn:a'/>").await;
    assert!(config.contains("a secret title"));
}

#[tokio::test]
async fn nothing_stays_of_an_account_that_goes() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/laptop", &[]).await;
    publish(&mut alice, "", "urn:a", "1", &[]).await;
    publish(&mut bob, "", "urn:b", "1", &[("access_model", "open")]).await;
    publish(&mut alice, "pubsub.localhost", "urn:hers", "1", &[]).await;
    publish(&mut bob, "pubsub.localhost", "urn:his", "1", &[]).await;
    for (at, node) in [("bob@localhost", "urn:b"), ("pubsub.localhost", "urn:his")] {
        let subscribe = format!("<subscribe node='{node}' jid='alice@localhost'/>");
        assert_eq!(
            outcome(&pubsub(&mut alice, at, "set", &subscribe).await),
            "result"
        );
    }
    house.router.erase_account(&alice.session.account).await.unwrap();
    for (table, left) in [
        ("pubsub_node", 2),
        ("pubsub_item", 2),
        ("pubsub_subscription", 0),
        ("pubsub_affiliation", 1),
    ] {
        let sql: &'static str = match table {
            "pubsub_node" => "SELECT COUNT(*) FROM pubsub_node",
            "pubsub_item" => "SELECT COUNT(*) FROM pubsub_item",
            "pubsub_subscription" => "SELECT COUNT(*) FROM pubsub_subscription",
            _ => "SELECT COUNT(*) FROM pubsub_affiliation",
        };
        let row = house
            .db
            .fetch_optional(kim_core::db::Query::new(sql))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.i64(0).unwrap(), left, "{table}");
    }
    assert_eq!(
        outcome(&pubsub(&mut bob, "pubsub.localhost", "get", "<items node='urn:hers'/>").await),
        "item-not-found"
    );
    assert_eq!(
        outcome(&pubsub(&mut bob, "pubsub.localhost", "get", "<items node='urn:his'/>").await),
        "result"
    );
}
