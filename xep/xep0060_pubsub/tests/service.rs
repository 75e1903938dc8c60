//! Nodes of the service: whom the access models let in there, approvals, owners' doings, several items at once.

use kim_core::testing::Client;

use crate::xep0163_pep::tests::cast::{
    ask, befriend, house, outcome, owner, publish, pubsub, wanting, was_told,
};

const AT: &str = "pubsub.localhost";
const NODE: &str = "news";

async fn subscribe(client: &mut Client) -> String {
    let jid = client.session.account.clone();
    let answer = pubsub(
        client,
        AT,
        "set",
        &format!("<subscribe node='{NODE}' jid='{jid}'/>"),
    )
    .await;
    match outcome(&answer).as_str() {
        "result" if answer.contains("subscription='pending'") => "pending".to_owned(),
        other => other.to_owned(),
    }
}

async fn items(client: &mut Client) -> String {
    outcome(&pubsub(client, AT, "get", &format!("<items node='{NODE}'/>")).await)
}

async fn affiliate(client: &mut Client, jid: &str, affiliation: &str) -> String {
    let change = format!("<affiliation jid='{jid}' affiliation='{affiliation}'/>");
    outcome(
        &owner(
            client,
            AT,
            "set",
            &format!("<affiliations node='{NODE}'>{change}</affiliations>"),
        )
        .await,
    )
}

#[tokio::test]
async fn the_service_says_why() {
    // §6.5.9, §6.1.3: everybody may know that there is a node; the errors are those of the text.
    for (model, contact, stranger, subscribing) in [
        ("open", "result", "result", "result"),
        (
            "presence",
            "result",
            "not-authorized/presence-subscription-required",
            "not-authorized/presence-subscription-required",
        ),
        (
            "roster",
            "not-authorized/not-in-roster-group",
            "not-authorized/presence-subscription-required",
            "not-authorized/presence-subscription-required",
        ),
        (
            "authorize",
            "not-authorized/not-subscribed",
            "not-authorized/not-subscribed",
            "pending",
        ),
        (
            "whitelist",
            "not-allowed/closed-node",
            "not-allowed/closed-node",
            "not-allowed/closed-node",
        ),
    ] {
        let house = house().await;
        let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
        let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
        let mut dave = wanting(&house, "dave@localhost/x", &[]).await;
        befriend(&mut alice, &mut bob).await;
        let fields = [("access_model", model), ("roster_groups_allowed", "Friends")];
        assert_eq!(
            outcome(&publish(&mut alice, AT, NODE, "1", &fields).await),
            "result"
        );
        assert_eq!(items(&mut alice).await, "result", "{model}: the owner");
        assert_eq!(items(&mut bob).await, contact, "{model}: a contact of the owner");
        assert_eq!(items(&mut dave).await, stranger, "{model}: a stranger");
        assert_eq!(
            subscribe(&mut dave).await,
            subscribing,
            "{model}: a stranger subscribes"
        );
        // §4.1: who is named may; who is shut out may not, whatever the model.
        assert_eq!(affiliate(&mut alice, "dave@localhost", "member").await, "result");
        assert_eq!(items(&mut dave).await, "result", "{model}: a member");
        assert_eq!(
            outcome(&publish(&mut dave, AT, NODE, "2", &[]).await),
            "forbidden"
        );
        assert_eq!(affiliate(&mut alice, "dave@localhost", "outcast").await, "result");
        assert_eq!(items(&mut dave).await, "forbidden", "{model}: an outcast");
        assert_eq!(subscribe(&mut dave).await, "forbidden", "{model}: an outcast");
        dave.skip();
        publish(&mut alice, AT, NODE, "3", &[]).await;
        assert_eq!(
            was_told(&mut dave, NODE),
            0,
            "{model}: an outcast hears nothing more"
        );
        assert_eq!(
            affiliate(&mut alice, "dave@localhost", "publish-only").await,
            "result"
        );
        assert_eq!(outcome(&publish(&mut dave, AT, NODE, "4", &[]).await), "result");
        if model == "whitelist" {
            assert_eq!(
                items(&mut dave).await,
                "not-allowed/closed-node",
                "who only publishes does not read"
            );
        }
    }
}

#[tokio::test]
async fn an_owner_approves_by_form_and_by_list() {
    // §8.6, §8.8
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
    let mut carol = wanting(&house, "carol@localhost/x", &[]).await;
    publish(
        &mut alice,
        AT,
        NODE,
        "1",
        &[("access_model", "authorize"), ("notify_delete", "1")],
    )
    .await;
    assert_eq!(subscribe(&mut bob).await, "pending");
    assert_eq!(subscribe(&mut carol).await, "pending");
    let form = alice.next().unwrap();
    assert!(
        form.contains("from='pubsub.localhost'") && form.contains("subscribe_authorization"),
        "{form}"
    );
    let decision = "<message to='pubsub.localhost'><x xmlns='jabber:x:data' type='submit'>\
        <field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#subscribe_authorization</value></field>\
        <field var='pubsub#node'><value>news</value></field>\
        <field var='pubsub#subscriber_jid'><value>bob@localhost</value></field>\
        <field var='pubsub#allow'><value>true</value></field></x></message>";
    carol.send(decision).await;
    assert!(
        carol.next().unwrap().contains("<forbidden"),
        "that is not hers to decide"
    );
    alice.send(decision).await;
    let told = bob.next().unwrap();
    assert!(told.contains("subscription='subscribed'"), "{told}");
    let list = owner(&mut alice, AT, "get", &format!("<subscriptions node='{NODE}'/>")).await;
    assert!(
        list.contains("jid='bob@localhost' subscription='subscribed'"),
        "{list}"
    );
    assert!(
        list.contains("jid='carol@localhost' subscription='pending'"),
        "{list}"
    );
    let deny = format!(
        "<subscriptions node='{NODE}'><subscription jid='carol@localhost' subscription='none'/></subscriptions>"
    );
    assert_eq!(outcome(&owner(&mut alice, AT, "set", &deny).await), "result");
    let told = carol.next().unwrap();
    assert!(told.contains("subscription='none'"), "{told}");
    publish(&mut alice, AT, NODE, "2", &[]).await;
    assert_eq!((was_told(&mut bob, NODE), was_told(&mut carol, NODE)), (1, 0));
    // §8.4: who subscribed hears that the node is gone, and where to go instead.
    let delete = format!("<delete node='{NODE}'><redirect uri='xmpp:other'/></delete>");
    assert_eq!(outcome(&owner(&mut alice, AT, "set", &delete).await), "result");
    let gone = bob.next().unwrap();
    assert!(
        gone.contains("<delete node='news'>") && gone.contains("xmpp:other"),
        "{gone}"
    );
    assert_eq!(items(&mut bob).await, "item-not-found");
}

#[tokio::test]
async fn a_new_access_model_ends_what_it_does_not_allow() {
    // §8.2.5.3
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
    publish(&mut alice, AT, NODE, "1", &[("notify_config", "1")]).await;
    assert_eq!(subscribe(&mut bob).await, "result");
    let form = "<x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>whitelist</value></field></x>";
    assert_eq!(
        outcome(
            &owner(
                &mut alice,
                AT,
                "set",
                &format!("<configure node='{NODE}'>{form}</configure>")
            )
            .await
        ),
        "result"
    );
    let ended = bob.next().unwrap();
    assert!(ended.contains("subscription='none'"), "{ended}");
    publish(&mut alice, AT, NODE, "2", &[]).await;
    assert_eq!(was_told(&mut bob, NODE), 0);
}

#[tokio::test]
async fn what_the_node_says_decides_what_a_notification_holds() {
    // §4.3, §7.1.2: with and without payload; none at all; on subscribing, the last item.
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
    publish(
        &mut alice,
        AT,
        NODE,
        "1",
        &[
            ("send_last_published_item", "on_sub"),
            ("deliver_payloads", "0"),
            ("notification_type", "normal"),
        ],
    )
    .await;
    bob.skip();
    bob.send(&format!(
        "<iq id='s' to='{AT}' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='{NODE}' jid='bob@localhost'/></pubsub></iq>"
    ))
    .await;
    let (mut last, mut other) = (String::new(), 0);
    while let Some(xml) = bob.next() {
        if xml.contains("pubsub#event") {
            last = xml;
        } else {
            other += 1;
        }
    }
    assert!(
        last.contains("<item id='1' publisher='alice@localhost/x'/>") && last.contains("urn:xmpp:delay"),
        "{last}"
    );
    assert!(!last.contains("headline") && other == 1, "{last}");
    let form = "<x xmlns='jabber:x:data' type='submit'><field var='pubsub#deliver_notifications'><value>0</value></field></x>";
    owner(
        &mut alice,
        AT,
        "set",
        &format!("<configure node='{NODE}'>{form}</configure>"),
    )
    .await;
    publish(&mut alice, AT, NODE, "2", &[]).await;
    assert_eq!(was_told(&mut bob, NODE), 0);
}

#[tokio::test]
async fn nodes_that_keep_nothing_tell_and_forget() {
    // §6.5.9.4, §7.2.3.5
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
    publish(&mut alice, AT, NODE, "1", &[("persist_items", "0")]).await;
    assert_eq!(subscribe(&mut bob).await, "result");
    bob.skip();
    publish(&mut alice, AT, NODE, "2", &[]).await;
    assert_eq!(was_told(&mut bob, NODE), 1);
    assert_eq!(items(&mut bob).await, "feature-not-implemented/unsupported");
    let retract = format!("<retract node='{NODE}'><item id='2'/></retract>");
    assert_eq!(
        outcome(&pubsub(&mut alice, AT, "set", &retract).await),
        "feature-not-implemented/unsupported"
    );
    assert_eq!(
        outcome(&owner(&mut alice, AT, "set", &format!("<purge node='{NODE}'/>")).await),
        "feature-not-implemented/unsupported"
    );
    // Notifications with payloads need one (§7.1.3.7).
    let event = format!("<publish node='{NODE}'><item id='3'/></publish>");
    assert_eq!(
        outcome(&pubsub(&mut alice, AT, "set", &event).await),
        "bad-request/payload-required"
    );
    assert_eq!(was_told(&mut bob, NODE), 0);
}

#[tokio::test]
async fn who_may_publish_is_the_nodes_to_say() {
    // §4.4.4 pubsub#publish_model
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
    publish(
        &mut alice,
        AT,
        NODE,
        "1",
        &[("publish_model", "subscribers"), ("max_items", "max")],
    )
    .await;
    assert_eq!(outcome(&publish(&mut bob, AT, NODE, "2", &[]).await), "forbidden");
    assert_eq!(subscribe(&mut bob).await, "result");
    assert_eq!(outcome(&publish(&mut bob, AT, NODE, "2", &[]).await), "result");
    publish(&mut alice, AT, "wall", "1", &[("publish_model", "open")]).await;
    assert_eq!(outcome(&publish(&mut bob, AT, "wall", "1", &[]).await), "result");
    // Her node is not theirs for that.
    assert_eq!(
        outcome(&owner(&mut bob, AT, "get", "<configure node='wall'/>").await),
        "forbidden"
    );
    let two = format!(
        "<publish node='{NODE}'><item id='a'><n xmlns='urn:n'/></item><item id='b'><n xmlns='urn:n'/></item>\
         <item id='a'><m xmlns='urn:n'/></item></publish>"
    );
    let answer = pubsub(&mut alice, AT, "set", &two).await;
    assert!(
        answer.contains("<item id='b'/><item id='a'/>"),
        "of one id the last counts: {answer}"
    );
}

#[tokio::test]
async fn messages_and_the_rest_at_the_service_are_answered() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    alice.skip();
    alice
        .ask(
            "<message to='pubsub.localhost'><body>hi</body></message>",
            "<message from='pubsub.localhost' type='error'>...</message>",
        )
        .await;
    alice.send("<presence to='pubsub.localhost'/>").await;
    alice.expect_nothing();
    assert_eq!(
        outcome(
            &ask(
                &mut alice,
                "news@pubsub.localhost",
                "get",
                "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='x'/></pubsub>"
            )
            .await
        ),
        "service-unavailable"
    );
    assert_eq!(
        outcome(&pubsub(&mut alice, AT, "get", "<items node='none'/>").await),
        "item-not-found"
    );
    // A notification that comes back disturbs nobody.
    alice
        .send("<message to='pubsub.localhost' type='error'><error type='cancel'/></message>")
        .await;
    alice.expect_nothing();
}

#[tokio::test]
async fn a_service_may_be_left_out() {
    let house =
        kim_core::testing::House::configured(crate::MODULES, "[xep0060_pubsub]\nservice = false\n").await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    assert_eq!(
        outcome(&pubsub(&mut alice, AT, "get", "<items node='none'/>").await),
        "remote-server-not-found"
    );
    assert_eq!(
        outcome(&publish(&mut alice, "", "urn:a", "1", &[]).await),
        "result"
    );
}

#[tokio::test]
async fn nodes_are_listed_page_by_page() {
    // §5.2, XEP-0059 §3
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/x", &[]).await;
    for n in 0..5 {
        publish(&mut alice, AT, &format!("n{n}"), "1", &[]).await;
    }
    let page = |set: &str| {
        format!(
            "<query xmlns='http://jabber.org/protocol/disco#items'><set xmlns='http://jabber.org/protocol/rsm'>{set}</set></query>"
        )
    };
    let first = ask(&mut alice, AT, "get", &page("<max>2</max>")).await;
    assert!(
        first.contains("node='n0'") && first.contains("node='n1'") && !first.contains("node='n2'"),
        "{first}"
    );
    assert!(
        first.contains("<first>n0</first><last>n1</last><count>5</count>"),
        "{first}"
    );
    let next = ask(&mut alice, AT, "get", &page("<max>2</max><after>n1</after>")).await;
    assert!(
        next.contains("node='n2'") && next.contains("node='n3'") && !next.contains("node='n4'"),
        "{next}"
    );
}
