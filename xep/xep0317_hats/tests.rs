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

const HAT: &[(&str, &str)] = &[("hats#title", "Assistant"), ("hats#uri", URI)];

async fn enter(client: &mut Client, nick: &str, more: &str) -> Vec<String> {
    client.skip();
    client
        .send(&format!(
            "<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/>{more}</presence>"
        ))
        .await;
    std::iter::from_fn(|| client.next()).collect()
}

async fn owner(client: &mut Client, payload: &str) {
    client
        .send(&format!(
            "<iq id='o' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>{payload}</query></iq>"
        ))
        .await;
}

async fn rows(house: &House) -> i64 {
    let count = kim_core::db::Query::new("SELECT COUNT(*) FROM room_hats");
    house
        .db
        .fetch_optional(count)
        .await
        .unwrap()
        .unwrap()
        .i64(0)
        .unwrap()
}

#[tokio::test]
async fn hats_outlive_a_restart_and_end_with_the_room() {
    let options = kim_core::db::DbOptions::default();
    let db = kim_core::db::Db::open("sqlite::memory:", &options).await.unwrap();
    let house = House::on(db.clone(), crate::MODULES, "").await;
    let mut alice = house.online("alice@localhost/office").await;
    enter(&mut alice, "alice", "").await;
    let persistent = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>";
    owner(
        &mut alice,
        &format!("<x xmlns='jabber:x:data' type='submit'>{persistent}</x>"),
    )
    .await;
    command(&mut alice, "create", HAT).await;
    let wears = [("hats#jid", "bob@localhost"), ("hats#uri", URI)];
    command(&mut alice, "assign", &wears).await;

    let house = House::on(db, crate::MODULES, "").await;
    let mut alice = house.online("alice@localhost/office").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    // §4: what somebody says of themselves when they enter is not believed.
    let forged = "<hats xmlns='urn:xmpp:hats:0'><hat title='King' uri='k'/></hats>";
    let got = enter(&mut bob, "bob", forged).await;
    let own = got.iter().find(|one| one.contains("code='110'")).unwrap();
    let hat = format!("<hats xmlns='urn:xmpp:hats:0'><hat title='Assistant' uri='{URI}'/></hats>");
    assert!(own.contains(&hat) && !own.contains("King"), "{own}");

    enter(&mut alice, "alice", "").await;
    assert_eq!(rows(&house).await, 1);
    owner(&mut alice, "<destroy/>").await;
    assert_eq!(rows(&house).await, 0);
    // The next room of this name has none.
    let got = enter(&mut bob, "bob", "").await;
    assert!(
        got[0].contains("code='201'") && !got[0].contains("<hats"),
        "{got:#?}"
    );
    owner(&mut bob, "<x xmlns='jabber:x:data' type='submit'/>").await;
    assert!(!command(&mut bob, "list", &[]).await.contains("<item"));
}

#[tokio::test]
async fn whoever_gets_the_name_of_an_erased_account_wears_nothing() {
    let (house, mut alice, bob) = lecture().await;
    command(&mut alice, "create", HAT).await;
    let wears = [("hats#jid", "bob@localhost"), ("hats#uri", URI)];
    command(&mut alice, "assign", &wears).await;
    house.router.erase_account(&bob.session.account).await.unwrap();
    let assigned = command(&mut alice, "list-assigned", &[]).await;
    assert!(
        assigned.contains("completed") && !assigned.contains("bob@localhost"),
        "{assigned}"
    );
    assert!(
        command(&mut alice, "list", &[]).await.contains(URI),
        "the hat itself stays"
    );
}

#[tokio::test]
async fn hats_are_bounded_in_number_and_size() {
    let (_house, mut alice, mut bob) = lecture().await;
    let long_hue = format!("1.{}", "0".repeat(100));
    let fields = [("hats#title", "A"), ("hats#uri", URI), ("hats#hue", &*long_hue)];
    assert!(
        command(&mut alice, "create", &fields)
            .await
            .contains("<not-acceptable")
    );
    let uris: Vec<String> = (0..51).map(|at| format!("urn:hat:{at}")).collect();
    for (at, uri) in uris.iter().enumerate() {
        let made = command(&mut alice, "create", &[("hats#title", "A"), ("hats#uri", uri)]).await;
        assert_eq!(made.contains("completed"), at < 50, "{at}: {made}");
        assert_eq!(made.contains("<resource-constraint"), at == 50, "{at}: {made}");
    }
    for (at, uri) in uris.iter().take(11).enumerate() {
        let given = command(
            &mut alice,
            "assign",
            &[("hats#jid", "bob@localhost"), ("hats#uri", uri)],
        )
        .await;
        assert_eq!(given.contains("completed"), at < 10, "{at}: {given}");
    }
    assert_eq!(presence_of(&mut bob, "bob").unwrap().matches("<hat ").count(), 10);
    let domain = command(
        &mut alice,
        "assign",
        &[("hats#jid", "localhost"), ("hats#uri", &uris[0])],
    )
    .await;
    assert!(domain.contains("<jid-malformed"), "{domain}");
}

#[tokio::test]
async fn discovery_tells_of_hats_and_of_the_commands_one_may_use() {
    // §2; XEP-0050 §2
    let (_house, mut alice, mut bob) = lecture().await;
    async fn disco(client: &mut Client, what: &str, node: &str) -> String {
        client.skip();
        let node = if node.is_empty() {
            String::new()
        } else {
            format!(" node='{node}'")
        };
        client
            .send(&format!(
                "<iq id='d' to='{ROOM}' type='get'><query xmlns='http://jabber.org/protocol/disco#{what}'{node}/></iq>"
            ))
            .await;
        client.next().unwrap()
    }
    let hash = |info: &str| {
        let field = info.split("hats#hash").nth(1)?;
        Some(field.split("<value>").nth(1)?.split('<').next()?.to_owned())
    };
    let info = disco(&mut bob, "info", "").await;
    assert!(info.contains("<feature var='urn:xmpp:hats:0'/>"), "{info}");
    assert_eq!(hash(&info), None, "no hats, no hash");
    command(&mut alice, "create", HAT).await;
    let first = hash(&disco(&mut bob, "info", "").await).unwrap();
    command(
        &mut alice,
        "create",
        &[("hats#title", "Helper"), ("hats#uri", URI)],
    )
    .await;
    let second = hash(&disco(&mut bob, "info", "").await).unwrap();
    assert_ne!(first, second, "what a client knows of them is out of date");

    let list = "http://jabber.org/protocol/commands";
    assert_eq!(
        disco(&mut alice, "items", list).await.matches("<item ").count(),
        6
    );
    let for_bob = disco(&mut bob, "items", list).await;
    assert_eq!(for_bob.matches("<item ").count(), 1, "{for_bob}");
    assert!(
        for_bob.contains("node='urn:xmpp:hats:commands:list'"),
        "{for_bob}"
    );
    let node = disco(&mut alice, "info", "urn:xmpp:hats:commands:create").await;
    assert!(
        node.contains("command-node") && node.contains("jabber:x:data"),
        "{node}"
    );
    for unknown in ["urn:xmpp:hats:commands:create", "urn:xmpp:hats:commands:dance"] {
        let node = disco(&mut bob, "info", unknown).await;
        assert!(node.contains("<item-not-found"), "{node}");
    }
}

#[tokio::test]
async fn commands_are_canceled_and_unknown_steps_are_refused() {
    // XEP-0050 §4.4
    let (_house, mut alice, _bob) = lecture().await;
    for (action, answer) in [("cancel", "status='canceled'"), ("leap", "<bad-action ")] {
        alice.skip();
        alice
            .send(&format!(
                "<iq id='h' to='{ROOM}' type='set'><command xmlns='http://jabber.org/protocol/commands' \
                 action='{action}' sessionid='s' node='urn:xmpp:hats:commands:create'/></iq>"
            ))
            .await;
        let got = alice.next().unwrap();
        assert!(got.contains(answer), "{got}");
    }
}
