//! The options that clients really send, each with what they rely on. Where several differ, each is here.

use super::cast::{house, outcome, owner, publish, pubsub, wanting};

/// Client, node, options, and what the node's configuration then says.
type Sent = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
);

const SENT: &[Sent] = &[
    (
        "Conversations: devices and bundles of OMEMO 0.3",
        "eu.siacs.conversations.axolotl.devicelist",
        &[("access_model", "open"), ("notify_delete", "true")],
        &[
            ("access_model", "open"),
            ("notify_delete", "1"),
            ("max_items", "1"),
            ("persist_items", "1"),
        ],
    ),
    (
        "Gajim: a bundle",
        "eu.siacs.conversations.axolotl.bundles:31337",
        &[("persist_items", "true"), ("access_model", "open")],
        &[("access_model", "open"), ("max_items", "1")],
    ),
    (
        "Monal: a bundle",
        "eu.siacs.conversations.axolotl.bundles:1",
        &[
            ("persist_items", "true"),
            ("access_model", "open"),
            ("notify_retract", "1"),
            ("notify_delete", "1"),
        ],
        &[
            ("access_model", "open"),
            ("notify_retract", "1"),
            ("notify_delete", "1"),
        ],
    ),
    (
        "Converse: a bundle without anything but the access model",
        "eu.siacs.conversations.axolotl.bundles:2",
        &[("access_model", "open")],
        &[("access_model", "open"), ("max_items", "1")],
    ),
    (
        "OMEMO 2: all bundles in one node",
        "urn:xmpp:omemo:2:bundles",
        &[("access_model", "open"), ("max_items", "max")],
        &[("access_model", "open"), ("max_items", "max")],
    ),
    (
        "Conversations, Gajim: bookmarks",
        "urn:xmpp:bookmarks:1",
        &[
            ("persist_items", "true"),
            ("access_model", "whitelist"),
            ("send_last_published_item", "never"),
            ("max_items", "max"),
            ("notify_delete", "true"),
            ("notify_retract", "true"),
        ],
        &[
            ("access_model", "whitelist"),
            ("max_items", "max"),
            ("send_last_published_item", "never"),
        ],
    ),
    (
        "Monal without max: displayed markers",
        "urn:xmpp:mds:displayed:0",
        &[
            ("persist_items", "1"),
            ("access_model", "whitelist"),
            ("send_last_published_item", "never"),
            ("max_items", "255"),
            ("notify_delete", "1"),
            ("notify_retract", "1"),
        ],
        &[("access_model", "whitelist"), ("max_items", "255")],
    ),
    (
        "Converse: bookmarks with a number",
        "urn:xmpp:bookmarks:1",
        &[
            ("persist_items", "true"),
            ("access_model", "whitelist"),
            ("max_items", "9999"),
            ("send_last_published_item", "never"),
        ],
        &[("access_model", "whitelist"), ("max_items", "9999")],
    ),
    (
        "an avatar for those who see the presence",
        "urn:xmpp:avatar:metadata",
        &[("access_model", "presence"), ("persist_items", "true")],
        &[("access_model", "presence")],
    ),
    (
        "an avatar for everybody",
        "urn:xmpp:avatar:metadata",
        &[("access_model", "open"), ("persist_items", "1")],
        &[("access_model", "open")],
    ),
    (
        "Movim: location for groups",
        "http://jabber.org/protocol/geoloc",
        &[("access_model", "roster"), ("roster_groups_allowed", "Friends")],
        &[("access_model", "roster"), ("roster_groups_allowed", "Friends")],
    ),
    (
        "everything that a form may hold",
        "urn:all",
        &[
            ("title", "A title"),
            ("type", "urn:kind"),
            ("itemreply", "publisher"),
            ("item_expire", "604800"),
            ("notify_config", "1"),
            ("deliver_notifications", "1"),
            ("deliver_payloads", "0"),
            ("publish_model", "publishers"),
            ("notification_type", "normal"),
        ],
        &[
            ("title", "A title"),
            ("type", "urn:kind"),
            ("itemreply", "publisher"),
            ("item_expire", "604800"),
            ("deliver_payloads", "0"),
        ],
    ),
];

fn value<'a>(form: &'a str, field: &str) -> &'a str {
    let at = form
        .find(&format!("var='pubsub#{field}'"))
        .unwrap_or_else(|| panic!("no {field} in {form}"));
    let rest = &form[at..];
    let from = rest.find("<value>").unwrap() + "<value>".len();
    &rest[from..from + rest[from..].find('<').unwrap()]
}

#[tokio::test]
async fn what_clients_send_is_understood_and_kept() {
    for (client, node, sent, kept) in SENT {
        let house = house().await;
        let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
        assert_eq!(
            outcome(&publish(&mut alice, "", node, "current", sent).await),
            "result",
            "{client}"
        );
        let form = owner(&mut alice, "", "get", &format!("<configure node='{node}'/>")).await;
        for (field, wanted) in *kept {
            assert_eq!(value(&form, field), *wanted, "{client}: {field}");
        }
        // The same again meets its own conditions, however a boolean is written.
        let other: Vec<(&str, &str)> = sent
            .iter()
            .map(|(field, value)| match *value {
                "true" => (*field, "1"),
                "1" => (*field, "true"),
                same => (*field, same),
            })
            .collect();
        assert_eq!(
            outcome(&publish(&mut alice, "", node, "current", &other).await),
            "result",
            "{client}"
        );
    }
}

#[tokio::test]
async fn options_are_preconditions() {
    // §7.1.5
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    assert_eq!(
        outcome(&publish(&mut alice, "", "urn:a", "1", &[]).await),
        "result"
    );
    let refused = publish(&mut alice, "", "urn:a", "1", &[("access_model", "open")]).await;
    assert_eq!(outcome(&refused), "conflict/precondition-not-met");
    assert!(refused.contains("access_model"), "the text says which: {refused}");
    // What an old node has never been told compares as its default.
    assert_eq!(
        outcome(
            &publish(
                &mut alice,
                "",
                "urn:a",
                "1",
                &[("access_model", "presence"), ("max_items", "1")]
            )
            .await
        ),
        "result"
    );
    let unknown = publish(&mut alice, "", "urn:a", "1", &[("no_such_option", "1")]).await;
    assert_eq!(outcome(&unknown), "not-acceptable");
    assert_eq!(
        outcome(&publish(&mut alice, "", "urn:new", "1", &[("no_such_option", "1")]).await),
        "not-acceptable"
    );
    let nothing = pubsub(&mut alice, "", "get", "<items node='urn:new'/>").await;
    assert_eq!(outcome(&nothing), "item-not-found");
}

#[tokio::test]
async fn a_conflict_is_mended_by_configuring_as_the_compliance_tester_does() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    let node = "eu.siacs.conversations.axolotl.b1946ac9";
    assert_eq!(
        outcome(&publish(&mut alice, "", node, "1", &[("access_model", "presence")]).await),
        "result"
    );
    assert_eq!(
        outcome(&publish(&mut alice, "", node, "1", &[("access_model", "open")]).await),
        "conflict/precondition-not-met"
    );
    let form = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
                <value>http://jabber.org/protocol/pubsub#node_config</value></field>\
                <field var='pubsub#access_model'><value>open</value></field></x>";
    let configure = format!("<configure node='{node}'>{form}</configure>");
    assert_eq!(outcome(&owner(&mut alice, "", "set", &configure).await), "result");
    assert_eq!(
        outcome(&publish(&mut alice, "", node, "1", &[("access_model", "open")]).await),
        "result"
    );
    let config = owner(&mut alice, "", "get", &format!("<configure node='{node}'/>")).await;
    assert_eq!(value(&config, "access_model"), "open");
    assert_eq!(
        outcome(&owner(&mut alice, "", "set", &format!("<delete node='{node}'/>")).await),
        "result"
    );
    assert_eq!(
        outcome(&pubsub(&mut alice, "", "get", &format!("<items node='{node}'/>")).await),
        "item-not-found"
    );
}

#[tokio::test]
async fn a_client_may_send_back_the_whole_form_it_got() {
    // Dino, and Gajim's reconfigure loop: get the form, change one field, send all of it.
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    publish(&mut alice, "", "urn:a", "1", &[]).await;
    let form = owner(&mut alice, "", "get", "<configure node='urn:a'/>").await;
    let from = form.find("<x ").unwrap();
    let x = &form[from..form.find("</x>").unwrap() + 4];
    let filled = x
        .replace("type='form'", "type='submit'")
        .replace("<value>presence</value>", "<value>open</value>");
    let configure = format!("<configure node='urn:a'>{filled}</configure>");
    assert_eq!(outcome(&owner(&mut alice, "", "set", &configure).await), "result");
    let config = owner(&mut alice, "", "get", "<configure node='urn:a'/>").await;
    assert_eq!(value(&config, "access_model"), "open");
    assert_eq!(value(&config, "max_items"), "1");
}

#[tokio::test]
async fn bundles_without_an_id_do_not_pile_up() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    let mut first = String::new();
    for _ in 0..3 {
        first = publish(
            &mut alice,
            "",
            "eu.siacs.conversations.axolotl.bundles:1",
            "",
            &[("access_model", "open")],
        )
        .await;
        assert_eq!(outcome(&first), "result");
    }
    // §7.1.2: the id that was made is told.
    let id = value_of(&first, "<item id='");
    assert_eq!(id.len(), 32);
    let items = pubsub(
        &mut alice,
        "",
        "get",
        "<items node='eu.siacs.conversations.axolotl.bundles:1'/>",
    )
    .await;
    assert_eq!(items.matches("<item ").count(), 1);
    assert!(items.contains(id));
}

fn value_of<'a>(text: &'a str, before: &str) -> &'a str {
    let from = text.find(before).unwrap() + before.len();
    &text[from..from + text[from..].find('\'').unwrap()]
}

#[tokio::test]
async fn private_nodes_stay_private_whatever_is_said() {
    // XEP-0223 §2: nothing but the owner's own clients.
    for node in [
        "storage:bookmarks",
        "urn:xmpp:bookmarks:1",
        "urn:xmpp:mds:displayed:0",
    ] {
        let house = house().await;
        let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
        assert_eq!(
            outcome(&publish(&mut alice, "", node, "1", &[]).await),
            "result",
            "{node}"
        );
        let config = owner(&mut alice, "", "get", &format!("<configure node='{node}'/>")).await;
        assert_eq!(value(&config, "access_model"), "whitelist", "{node}");
        // What the server overrules is no precondition: the item is kept, and the node stays closed.
        let opened = publish(&mut alice, "", node, "1", &[("access_model", "open")]).await;
        assert_eq!(outcome(&opened), "result", "{node}");
        let form = "<x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>open</value></field></x>";
        owner(
            &mut alice,
            "",
            "set",
            &format!("<configure node='{node}'>{form}</configure>"),
        )
        .await;
        let config = owner(&mut alice, "", "get", &format!("<configure node='{node}'/>")).await;
        assert_eq!(value(&config, "access_model"), "whitelist", "{node}");
    }
}
