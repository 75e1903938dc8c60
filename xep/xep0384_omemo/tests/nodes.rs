//! Key nodes are open for all, and broken keys do not get in.

use super::bundles::{LEGACY, TWO};
use super::*;

const OWNER: &str = "http://jabber.org/protocol/pubsub#owner";

fn bundles() -> [(Protocol, &'static str, &'static str); 2] {
    [
        (Protocol::Legacy, LEGACY[0], "current"),
        (Protocol::Two, TWO[0], "31415"),
    ]
}

#[tokio::test]
async fn keys_are_readable_for_strangers_and_guests_whatever_the_client_says() {
    // Dino sends no options at all; nobody's word closes the nodes (XEP-0384 §5.3.1, §5.3.2).
    let said: [&[(&str, &str)]; 5] = [
        &[],
        &[("access_model", "open")],
        &[("access_model", "whitelist"), ("persist_items", "false")],
        &[("access_model", "presence"), ("max_items", "1")],
        &[
            ("publish_model", "open"),
            ("item_expire", "60"),
            ("access_model", "open"),
        ],
    ];
    for (options, (protocol, bundle, item)) in said
        .into_iter()
        .flat_map(|said| bundles().map(|bundle| (said, bundle)))
    {
        let house = house("").await;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut stranger = house.online("stranger@localhost/laptop").await;
        let mut guest = house.guest("x7@guest.localhost/web").await;
        let (list_node, bundle_node) = (protocol.list_node(), protocol.bundle_node(31415));
        alice
            .ask(
                &publish(list_node, "current", &list(protocol, &[31415]), options),
                "<iq type='result'>...</iq>",
            )
            .await;
        alice
            .ask(
                &publish(&bundle_node, item, bundle, options),
                "<iq type='result'>...</iq>",
            )
            .await;
        for reader in [&mut stranger, &mut guest] {
            let mut rest = Vec::new();
            let devices = answer(reader, &fetch("alice@localhost", list_node, None), &mut rest).await;
            assert!(devices.contains("<device id='31415'/>"), "{options:?} {devices}");
            let ids = [None, Some(item)];
            for id in ids {
                let keys = answer(reader, &fetch("alice@localhost", &bundle_node, id), &mut rest).await;
                assert!(keys.contains("</prekeys></bundle>"), "{options:?} {keys}");
            }
        }
    }
}

#[tokio::test]
async fn a_node_made_or_configured_otherwise_is_open_all_the_same() {
    let house = house("").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut stranger = house.online("stranger@localhost/laptop").await;
    let node = Protocol::Two.bundle_node(1);
    let form = |access: &str| {
        format!(
            "<configure node='{node}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>{PUBSUB}#node_config</value></field><field var='pubsub#access_model'><value>{access}</value></field>\
             <field var='pubsub#max_items'><value>1</value></field></x></configure>"
        )
    };
    alice
        .ask(
            &format!(
                "<iq id='c' type='set'><pubsub xmlns='{PUBSUB}'><create node='{node}'/>{}</pubsub></iq>",
                form("whitelist").replace(&format!(" node='{node}'"), "")
            ),
            "<iq type='result'>...</iq>",
        )
        .await;
    for device in ["1", "2"] {
        let mut rest = Vec::new();
        answer(&mut alice, &publish(&node, device, TWO[0], &[]), &mut rest).await;
    }
    alice
        .ask(
            &format!(
                "<iq id='c' type='set'><pubsub xmlns='{OWNER}'>{}</pubsub></iq>",
                form("whitelist")
            ),
            "<iq type='result'/>",
        )
        .await;
    // Two devices, one node: neither pushes the other out (§5.3.2).
    for device in ["1", "2"] {
        let keys = answer(
            &mut stranger,
            &fetch("alice@localhost", &node, Some(device)),
            &mut Vec::new(),
        )
        .await;
        assert!(keys.contains("<bundle xmlns='urn:xmpp:omemo:2'>"), "{keys}");
    }
    alice.skip();
    let asked =
        format!("<iq id='g' type='get'><pubsub xmlns='{OWNER}'><configure node='{node}'/></pubsub></iq>");
    let shown = answer(&mut alice, &asked, &mut Vec::new()).await;
    for (field, value) in [
        ("access_model", "open"),
        ("max_items", "max"),
        ("publish_model", "publishers"),
    ] {
        let field = shown.split(&format!("var='pubsub#{field}'")).nth(1).unwrap();
        let field = field.split("</field>").next().unwrap();
        assert!(field.contains(&format!("<value>{value}</value>")), "{field}");
    }
}

#[tokio::test]
async fn the_options_that_clients_send_are_met_the_second_time_too() {
    // What publishers of §2.3 of the survey of clients send, each twice: the second is a precondition (XEP-0060 §7.1.5).
    let house = house("").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let open = ("access_model", "open");
    let persist = ("persist_items", "true");
    let sent: [(Protocol, &[(&str, &str)]); 6] = [
        (Protocol::Legacy, &[open]),
        (Protocol::Legacy, &[open, ("notify_delete", "true")]),
        (Protocol::Legacy, &[open, persist]),
        (Protocol::Legacy, &[open, persist, ("max_items", "1")]),
        (
            Protocol::Legacy,
            &[open, persist, ("notify_retract", "1"), ("notify_delete", "1")],
        ),
        (Protocol::Two, &[open, persist, ("max_items", "max")]),
    ];
    for (at, (protocol, options)) in sent.into_iter().enumerate() {
        let device = at as u32 + 1;
        let (bundle, item) = match protocol {
            Protocol::Legacy => (LEGACY[0], "current".to_owned()),
            Protocol::Two => (TWO[0], device.to_string()),
        };
        for _ in 0..2 {
            let request = publish(&protocol.bundle_node(device), &item, bundle, options);
            let result = answer(&mut alice, &request, &mut Vec::new()).await;
            assert!(result.contains("type='result'"), "{options:?} {result}");
        }
    }
}

#[tokio::test]
async fn a_broken_bundle_comes_back_with_its_reason_and_is_not_there() {
    let house = house("").await;
    let mut alice = house.online("alice@localhost/phone").await;
    for (protocol, bundle, item) in bundles() {
        let node = protocol.bundle_node(31415);
        let prekeys = bundle.split_once("<prekeys>").unwrap().0;
        let broken = format!("{prekeys}<prekeys/></bundle>");
        alice
            .ask(
                &publish(&node, item, &broken, &[("access_model", "open")]),
                "<iq id='p' type='error'>...<error type='modify'><not-acceptable \
                 xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' \
                 xml:lang='en'>OMEMO keys refused (no-prekeys): at least one prekey is required</text></error></iq>",
            )
            .await;
        let nothing = answer(
            &mut alice,
            &fetch("alice@localhost", &node, None),
            &mut Vec::new(),
        )
        .await;
        assert!(nothing.contains("item-not-found"), "{nothing}");
    }
    // No device id, in the node's name or the item's.
    for (node, item, bundle) in [
        ("eu.siacs.conversations.axolotl.bundles:x", "current", LEGACY[0]),
        ("urn:xmpp:omemo:2:bundles", "current", TWO[0]),
    ] {
        let refused = answer(&mut alice, &publish(node, item, bundle, &[]), &mut Vec::new()).await;
        assert!(refused.contains("wrong-device-id"), "{refused}");
    }
    let refused = publish(
        Protocol::Two.list_node(),
        "current",
        &list(Protocol::Two, &[0]),
        &[],
    );
    let refused = answer(&mut alice, &refused, &mut Vec::new()).await;
    assert!(refused.contains("(wrong-device-id)"), "{refused}");
    // What only looks like a key node is none: a tester of servers publishes there.
    publishes(
        &mut alice,
        "eu.siacs.conversations.axolotl.6c8a",
        "current",
        "<x xmlns='urn:x'/>",
    )
    .await;
}

#[tokio::test]
async fn warn_and_off_let_broken_keys_pass() {
    for policy in ["warn", "off"] {
        let house = house(&format!("[xep0384_omemo]\npolicy = \"{policy}\"\n")).await;
        let mut alice = house.online("alice@localhost/phone").await;
        let broken = LEGACY[0].replace("signedPreKeyId=\"1\"", "");
        publishes_bundle(&mut alice, Protocol::Legacy, 5, &broken).await;
        // Open they are in any case.
        let mut stranger = house.online("stranger@localhost/laptop").await;
        let node = Protocol::Legacy.bundle_node(5);
        let keys = answer(
            &mut stranger,
            &fetch("alice@localhost", &node, None),
            &mut Vec::new(),
        )
        .await;
        assert!(keys.contains("<bundle"), "{keys}");
    }
}

#[tokio::test]
async fn nobody_publishes_for_another_account() {
    let house = house("").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut mallory = house.online("mallory@localhost/laptop").await;
    publishes_bundle(&mut alice, Protocol::Legacy, 5, LEGACY[0]).await;
    for node in [
        Protocol::Legacy.bundle_node(5),
        Protocol::Legacy.bundle_node(6),
        Protocol::Legacy.list_node().to_owned(),
    ] {
        let request = publish(&node, "current", LEGACY[1], &[])
            .replace("type='set'", "type='set' to='alice@localhost'");
        let refused = answer(&mut mallory, &request, &mut Vec::new()).await;
        assert!(refused.contains("<forbidden "), "{refused}");
    }
    // Not even with the owner's leave: an affiliation given by mistake hands out nobody's identity.
    alice
        .send(&format!(
            "<iq id='a' type='set'><pubsub xmlns='{OWNER}'><affiliations node='{}'><affiliation jid='mallory@localhost' \
             affiliation='publisher'/></affiliations></pubsub></iq>",
            Protocol::Legacy.bundle_node(5)
        ))
        .await;
    let request = publish(&Protocol::Legacy.bundle_node(5), "current", LEGACY[1], &[]);
    let request = request.replace("type='set'", "type='set' to='alice@localhost'");
    let refused = answer(&mut mallory, &request, &mut Vec::new()).await;
    assert!(
        refused.contains("foreign-account") || refused.contains("<forbidden "),
        "{refused}"
    );
}

#[tokio::test]
async fn ten_thousand_prekeys_are_refused_by_name() {
    // The limits of stanzas and items would refuse them too; so far it does not come.
    let house = house("[limits]\nenabled = false\n").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let key = LEGACY[0]
        .split("preKeyId=\"1\">")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap();
    let stock: String = (0..501)
        .map(|id| format!("<preKeyPublic preKeyId='{id}'>{key}</preKeyPublic>"))
        .collect();
    let (before, rest) = LEGACY[0].split_once("<prekeys>").unwrap();
    let (_, after) = rest.split_once("</prekeys>").unwrap();
    let bundle = format!("{before}<prekeys>{stock}</prekeys>{after}");
    let refused = answer(
        &mut alice,
        &publish(&Protocol::Legacy.bundle_node(5), "current", &bundle, &[]),
        &mut Vec::new(),
    )
    .await;
    assert!(refused.contains("(too-many-prekeys)"), "{refused}");
}
