//! Enabling and disabling (§5, §6), and what is sent back to app servers.

use kim_core::jid::BareJid;

use super::super::dispatch::is_own;
use super::super::figures::Failure;
use super::super::registration::{Registration, Wish};
use super::*;

const OPTIONS: &str = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
                       <value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
                       <field var='secret'><value>eruio234vzxc2kla-91</value></field></x>";

fn bad(condition: &str, kind: &str) -> String {
    format!(
        "<iq id='e' type='error'><error type='{kind}'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>...</error></iq>"
    )
}

#[tokio::test]
async fn publish_options_are_kept_sealed_and_sent_back() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let mut phone = house.online("alice@localhost/phone").await;
    phone
        .ask(&enable(APP, "n1", OPTIONS), "<iq id='e' type='result'/>")
        .await;
    let rows = house
        .db
        .fetch_all(kim_core::db::Query::new("SELECT sealed FROM push_registration"))
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    let sealed = String::from_utf8_lossy(&rows[0].bytes(0).unwrap()).into_owned();
    for secret in ["eruio234", APP, "n1", "phone"] {
        assert!(!sealed.contains(secret), "{secret}");
    }
    phone.disconnect().await;
    let mut bob = house.online("bob@localhost/desk").await;
    chat(&mut bob, "alice@localhost", "psst").await;
    app.expect(&format!(
        "<iq from='alice@localhost' to='{APP}' id='*' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <publish node='n1'><item><notification xmlns='urn:xmpp:push:0'>{}</notification></item></publish>\
         <publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>\
         <value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
         <field var='secret'><value>eruio234vzxc2kla-91</value></field></x></publish-options></pubsub></iq>",
        summary(1, "")
    ));
}

#[tokio::test]
async fn what_cannot_be_enabled_is_refused_with_a_reason() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let sends = |attributes: &str| {
        format!("<iq id='e' type='set'><enable xmlns='urn:xmpp:push:0' {attributes}/></iq>")
    };
    for (attributes, condition, kind) in [
        ("node='n'", "bad-request", "modify"),
        (&*format!("jid='{APP}'"), "bad-request", "modify"),
        (&*format!("jid='{APP}' node=''"), "bad-request", "modify"),
        ("jid='@' node='n'", "jid-malformed", "modify"),
        ("jid='alice@localhost' node='n'", "not-acceptable", "modify"),
        (
            &*format!("jid='{APP}' node='{}'", "n".repeat(1_025)),
            "not-acceptable",
            "modify",
        ),
    ] {
        alice.ask(&sends(attributes), &bad(condition, kind)).await;
    }
    let huge = OPTIONS.replace("eruio", &"e".repeat(5_000));
    alice
        .ask(&enable(APP, "n", &huge), &bad("not-acceptable", "modify"))
        .await;
    alice
        .ask(
            "<iq id='e' type='set'><disable xmlns='urn:xmpp:push:0' node='n'/></iq>",
            &bad("bad-request", "modify"),
        )
        .await;
    let mut mallory = house.online("mallory@localhost/x").await;
    mallory
        .ask(
            &enable(APP, "n", "").replace("type='set'", "type='set' to='alice@localhost'"),
            &bad("service-unavailable", "cancel"),
        )
        .await;
    assert!(
        dispatch(&house)
            .registrations
            .of(&alice.session.account)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn unknown_fields_and_forms_mean_nothing() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let forms = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:example:other</value></field>\
                 <field var='secret'><value>not an option</value></field></x>\
                 <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:push:summary</value></field>\
                 <field var='last-message-sender'><value>1</value></field><field var='what'><value>?</value></field></x>";
    alice
        .ask(&enable(APP, "n", forms), "<iq id='e' type='result'/>")
        .await;
    let all = dispatch(&house)
        .registrations
        .of(&alice.session.account)
        .await
        .unwrap();
    assert_eq!((all.len(), all[0].options.as_str()), (1, ""));
    assert!(all[0].wish.sender && !all[0].wish.body);
}

#[tokio::test]
async fn an_account_has_so_many_registrations_and_no_more() {
    let house = House::configured(
        MODULES,
        &format!("{CONFIG}[xep0357_push]\nregistrations_max = 2\n"),
    )
    .await;
    let mut alice = house.online("alice@localhost/phone").await;
    register(&mut alice, APP, "n1").await;
    register(&mut alice, APP, "n2").await;
    alice
        .ask(&enable(APP, "n3", ""), &bad("resource-constraint", "wait"))
        .await;
    // The last request of the same two counts (§5); it is no other.
    register(&mut alice, APP, "n2").await;
    alice
        .ask(
            &format!("<iq id='e' type='set'><disable xmlns='urn:xmpp:push:0' jid='{APP}' node='n1'/></iq>"),
            "<iq id='e' type='result'/>",
        )
        .await;
    register(&mut alice, APP, "n3").await;
}

#[tokio::test]
async fn nothing_is_sent_after_disabling() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let mut other = house.neighbour("push.example.net");
    let mut phone = house.online("alice@localhost/phone").await;
    register(&mut phone, APP, "n1").await;
    register(&mut phone, APP, "n2").await;
    register(&mut phone, "push.example.net", "n1").await;
    phone
        .ask(
            &format!("<iq id='e' type='set'><disable xmlns='urn:xmpp:push:0' jid='{APP}' node='n1'/></iq>"),
            "<iq id='e' type='result'/>",
        )
        .await;
    phone.disconnect().await;
    let mut bob = house.online("bob@localhost/desk").await;
    chat(&mut bob, "alice@localhost", "one").await;
    app.expect(&notification("n2", 1, "a"));
    app.expect_nothing();
    other.expect(&notification("n1", 1, "b"));

    // Without a node, all of the service (§6).
    let mut phone = house.online("alice@localhost/phone").await;
    phone.skip();
    phone
        .ask(
            &format!("<iq id='e' type='set'><disable xmlns='urn:xmpp:push:0' jid='{APP}'/></iq>"),
            "<iq id='e' type='result'/>",
        )
        .await;
    phone.disconnect().await;
    chat(&mut bob, "alice@localhost", "two").await;
    app.expect_nothing();
    other.expect(&notification("n1", 1, "c"));
}

#[tokio::test]
async fn a_guest_has_nothing_to_be_woken_for() {
    let house = House::configured(MODULES, "[registration]\nguests = true\n").await;
    let mut guest = house.guest("g@guest.localhost/x").await;
    guest
        .ask(&enable(APP, "n", ""), &bad("not-allowed", "cancel"))
        .await;
}

#[tokio::test]
async fn the_account_advertises_it_to_its_owner() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice
        .send("<iq id='d' to='alice@localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
        .await;
    assert!(alice.next().unwrap().contains("<feature var='urn:xmpp:push:0'/>"));
}

#[tokio::test]
async fn registrations_go_with_the_password_and_with_the_account() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let lost = phone(&house, "alice@localhost/lost", "lost").await;
    let mut kept = phone(&house, "alice@localhost/kept", "kept").await;
    kept.send(
        "<iq id='p' type='set' to='localhost'><query xmlns='jabber:iq:register'>\
         <username>alice</username><password>another secret</password></query></iq>",
    )
    .await;
    lost.disconnect().await;
    kept.skip();
    kept.disconnect().await;
    let mut bob = house.online("bob@localhost/desk").await;
    chat(&mut bob, "alice@localhost", "hello").await;
    app.expect(&notification("kept", 1, "a"));
    app.expect_nothing();

    let alice = kim_core::jid::BareJid::parse("alice@localhost").unwrap();
    house.router.erase_account(&alice).await.unwrap();
    let rows = house
        .db
        .fetch_all(super::super::store::of_query(&alice))
        .await
        .unwrap();
    assert!(rows.is_empty());
    assert!(
        dispatch(&house)
            .registrations
            .of(&alice)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn people_see_their_devices_and_administrators_anybodys() {
    let config = format!("[server]\nadmins = [\"admin@localhost\"]\n{CONFIG}");
    let house = House::configured(MODULES, &config).await;
    let mut app = house.neighbour(APP);
    let mut alice = phone(&house, "alice@localhost/phone", "n").await;
    let mut admin = house.online("admin@localhost/desk").await;
    let command = |to: &str, node: &str, session: &str, inner: &str| {
        format!(
            "<iq id='c' to='{to}' type='set'><command xmlns='http://jabber.org/protocol/commands' \
             node='urn:kim:push:0#{node}' {session}>{inner}</command></iq>"
        )
    };
    let form = |fields: &[(&str, &str)]| {
        let field = |(var, value): &(&str, &str)| field(var, value);
        let fields: String = fields.iter().map(field).collect();
        format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>")
    };
    let part = |xml: &str, from: &str, to: &str| {
        let rest = xml
            .split(from)
            .nth(1)
            .unwrap_or_else(|| panic!("{from} in {xml}"));
        rest.split(to).next().unwrap().to_owned()
    };
    let session = |xml: &str| format!("sessionid='{}'", part(xml, "sessionid='", "'"));

    // An administrator looks for an account first.
    admin.skip();
    let on = form(&[("accountjid", "alice@localhost")]);
    admin.send(&command("localhost", "of-account", "", &on)).await;
    let shown = admin.next().unwrap();
    assert!(
        shown.contains("phone, through push.example.org") && shown.contains("no success yet"),
        "{shown}"
    );
    let elsewhere = form(&[("accountjid", "alice@example.org")]);
    admin
        .send(&command("localhost", "of-account", "", &elsewhere))
        .await;
    assert!(admin.next().unwrap().contains("not an account of this server"));
    alice.skip();
    alice.send(&command("localhost", "of-account", "", &on)).await;
    assert!(alice.next().unwrap().contains("forbidden"));

    alice.send(&command("alice@localhost", "devices", "", "")).await;
    let shown = alice.next().unwrap();
    let id = part(
        &shown,
        "<option label='phone, through push.example.org",
        "</value>",
    );
    let id = id.split("<value>").nth(1).unwrap().to_owned();
    let choice = |action: &str| form(&[("device", &id), ("action", action)]);
    alice
        .send(&command(
            "alice@localhost",
            "devices",
            &session(&shown),
            &choice("explode"),
        ))
        .await;
    assert!(alice.next().unwrap().contains("choose one of the actions"));
    alice
        .send(&command(
            "alice@localhost",
            "devices",
            &session(&shown),
            &choice("test"),
        ))
        .await;
    assert!(alice.next().unwrap().contains("is on its way"));
    let came = loop {
        match app.next() {
            Some(xml) => break xml,
            None => tokio::task::yield_now().await,
        }
    };
    assert!(came.contains("node='n'"), "{came}");
    alice
        .send(&command("alice@localhost", "devices", "", &choice("end")))
        .await;
    assert!(alice.next().unwrap().contains("not woken any more"));
    alice.send(&command("alice@localhost", "devices", "", "")).await;
    assert!(alice.next().unwrap().contains("no device is woken"));
}

#[tokio::test]
async fn tests_cannot_be_used_to_send_without_end() {
    let house = house().await;
    let _app = house.neighbour(APP);
    drop(phone(&house, "alice@localhost/phone", "n").await);
    let dispatch = house.router.fact::<Dispatch>().unwrap();
    let alice: BareJid = "alice@localhost".parse().unwrap();
    let registration = dispatch.registrations.of(&alice).await.unwrap()[0].clone();
    for _ in 0..20 {
        let (dispatch, alice, registration) = (dispatch.clone(), alice.clone(), registration.clone());
        let router = house.router.clone();
        tokio::spawn(async move { dispatch.test(&alice, &registration, &router).await });
        tokio::task::yield_now().await;
    }
    let refused = dispatch.test(&alice, &registration, &house.router).await;
    assert_eq!(refused, Err(Failure::Rate));
    house.clock.advance(6);
    // Nobody answers, so this one is still under way.
    let test = dispatch.test(&alice, &registration, &house.router);
    let waited = tokio::time::timeout(std::time::Duration::from_millis(200), test).await;
    assert!(waited.is_err());
}

#[tokio::test]
async fn only_the_app_server_of_this_house_is_trusted_with_more() {
    let house = house().await;
    for (service, is_its_own) in [
        ("push.localhost", true),
        // It would pass on what it is told to whoever has subscribed.
        ("pubsub.localhost", false),
        ("push.example.org", false),
        ("push.conference.localhost", false),
        ("alice@localhost/phone", false),
    ] {
        let (service, node) = (service.parse().unwrap(), "n".to_owned());
        let one = Registration::new(service, node, String::new(), String::new(), Wish::default());
        assert_eq!(is_own(&one, &house.router), is_its_own, "{}", one.service);
    }
}
