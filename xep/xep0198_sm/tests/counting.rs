//! Enabling, acknowledging, and what is refused.

use kim_core::db::Query;
use kim_core::error::StreamCondition;

use super::*;

// ——— enabling (§3) ———

#[tokio::test]
async fn a_client_enables_and_counts_both_ways() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    assert!(id.len() >= 26, "{id} has fewer than 128 bits");
    alice.send(ASK).await;
    assert_eq!(alice.next(), Some(answer(0)));
    // §4: messages, presence and iqs count, what is answered with an error too; nothing else does.
    message(&mut alice, "bob@localhost", "hi").await;
    alice.send("<presence><show>away</show></presence>").await;
    alice
        .send("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    alice.send("<iq type='get' id='2'/>").await;
    alice.send("<active xmlns='urn:xmpp:csi:0'/>").await;
    alice.send(&answer(0)).await;
    alice.skip();
    alice.send(ASK).await;
    assert_eq!(soon(&mut alice).await, answer(4));
    // Nothing new: the same number, at once.
    alice.send(ASK).await;
    assert_eq!(alice.next(), Some(answer(4)));
}

#[tokio::test]
async fn who_does_not_want_to_resume_is_not_given_an_id() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice.send("<enable xmlns='urn:xmpp:sm:3'/>").await;
    alice.expect("<enabled xmlns='urn:xmpp:sm:3'/>");
    alice.send(ASK).await;
    assert_eq!(alice.next(), Some(answer(0)));
    assert!(!house.router.park(&alice.session).await);

    // XEP-0175: a guest could never prove to be the same.
    let mut guest = house.guest("g1@guest.localhost/web").await;
    guest.send(ENABLE).await;
    guest.expect("<enabled xmlns='urn:xmpp:sm:3'/>");
    assert!(!house.router.park(&guest.session).await);
}

#[tokio::test]
async fn a_client_is_given_the_time_it_asks_for_within_the_limit() {
    let toml = "[xep0198_sm]\nresume_seconds_max = 300\nlocation = \"a.example:5222\"\n";
    let house = House::configured(MODULES, toml).await;
    for (asked, given) in [
        ("60", 60),
        ("1", 1),
        ("9999", 300),
        ("0", 300),
        ("never", 300),
        ("99999999999", 300),
    ] {
        let mut alice = house.connect("alice@localhost/phone").await;
        alice
            .send(&format!(
                "<enable xmlns='urn:xmpp:sm:3' resume='1' max='{asked}'/>"
            ))
            .await;
        alice.expect(&format!(
            "<enabled xmlns='urn:xmpp:sm:3' id='*' resume='true' max='{given}' location='a.example:5222'/>"
        ));
    }
    let house = House::configured(MODULES, "[xep0198_sm]\nresume_seconds_max = 0\n").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send(ENABLE).await;
    alice.expect("<enabled xmlns='urn:xmpp:sm:3'/>");
}

#[tokio::test]
async fn enabling_twice_ends_the_stream() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    alice.send(ENABLE).await;
    alice.expect(UNEXPECTED);
    assert_eq!(
        alice.closing().map(|error| error.condition),
        Some(StreamCondition::PolicyViolation)
    );
}

#[tokio::test]
async fn nothing_goes_before_it_is_enabled() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    for early in [ASK.to_owned(), answer(0), resume("abc", 0)] {
        alice.send(&early).await;
        alice.expect(UNEXPECTED);
    }
    let id = enable(&mut alice).await;
    // §5: resuming takes a stream that is not bound.
    alice.send(&resume(&id, 0)).await;
    alice.expect(UNEXPECTED);
    assert_eq!(alice.closing(), None);
    alice.send("<enabled xmlns='urn:xmpp:sm:3'/>").await;
    assert_eq!(
        alice.closing().map(|error| error.condition),
        Some(StreamCondition::UnsupportedStanzaType)
    );
}

// ——— acknowledging (§4) ———

#[tokio::test]
async fn the_server_asks_and_forgets_what_is_confirmed() {
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    assert_eq!(alice.session.outbox.kept_stanzas(), 0);
    message(&mut bob, "alice@localhost", "one").await;
    message(&mut bob, "alice@localhost", "two").await;
    for body in ["one", "two"] {
        alice.expect(&format!("<message type='chat'><body>{body}</body>...</message>"));
    }
    alice.expect(ASK);
    assert_eq!(alice.session.outbox.kept_stanzas(), 2);
    // While it is asked already, it is not asked again.
    message(&mut bob, "alice@localhost", "three").await;
    alice.expect("<message type='chat'><body>three</body>...</message>");
    alice.expect_nothing();
    alice.send(&answer(2)).await;
    assert_eq!(alice.session.outbox.kept_stanzas(), 1);
    alice.expect(ASK);
    // No news, no further question; an old number is no harm.
    alice.send(&answer(2)).await;
    alice.send(&answer(1)).await;
    alice.expect_nothing();
    alice.send(&answer(3)).await;
    alice.expect_nothing();
    assert_eq!(alice.session.outbox.kept_stanzas(), 0);
}

#[tokio::test]
async fn a_client_that_confirms_too_much_is_sent_away() {
    // §6
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    message(&mut bob, "alice@localhost", "one").await;
    alice.skip();
    alice.send(&answer(2)).await;
    let error = alice.closing().unwrap();
    assert_eq!(error.condition, StreamCondition::UndefinedCondition);
    assert!(
        error
            .to_xml()
            .contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='2' send-count='1'/>"),
        "{}",
        error.to_xml()
    );
    for nonsense in ["", " h=''", " h='-1'", " h='4294967296'", " h='one'"] {
        let mut alice = house.online("alice@localhost/phone").await;
        enable(&mut alice).await;
        alice.send(&format!("<a xmlns='urn:xmpp:sm:3'{nonsense}/>")).await;
        assert!(alice.closing().is_some(), "{nonsense}");
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_in_the_database_first() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    message(&mut alice, "alice@localhost/tablet", "lost").await;
    message(&mut alice, "bob@localhost", "hi").await;
    alice.skip();
    alice.send(ASK).await;
    assert_eq!(soon(&mut alice).await, answer(2));
    let rows = house
        .db
        .fetch_all(Query::new("SELECT id_hash, account, handled FROM sm_session"))
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    let hash = rows[0].text(0).unwrap();
    assert!(!hash.contains(&id), "the id itself is the client's secret");
    assert_eq!(
        (rows[0].text(1).unwrap().as_str(), rows[0].i64(2).unwrap()),
        ("alice@localhost", 2)
    );
    // The process dies; another one serves the same database.
    let after = House::on(house.db.clone(), MODULES, "").await;
    assert_eq!(
        refusal(&after, Some("alice@localhost"), &resume(&id, 0)).await,
        not_found(Some(2))
    );
    // Rows go with their account.
    let account = BareJid::parse("alice@localhost").unwrap();
    house.router.erase_account(&account).await.unwrap();
    let rows = house
        .db
        .fetch_all(Query::new("SELECT id_hash FROM sm_session"))
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn a_hundred_questions_have_a_hundred_answers() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    for _ in 0..100 {
        message(&mut alice, "bob@localhost", "hi").await;
        alice.send(ASK).await;
    }
    let mut last = 0;
    for _ in 0..100 {
        let xml = loop {
            let xml = soon(&mut alice).await;
            if xml.starts_with("<a ") {
                break xml;
            }
        };
        let h: u32 = Element::parse(&xml).unwrap().attr("h").unwrap().parse().unwrap();
        assert!(h >= last, "{h} after {last}");
        last = h;
    }
    assert_eq!(last, 100);
}

// ——— before a session (§3, §5) ———

#[tokio::test]
async fn before_login_and_before_binding_only_resuming_goes() {
    let house = House::new(MODULES).await;
    house.account("alice@localhost").await;
    for xml in [ENABLE.to_owned(), ASK.to_owned(), answer(0), resume("abc", 0)] {
        assert_eq!(refusal(&house, None, &xml).await, UNEXPECTED);
    }
    for xml in [ENABLE.to_owned(), ASK.to_owned(), answer(0)] {
        assert_eq!(refusal(&house, Some("alice@localhost"), &xml).await, UNEXPECTED);
    }
    for xml in [
        "<resume xmlns='urn:xmpp:sm:3'/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='a'/>",
        "<resume xmlns='urn:xmpp:sm:3' h='1'/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='a' h='x'/>",
    ] {
        assert!(
            refusal(&house, Some("alice@localhost"), xml)
                .await
                .contains("<bad-request "),
            "{xml}"
        );
    }
    assert!(matches!(
        early(&house.router, None, "<resumed xmlns='urn:xmpp:sm:3'/>").await,
        Ok(Early::Unknown)
    ));
}

#[tokio::test]
async fn only_the_session_s_own_account_resumes_it() {
    // §10
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut mallory = house.online("mallory@localhost/phone").await;
    let id = enable(&mut alice).await;
    enable(&mut mallory).await;
    message(&mut alice, "bob@localhost", "hi").await;
    assert!(house.router.park(&alice.session).await);
    // Neither the session nor what is known of it.
    assert_eq!(
        refusal(&house, Some("mallory@localhost"), &resume(&id, 0)).await,
        not_found(None)
    );
    let almost = format!("{}x", &id[..id.len() - 1]);
    for wrong in ["", "x", almost.as_str(), &"x".repeat(10_000)] {
        assert_eq!(
            refusal(&house, Some("alice@localhost"), &resume(wrong, 0)).await,
            not_found(None)
        );
    }
    match early(&house.router, Some("alice@localhost"), &resume(&id, 0)).await {
        Ok(Early::Resume { session, h: 0, .. }) => assert_eq!(session.id, alice.session.id),
        _ => panic!("alice may resume"),
    }
}
