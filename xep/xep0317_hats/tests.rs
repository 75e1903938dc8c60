//! Hats, in memory.

use kim_core::testing::{Client, House};

const ROOM: &str = "physics@conference.localhost";
const URI: &str = "http://tech.example.edu/hats#Assistant";

async fn command(client: &mut Client, action: &str, fields: &[(&str, &str)]) -> String {
    client.skip();
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    let form = if fields.is_empty() {
        String::new()
    } else {
        format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>urn:xmpp:hats:commands</value></field>{fields}</x>"
        )
    };
    client
        .send(&format!(
            "<iq id='h' to='{ROOM}' type='set'><command xmlns='http://jabber.org/protocol/commands' \
             action='execute' node='urn:xmpp:hats:commands:{action}'>{form}</command></iq>"
        ))
        .await;
    let came: Vec<String> = std::iter::from_fn(|| client.next()).collect();
    came.into_iter().find(|stanza| stanza.starts_with("<iq")).unwrap()
}

async fn lecture() -> (House, Client, Client) {
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/office").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    for (client, nick) in [(&mut alice, "alice"), (&mut bob, "bob")] {
        client
            .send(&format!(
                "<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
            ))
            .await;
        client
            .send(&format!(
                "<iq id='c' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
                 <x xmlns='jabber:x:data' type='submit'/></query></iq>"
            ))
            .await;
    }
    (house, alice, bob)
}

fn presence_of(client: &mut Client, nick: &str) -> Option<String> {
    let came: Vec<String> = std::iter::from_fn(|| client.next()).collect();
    let from = format!("from='{ROOM}/{nick}'");
    came.into_iter()
        .rfind(|stanza| stanza.starts_with("<presence") && stanza.contains(&from))
}

#[tokio::test]
async fn admins_make_hats_and_give_them_and_everybody_sees_who_wears_one() {
    // §3.1–§3.6
    let (_house, mut alice, mut bob) = lecture().await;
    let form = command(&mut alice, "create", &[]).await;
    assert!(
        form.contains("status='executing'") && form.contains("var='hats#title'"),
        "{form}"
    );
    let create = [
        ("hats#title", "Assistant"),
        ("hats#uri", URI),
        ("hats#hue", "327.25"),
    ];
    let made = command(&mut alice, "create", &create).await;
    assert!(made.contains("status='completed'"), "{made}");
    bob.skip();
    let given = command(
        &mut alice,
        "assign",
        &[("hats#jid", "bob@localhost"), ("hats#uri", URI)],
    )
    .await;
    assert!(given.contains("status='completed'"), "{given}");
    let hat =
        format!("<hats xmlns='urn:xmpp:hats:0'><hat title='Assistant' uri='{URI}' hue='327.25'/></hats>");
    let shown = presence_of(&mut bob, "bob").unwrap();
    assert!(shown.contains(&hat), "{shown}");
    // What a client says it wears is not believed.
    alice.skip();
    bob.send(&format!(
        "<presence to='{ROOM}/bob'><show>away</show><hats xmlns='urn:xmpp:hats:0'><hat title='King' uri='k'/></hats></presence>"
    ))
    .await;
    let shown = presence_of(&mut alice, "bob").unwrap();
    assert!(shown.contains(&hat) && !shown.contains("King"), "{shown}");

    let list = command(&mut bob, "list", &[]).await;
    assert!(
        list.contains(URI) && list.contains("<value>Assistant</value>"),
        "{list}"
    );
    let assigned = command(&mut alice, "list-assigned", &[]).await;
    assert!(assigned.contains("<value>bob@localhost</value>"), "{assigned}");
    // A hat that is made anew is the same one with another title.
    bob.skip();
    command(
        &mut alice,
        "create",
        &[("hats#title", "Helper"), ("hats#uri", URI)],
    )
    .await;
    assert!(presence_of(&mut bob, "bob").unwrap().contains("title='Helper'"));
    command(
        &mut alice,
        "unassign",
        &[("hats#jid", "bob@localhost"), ("hats#uri", URI)],
    )
    .await;
    assert!(!presence_of(&mut bob, "bob").unwrap().contains("<hats"));
    command(
        &mut alice,
        "assign",
        &[("hats#jid", "bob@localhost"), ("hats#uri", URI)],
    )
    .await;
    bob.skip();
    command(&mut alice, "destroy", &[("hats#uri", URI)]).await;
    assert!(!presence_of(&mut bob, "bob").unwrap().contains("<hats"));
}

#[tokio::test]
async fn what_is_not_allowed_or_makes_no_sense_changes_nothing() {
    let (_house, mut alice, mut bob) = lecture().await;
    for action in ["create", "destroy", "assign", "unassign", "list-assigned"] {
        assert!(
            command(&mut bob, action, &[]).await.contains("<forbidden"),
            "{action}"
        );
    }
    assert!(
        command(&mut alice, "dance", &[])
            .await
            .contains("<item-not-found")
    );
    let long = "x".repeat(1_000);
    for (action, fields, condition) in [
        ("create", &[("hats#title", "A")][..], "bad-request"),
        (
            "create",
            &[("hats#title", &*long), ("hats#uri", URI)][..],
            "not-acceptable",
        ),
        (
            "create",
            &[("hats#title", "A"), ("hats#uri", URI), ("hats#hue", "red")][..],
            "not-acceptable",
        ),
        ("destroy", &[("hats#uri", URI)][..], "item-not-found"),
        (
            "assign",
            &[("hats#jid", "bob@localhost"), ("hats#uri", URI)][..],
            "item-not-found",
        ),
        (
            "assign",
            &[("hats#jid", "@"), ("hats#uri", URI)][..],
            "jid-malformed",
        ),
        (
            "unassign",
            &[("hats#jid", "bob@localhost"), ("hats#uri", URI)][..],
            "item-not-found",
        ),
    ] {
        let answer = command(&mut alice, action, fields).await;
        assert!(
            answer.contains(&format!("<{condition} ")),
            "{action} {fields:?}: {answer}"
        );
    }
    assert!(!command(&mut alice, "list", &[]).await.contains("<item"));
}
