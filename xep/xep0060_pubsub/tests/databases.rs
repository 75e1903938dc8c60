//! The statements on both databases: one life of a node, from making it to the end of its owner's account.

use kim_core::db::Query;
use kim_core::testing::{House, TestDb, databases};

use crate::MODULES;
use crate::xep0163_pep::tests::cast::{outcome, owner, publish, pubsub, wanting};

const COUNTS: [&str; 4] = [
    "SELECT COUNT(*) FROM pubsub_node",
    "SELECT COUNT(*) FROM pubsub_item",
    "SELECT COUNT(*) FROM pubsub_subscription",
    "SELECT COUNT(*) FROM pubsub_affiliation",
];

async fn counts(house: &House) -> Vec<i64> {
    let mut counts = Vec::new();
    for sql in COUNTS {
        let row = house.db.fetch_optional(Query::new(sql)).await.unwrap().unwrap();
        counts.push(row.i64(0).unwrap());
    }
    counts
}

async fn ids(client: &mut kim_core::testing::Client, inner: &str) -> Vec<String> {
    let answer = pubsub(client, "", "get", inner).await;
    answer
        .split("<item id='")
        .skip(1)
        .map(|rest| rest.split('\'').next().unwrap().to_owned())
        .collect()
}

async fn life(db: TestDb) {
    let house = House::on(db.db(), MODULES, "").await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
    let fields = [
        ("max_items", "3"),
        ("item_expire", "600"),
        ("access_model", "open"),
        ("title", "a list"),
    ];
    for id in ["a", "b", "c", "d", "b"] {
        assert_eq!(
            outcome(&publish(&mut alice, "", "urn:list", id, &fields).await),
            "result"
        );
    }
    let all = "<items node='urn:list'/>";
    assert_eq!(
        ids(&mut alice, all).await,
        ["c", "d", "b"],
        "publishing again makes it the newest"
    );
    assert_eq!(
        ids(&mut alice, "<items node='urn:list' max_items='2'/>").await,
        ["d", "b"]
    );
    let page =
        |set: &str| format!("{all}<set xmlns='http://jabber.org/protocol/rsm'><max>2</max>{set}</set>");
    assert_eq!(ids(&mut alice, &page("<after>c</after>")).await, ["d", "b"]);
    assert_eq!(ids(&mut alice, &page("<before>b</before>")).await, ["c", "d"]);
    let subscribe = "<subscribe node='urn:list' jid='bob@localhost'/>";
    assert_eq!(
        outcome(&pubsub(&mut bob, "alice@localhost", "set", subscribe).await),
        "result"
    );
    let affiliate = "<affiliations node='urn:list'><affiliation jid='bob@localhost' affiliation='publisher'/></affiliations>";
    for _ in 0..2 {
        assert_eq!(outcome(&owner(&mut alice, "", "set", affiliate).await), "result");
    }
    assert_eq!(
        outcome(&publish(&mut bob, "alice@localhost", "urn:list", "e", &[]).await),
        "result"
    );
    assert_eq!(counts(&house).await, [1, 3, 1, 1]);

    // Nothing of it was only in memory.
    let house = House::on(db.db(), MODULES, "").await;
    let mut alice = house.connect("alice@localhost/y").await;
    let mut bob = house.connect("bob@localhost/y").await;
    assert_eq!(ids(&mut alice, all).await, ["d", "b", "e"]);
    let mine = pubsub(&mut bob, "alice@localhost", "get", "<subscriptions/>").await;
    assert!(mine.contains("node='urn:list'"), "{mine}");
    let mine = pubsub(&mut bob, "alice@localhost", "get", "<affiliations/>").await;
    assert!(mine.contains("affiliation='publisher'"), "{mine}");
    let config = owner(&mut alice, "", "get", "<configure node='urn:list'/>").await;
    assert!(
        config.contains("a list") && config.contains("<value>600</value>"),
        "{config}"
    );

    house.clock.advance(1_000);
    let last = publish(&mut alice, "", "urn:list", "f", &[]).await;
    assert_eq!(outcome(&last), "result");
    // The second house has a clock of its own, which began anew; what is there is older than the last by its own measure.
    assert!(counts(&house).await[1] <= 3);
    assert_eq!(
        outcome(
            &pubsub(
                &mut alice,
                "",
                "set",
                "<retract node='urn:list'><item id='f'/></retract>"
            )
            .await
        ),
        "result"
    );
    assert_eq!(
        outcome(&owner(&mut alice, "", "set", "<purge node='urn:list'/>").await),
        "result"
    );
    assert_eq!(counts(&house).await, [1, 0, 1, 1]);
    assert_eq!(
        outcome(&publish(&mut bob, "pubsub.localhost", "his", "1", &[]).await),
        "result"
    );
    house.router.erase_account(&bob.session.account).await.unwrap();
    assert_eq!(
        counts(&house).await,
        [1, 0, 0, 0],
        "what was his is gone, at her nodes and at the service"
    );
    house.router.erase_account(&alice.session.account).await.unwrap();
    assert_eq!(counts(&house).await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_nodes_life_on_both_databases() {
    for db in databases().await {
        life(db).await;
    }
}
