//! What app servers answer (§7.1), where they are, and what becomes of notifications that fail.

use kim_core::jid::BareJid;

use super::super::api::{Failure, PushRegistrations};
use super::*;

/// The phone of a story is gone and has one registration; Bob writes.
async fn written(house: &House) -> Client {
    phone(house, "alice@localhost/phone", "n")
        .await
        .disconnect()
        .await;
    let mut bob = house.online("bob@localhost/desk").await;
    chat(&mut bob, "alice@localhost", "hello").await;
    bob
}

async fn registrations(house: &House) -> usize {
    let alice = BareJid::parse("alice@localhost").unwrap();
    dispatch(house).registrations.of(&alice).await.unwrap().len()
}

#[tokio::test]
async fn an_app_server_that_knows_the_client_no_more_ends_the_registration() {
    for (kind, condition) in [
        ("cancel", "item-not-found"),
        ("auth", "forbidden"),
        ("cancel", "gone"),
        ("auth", "not-authorized"),
        ("cancel", "not-allowed"),
    ] {
        let house = house().await;
        let mut app = house.neighbour(APP);
        let mut bob = written(&house).await;
        app.expect(&notification("n", 1, "a"));
        refuse(&mut app, "a", kind, condition).await;
        assert_eq!(registrations(&house).await, 0, "{condition}");
        assert_eq!(failed(&house, "refused"), 1);
        later(&house, 3_600).await;
        chat(&mut bob, "alice@localhost", "again").await;
        app.expect_nothing();
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_less_and_less_often() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let _bob = written(&house).await;
    let mut waits = Vec::new();
    for attempt in 0..8 {
        let id = format!("a{attempt}");
        app.expect(&notification("n", 1, &id));
        refuse(&mut app, &id, "wait", "resource-constraint").await;
        app.expect_nothing();
        let mut waited = 0;
        while waited < 5_000 && attempt < 7 {
            later(&house, 5).await;
            waited += 5;
            if dispatch(&house).figures.sent() > attempt + 1 {
                break;
            }
        }
        waits.push(waited);
    }
    for (attempt, waited) in waits.iter().take(6).enumerate() {
        let base = 30 << attempt;
        assert!((base..=base + base / 4 + 10).contains(waited), "{waits:?}");
    }
    // It is given up; the registration stays.
    later(&house, 86_400).await;
    app.expect_nothing();
    assert_eq!((registrations(&house).await, failed(&house, "wait")), (1, 8));
}

#[tokio::test]
async fn a_notification_without_an_answer_is_sent_again_and_none_that_was_taken() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let _bob = written(&house).await;
    app.expect(&notification("n", 1, "a"));
    later(&house, 59).await;
    assert_eq!(failed(&house, "timeout"), 0);
    later(&house, 2).await;
    assert_eq!(failed(&house, "timeout"), 1);
    app.expect_nothing();
    later(&house, 40).await;
    app.expect(&notification("n", 1, "b"));
    // Too late: it was another attempt. And nobody else answers for the app server.
    take(&mut app, "a").await;
    let mut mallory = house.neighbour("mallory.example");
    mallory
        .send("<iq from='mallory.example' to='alice@localhost' id='x' type='result'/>")
        .await;
    take(&mut app, "b").await;
    later(&house, 86_400).await;
    app.expect_nothing();
    assert_eq!(dispatch(&house).figures.taken(), 1);
}

#[tokio::test]
async fn only_the_app_server_itself_answers_for_it() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let mut mallory = house.online("mallory@localhost/x").await;
    let _bob = written(&house).await;
    let asked = app.next().unwrap();
    let id = asked.split("id='").nth(1).unwrap().split('\'').next().unwrap();
    mallory
        .send(&format!(
            "<iq to='alice@localhost' id='{id}' type='error'><error type='cancel'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        ))
        .await;
    assert_eq!(registrations(&house).await, 1);
    let answer = format!("<iq from='{APP}' to='alice@localhost' id='{id}' type='result'/>");
    app.send(&answer).await;
    assert_eq!(dispatch(&house).figures.taken(), 1);
}

#[tokio::test]
async fn an_app_server_that_cannot_be_reached_is_waited_for() {
    let house = House::configured(MODULES, &format!("{CONFIG}[xep0357_push]\nfailures_max = 2\n")).await;
    // Nobody is there: `remote-server-not-found` has the type "cancel" and is not the app server's word.
    let mut bob = written(&house).await;
    assert_eq!(
        (registrations(&house).await, failed(&house, "unreachable")),
        (1, 1)
    );
    let mut app = house.neighbour(APP);
    later(&house, 60).await;
    app.expect(&notification("n", 1, "a"));
    take(&mut app, "a").await;
    app.disappear();
    // From now on never again: after so many notifications in vain the registration ends.
    let mut tried = 0;
    for round in 0..2 {
        later(&house, 601).await;
        chat(&mut bob, "alice@localhost", "anybody?").await;
        for _ in 0..60 {
            assert_eq!(registrations(&house).await, 1, "{round}");
            later(&house, 120).await;
            tried = failed(&house, "unreachable");
            if registrations(&house).await == 0 {
                break;
            }
        }
    }
    assert_eq!((registrations(&house).await, tried), (0, 17));
}

#[tokio::test]
async fn a_component_and_a_client_are_app_servers_like_any() {
    let house = house().await;
    let mut component = house.program("app.localhost");
    let mut maker = house.online("maker@localhost/app").await;
    let mut phone = house.online("alice@localhost/phone").await;
    register(&mut phone, "app.localhost", "c").await;
    register(&mut phone, "maker@localhost/app", "m").await;
    phone.disconnect().await;
    let mut bob = house.online("bob@localhost/desk").await;
    chat(&mut bob, "alice@localhost", "hello").await;
    component.expect(&notification("c", 1, "a"));
    maker.expect(&notification("m", 1, "b"));
    component
        .send("<iq from='app.localhost' to='alice@localhost' id='{a}' type='result'/>")
        .await;
    assert_eq!(dispatch(&house).figures.taken(), 1);
    maker
        .send(
            "<iq to='alice@localhost' id='{b}' type='error'><error type='cancel'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        )
        .await;
    assert_eq!(registrations(&house).await, 1);
}

#[tokio::test]
async fn block_lists_do_not_stand_in_the_way() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let mut alice = phone(&house, "alice@localhost/phone", "n").await;
    alice
        .ask(
            "<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='example.org'/>\
             <item jid='push.example.org'/><item jid='eve@localhost'/></block></iq>",
            "<iq id='b' type='result'/>",
        )
        .await;
    alice.disconnect().await;
    let mut eve = house.online("eve@localhost/x").await;
    chat(&mut eve, "alice@localhost", "let me in").await;
    app.expect_nothing();
    let mut bob = house.online("bob@localhost/desk").await;
    chat(&mut bob, "alice@localhost", "hello").await;
    app.expect(&notification("n", 1, "a"));
    take(&mut app, "a").await;
    assert_eq!(dispatch(&house).figures.taken(), 1);
}

#[tokio::test]
async fn how_it_went_is_told_to_who_asks() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let alice = phone(&house, "alice@localhost/phone", "n").await;
    let mut bob = house.online("bob@localhost/desk").await;
    house.router.park(&alice.session).await;
    let registrations: Arc<PushRegistrations> = house.router.fact().expect("the module");
    let account = BareJid::parse("alice@localhost").unwrap();
    let one = async || {
        registrations
            .of(&account)
            .await
            .unwrap()
            .pop()
            .expect("a registration")
    };
    let fresh = one().await;
    assert_eq!((fresh.service.as_str(), &*fresh.resource), (APP, "phone"));
    assert!(fresh.taken_at.is_none() && fresh.failed.is_none() && fresh.due_at.is_none());

    chat(&mut bob, "alice@localhost", "one").await;
    app.expect(&notification("n", 1, "a"));
    assert!(one().await.due_at.is_some());
    take(&mut app, "a").await;
    let taken = one().await;
    assert!(taken.taken_at >= Some(taken.since));
    assert!(taken.due_at.is_none());

    // A test wakes at once, whatever was told before, and says how it went.
    let test = || {
        let (registrations, account, router) = (registrations.clone(), account.clone(), house.router.clone());
        tokio::spawn(async move { registrations.test(&account, fresh.id, &router).await.unwrap() })
    };
    let asked = test();
    let id = asked_of(&mut app).await;
    app.send(&format!(
        "<iq from='{APP}' to='alice@localhost' id='{id}' type='result'/>"
    ))
    .await;
    assert_eq!(asked.await.unwrap(), Some(Ok(())));

    let asked = test();
    asked_of(&mut app).await;
    later(&house, 61).await;
    assert_eq!(asked.await.unwrap(), Some(Err(Failure::Timeout)));
    let failed = one().await;
    assert_eq!(failed.failed.expect("a failure").1, Failure::Timeout.why());
    assert!(failed.due_at.is_none(), "nothing is owed for a test");

    let asked = test();
    let id = asked_of(&mut app).await;
    app.send(&format!(
        "<iq from='{APP}' to='alice@localhost' id='{id}' type='error'><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    ))
    .await;
    assert_eq!(asked.await.unwrap(), Some(Err(Failure::Refused)));
    assert!(registrations.of(&account).await.unwrap().is_empty());
    assert_eq!(test().await.unwrap(), None);
}

/// The id of a notification that says nothing, once it has come.
async fn asked_of(app: &mut Neighbour) -> String {
    loop {
        if let Some(xml) = app.next() {
            assert!(xml.contains("<notification xmlns='urn:xmpp:push:0'/>"), "{xml}");
            return xml
                .split("id='")
                .nth(1)
                .unwrap()
                .split('\'')
                .next()
                .unwrap()
                .to_owned();
        }
        tokio::task::yield_now().await;
    }
}
