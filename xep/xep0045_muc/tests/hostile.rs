//! What nobody should send, and too much of what anybody may.

use kim_core::testing::House;

use super::{ROOM, configured, enter, join, room};

#[tokio::test]
async fn odd_requests_are_refused_and_break_nothing() {
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    let admin = |inner: &str| format!("<query xmlns='http://jabber.org/protocol/muc#admin'>{inner}</query>");
    let owner = |inner: &str| format!("<query xmlns='http://jabber.org/protocol/muc#owner'>{inner}</query>");
    let many: String = (0..600)
        .map(|at| format!("<item affiliation='member' jid='u{at}@localhost'/>"))
        .collect();
    let long = "x".repeat(2_000);
    for payload in [
        admin("<item/>"),
        admin("<item affiliation='member'/>"),
        admin("<item affiliation='member' jid='@@@'/>"),
        admin("<item affiliation='member' jid='localhost'/>"),
        admin("<item role='participant'/>"),
        admin("<item role='participant' nick=''/>"),
        admin("<item xmlns='urn:else' role='none' nick='bob'/>"),
        admin(&many),
        admin(&format!(
            "<item affiliation='outcast' jid='x@localhost'><reason>{long}</reason></item>"
        )),
        owner(""),
        owner("<x xmlns='jabber:x:data' type='form'/>"),
        owner("<x xmlns='jabber:x:data'/>"),
        owner(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:else</value></field></x>",
        ),
        owner(
            "<x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_roomowners'><value>@</value></field></x>",
        ),
        owner(&format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_roomname'><value>{long}</value></field></x>"
        )),
        owner("<destroy jid='@'/>"),
        "<query xmlns='jabber:iq:register'/>".to_owned(),
    ] {
        alice
            .send(&format!("<iq id='x' to='{ROOM}' type='set'>{payload}</iq>"))
            .await;
        let answer = alice.next().unwrap();
        assert!(answer.contains("type='error'"), "{payload:.100} {answer}");
        alice.expect_nothing();
        bob.expect_nothing();
    }
    // Still in order.
    bob.send(&format!(
        "<message id='1' to='{ROOM}' type='groupchat'><body>fine</body></message>"
    ))
    .await;
    bob.expect("<message id='1' type='groupchat'>...<body>fine</body>...</message>");
}

#[tokio::test]
async fn what_only_a_room_says_is_taken_out() {
    // §17.3, XEP-0359 §3, XEP-0421 §4.
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    bob.send(&format!(
        "<message id='1' to='{ROOM}' type='groupchat'><body>x</body>\
         <x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='forged'/>\
         <delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='2000-01-01T00:00:00Z'/>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='one'/><occupant-id xmlns='urn:xmpp:occupant-id:0' id='two'/>\
         <foreign xmlns='urn:else'/></message>"
    ))
    .await;
    let got = alice.next().unwrap();
    assert!(
        !got.contains("forged") && !got.contains("muc#user") && !got.contains("delay"),
        "{got}"
    );
    assert_eq!(got.matches("<occupant-id").count(), 1, "{got}");
    assert_eq!(got.matches("<stanza-id").count(), 1, "{got}");
    assert!(got.contains("urn:else"));
}

#[tokio::test]
async fn who_is_too_fast_is_told_to_wait() {
    // §14.6, threat 21.
    let house =
        configured("[xep0045_muc]\nmessages_burst = 3\nmessages_per_second = 1\npresences_burst = 2\n").await;
    let (mut alice, mut bob) = room(&house).await;
    let say = format!("<message id='1' to='{ROOM}' type='groupchat'><body>x</body></message>");
    for _ in 0..3 {
        bob.send(&say).await;
        bob.expect("<message type='groupchat'>...<body>x</body>...</message>");
    }
    bob.ask(
        &say,
        "<message type='error'>...<error type='wait'>...<policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>...</error></message>",
    )
    .await;
    // The others do not suffer, and it passes.
    alice.skip();
    alice
        .ask(&say, "<message type='groupchat'>...<body>x</body>...</message>")
        .await;
    bob.skip();
    house.clock.advance(2);
    bob.ask(&say, "<message type='groupchat'>...<body>x</body>...</message>")
        .await;
    for _ in 0..2 {
        bob.send(&format!("<presence to='{ROOM}/bob'/>")).await;
    }
    bob.skip();
    bob.send(&format!("<presence to='{ROOM}/bob'/>")).await;
    assert!(bob.next().unwrap().contains("policy-violation"));
}

#[tokio::test]
async fn limits_of_the_service() {
    let house = configured(
        "[xep0045_muc]\nrooms_per_account_max = 1\noccupants_max = 2\nmessage_bytes_max = 10000\n",
    )
    .await;
    let (mut alice, mut bob) = room(&house).await;
    alice
        .send("<presence to='second@conference.localhost/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
        .await;
    assert!(alice.next().unwrap().contains("resource-constraint"));
    let long = "x".repeat(11_000);
    bob.send(&format!(
        "<message id='1' to='{ROOM}' type='groupchat'><body>{long}</body></message>"
    ))
    .await;
    assert!(bob.next().unwrap().contains("policy-violation"));
    let mut carol = house.connect("carol@localhost/x").await;
    join(&mut carol, "carol").await;
    assert!(carol.next().unwrap().contains("service-unavailable"));
    // §7.2.9: an owner finds a place.
    let make = "<item affiliation='admin' jid='carol@localhost'/>";
    alice
        .send(&format!("<iq id='a' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>{make}</query></iq>"))
        .await;
    enter(&mut carol, "carol").await;
}

#[tokio::test]
async fn somebody_whom_nothing_reaches_any_more_is_taken_out() {
    // §18.1.2
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    let error = |condition: &str| {
        format!(
            "<message id='1' to='{ROOM}/alice' type='error'><error type='cancel'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        )
    };
    for harmless in ["service-unavailable", "not-acceptable", "internal-server-error"] {
        bob.send(&error(harmless)).await;
        alice.expect_nothing();
    }
    bob.send(&error("item-not-found")).await;
    let got = alice.next().unwrap();
    assert!(got.contains("unavailable") && got.contains("code='333'"), "{got}");
}

#[tokio::test]
async fn a_message_sent_again_is_not_said_twice() {
    // XEP-0198 §4 leaves a client in doubt; XEP-0359's origin-id tells.
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    let say = format!(
        "<message id='1' to='{ROOM}' type='groupchat'><body>x</body><origin-id xmlns='urn:xmpp:sid:0' id='1'/></message>"
    );
    let mut got = Vec::new();
    for _ in 0..2 {
        bob.send(&say).await;
        got.extend(bob.next());
    }
    // XEP-0359 §3: it is the same message, so it has the same id.
    assert!(got[0].contains("<body>x</body>") && got[0].contains("<stanza-id "));
    assert_eq!(got[0], got[1]);
    alice.expect("<message id='1' type='groupchat'>...<body>x</body>...</message>");
    alice.expect_nothing();
}

#[tokio::test]
async fn who_has_blocked_somebody_hears_nothing_of_them() {
    // XEP-0191 §3.3, in rooms by the occupant's address.
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    alice
        .send(&format!(
            "<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='{ROOM}/bob'/></block></iq>"
        ))
        .await;
    alice.skip();
    bob.send(&format!(
        "<message id='1' to='{ROOM}' type='groupchat'><body>x</body></message>"
    ))
    .await;
    bob.expect("<message id='1' type='groupchat'>...<body>x</body>...</message>");
    bob.expect_nothing();
    alice.expect_nothing();
}

#[tokio::test]
async fn nothing_is_planted_in_a_room_that_ends_meanwhile() {
    // §8.2: who kicks themselves out of their temporary room ends it; what else the request asks for is not kept for
    // whoever makes the next room of this name.
    let house = House::new(crate::MODULES).await;
    let mut mallory = house.connect("mallory@localhost/x").await;
    for request in [
        "<query xmlns='http://jabber.org/protocol/muc#admin'><item role='none' nick='m'/>\
         <item affiliation='owner' jid='trudy@localhost'/></query>",
        "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='owner' jid='trudy@localhost'/>\
         <item affiliation='outcast' jid='eve@localhost'/><item role='none' nick='m'/></query>",
    ] {
        enter(&mut mallory, "m").await;
        super::instant(&mut mallory, ROOM, "").await;
        mallory
            .send(&format!("<iq id='p' to='{ROOM}' type='set'>{request}</iq>"))
            .await;
        let got: Vec<String> = std::iter::from_fn(|| mallory.next()).collect();
        assert!(got.iter().any(|xml| xml.contains("code='307'")), "{got:#?}");
        assert!(
            got.iter().any(|xml| xml.contains("id='p' type='result'")),
            "{got:#?}"
        );
        for table in [
            "muc_rooms",
            "muc_affiliations",
            "muc_occupants",
            "mav_versions",
            "kim_data_keys",
        ] {
            let sql: &'static str = match table {
                "muc_rooms" => "SELECT COUNT(*) FROM muc_rooms",
                "muc_affiliations" => "SELECT COUNT(*) FROM muc_affiliations",
                "muc_occupants" => "SELECT COUNT(*) FROM muc_occupants",
                "mav_versions" => "SELECT COUNT(*) FROM mav_versions",
                _ => "SELECT COUNT(*) FROM kim_data_keys WHERE owner = 'coven@conference.localhost'",
            };
            let row = house.db.fetch_optional(kim_core::db::Query::new(sql)).await;
            assert_eq!(row.unwrap().unwrap().i64(0).unwrap(), 0, "{table} {request}");
        }
    }
}

#[tokio::test]
async fn for_guests_a_room_that_was_not_configured_yet_is_not_there() {
    // §7.2.10, §10.1.1
    let house = House::new(crate::MODULES).await;
    let mut alice = house.connect("alice@localhost/x").await;
    let mut guest = house.guest("g@guest.localhost/x").await;
    enter(&mut alice, "alice").await;
    for payload in [
        "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='owner'/></query>",
        "<query xmlns='http://jabber.org/protocol/muc#owner'/>",
        "<query xmlns='jabber:iq:register'/>",
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    ] {
        for to in [ROOM, "nowhere@conference.localhost"] {
            guest
                .send(&format!("<iq id='q' to='{to}' type='get'>{payload}</iq>"))
                .await;
            let answer = guest.next().unwrap();
            assert!(answer.contains("<item-not-found"), "{to} {payload}: {answer}");
        }
    }
    alice.expect_nothing();
}
