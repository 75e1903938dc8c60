//! Displayed markers: taken out of messages, kept for the account's own clients and nobody else.

use crate::xep0163_pep::tests::cast::{befriend, house, outcome, owner, pubsub, wanting, was_told};

const NODE: &str = "urn:xmpp:mds:displayed:0";

#[tokio::test]
async fn a_marker_in_a_message_is_published_and_not_sent_on() {
    // §4.5.3, §5.2
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    let mut tablet = wanting(&house, "alice@localhost/tablet", &[NODE]).await;
    let mut bob = wanting(&house, "bob@localhost/x", &[NODE]).await;
    befriend(&mut alice, &mut bob).await;
    tablet
        .send("<iq id='c' type='set'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        .await;
    for client in [&mut alice, &mut tablet, &mut bob] {
        client.skip();
    }
    let marker = "<displayed xmlns='urn:xmpp:mds:displayed:0'><stanza-id xmlns='urn:xmpp:sid:0' by='alice@localhost' id='7'/></displayed>";
    alice
        .send(&format!(
            "<message to='bob@localhost' type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>{marker}</message>"
        ))
        .await;
    let got = bob.next().unwrap();
    assert!(
        got.contains("chat-markers") && !got.contains("urn:xmpp:mds"),
        "{got}"
    );
    assert!(bob.next().is_none(), "what she has read is not told to contacts");
    let mut told = 0;
    while let Some(xml) = tablet.next() {
        told += usize::from(xml.contains("pubsub#event") && xml.contains("<item id='bob@localhost'>"));
        assert!(
            !xml.contains("urn:xmpp:mds") || xml.contains("pubsub#event"),
            "not in carbons: {xml}"
        );
    }
    assert_eq!(told, 1);
    let items = pubsub(&mut alice, "", "get", &format!("<items node='{NODE}'/>")).await;
    assert!(
        items.contains("<item id='bob@localhost'>") && items.contains("id='7'"),
        "{items}"
    );
    // §7: the node that was made by this is private.
    let config = owner(&mut alice, "", "get", &format!("<configure node='{NODE}'/>")).await;
    assert!(
        config.contains("<value>whitelist</value>") && config.contains("<value>max</value>"),
        "{config}"
    );
    assert_eq!(
        outcome(
            &pubsub(
                &mut bob,
                "alice@localhost",
                "get",
                &format!("<items node='{NODE}'/>")
            )
            .await
        ),
        "not-allowed/closed-node"
    );
}

#[tokio::test]
async fn what_is_no_marker_is_taken_out_all_the_same() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[NODE]).await;
    let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
    bob.skip();
    let id = "<stanza-id xmlns='urn:xmpp:sid:0' by='alice@localhost' id='7'/>";
    let long = format!(
        "<stanza-id xmlns='urn:xmpp:sid:0' by='alice@localhost' id='{}'/>",
        "x".repeat(9_000)
    );
    for inner in ["", &format!("{id}{id}"), "<stanza-id/>", &long] {
        let marker = format!("<displayed xmlns='{NODE}'>{inner}</displayed>");
        alice
            .send(&format!(
                "<message to='bob@localhost' type='chat'><body>hello</body>{marker}</message>"
            ))
            .await;
        let got = bob.next().unwrap();
        assert!(got.contains("hello") && !got.contains("urn:xmpp:mds"), "{got}");
    }
    assert_eq!(was_told(&mut alice, NODE), 0);
    assert_eq!(
        outcome(&pubsub(&mut alice, "", "get", &format!("<items node='{NODE}'/>")).await),
        "item-not-found"
    );
}
