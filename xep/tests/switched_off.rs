//! Every module can be switched off. What its specification builds on goes with it, and nothing else: people still sign in,
//! talk and meet in rooms.

use kim_core::testing::{Client, House};

use crate::MODULES;

const ROOM: &str = "tea@conference.localhost";

/// Switches off a module and what needs it, directly or not.
fn without(name: &str) -> Vec<&'static str> {
    let mut off: Vec<&'static str> = Vec::new();
    for entry in MODULES {
        if entry.name == name || entry.needs.iter().any(|need| off.contains(need)) {
            off.push(entry.name);
        }
    }
    off
}

fn settings(off: &[&str]) -> String {
    let one = |name: &&str| format!("[{name}]\nenabled = false\n");
    off.iter().map(one).collect()
}

fn all(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.next()).collect()
}

async fn enter(client: &mut Client, nick: &str) -> Vec<String> {
    client.skip();
    let presence = "<x xmlns='http://jabber.org/protocol/muc'/>";
    client
        .send(&format!("<presence to='{ROOM}/{nick}'>{presence}</presence>"))
        .await;
    all(client)
}

async fn say(client: &mut Client, id: &str, inner: &str) {
    client
        .send(&format!(
            "<message to='{ROOM}' type='groupchat' id='{id}'>{inner}</message>"
        ))
        .await;
}

#[tokio::test]
async fn the_server_runs_without_any_one_module() {
    for module in MODULES {
        let off = without(module.name);
        let house = House::configured(MODULES, &settings(&off)).await;
        let mut alice = house.online("alice@localhost/a").await;
        let mut bob = house.online("bob@localhost/b").await;
        let is_on = |name: &str| !off.contains(&name);
        if is_on("rfc6121_im") {
            alice
                .send("<message to='bob@localhost' type='chat' id='m'><body>hello</body></message>")
                .await;
            let came = all(&mut bob);
            assert!(
                came.iter().any(|stanza| stanza.contains("<body>hello</body>")),
                "without {off:?}: {came:#?}"
            );
        }
        if is_on("xep0045_muc") {
            let came = enter(&mut alice, "alice").await;
            assert!(
                came.iter().any(|stanza| stanza.contains("code='110'")),
                "without {off:?}: {came:#?}"
            );
            enter(&mut bob, "bob").await;
            alice.skip();
            say(&mut bob, "r", "<body>hello all</body>").await;
            let came = all(&mut alice);
            assert!(
                came.iter()
                    .any(|stanza| stanza.contains("<body>hello all</body>")),
                "without {off:?}: {came:#?}"
            );
        }
    }
}

#[test]
fn a_module_needs_only_what_its_specification_builds_on() {
    let needs = |name: &str| {
        let module = MODULES.iter().find(|module| module.name == name);
        module.unwrap().needs
    };
    // XEP-0045 §6: "A MUC implementation MUST support Service Discovery", and its forms are XEP-0004's.
    assert_eq!(needs("xep0045_muc"), ["xep0004_forms", "xep0030_disco"]);
    assert_eq!(needs("xep0452_mentions"), ["xep0045_muc", "xep0402_sticky"]);
    assert_eq!(needs("rfc6121_im"), [""; 0]);
    assert_eq!(needs("xep0363_upload"), [""; 0]);
    for optional in [
        "xep0191_blocking",
        "xep0313_mam",
        "xep0049_private",
        "xep0054_vcard",
    ] {
        let off = without(optional);
        let others: Vec<_> = off.iter().filter(|name| **name != optional).collect();
        let allowed: &[&str] = match optional {
            "xep0313_mam" => &["xep0313_rooms"],
            // A report is part of a request to block (XEP-0377 §3).
            "xep0191_blocking" => &["xep0377_reports"],
            _ => &[],
        };
        assert!(
            others.iter().all(|name| allowed.contains(name)),
            "{optional}: {others:?}"
        );
    }
}

#[tokio::test]
async fn rooms_do_without_archives() {
    let house = House::configured(MODULES, &settings(&without("xep0313_mam"))).await;
    let mut alice = house.online("alice@localhost/a").await;
    let came = enter(&mut alice, "alice").await.concat();
    assert!(
        !came.contains("code='170'"),
        "nobody is warned of an archive: {came}"
    );
    alice
        .send(&format!(
            "<iq type='get' to='{ROOM}' id='form'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>"
        ))
        .await;
    let form = all(&mut alice).concat();
    assert!(form.contains("muc#roomconfig_roomname"), "{form}");
    assert!(!form.contains("muc#roomconfig_enablearchiving"), "{form}");
    alice
        .send(&format!(
            "<iq type='get' to='{ROOM}' id='info'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        ))
        .await;
    let info = all(&mut alice).concat();
    assert!(
        info.contains("<feature var='http://jabber.org/protocol/muc'/>"),
        "{info}"
    );
    for absent in [
        "urn:xmpp:mam:2",
        "urn:xmpp:sid:0",
        "urn:xmpp:message-retract:1",
        "urn:xmpp:message-moderate:1",
    ] {
        assert!(!info.contains(absent), "{absent}: {info}");
    }
    say(&mut alice, "one", "<body>first</body>").await;
    say(&mut alice, "two", "<body>second</body>").await;
    // XEP-0424: there are no ids of the room, so the clients settle it among themselves.
    say(
        &mut alice,
        "three",
        "<retract xmlns='urn:xmpp:message-retract:1' id='two'/>",
    )
    .await;
    let said = all(&mut alice).concat();
    assert!(
        said.contains("<retract xmlns='urn:xmpp:message-retract:1' id='two'/>"),
        "{said}"
    );
    assert!(!said.contains("<stanza-id"), "{said}");

    let mut bob = house.online("bob@localhost/b").await;
    let history: Vec<String> = enter(&mut bob, "bob").await;
    let history: Vec<&String> = history
        .iter()
        .filter(|stanza| stanza.contains("<delay "))
        .collect();
    assert_eq!(history.len(), 3, "{history:#?}");
    for (stanza, part) in history.iter().zip(["first", "second", "<retract "]) {
        assert!(stanza.contains(part), "{history:#?}");
    }
    // An end of the room leaves nothing behind, and a new one of its name begins without history.
    alice
        .send(&format!(
            "<iq type='set' to='{ROOM}' id='end'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>"
        ))
        .await;
    let again = enter(&mut bob, "bob").await.concat();
    assert!(!again.contains("<delay "), "{again}");
}

#[tokio::test]
async fn rooms_and_nodes_do_without_block_lists() {
    let house = House::configured(MODULES, &settings(&without("xep0191_blocking"))).await;
    let mut alice = house.online("alice@localhost/a").await;
    let mut bob = house.online("bob@localhost/b").await;
    enter(&mut alice, "alice").await;
    alice
        .send(&format!(
            "<message to='{ROOM}'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='bob@localhost'/></x></message>"
        ))
        .await;
    let invited = all(&mut bob).concat();
    assert!(invited.contains("<invite from='"), "{invited}");
    alice
        .send(
            "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:test'>\
             <item id='current'><x xmlns='urn:test'/></item></publish></pubsub></iq>",
        )
        .await;
    let answer = all(&mut alice).concat();
    assert!(answer.contains("type='result'"), "{answer}");
}
