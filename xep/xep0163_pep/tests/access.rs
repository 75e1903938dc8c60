//! Every access model for everybody (XEP-0060 §4.5, §6.1.3, §6.5.9): who gets items, who may subscribe, who is told.

use kim_core::testing::{Client, House};

use super::cast::{ask, befriend, house, outcome, publish, pubsub, wanting, was_told};

const NODE: &str = "urn:test";

/// For one person at one model: what a request for the items comes to, what subscribing comes to, and whether a
/// publication is told to a client that wants to hear of the node, before subscribing and after.
type Row = (&'static str, &'static str, &'static str, bool, bool);

/// A stranger learns nothing, whatever the node is; a contact hears why.
const TABLE: &[(&str, [Row; 6])] = &[
    (
        "open",
        [
            ("owner", "result", "subscribed", true, true),
            ("friend", "result", "subscribed", true, true),
            ("contact", "result", "subscribed", true, true),
            ("stranger", "result", "subscribed", false, true),
            ("guest", "result", "forbidden", false, false),
            (
                "blocked",
                "service-unavailable",
                "service-unavailable",
                false,
                false,
            ),
        ],
    ),
    (
        "presence",
        [
            ("owner", "result", "subscribed", true, true),
            ("friend", "result", "subscribed", true, true),
            ("contact", "result", "subscribed", true, true),
            ("stranger", "item-not-found", "item-not-found", false, false),
            ("guest", "item-not-found", "forbidden", false, false),
            (
                "blocked",
                "service-unavailable",
                "service-unavailable",
                false,
                false,
            ),
        ],
    ),
    (
        "roster",
        [
            ("owner", "result", "subscribed", true, true),
            ("friend", "result", "subscribed", true, true),
            (
                "contact",
                "not-authorized/not-in-roster-group",
                "not-authorized/not-in-roster-group",
                false,
                false,
            ),
            ("stranger", "item-not-found", "item-not-found", false, false),
            ("guest", "item-not-found", "forbidden", false, false),
            (
                "blocked",
                "service-unavailable",
                "service-unavailable",
                false,
                false,
            ),
        ],
    ),
    (
        "authorize",
        [
            ("owner", "result", "subscribed", true, true),
            ("friend", "not-authorized/not-subscribed", "pending", false, false),
            (
                "contact",
                "not-authorized/not-subscribed",
                "pending",
                false,
                false,
            ),
            ("stranger", "item-not-found", "item-not-found", false, false),
            ("guest", "item-not-found", "forbidden", false, false),
            (
                "blocked",
                "service-unavailable",
                "service-unavailable",
                false,
                false,
            ),
        ],
    ),
    (
        "whitelist",
        [
            ("owner", "result", "subscribed", true, true),
            (
                "friend",
                "not-allowed/closed-node",
                "not-allowed/closed-node",
                false,
                false,
            ),
            (
                "contact",
                "not-allowed/closed-node",
                "not-allowed/closed-node",
                false,
                false,
            ),
            ("stranger", "item-not-found", "item-not-found", false, false),
            ("guest", "item-not-found", "forbidden", false, false),
            (
                "blocked",
                "service-unavailable",
                "service-unavailable",
                false,
                false,
            ),
        ],
    ),
];

/// The owner's second client, and the others, each with a client that wants to hear of the node.
async fn cast(house: &House) -> (Client, Vec<(&'static str, Client)>) {
    let mut alice = wanting(house, "alice@localhost/phone", &[]).await;
    let tablet = wanting(house, "alice@localhost/tablet", &[NODE]).await;
    let mut others = Vec::new();
    for (name, jid) in [("friend", "bob"), ("contact", "carol"), ("blocked", "eve")] {
        let mut other = wanting(house, &format!("{jid}@localhost/x"), &[NODE]).await;
        befriend(&mut alice, &mut other).await;
        others.push((name, other));
    }
    let group =
        "<query xmlns='jabber:iq:roster'><item jid='bob@localhost'><group>Friends</group></item></query>";
    assert_eq!(outcome(&ask(&mut alice, "", "set", group).await), "result");
    let block = "<block xmlns='urn:xmpp:blocking'><item jid='eve@localhost'/></block>";
    assert_eq!(outcome(&ask(&mut alice, "", "set", block).await), "result");
    let stranger = wanting(house, "dave@localhost/x", &[NODE]).await;
    let guest = house.guest("ghost@guest.localhost/x").await;
    others.extend([("stranger", stranger), ("guest", guest), ("owner", tablet)]);
    (alice, others)
}

#[tokio::test]
async fn every_access_model_for_everybody() {
    for (model, rows) in TABLE {
        let house = house().await;
        let (mut alice, mut others) = cast(&house).await;
        let fields = [
            ("access_model", *model),
            ("roster_groups_allowed", "Friends"),
            ("persist_items", "true"),
        ];
        assert_eq!(
            outcome(&publish(&mut alice, "", NODE, "1", &fields).await),
            "result",
            "{model}"
        );
        for (name, client) in &mut others {
            let told = rows.iter().find(|row| row.0 == *name).unwrap().3;
            let count = was_told(client, NODE);
            assert_eq!(
                count,
                usize::from(told),
                "{model}, {name}: told of the first item"
            );
        }
        for (name, client) in &mut others {
            let (_, items, subscribes, _, told_then) = rows.iter().find(|row| row.0 == *name).unwrap();
            let who = format!("{model}, {name}");
            let answer = pubsub(
                client,
                "alice@localhost",
                "get",
                &format!("<items node='{NODE}'/>"),
            )
            .await;
            assert_eq!(outcome(&answer), *items, "{who}: items");
            assert_eq!(answer.contains("hello"), *items == "result", "{who}");
            // By id, and of a node that is not there: those who may not see it see no difference.
            let by_id = format!("<items node='{NODE}'><item id='1'/></items>");
            assert_eq!(
                outcome(&pubsub(client, "alice@localhost", "get", &by_id).await),
                *items,
                "{who}: by id"
            );
            let other = pubsub(client, "alice@localhost", "get", "<items node='urn:none'/>").await;
            let hidden = if *name == "blocked" {
                "service-unavailable"
            } else {
                "item-not-found"
            };
            assert_eq!(outcome(&other), hidden, "{who}: a node that is not there");
            if *name != "blocked" {
                let nobody = pubsub(
                    client,
                    "nobody@localhost",
                    "get",
                    &format!("<items node='{NODE}'/>"),
                )
                .await;
                assert_eq!(
                    outcome(&nobody),
                    "item-not-found",
                    "{who}: an account that is not there"
                );
            }

            let jid = client.session.account.clone();
            let subscribe = format!("<subscribe node='{NODE}' jid='{jid}'/>");
            let answer = pubsub(client, "alice@localhost", "set", &subscribe).await;
            let came_to = match outcome(&answer).as_str() {
                "result" if answer.contains("subscription='subscribed'") => "subscribed".to_owned(),
                "result" if answer.contains("subscription='pending'") => "pending".to_owned(),
                other => other.to_owned(),
            };
            assert_eq!(came_to, *subscribes, "{who}: subscribing");
            client.skip();
            assert_eq!(
                outcome(&publish(&mut alice, "", NODE, "1", &[]).await),
                "result",
                "{who}"
            );
            assert_eq!(
                was_told(client, NODE),
                usize::from(*told_then),
                "{who}: told of the second item, once"
            );

            // What is not theirs to do is refused, and equally at an account that is not there.
            if *name == "owner" {
                continue;
            }
            let mine = publish(client, "alice@localhost", NODE, "3", &[]).await;
            let nobodys = publish(client, "nobody@localhost", NODE, "3", &[]).await;
            if *name == "blocked" {
                assert_eq!(outcome(&mine), "service-unavailable");
            } else {
                assert_eq!(
                    (outcome(&mine), outcome(&nobodys)),
                    ("forbidden".into(), "forbidden".into()),
                    "{who}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_subscription_that_was_asked_for_is_approved_or_not() {
    // §6.1.4, §8.6: the owner gets a form and sends it back.
    let house = house().await;
    let (mut alice, mut others) = cast(&house).await;
    publish(&mut alice, "", NODE, "1", &[("access_model", "authorize")]).await;
    let friend = &mut others.iter_mut().find(|(name, _)| *name == "friend").unwrap().1;
    pubsub(
        friend,
        "alice@localhost",
        "set",
        &format!("<subscribe node='{NODE}' jid='bob@localhost'/>"),
    )
    .await;
    let again = pubsub(
        friend,
        "alice@localhost",
        "set",
        &format!("<subscribe node='{NODE}' jid='bob@localhost'/>"),
    )
    .await;
    assert_eq!(outcome(&again), "not-authorized/pending-subscription");
    let form = std::iter::from_fn(|| alice.next())
        .find(|xml| xml.contains("subscribe_authorization"))
        .unwrap();
    assert!(
        form.contains("<value>bob@localhost</value>") && form.contains(NODE),
        "{form}"
    );
    let decision = |allow: &str| {
        format!(
            "<message to='alice@localhost' id='a'><x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#subscribe_authorization</value></field>\
             <field var='pubsub#node'><value>{NODE}</value></field>\
             <field var='pubsub#subscriber_jid'><value>bob@localhost</value></field>\
             <field var='pubsub#allow'><value>{allow}</value></field></x></message>"
        )
    };
    // Nobody else may decide: that is a message like any other.
    friend.send(&decision("1")).await;
    friend.skip();
    assert_eq!(
        outcome(
            &pubsub(
                friend,
                "alice@localhost",
                "get",
                &format!("<items node='{NODE}'/>")
            )
            .await
        ),
        "not-authorized/not-subscribed"
    );
    alice.send(&decision("1")).await;
    friend.expect("<message from='alice@localhost' to='bob@localhost' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'>
        <subscription node='urn:test' jid='bob@localhost' subscription='subscribed'/></event></message>");
    publish(&mut alice, "", NODE, "2", &[]).await;
    assert_eq!(was_told(friend, NODE), 1);
    assert_eq!(
        outcome(
            &pubsub(
                friend,
                "alice@localhost",
                "get",
                &format!("<items node='{NODE}'/>")
            )
            .await
        ),
        "result"
    );
}
