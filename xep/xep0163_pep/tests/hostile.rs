//! What nobody in their right mind would send, and too much of everything.

use kim_core::testing::House;

use super::cast::{house, outcome, owner, publish, pubsub, wanting};
use crate::MODULES;

#[tokio::test]
async fn nonsense_is_answered_with_the_error_of_the_text() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    publish(&mut alice, "", "urn:a", "1", &[]).await;
    let long = "x".repeat(2_000);
    for (kind, inner, wanted) in [
        ("get", "", "bad-request"),
        ("set", "", "bad-request"),
        ("get", "<nonsense/>", "bad-request"),
        ("set", "<nonsense/>", "bad-request"),
        ("get", "<items/>", "bad-request/nodeid-required"),
        ("get", "<items node='urn:a' max_items='-1'/>", "bad-request"),
        (
            "get",
            "<items node='urn:a'><item/></items>",
            "bad-request/item-required",
        ),
        (
            "get",
            "<items node='urn:a'><item id='none'/></items>",
            "item-not-found",
        ),
        ("get", "<items node=''/>", "item-not-found"),
        ("set", "<publish/>", "bad-request/nodeid-required"),
        (
            "set",
            "<publish node=''><item><a xmlns='urn:x'/></item></publish>",
            "not-acceptable",
        ),
        ("set", "<publish node='urn:a'/>", "bad-request/item-required"),
        (
            "set",
            "<publish node='urn:a'><item id='1'/></publish>",
            "bad-request/payload-required",
        ),
        (
            "set",
            "<publish node='urn:a'><item><a xmlns='urn:x'/><b xmlns='urn:x'/></item></publish>",
            "bad-request/invalid-payload",
        ),
        ("set", "<retract/>", "bad-request/nodeid-required"),
        ("set", "<retract node='urn:a'/>", "bad-request/item-required"),
        (
            "set",
            "<retract node='urn:a'><item/></retract>",
            "bad-request/item-required",
        ),
        (
            "set",
            "<retract node='urn:a'><item id='none'/></retract>",
            "item-not-found",
        ),
        (
            "set",
            "<retract node='urn:none'><item id='1'/></retract>",
            "item-not-found",
        ),
        ("set", "<create node='urn:a'/>", "conflict"),
        ("set", "<create node=''/>", "not-acceptable"),
        ("set", "<subscribe node='urn:a'/>", "bad-request/invalid-jid"),
        (
            "set",
            "<subscribe node='urn:a' jid='@'/>",
            "bad-request/invalid-jid",
        ),
        (
            "set",
            "<subscribe node='urn:a' jid='bob@localhost'/>",
            "bad-request/invalid-jid",
        ),
        (
            "set",
            "<subscribe jid='alice@localhost'/>",
            "bad-request/nodeid-required",
        ),
        (
            "set",
            "<unsubscribe node='urn:a' jid='alice@localhost'/>",
            "unexpected-request/not-subscribed",
        ),
        (
            "get",
            "<options node='urn:a'/>",
            "feature-not-implemented/unsupported",
        ),
        (
            "set",
            "<publish node='urn:a'><item><a xmlns='urn:x'/></item></publish><publish-options><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>urn:other</value></field></x></publish-options>",
            "bad-request",
        ),
        (
            "set",
            "<publish node='urn:b'><item><a xmlns='urn:x'/></item></publish><publish-options><x xmlns='jabber:x:data' type='submit'>\
         <field var='pubsub#access_model'><value>everyone</value></field></x></publish-options>",
            "not-acceptable",
        ),
        (
            "set",
            "<publish node='urn:b'><item><a xmlns='urn:x'/></item></publish><publish-options><x xmlns='jabber:x:data' type='submit'>\
         <field var='pubsub#max_items'><value>0</value></field></x></publish-options>",
            "not-acceptable",
        ),
    ] {
        assert_eq!(
            outcome(&pubsub(&mut alice, "", kind, inner).await),
            wanted,
            "{inner}"
        );
    }
    let named = format!("<publish node='{long}'><item><a xmlns='urn:x'/></item></publish>");
    assert_eq!(
        outcome(&pubsub(&mut alice, "", "set", &named).await),
        "not-acceptable"
    );
    let long_id = format!("<publish node='urn:a'><item id='{long}'><a xmlns='urn:x'/></item></publish>");
    assert_eq!(
        outcome(&pubsub(&mut alice, "", "set", &long_id).await),
        "not-acceptable"
    );
    for (kind, inner, wanted) in [
        ("get", "<configure/>", "bad-request/nodeid-required"),
        ("get", "<configure node='urn:none'/>", "item-not-found"),
        ("set", "<configure node='urn:a'/>", "bad-request"),
        (
            "set",
            "<configure node='urn:a'><x xmlns='jabber:x:data' type='cancel'/></configure>",
            "result",
        ),
        ("set", "<delete/>", "bad-request/nodeid-required"),
        ("set", "<delete node='urn:none'/>", "item-not-found"),
        ("set", "<purge node='urn:none'/>", "item-not-found"),
        ("get", "<default/>", "result"),
        ("get", "<nonsense/>", "bad-request"),
        ("set", "<affiliations node='urn:a'/>", "bad-request"),
        (
            "set",
            "<affiliations node='urn:a'><affiliation jid='alice@localhost' affiliation='none'/></affiliations>",
            "not-acceptable",
        ),
        (
            "set",
            "<affiliations node='urn:a'><affiliation jid='bob@localhost' affiliation='king'/></affiliations>",
            "bad-request",
        ),
        (
            "set",
            "<affiliations node='urn:a'><affiliation jid='@' affiliation='member'/></affiliations>",
            "bad-request/invalid-jid",
        ),
        (
            "set",
            "<subscriptions node='urn:a'><subscription jid='bob@localhost'/></subscriptions>",
            "bad-request",
        ),
    ] {
        assert_eq!(
            outcome(&owner(&mut alice, "", kind, inner).await),
            wanted,
            "{inner}"
        );
    }
}

#[tokio::test]
async fn anothers_account_is_not_anybodys() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    let mut mallory = wanting(&house, "mallory@localhost/x", &[]).await;
    publish(&mut alice, "", "urn:a", "1", &[("access_model", "open")]).await;
    for to in ["alice@localhost", "nobody@localhost"] {
        for inner in [
            "<create node='urn:x'/>",
            "<create/>",
            "<publish node='urn:x'><item><a xmlns='urn:x'/></item></publish>",
        ] {
            assert_eq!(
                outcome(&pubsub(&mut mallory, to, "set", inner).await),
                "forbidden",
                "{to} {inner}"
            );
        }
        for (kind, inner) in [
            ("get", "<configure node='urn:a'/>"),
            ("get", "<configure node='urn:none'/>"),
            (
                "set",
                "<configure node='urn:a'><x xmlns='jabber:x:data' type='submit'/></configure>",
            ),
            ("set", "<delete node='urn:a'/>"),
            ("set", "<purge node='urn:a'/>"),
            ("get", "<subscriptions node='urn:a'/>"),
            ("get", "<affiliations node='urn:a'/>"),
            (
                "set",
                "<affiliations node='urn:a'><affiliation jid='mallory@localhost' affiliation='owner'/></affiliations>",
            ),
            ("get", "<default/>"),
        ] {
            assert_eq!(
                outcome(&owner(&mut mallory, to, kind, inner).await),
                "forbidden",
                "{to} {inner}"
            );
        }
        let retract = "<retract node='urn:a'><item id='1'/></retract>";
        assert_eq!(
            outcome(&pubsub(&mut mallory, to, "set", retract).await),
            "forbidden",
            "{to}"
        );
        let unsubscribe = "<unsubscribe node='urn:none' jid='mallory@localhost'/>";
        assert_eq!(
            outcome(&pubsub(&mut mallory, to, "set", unsubscribe).await),
            "item-not-found",
            "{to}"
        );
        // What is one's own there is nothing, without a word on the rest.
        let own = pubsub(&mut mallory, to, "get", "<subscriptions/>").await;
        assert!(own.contains("<subscriptions/>"), "{to} {own}");
        let own = pubsub(&mut mallory, to, "get", "<affiliations/>").await;
        assert!(own.contains("<affiliations/>"), "{to} {own}");
    }
    let full = pubsub(&mut mallory, "nobody@localhost/x", "get", "<items node='urn:a'/>").await;
    assert_eq!(outcome(&full), "service-unavailable");
}

#[tokio::test]
async fn there_is_an_end_to_everything() {
    let toml = "[xep0060_pubsub]\nnodes_per_account_max = 5\nitems_per_node_max = 256\nitem_bytes_max = 10_000\n\
                account_bytes_max = 65_536\nsubscriptions_per_node_max = 2\nsubscriptions_per_subscriber_max = 1\n";
    let house = House::configured(MODULES, toml).await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    // Nodes.
    for n in 0..5 {
        assert_eq!(
            outcome(
                &publish(
                    &mut alice,
                    "",
                    &format!("urn:{n}"),
                    "1",
                    &[("access_model", "open")]
                )
                .await
            ),
            "result"
        );
    }
    assert_eq!(
        outcome(&publish(&mut alice, "", "urn:5", "1", &[]).await),
        "conflict/max-nodes-exceeded"
    );
    assert_eq!(
        outcome(&pubsub(&mut alice, "", "set", "<create/>").await),
        "conflict/max-nodes-exceeded"
    );
    // Items: `max` means the limit.
    owner(&mut alice, "", "set", "<delete node='urn:0'/>").await;
    for n in 0..300 {
        let answer = publish(&mut alice, "", "urn:0", &n.to_string(), &[("max_items", "max")]).await;
        assert_eq!(outcome(&answer), "result", "{n}");
    }
    let items = pubsub(&mut alice, "", "get", "<items node='urn:0'/>").await;
    assert_eq!(items.matches("<item ").count(), 256);
    assert!(
        items.contains("<item id='44'>") && !items.contains("<item id='43'>"),
        "the oldest went"
    );
    let batch: String = (0..2)
        .map(|n| format!("<item id='{n}'><a xmlns='urn:x'/></item>"))
        .collect();
    let batch = pubsub(
        &mut alice,
        "",
        "set",
        &format!("<publish node='urn:1'>{batch}</publish>"),
    )
    .await;
    assert_eq!(outcome(&batch), "not-allowed/max-items-exceeded");
    // Bytes of an item, and of all.
    let big = |bytes: usize| {
        format!(
            "<publish node='urn:1'><item id='1'><a xmlns='urn:x'>{}</a></item></publish>",
            "x".repeat(bytes)
        )
    };
    assert_eq!(
        outcome(&pubsub(&mut alice, "", "set", &big(10_000)).await),
        "not-acceptable/payload-too-big"
    );
    let mut full = String::new();
    for n in 0..8 {
        let item = format!(
            "<publish node='urn:0'><item id='big{n}'><a xmlns='urn:x'>{}</a></item></publish>",
            "x".repeat(9_000)
        );
        full = outcome(&pubsub(&mut alice, "", "set", &item).await);
    }
    assert_eq!(full, "policy-violation");
    // What is there may be replaced and removed; then there is room again.
    let smaller = "<publish node='urn:0'><item id='big0'><a xmlns='urn:x'/></item></publish>";
    assert_eq!(outcome(&pubsub(&mut alice, "", "set", smaller).await), "result");
    assert_eq!(
        outcome(&owner(&mut alice, "", "set", "<purge node='urn:0'/>").await),
        "result"
    );
    assert_eq!(
        outcome(&pubsub(&mut alice, "", "set", &big(9_000)).await),
        "result"
    );
    // Subscriptions.
    let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
    let subscribe = |node: &str, jid: &str| format!("<subscribe node='{node}' jid='{jid}'/>");
    assert_eq!(
        outcome(
            &pubsub(
                &mut bob,
                "alice@localhost",
                "set",
                &subscribe("urn:2", "bob@localhost")
            )
            .await
        ),
        "result"
    );
    assert_eq!(
        outcome(
            &pubsub(
                &mut bob,
                "alice@localhost",
                "set",
                &subscribe("urn:3", "bob@localhost")
            )
            .await
        ),
        "policy-violation/too-many-subscriptions"
    );
}

#[tokio::test]
async fn items_expire() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    let fields = [("item_expire", "60"), ("max_items", "10")];
    publish(&mut alice, "", "urn:a", "old", &fields).await;
    house.clock.advance(50);
    publish(&mut alice, "", "urn:a", "new", &[]).await;
    let items = pubsub(&mut alice, "", "get", "<items node='urn:a'/>").await;
    assert_eq!(items.matches("<item ").count(), 2);
    house.clock.advance(20);
    let items = pubsub(&mut alice, "", "get", "<items node='urn:a'/>").await;
    assert!(!items.contains("'old'") && items.contains("'new'"), "{items}");
    house.clock.advance(60);
    let last = pubsub(&mut alice, "", "get", "<items node='urn:a' max_items='1'/>").await;
    assert!(!last.contains("<item "), "{last}");
    // With the next one they go for good.
    publish(&mut alice, "", "urn:a", "newest", &[]).await;
    let rows = kim_core::db::Query::new("SELECT COUNT(*) FROM pubsub_item");
    assert_eq!(
        house
            .db
            .fetch_optional(rows)
            .await
            .unwrap()
            .unwrap()
            .i64(0)
            .unwrap(),
        1
    );
}

#[tokio::test]
async fn a_guest_keeps_nothing() {
    let house = house().await;
    let mut ghost = house.guest("ghost@guest.localhost/web").await;
    assert_eq!(
        outcome(&publish(&mut ghost, "", "urn:a", "1", &[]).await),
        "service-unavailable"
    );
    assert_eq!(
        outcome(&publish(&mut ghost, "pubsub.localhost", "urn:a", "1", &[]).await),
        "forbidden"
    );
}

#[tokio::test]
async fn two_who_make_a_node_at_once_both_publish() {
    let house = house().await;
    let mut phone = wanting(&house, "alice@localhost/phone", &["urn:a"]).await;
    let mut tablet = wanting(&house, "alice@localhost/tablet", &["urn:a"]).await;
    let (one, two) = tokio::join!(
        publish(&mut phone, "", "urn:a", "1", &[("access_model", "open")]),
        publish(&mut tablet, "", "urn:a", "2", &[("access_model", "open")])
    );
    assert_eq!((outcome(&one), outcome(&two)), ("result".into(), "result".into()));
    let items = pubsub(&mut phone, "", "get", "<items node='urn:a'/>").await;
    assert_eq!(items.matches("<item ").count(), 1);
}
