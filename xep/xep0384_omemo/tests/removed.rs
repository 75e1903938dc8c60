//! A device list that is gone: contacts hear of it, whatever the client has said about notifications.

use super::*;
use crate::xep0163_pep::tests::cast;

const OWNER: &str = "http://jabber.org/protocol/pubsub#owner";

/// How a list is taken away.
const WAYS: [&str; 3] = ["delete", "retract", "purge"];

async fn take_away(client: &mut Client, node: &str, way: &str) {
    let request = match way {
        "retract" => {
            format!("<pubsub xmlns='{PUBSUB}'><retract node='{node}'><item id='current'/></retract></pubsub>")
        }
        other => format!("<pubsub xmlns='{OWNER}'><{other} node='{node}'/></pubsub>"),
    };
    let answer = cast::ask(client, "", "set", &request).await;
    assert!(answer.contains("type='result'"), "{answer}");
}

#[tokio::test]
async fn contacts_hear_that_a_device_list_is_gone() {
    for protocol in Protocol::ALL {
        for way in WAYS {
            let house = house("").await;
            let node = protocol.list_node();
            let mut alice = cast::wanting(&house, "alice@localhost/phone", &[node]).await;
            let mut bob = cast::wanting(&house, "bob@localhost/laptop", &[node]).await;
            let mut stranger = cast::wanting(&house, "eve@localhost/laptop", &[node]).await;
            cast::befriend(&mut alice, &mut bob).await;
            let silent = [("notify_delete", "false"), ("notify_retract", "false")];
            let list = publish(node, "current", &list(protocol, &[7]), &silent);
            let mut rest = Vec::new();
            assert!(
                answer(&mut alice, &list, &mut rest)
                    .await
                    .contains("type='result'")
            );
            for client in [&mut alice, &mut bob, &mut stranger] {
                everything(client);
            }
            take_away(&mut alice, node, way).await;
            let wanted = match way {
                "retract" => format!("<items node='{node}'><retract id='current'/></items>"),
                other => format!("<{other} node='{node}'/>"),
            };
            let told: Vec<String> = everything(&mut bob)
                .into_iter()
                .filter(|xml| xml.contains("pubsub#event"))
                .collect();
            // Once more if what was told last was looked at late.
            assert!(told.iter().any(|xml| xml.contains(&wanted)), "{way}: {told:?}");
            assert!(told.iter().all(|xml| !xml.contains("<list ")), "{way}: {told:?}");
            assert!(everything(&mut stranger).is_empty());
            // Whoever asks finds no list, and no device is missed.
            house.clock.advance(600);
            let item = (protocol == Protocol::Two).then_some("7");
            let bundle = fetch("alice@localhost", &protocol.bundle_node(7), item);
            answer(&mut bob, &bundle, &mut rest).await;
            assert!(headlines(&everything(&mut alice)).is_empty(), "{way}");
            // Published again, it is told of again.
            everything(&mut bob);
            publishes_list(&mut alice, protocol, &[7]).await;
            assert!(cast::was_told(&mut bob, node) > 0, "{way}");
        }
    }
}
