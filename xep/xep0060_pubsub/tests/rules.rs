//! What requests must look like, what forms look like, whose rosters count, and what is newer than what.

use std::time::Duration;

use kim_core::jid::BareJid;
use kim_core::testing::Client;
use kim_core::wire::Element;

use crate::xep0060_pubsub::api::{Draft, PubSub};
use crate::xep0163_pep::tests::cast::{
    ask, befriend, house, options, outcome, owner, publish, pubsub, wanting,
};

const AT: &str = "pubsub.localhost";
const NODE: &str = "news";

async fn subscribe(client: &mut Client) -> String {
    let jid = client.session.account.clone();
    let request = format!("<subscribe node='{NODE}' jid='{jid}'/>");
    outcome(&pubsub(client, AT, "set", &request).await)
}

#[tokio::test]
async fn what_a_publication_must_bring_is_the_nodes_to_say() {
    // §4.3, §7.1.3.7: the four kinds of events.
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
    let nothing = String::new();
    let empty = "<item id='1'/>".to_owned();
    let full = "<item id='1'><note xmlns='urn:note'/></item>".to_owned();
    let two = "<item id='1'><note xmlns='urn:note'/><note xmlns='urn:note'/></item>".to_owned();
    let required = "bad-request/item-required";
    let (no_payload, invalid) = ("bad-request/payload-required", "bad-request/invalid-payload");
    for (persist, payloads, outcomes) in [
        ("1", "1", [required, no_payload, "result", invalid]),
        ("0", "1", [required, no_payload, "result", invalid]),
        ("1", "0", [required, "result", "result", invalid]),
        (
            "0",
            "0",
            [
                "result",
                "bad-request/item-forbidden",
                "bad-request/item-forbidden",
                invalid,
            ],
        ),
    ] {
        let node = format!("node-{persist}-{payloads}");
        let fields = [("persist_items", persist), ("deliver_payloads", payloads)];
        let configure = options(&fields)
            .replace("publish-options", "configure")
            .replace("#configure", "#node_config");
        let create = format!("<create node='{node}'/>{configure}");
        assert_eq!(outcome(&pubsub(&mut alice, AT, "set", &create).await), "result");
        let subscribe = format!("<subscribe node='{node}' jid='bob@localhost'/>");
        assert_eq!(outcome(&pubsub(&mut bob, AT, "set", &subscribe).await), "result");
        bob.skip();
        for (item, wanted) in [&nothing, &empty, &full, &two].into_iter().zip(outcomes) {
            let publish = format!("<publish node='{node}'>{item}</publish>");
            let answer = pubsub(&mut alice, AT, "set", &publish).await;
            assert_eq!(outcome(&answer), wanted, "{node}: {item:?}");
            let told: Vec<String> = std::iter::from_fn(|| bob.next()).collect();
            assert_eq!(told.len(), usize::from(wanted == "result"), "{node}: {told:?}");
            // A notification without payloads never has one; where nothing is kept there is no item in it (§4.3).
            let has_payload = told.iter().any(|xml| xml.contains("<note "));
            assert_eq!(
                has_payload,
                wanted == "result" && payloads == "1",
                "{node}: {told:?}"
            );
            if wanted == "result" && (persist, payloads) == ("0", "0") {
                assert!(told[0].contains(&format!("<items node='{node}'/>")), "{told:?}");
                assert!(!answer.contains("<item "), "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn nobody_is_unsubscribed_by_others() {
    // §6.2.3
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
    publish(&mut alice, AT, NODE, "1", &[]).await;
    assert_eq!(subscribe(&mut bob).await, "result");
    let unsubscribe = |jid: &str, node: &str| format!("<unsubscribe node='{node}'{jid}/>");
    for (jid, node, wanted) in [
        (" jid='bob@localhost'", NODE, "forbidden"),
        (" jid='bob@localhost/x'", NODE, "forbidden"),
        (" jid='nobody@localhost'", NODE, "forbidden"),
        ("", NODE, "bad-request/invalid-jid"),
        (" jid='@'", NODE, "bad-request/invalid-jid"),
        (
            " jid='alice@localhost'",
            NODE,
            "unexpected-request/not-subscribed",
        ),
        (" jid='alice@localhost'", "nothing", "item-not-found"),
    ] {
        let answer = pubsub(&mut alice, AT, "set", &unsubscribe(jid, node)).await;
        assert_eq!(outcome(&answer), wanted, "{jid} {node}");
    }
    let nameless = "<unsubscribe jid='alice@localhost'/>";
    assert_eq!(
        outcome(&pubsub(&mut alice, AT, "set", nameless).await),
        "bad-request/nodeid-required"
    );
    let wrong = format!("<unsubscribe node='{NODE}' jid='bob@localhost' subid='other'/>");
    assert_eq!(
        outcome(&pubsub(&mut bob, AT, "set", &wrong).await),
        "not-acceptable/invalid-subid"
    );
    // To subscribe others is another error (§6.1.3.1).
    let other = format!("<subscribe node='{NODE}' jid='bob@localhost'/>");
    assert_eq!(
        outcome(&pubsub(&mut alice, AT, "set", &other).await),
        "bad-request/invalid-jid"
    );
}

#[tokio::test]
async fn the_rosters_of_all_owners_count() {
    // §4.5: at the service a contact of any owner is let in, whoever of them stands first.
    for model in ["presence", "roster"] {
        let house = house().await;
        let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
        let mut carol = wanting(&house, "carol@localhost/x", &[]).await;
        let mut zoe = wanting(&house, "zoe@localhost/x", &[]).await;
        let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
        let fields = [("access_model", model), ("roster_groups_allowed", "readers")];
        publish(&mut carol, AT, NODE, "1", &fields).await;
        let owners: String = ["alice", "zoe"]
            .iter()
            .map(|name| format!("<affiliation jid='{name}@localhost' affiliation='owner'/>"))
            .collect();
        let change = format!("<affiliations node='{NODE}'>{owners}</affiliations>");
        assert_eq!(outcome(&owner(&mut carol, AT, "set", &change).await), "result");
        let read = format!("<items node='{NODE}'/>");
        let denied = outcome(&pubsub(&mut bob, AT, "get", &read).await);
        assert_eq!(denied, "not-authorized/presence-subscription-required");
        // The first, the second and the third owner in the order of their addresses.
        for contact in [&mut alice, &mut carol, &mut zoe] {
            befriend(contact, &mut bob).await;
            let set = |groups: &str| {
                format!("<query xmlns='jabber:iq:roster'><item jid='bob@localhost'>{groups}</item></query>")
            };
            ask(contact, "", "set", &set("<group>readers</group>")).await;
            assert_eq!(
                outcome(&pubsub(&mut bob, AT, "get", &read).await),
                "result",
                "{model}"
            );
            let remove =
                "<query xmlns='jabber:iq:roster'><item jid='bob@localhost' subscription='remove'/></query>";
            ask(contact, "", "set", remove).await;
            bob.skip();
            let denied = outcome(&pubsub(&mut bob, AT, "get", &read).await);
            assert_eq!(denied, "not-authorized/presence-subscription-required", "{model}");
        }
    }
}

#[tokio::test]
async fn what_is_committed_later_is_newer() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    publish(&mut alice, "", NODE, "0", &[]).await;
    let (here, account) = (
        house.router.fact::<PubSub>().unwrap(),
        BareJid::parse("alice@localhost").unwrap(),
    );
    // Somebody else is at the node while the publication is on its way there.
    let held = here.engine.node_locks.hold((&account, NODE)).await;
    let drafts = vec![Draft::new(
        "1",
        Element::parse("<note xmlns='urn:note'/>").unwrap(),
    )];
    let mut cx = house.router.cx().unwrap();
    let mut publishing = Box::pin(here.publish(&account, NODE, drafts, &mut cx));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut publishing).await;
    assert!(early.is_err(), "it waits for the node");
    let stamp_of_the_other = house.clock.now();
    drop(held);
    let items = publishing.await.unwrap();
    assert!(items[0].stamp > stamp_of_the_other, "it was committed later");
}

/// The type, the values and the options of a field in a form.
fn field(answer: &str, var: &str) -> (String, Vec<String>, Vec<String>) {
    let at = answer.find(&format!("<field var='{var}'")).expect(var);
    let xml = &answer[at..at + answer[at..].find("</field>").unwrap()];
    let head = &xml[..xml.find('>').unwrap()];
    let kind = head
        .split(" type='")
        .nth(1)
        .map_or("", |rest| rest.split('\'').next().unwrap());
    let (own, options) = xml.split_at(xml.find("<option").unwrap_or(xml.len()));
    let values = |xml: &str| {
        let values = xml.split("<value>").skip(1);
        values
            .map(|rest| rest.split('<').next().unwrap().to_owned())
            .collect()
    };
    (kind.to_owned(), values(own), values(options))
}

#[tokio::test]
async fn the_fields_of_the_configuration_have_the_types_of_the_registry() {
    // §16.4.4, and XEP-0004 §3.3: the value of a list is one of its options.
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    let roster =
        "<query xmlns='jabber:iq:roster'><item jid='bob@localhost'><group>Court</group></item></query>";
    ask(&mut alice, "", "set", roster).await;
    let fields = [
        ("language", "tlh"),
        ("description", "Two\nlines"),
        ("roster_groups_allowed", "Friends"),
    ];
    publish(&mut alice, "", NODE, "1", &fields).await;
    let configure = format!("<configure node='{NODE}'/>");
    for request in [configure.as_str(), "<default/>"] {
        let form = owner(&mut alice, "", "get", request).await;
        for (var, kind) in [
            ("title", "text-single"),
            ("description", "text-single"),
            ("type", "text-single"),
            ("language", "list-single"),
            ("access_model", "list-single"),
            ("roster_groups_allowed", "list-multi"),
            ("publish_model", "list-single"),
            ("persist_items", "boolean"),
            ("max_items", "text-single"),
            ("item_expire", "text-single"),
            ("send_last_published_item", "list-single"),
            ("deliver_notifications", "boolean"),
            ("deliver_payloads", "boolean"),
            ("notify_config", "boolean"),
            ("notify_delete", "boolean"),
            ("notify_retract", "boolean"),
            ("notify_sub", "boolean"),
            ("presence_based_delivery", "boolean"),
            ("notification_type", "list-single"),
            ("itemreply", "list-single"),
            ("subscribe", "boolean"),
            ("max_payload_size", "text-single"),
        ] {
            let (own, values, choices) = field(&form, &format!("pubsub#{var}"));
            assert_eq!(own, kind, "{var}");
            if kind.starts_with("list-") {
                assert!(
                    values.iter().all(|value| choices.contains(value)),
                    "{var}: {values:?} {choices:?}"
                );
            }
            if !kind.ends_with("-multi") {
                assert!(values.len() <= 1, "{var}: {values:?}");
            }
        }
        let (_, _, groups) = field(&form, "pubsub#roster_groups_allowed");
        assert!(groups.contains(&"Court".to_owned()), "{groups:?}");
    }
    let form = owner(&mut alice, "", "get", &configure).await;
    assert_eq!(field(&form, "pubsub#language").1, ["tlh"]);
    assert_eq!(field(&form, "pubsub#roster_groups_allowed").1, ["Friends"]);
    assert_eq!(field(&form, "pubsub#description").1, ["Two\nlines"]);
    let info = format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{NODE}'/>");
    let meta = ask(&mut alice, "", "get", &info).await;
    assert_eq!(field(&meta, "pubsub#description").1, ["Two\nlines"]);
    assert_eq!(field(&meta, "pubsub#owner").0, "jid-multi");
}

#[tokio::test]
async fn numbers_that_no_machine_counts_mean_as_many_as_there_are() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    let huge = "99999999999999999999999999";
    for id in ["1", "2", "3"] {
        let answer = publish(&mut alice, "", NODE, id, &[("max_items", huge)]).await;
        assert_eq!(outcome(&answer), "result");
    }
    for (inner, wanted) in [
        (format!("<items node='{NODE}' max_items='{huge}'/>"), 3),
        (format!("<items node='{NODE}' max_items='4294967297'/>"), 3),
        (
            format!(
                "<items node='{NODE}'/><set xmlns='http://jabber.org/protocol/rsm'><max>{huge}</max></set>"
            ),
            3,
        ),
        (format!("<items node='{NODE}' max_items='2'/>"), 2),
    ] {
        let answer = pubsub(&mut alice, "", "get", &inner).await;
        assert_eq!(answer.matches("<item ").count(), wanted, "{answer}");
    }
    for bad in ["-1", "", "x", "1.5", "+1"] {
        let inner = format!("<items node='{NODE}' max_items='{bad}'/>");
        assert_eq!(
            outcome(&pubsub(&mut alice, "", "get", &inner).await),
            "bad-request",
            "{bad}"
        );
        let set = format!("<set xmlns='http://jabber.org/protocol/rsm'><max>{bad}</max></set>");
        let inner = format!("<items node='{NODE}'/>{set}");
        assert_eq!(
            outcome(&pubsub(&mut alice, "", "get", &inner).await),
            "bad-request",
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_node_that_is_not_there_is_not_found() {
    // XEP-0030 §3.2, §4.2; XEP-0060 §5.4, §5.5
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    publish(&mut alice, AT, "there", "1", &[]).await;
    publish(&mut alice, "", "there", "1", &[]).await;
    for about in ["info", "items"] {
        let query =
            |node: &str| format!("<query xmlns='http://jabber.org/protocol/disco#{about}' node='{node}'/>");
        for to in [AT, "alice@localhost", "localhost"] {
            for node in [
                "nothing",
                "urn:client#nothing",
                "http://jabber.org/protocol/commands#x",
            ] {
                let answer = ask(&mut alice, to, "get", &query(node)).await;
                assert_eq!(outcome(&answer), "item-not-found", "{to} {node}");
            }
        }
        for to in [AT, "alice@localhost"] {
            let answer = ask(&mut alice, to, "get", &query("there")).await;
            assert_eq!(outcome(&answer), "result", "{to}");
            assert!(answer.contains("node='there'"), "{answer}");
        }
        let commands = ask(
            &mut alice,
            "localhost",
            "get",
            &query("http://jabber.org/protocol/commands"),
        )
        .await;
        assert_eq!(outcome(&commands), "result");
    }
}

#[tokio::test]
async fn owners_are_not_asked_again_and_again() {
    // §8.6: each request is a message to them, also while they are away.
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
    publish(&mut alice, AT, NODE, "1", &[("access_model", "authorize")]).await;
    let mut outcomes = Vec::new();
    for _ in 0..8 {
        outcomes.push(subscribe(&mut bob).await);
        let unsubscribe = format!("<unsubscribe node='{NODE}' jid='bob@localhost'/>");
        pubsub(&mut bob, AT, "set", &unsubscribe).await;
    }
    let asked = std::iter::from_fn(|| alice.next()).filter(|xml| xml.contains("#subscribe_authorization"));
    assert_eq!(asked.count(), 5);
    assert_eq!(outcomes[..5], ["result"; 5]);
    assert_eq!(outcomes[5..], ["policy-violation/too-many-subscriptions"; 3]);
    house.clock.advance(300);
    assert_eq!(subscribe(&mut bob).await, "result");
}
