//! Rows that cannot be read: what is in them is lost, and nothing else.

use kim_core::db::Query;
use kim_core::testing::{House, databases};

use crate::MODULES;
use crate::xep0163_pep::tests::cast::{ask, outcome, owner, publish, pubsub, wanting};

async fn execute(house: &House, query: Query) {
    let done = house.db.write(move |tx| {
        let query = query.clone();
        Box::pin(async move { tx.execute(query).await })
    });
    assert_eq!(done.await.unwrap(), 1, "one row is damaged");
}

fn ids(answer: &str) -> Vec<&str> {
    let ids = answer.split("<item id='").skip(1);
    ids.map(|rest| rest.split('\'').next().unwrap()).collect()
}

#[tokio::test]
async fn a_damaged_item_is_missing_and_the_others_are_there() {
    for db in databases().await {
        let house = House::on(db.db(), MODULES, "").await;
        let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
        for id in ["1", "2", "3", "4"] {
            publish(&mut alice, "", "urn:list", id, &[("max_items", "max")]).await;
        }
        // The newest, and one in the middle.
        for place in ["MAX(place)", "MIN(place)"] {
            let sql = match place {
                "MAX(place)" => {
                    "UPDATE pubsub_item SET sealed = $1 WHERE place = (SELECT MAX(place) FROM pubsub_item)"
                }
                _ => "UPDATE pubsub_item SET sealed = $1 WHERE place = (SELECT MIN(place) FROM pubsub_item)",
            };
            execute(&house, Query::new(sql).bind(&b"broken"[..])).await;
        }
        // A house that has not read them yet.
        let house = House::on(db.db(), MODULES, "").await;
        let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
        let all = pubsub(&mut alice, "", "get", "<items node='urn:list'/>").await;
        assert_eq!(ids(&all), ["2", "3"]);
        let last = pubsub(&mut alice, "", "get", "<items node='urn:list' max_items='1'/>").await;
        assert_eq!(ids(&last), ["3"], "the newest that can be read");
        let one = pubsub(
            &mut alice,
            "",
            "get",
            "<items node='urn:list'><item id='2'/></items>",
        )
        .await;
        assert_eq!(ids(&one), ["2"]);
        let lost = pubsub(
            &mut alice,
            "",
            "get",
            "<items node='urn:list'><item id='1'/></items>",
        )
        .await;
        assert_eq!(outcome(&lost), "item-not-found");
        let page = "<items node='urn:list'/><set xmlns='http://jabber.org/protocol/rsm'><max>2</max></set>";
        assert_eq!(ids(&pubsub(&mut alice, "", "get", page).await), ["2", "3"]);
        // Published again it is whole, and retracted it is gone.
        assert_eq!(
            outcome(&publish(&mut alice, "", "urn:list", "4", &[]).await),
            "result"
        );
        let retract = "<retract node='urn:list'><item id='1'/></retract>";
        assert_eq!(outcome(&pubsub(&mut alice, "", "set", retract).await), "result");
        let all = pubsub(&mut alice, "", "get", "<items node='urn:list'/>").await;
        assert_eq!(ids(&all), ["2", "3", "4"]);
    }
}

#[tokio::test]
async fn a_damaged_bookmark_takes_no_other_with_it() {
    for db in databases().await {
        let house = House::on(db.db(), MODULES, "").await;
        let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
        let add = |room: &str| {
            format!(
                "<publish node='urn:xmpp:bookmarks:1'><item id='{room}@conference.localhost'>\
                 <conference xmlns='urn:xmpp:bookmarks:1' name='{room}'/></item></publish>"
            )
        };
        for room in ["one", "two"] {
            assert_eq!(
                outcome(&pubsub(&mut alice, "", "set", &add(room)).await),
                "result"
            );
        }
        let sql = "UPDATE pubsub_item SET sealed = $1 WHERE node = 'urn:xmpp:bookmarks:1' AND place = \
                   (SELECT MIN(place) FROM pubsub_item WHERE node = 'urn:xmpp:bookmarks:1')";
        execute(&house, Query::new(sql).bind(&b"broken"[..])).await;
        let house = House::on(db.db(), MODULES, "").await;
        let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
        assert_eq!(
            outcome(&pubsub(&mut alice, "", "set", &add("three")).await),
            "result"
        );
        let native = pubsub(&mut alice, "", "get", "<items node='urn:xmpp:bookmarks:1'/>").await;
        let mut rooms = ids(&native);
        rooms.sort_unstable();
        assert_eq!(rooms, ["three@conference.localhost", "two@conference.localhost"]);
        // Nobody removed it, so that an old client still has it.
        let private = "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>";
        let old = ask(&mut alice, "", "get", private).await;
        assert!(
            ["one", "two", "three"]
                .iter()
                .all(|room| old.contains(&format!("name='{room}'"))),
            "{old}"
        );
    }
}

#[tokio::test]
async fn a_damaged_configuration_closes_its_node_and_no_other() {
    for db in databases().await {
        let house = House::on(db.db(), MODULES, "").await;
        let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
        for node in ["urn:broken", "urn:whole"] {
            publish(&mut alice, "", node, "1", &[("access_model", "open")]).await;
        }
        let sql = "UPDATE pubsub_node SET config = $1 WHERE node = 'urn:broken'";
        execute(&house, Query::new(sql).bind(&b"broken"[..])).await;
        let house = House::on(db.db(), MODULES, "").await;
        let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
        let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
        let (broken, whole) = ("<items node='urn:broken'/>", "<items node='urn:whole'/>");
        assert_eq!(
            ids(&pubsub(&mut bob, "alice@localhost", "get", whole).await),
            ["1"]
        );
        assert_eq!(ids(&pubsub(&mut alice, "", "get", broken).await), ["1"]);
        // Nobody knows whom its owner let in.
        let denied = outcome(&pubsub(&mut bob, "alice@localhost", "get", broken).await);
        assert_eq!(denied, "item-not-found");
        assert_eq!(
            outcome(&publish(&mut alice, "", "urn:whole", "2", &[]).await),
            "result"
        );
        assert_eq!(
            outcome(&publish(&mut alice, "", "urn:broken", "2", &[]).await),
            "result"
        );
        // Its owner configures it anew, or deletes it.
        let form = "<configure node='urn:broken'><x xmlns='jabber:x:data' type='submit'>\
                    <field var='pubsub#access_model'><value>open</value></field></x></configure>";
        assert_eq!(outcome(&owner(&mut alice, "", "set", form).await), "result");
        assert_eq!(
            ids(&pubsub(&mut bob, "alice@localhost", "get", broken).await),
            ["1", "2"]
        );
        let delete = "<delete node='urn:broken'/>";
        assert_eq!(outcome(&owner(&mut alice, "", "set", delete).await), "result");
    }
}
