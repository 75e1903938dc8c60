//! What a session that outlives its connection gets, and what becomes of it when nobody comes back.

use kim_core::db::Query;

use super::*;

// ——— resuming (§5) ———

#[tokio::test]
async fn what_is_missing_is_sent_again_before_anything_new() {
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    for body in ["one", "two", "three"] {
        message(&mut bob, "alice@localhost", body).await;
    }
    alice.skip();
    assert!(house.router.park(&alice.session).await);
    assert!(alice.session.is_parked());
    house.clock.advance(60);
    // The session is still there: it gets what is sent to the account.
    assert!(alice.session.priority().is_some());
    message(&mut bob, "alice@localhost", "four").await;
    bob.send("<message to='alice@localhost/phone' type='chat'><body>five</body></message>")
        .await;
    bob.expect_nothing();
    alice.send("<r xmlns='urn:xmpp:sm:3'/>").await; // of the old connection: nobody is there to hear the answer

    house.clock.advance(60);
    let words = house.router.resume(&alice.session, 1).await.unwrap();
    assert_eq!(
        words,
        format!("<resumed xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>")
    );
    assert!(!alice.session.is_parked());
    message(&mut bob, "alice@localhost", "six").await;
    for body in ["two", "three", "four", "five"] {
        alice.expect(&format!(
            "<message type='chat'><body>{body}</body>...<delay xmlns='urn:xmpp:delay' from='localhost' stamp='*'/></message>"
        ));
    }
    alice.expect("<message type='chat'><body>six</body>...</message>");
    alice.expect(ASK);
    // The numbers go on.
    alice.send(&answer(6)).await;
    assert_eq!(alice.session.outbox.kept_stanzas(), 0);
    alice.send(&answer(7)).await;
    assert!(alice.closing().unwrap().to_xml().contains("h='7' send-count='6'"));
}

#[tokio::test]
async fn a_number_that_cannot_be_refuses_the_resumption() {
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    for body in ["one", "two"] {
        message(&mut bob, "alice@localhost", body).await;
    }
    alice.skip();
    alice.send(&answer(1)).await;
    house.router.park(&alice.session).await;
    let error = early(&house.router, Some("alice@localhost"), &resume(&id, 3))
        .await
        .err()
        .unwrap();
    assert!(
        error
            .to_xml()
            .contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='3' send-count='2'/>")
    );
    // What the client confirmed is gone; it cannot be sent again.
    assert_eq!(
        refusal(&house, Some("alice@localhost"), &resume(&id, 0)).await,
        not_found(Some(0))
    );
    assert!(house.router.resume(&alice.session, 2).await.is_ok());
}

#[tokio::test]
async fn what_the_client_sent_is_counted_over_connections() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    message(&mut alice, "bob@localhost", "one").await;
    house.router.park(&alice.session).await;
    let words = house.router.resume(&alice.session, 0).await.unwrap();
    assert_eq!(
        words,
        format!("<resumed xmlns='urn:xmpp:sm:3' previd='{id}' h='1'/>")
    );
    // That was a promise too.
    let row = house
        .db
        .fetch_all(Query::new("SELECT handled FROM sm_session"))
        .await
        .unwrap();
    assert_eq!(row[0].i64(0).unwrap(), 1);
    alice.skip();
    message(&mut alice, "bob@localhost", "two").await;
    alice.skip();
    alice.send(ASK).await;
    assert_eq!(soon(&mut alice).await, answer(2));
}

// ——— the end ———

#[tokio::test]
async fn a_number_is_told_where_it_is_known() {
    // §5: what was killed does not know how much arrived, unless it has promised something.
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    message(&mut alice, "bob@localhost", "one").await;
    alice.skip();
    // Gone without an end.
    house.router.sessions().remove(&alice.session);
    assert_eq!(
        refusal(&house, Some("alice@localhost"), &resume(&id, 0)).await,
        not_found(None)
    );

    let mut alice = house.online("alice@localhost/tablet").await;
    let id = enable(&mut alice).await;
    message(&mut alice, "bob@localhost", "two").await;
    alice.skip();
    alice.send(ASK).await;
    assert_eq!(soon(&mut alice).await, answer(1));
    house.router.sessions().remove(&alice.session);
    assert_eq!(
        refusal(&house, Some("alice@localhost"), &resume(&id, 0)).await,
        not_found(Some(1))
    );

    // One that has ended in order knows, also that it was nothing.
    for sent in 0..3 {
        let mut alice = house.online("alice@localhost/desktop").await;
        let id = enable(&mut alice).await;
        for _ in 0..sent {
            message(&mut alice, "bob@localhost", "three").await;
        }
        alice.skip();
        house.router.park(&alice.session).await;
        house.router.end(&alice.session, []).await;
        assert_eq!(
            refusal(&house, Some("alice@localhost"), &resume(&id, 0)).await,
            not_found(Some(sent))
        );
    }
}

#[tokio::test]
async fn what_was_never_confirmed_waits_for_the_account_in_order_and_once() {
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    message(&mut bob, "alice@localhost", "confirmed").await;
    message(&mut bob, "alice@localhost", "written").await;
    bob.send("<iq type='get' id='7' to='alice@localhost/phone'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    alice.skip();
    alice.send(&answer(1)).await;
    alice.skip();
    house.router.park(&alice.session).await;
    message(&mut bob, "alice@localhost", "parked").await;
    bob.send("<message to='alice@localhost' type='headline'><body>news</body></message>")
        .await;
    bob.expect_nothing();
    // Nobody comes back in time.
    let (left, _) = alice.session.outbox.take();
    house.router.end(&alice.session, left).await;
    // §4: the request comes back, the messages wait.
    bob.expect("<iq type='error' id='7' from='alice@localhost/phone'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
    bob.expect_nothing();
    assert_eq!(
        refusal(&house, Some("alice@localhost"), &resume(&id, 1)).await,
        not_found(Some(0))
    );
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send("<presence/>").await;
    let mut bodies = Vec::new();
    while let Some(xml) = alice.next() {
        let element = Element::parse(&xml).unwrap();
        if let Some(body) = element.child("body", "jabber:client") {
            bodies.push(body.text().into_owned());
            let delays = element
                .children()
                .filter(|child| child.is("delay", "urn:xmpp:delay"))
                .count();
            assert_eq!(delays, 1, "{xml}");
        }
    }
    assert_eq!(bodies, ["written", "parked"]);
}

#[tokio::test]
async fn the_oldest_of_too_many_waiting_sessions_ends() {
    let toml = "[xep0198_sm]\nparked_sessions_max = 2\n[limits]\nresources_per_account_max = 3\n";
    let house = House::configured(MODULES, toml).await;
    let mut devices = Vec::new();
    for n in 0..3 {
        let mut device = house.online(&format!("alice@localhost/{n}")).await;
        enable(&mut device).await;
        devices.push(device);
    }
    for device in &devices {
        house.clock.advance(1);
        house.router.park(&device.session).await;
    }
    let ended: Vec<bool> = devices
        .iter()
        .map(|device| device.session.outbox.is_closed())
        .collect();
    assert_eq!(ended, [true, false, false]);
    // And where there is no room for one more at all, one that waits makes it.
    let (left, _) = devices[0].session.outbox.take();
    house.router.end(&devices[0].session, left).await;
    house.connect("alice@localhost/3").await;
    house.connect("alice@localhost/4").await;
    let ended: Vec<bool> = devices
        .iter()
        .map(|device| device.session.outbox.is_closed())
        .collect();
    assert_eq!(ended, [true, true, false]);
    assert_eq!(house.router.sessions().all().len(), 3);
}

#[tokio::test]
async fn a_session_that_waits_takes_so_much_and_no_more() {
    let house = House::configured(MODULES, "[xep0198_sm]\nqueue_stanzas_max = 16\n").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    // While it is connected, more is written only once something is confirmed.
    for n in 0..20 {
        message(&mut bob, "alice@localhost", &n.to_string()).await;
    }
    let mut got = 0;
    while let Some(xml) = alice.next() {
        got += usize::from(xml.starts_with("<message"));
    }
    assert_eq!(got, 16);
    alice.send(&answer(10)).await;
    while let Some(xml) = alice.next() {
        got += usize::from(xml.starts_with("<message"));
    }
    assert_eq!(got, 20);
    alice.send(&answer(20)).await;
    alice.skip();
    house.router.park(&alice.session).await;
    for n in 0..17 {
        assert!(!alice.session.outbox.is_closed(), "{n}");
        message(&mut bob, "alice@localhost", &n.to_string()).await;
    }
    assert!(alice.session.outbox.is_closed());
    // All of it finds another way, in order.
    let (left, _) = alice.session.outbox.take();
    assert_eq!(left.len(), 17);
    house.router.end(&alice.session, left).await;
    message(&mut bob, "alice@localhost", "17").await;
    bob.expect_nothing();
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send("<presence/>").await;
    let mut bodies = Vec::new();
    while let Some(xml) = alice.next() {
        let element = Element::parse(&xml).unwrap();
        bodies.extend(
            element
                .child("body", "jabber:client")
                .map(|body| body.text().into_owned()),
        );
    }
    let wanted: Vec<String> = (0..=17).map(|n: u32| n.to_string()).collect();
    assert_eq!(bodies, wanted);
}

#[tokio::test]
async fn what_the_archive_has_is_never_reported_as_undelivered() {
    let house = House::configured(MODULES, "[limits]\noffline_messages_max = 2\n").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    alice.skip();
    house.router.park(&alice.session).await;
    for n in 0..5 {
        message(&mut bob, "alice@localhost", &n.to_string()).await;
    }
    // Of other types, and to the session itself, which will not be there any more.
    bob.send("<message id='full' to='alice@localhost/phone'><body>normal</body></message>")
        .await;
    // This one the archive does not have: if it is lost, its sender must know.
    bob.send(
        "<message id='lost' to='alice@localhost' type='chat'><body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>",
    )
    .await;
    bob.expect_nothing();
    let (left, _) = alice.session.outbox.take();
    assert_eq!(left.len(), 7);
    house.router.end(&alice.session, left).await;
    bob.expect("<message type='error' id='lost' from='alice@localhost'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>");
    bob.expect_nothing();
    // Two wait, and the archive has all six.
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send("<presence/>").await;
    let mut waited = 0;
    while let Some(xml) = alice.next() {
        waited += usize::from(xml.starts_with("<message"));
    }
    assert_eq!(waited, 2);
    alice
        .send("<iq type='set' id='all'><query xmlns='urn:xmpp:mam:2'/></iq>")
        .await;
    let mut archived = 0;
    while let Some(xml) = alice.next() {
        archived += usize::from(xml.contains("<result xmlns='urn:xmpp:mam:2'"));
    }
    assert_eq!(archived, 6);
}

#[tokio::test]
async fn other_devices_get_what_they_have_not_and_nothing_twice() {
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut phone = house.online("alice@localhost/phone").await;
    enable(&mut phone).await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    tablet
        .send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        .await;
    tablet.skip();
    // The tablet gets the one as well, and a copy of the other.
    message(&mut bob, "alice@localhost", "to both").await;
    message(&mut bob, "alice@localhost/phone", "to the phone").await;
    tablet.expect("<message type='chat'><body>to both</body>...</message>");
    tablet.expect("<message type='chat'><received xmlns='urn:xmpp:carbons:2'>...</received></message>");
    house.router.park(&phone.session).await;
    message(&mut bob, "alice@localhost/phone", "to the phone that waits").await;
    tablet.expect("<message type='chat'><received xmlns='urn:xmpp:carbons:2'>...</received></message>");
    // A desktop comes; it has missed all of that.
    let mut desktop = house.online("alice@localhost/desktop").await;
    desktop
        .send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        .await;
    desktop.skip();
    tablet.skip();
    house.clock.advance(60);
    let (left, _) = phone.session.outbox.take();
    house.router.end(&phone.session, left).await;
    tablet.expect("<presence type='unavailable' from='alice@localhost/phone'/>");
    tablet.expect_nothing();
    desktop.expect("<presence type='unavailable' from='alice@localhost/phone'/>");
    for body in ["to the phone", "to the phone that waits"] {
        desktop.expect(&format!(
            "<message type='chat'><body>{body}</body>...<delay xmlns='urn:xmpp:delay' from='localhost' stamp='*'/></message>"
        ));
    }
    desktop.expect_nothing();
    bob.expect_nothing();
}

#[tokio::test]
async fn what_came_while_only_the_one_that_waits_was_there_reaches_who_comes_later() {
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut phone = house.online("alice@localhost/phone").await;
    enable(&mut phone).await;
    house.router.park(&phone.session).await;
    message(&mut bob, "alice@localhost", "early").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    message(&mut bob, "alice@localhost", "late").await;
    tablet.expect("<message type='chat'><body>late</body>...</message>");
    house.clock.advance(60);
    let (left, _) = phone.session.outbox.take();
    house.router.end(&phone.session, left).await;
    tablet.expect("<presence type='unavailable' from='alice@localhost/phone'/>");
    tablet.expect("<message type='chat'><body>early</body>...<delay xmlns='urn:xmpp:delay' from='localhost' stamp='*'/></message>");
    tablet.expect_nothing();
}

#[tokio::test]
async fn a_resumed_client_is_active_and_gets_what_was_held_back() {
    // XEP-0352 §5.2
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    alice.send("<inactive xmlns='urn:xmpp:csi:0'/>").await;
    let typing = |state: &str| {
        format!(
            "<message to='alice@localhost/phone' type='chat'><{state} xmlns='http://jabber.org/protocol/chatstates'/></message>"
        )
    };
    bob.send(&typing("composing")).await;
    alice.expect_nothing();
    house.router.park(&alice.session).await;
    message(&mut bob, "alice@localhost", "hi").await;
    bob.send(&typing("paused")).await;
    house.router.resume(&alice.session, 0).await.unwrap();
    alice.expect(
        "<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/>...</message>",
    );
    alice.expect("<message type='chat'><body>hi</body>...</message>");
    alice.expect("<message type='chat'><paused xmlns='http://jabber.org/protocol/chatstates'/>...</message>");
    alice.expect(ASK);
    bob.send(&typing("composing")).await;
    alice.expect("<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>");
}

#[tokio::test]
async fn an_archive_page_that_was_not_taken_is_for_nobody_else() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    alice.skip();
    enable(&mut alice).await;
    let page = "<message from='alice@localhost' to='alice@localhost/phone'><result xmlns='urn:x'/></message>";
    let page = kim_core::stanza::Stanza::parse(page).unwrap();
    alice
        .session
        .outbox
        .push(Arc::new(page), house.clock.now())
        .unwrap();
    house.router.park(&alice.session).await;
    let (left, _) = alice.session.outbox.take();
    assert!(!left.is_empty());
    house.router.end(&alice.session, left).await;
    tablet.expect("<presence type='unavailable' from='alice@localhost/phone'/>");
    tablet.expect_nothing();
}

#[tokio::test]
async fn what_was_remembered_of_those_who_stay_away_is_forgotten_in_time() {
    let house = kim_core::testing::House::new(MODULES).await;
    let remembered = async || {
        let rows = kim_core::db::Query::new("SELECT account FROM sm_session ORDER BY account");
        let rows = house.db.fetch_all(rows).await.unwrap();
        rows.iter().map(|row| row.text(0).unwrap()).collect::<Vec<_>>()
    };
    // More than are looked at in one go.
    house
        .db
        .write(|tx| {
            Box::pin(async move {
                let rows = (0..1_200).map(|n| {
                    [
                        format!("{n:04}").into(),
                        "carol@localhost".into(),
                        0_i64.into(),
                        1_i64.into(),
                    ]
                });
                let into = "INSERT INTO sm_session (id_hash, account, handled, seen_at)";
                tx.insert_rows(into, rows, "").await.map(drop)
            })
        })
        .await
        .unwrap();
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    house.router.tidy().await;
    assert_eq!(remembered().await, ["alice@localhost"]);
    house.clock.advance(400 * 86_400);
    house.router.tidy().await;
    assert!(remembered().await.is_empty());
}
