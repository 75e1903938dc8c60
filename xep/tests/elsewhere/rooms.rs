//! People elsewhere in our rooms, ours in rooms elsewhere (XEP-0045), self-pings (XEP-0410).

use kim_core::testing::{Client, House, Neighbour};

use super::{ROMEO, all, house, say};

const ROOM: &str = "coven@conference.localhost";

/// Sends a presence of Romeo's, from this client of his.
async fn enter(there: &mut Neighbour, from: &str, nick: &str) {
    say(
        there,
        &format!("<presence from='{from}' to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"),
    )
    .await;
}

async fn opened() -> (House, Client, Neighbour) {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice
        .send(&format!(
            "<presence to='{ROOM}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
    alice
        .send(&format!("<iq id='open' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>"))
        .await;
    alice
        .send(&format!(
            "<message to='{ROOM}' id='m0' type='groupchat'><body>before</body></message>"
        ))
        .await;
    alice.skip();
    let there = house.neighbour("example.org");
    (house, alice, there)
}

/// What came that contains all of these.
fn found(got: &[String], parts: &[&str]) -> bool {
    got.iter().any(|xml| parts.iter().all(|part| xml.contains(part)))
}

#[tokio::test]
async fn somebody_elsewhere_enters_talks_and_leaves() {
    let (_house, mut alice, mut there) = opened().await;
    enter(&mut there, ROMEO, "romeo").await;
    let got = all(&mut there);
    assert!(
        got.iter().all(|xml| xml.contains(&format!("to='{ROMEO}'"))),
        "{got:#?}"
    );
    assert!(found(&got, &["<presence", "/alice'"]), "{got:#?}");
    assert!(found(&got, &["<presence", "/romeo'", "code='110'"]), "{got:#?}");
    assert!(found(&got, &["before", "urn:xmpp:delay"]), "{got:#?}");
    assert!(got.last().unwrap().contains("<subject"), "{got:#?}");
    alice.expect(&format!("<presence from='{ROOM}/romeo'>...</presence>"));

    say(
        &mut there,
        &format!("<message from='{ROMEO}' to='{ROOM}' id='m1' type='groupchat'><body>hi</body></message>"),
    )
    .await;
    alice.expect(&format!(
        "<message from='{ROOM}/romeo' type='groupchat' id='m1'><body>hi</body>...</message>"
    ));
    there.expect(&format!(
        "<message from='{ROOM}/romeo' to='{ROMEO}' type='groupchat' id='m1'><body>hi</body>...</message>"
    ));
    alice
        .send(&format!(
            "<message to='{ROOM}/romeo' id='p1' type='chat'><body>psst</body></message>"
        ))
        .await;
    there.expect(&format!(
        "<message from='{ROOM}/alice' to='{ROMEO}' type='chat' id='p1'><body>psst</body>...</message>"
    ));
    say(
        &mut there,
        &format!(
            "<message from='{ROMEO}' to='{ROOM}/alice' id='p2' type='chat'><body>what?</body></message>"
        ),
    )
    .await;
    alice.skip();

    // XEP-0410 §3.3
    let ping = |id: &str, nick: &str| {
        format!(
            "<iq from='{ROMEO}' to='{ROOM}/{nick}' id='{id}' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"
        )
    };
    say(&mut there, &ping("1", "romeo")).await;
    there.expect(&format!(
        "<iq from='{ROOM}/romeo' to='{ROMEO}' id='1' type='result'/>"
    ));

    say(
        &mut there,
        &format!("<presence from='{ROMEO}' to='{ROOM}/montague'/>"),
    )
    .await;
    let got = all(&mut there);
    assert!(
        found(&got, &["type='unavailable'", "code='303'", "nick='montague'"]),
        "{got:#?}"
    );
    assert!(found(&got, &["/montague'", "code='110'"]), "{got:#?}");
    alice.skip();

    say(
        &mut there,
        &format!("<presence from='{ROMEO}' to='{ROOM}/montague' type='unavailable'/>"),
    )
    .await;
    there.expect(&format!(
        "<presence from='{ROOM}/montague' to='{ROMEO}' type='unavailable'>...</presence>"
    ));
    alice.expect(&format!(
        "<presence from='{ROOM}/montague' type='unavailable'>...</presence>"
    ));
    say(&mut there, &ping("2", "montague")).await;
    there.expect(&format!("<iq from='{ROOM}/montague' to='{ROMEO}' id='2' type='error'><error type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"));
}

#[tokio::test]
async fn their_archive_is_open_to_those_inside() {
    let (_house, _alice, mut there) = opened().await;
    enter(&mut there, ROMEO, "romeo").await;
    there.skip();
    say(&mut there, &format!("<iq from='{ROMEO}' to='{ROOM}' id='a' type='set'><query xmlns='urn:xmpp:mam:2' queryid='f'/></iq>")).await;
    let got = all(&mut there);
    assert!(found(&got, &["<result", "before"]), "{got:#?}");
    assert!(found(&got, &["id='a'", "type='result'", "<fin"]), "{got:#?}");
}

#[tokio::test]
async fn an_affiliation_holds_for_somebody_elsewhere() {
    let (_house, mut alice, mut there) = opened().await;
    enter(&mut there, ROMEO, "romeo").await;
    let (_, _) = (all(&mut there), alice.skip());
    let set = |what: &str| {
        format!(
            "<iq id='s' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'><item jid='romeo@example.org' affiliation='{what}'/></query></iq>"
        )
    };
    alice.send(&set("member")).await;
    assert!(found(&all(&mut there), &["/romeo'", "affiliation='member'"]));
    alice.send(&set("outcast")).await;
    let got = all(&mut there);
    assert!(
        found(
            &got,
            &["type='unavailable'", "code='301'", "affiliation='outcast'"]
        ),
        "{got:#?}"
    );
    enter(&mut there, ROMEO, "romeo").await;
    let got = all(&mut there);
    assert!(found(&got, &["type='error'", "forbidden"]), "{got:#?}");
}

#[tokio::test]
async fn who_cannot_be_reached_any_more_leaves_the_room() {
    for condition in [
        "remote-server-timeout",
        "remote-server-not-found",
        "recipient-unavailable",
        "gone",
    ] {
        let (_house, mut alice, mut there) = opened().await;
        enter(&mut there, ROMEO, "romeo").await;
        there.skip();
        alice.skip();
        let error =
            format!("<error type='wait'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>");
        say(
            &mut there,
            &format!("<message from='{ROMEO}' to='{ROOM}' type='error' id='m'>{error}</message>"),
        )
        .await;
        let got: Vec<String> = std::iter::from_fn(|| alice.next()).collect();
        assert!(
            found(&got, &["/romeo'", "type='unavailable'", "code='333'"]),
            "{condition}: {got:#?}"
        );
    }
    // The presence that comes back says the same.
    let (_house, mut alice, mut there) = opened().await;
    enter(&mut there, ROMEO, "romeo").await;
    alice.skip();
    let error =
        "<error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    say(
        &mut there,
        &format!("<presence from='{ROMEO}' to='{ROOM}/alice' type='error'>{error}</presence>"),
    )
    .await;
    let got: Vec<String> = std::iter::from_fn(|| alice.next()).collect();
    assert!(found(&got, &["/romeo'", "type='unavailable'"]), "{got:#?}");
}

#[tokio::test]
async fn when_a_server_is_gone_its_people_leave() {
    let (_house, mut alice, mut there) = opened().await;
    enter(&mut there, ROMEO, "romeo").await;
    enter(&mut there, "nurse@example.org/hall", "nurse").await;
    there.disappear();
    alice.skip();
    alice
        .send(&format!(
            "<message to='{ROOM}' id='m1' type='groupchat'><body>anybody?</body></message>"
        ))
        .await;
    // The room goes on by itself once its messages have come back; what follows waits its turn.
    alice
        .send(&format!(
            "<message to='{ROOM}' id='m2' type='groupchat'><body>nobody.</body></message>"
        ))
        .await;
    let got: Vec<String> = std::iter::from_fn(|| alice.next()).collect();
    assert!(found(&got, &["anybody?", "type='groupchat'"]), "{got:#?}");
    for nick in ["/romeo'", "/nurse'"] {
        assert!(found(&got, &[nick, "type='unavailable'"]), "{nick}: {got:#?}");
    }
    assert!(!found(&got, &["type='error'"]), "{got:#?}");
}

#[tokio::test]
async fn our_people_are_in_rooms_elsewhere() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    let mut there = house.neighbour("conference.example.org");
    alice.skip();
    let room = "hall@conference.example.org";
    let join =
        format!("<presence to='{room}/alice' id='j'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
    alice.send(&join).await;
    there.expect(&format!("<presence from='alice@localhost/phone' to='{room}/alice' id='j'><x xmlns='http://jabber.org/protocol/muc'/>\
         <info xmlns='urn:xmpp:raa:0' affiliation='member'/></presence>"));
    let own = format!(
        "<presence from='{room}/alice' to='alice@localhost/phone'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant'/><status code='110'/></x></presence>"
    );
    let said = format!(
        "<message from='{room}/bob' to='alice@localhost/phone' type='groupchat' id='g'><body>hi</body></message>"
    );
    for stanza in [&own, &said] {
        say(&mut there, stanza).await;
        alice.expect(stanza);
    }
    tablet.expect_nothing();
    let refused = format!(
        "<presence from='{room}/alice' to='alice@localhost/phone' type='error'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    );
    alice.send(&join).await;
    there.skip();
    say(&mut there, &refused).await;
    alice.expect(&refused);
    alice.send(&join).await;
    there.skip();
    alice.disconnect().await;
    there.expect(&format!(
        "<presence from='alice@localhost/phone' to='{room}/alice' type='unavailable'/>"
    ));
    // A session that is gone: the room learns of it.
    say(&mut there, &said).await;
    there.expect(&format!("<message from='alice@localhost/phone' to='{room}/bob' type='error' id='g'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"));
}

#[tokio::test]
async fn invitations_go_and_come_across_servers() {
    let (_house, mut alice, mut there) = opened().await;
    alice
        .send(&format!("<message to='{ROOM}'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='romeo@example.org'/></x></message>"))
        .await;
    there.expect(&format!("<message from='{ROOM}' to='romeo@example.org'>...<x xmlns='http://jabber.org/protocol/muc#user'><invite from='*'>...</invite></x></message>"));
    say(
        &mut there,
        "<message from='hall@example.org' to='alice@localhost'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='romeo@example.org'/></x></message>",
    )
    .await;
    alice.expect("<message from='hall@example.org' to='alice@localhost'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='romeo@example.org'/></x></message>");
}

#[tokio::test]
async fn a_session_that_its_server_does_not_have_leaves_the_room() {
    let (_house, mut alice, mut there) = opened().await;
    enter(&mut there, ROMEO, "romeo").await;
    let unavailable = |id: &str| {
        format!(
            "<message from='{ROMEO}' to='{ROOM}/alice' type='error' id='{id}'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        )
    };
    // A private message that somebody does not want is no reason: its author hears of it.
    alice
        .send(&format!(
            "<message to='{ROOM}/romeo' id='p1' type='chat'><body>psst</body></message>"
        ))
        .await;
    alice.skip();
    say(&mut there, &unavailable("p1")).await;
    alice.expect(&format!(
        "<message from='{ROOM}/romeo' id='p1' type='error'>...</message>"
    ));
    alice.expect_nothing();
    alice
        .send(&format!(
            "<message to='{ROOM}' id='m1' type='groupchat'><body>romeo?</body></message>"
        ))
        .await;
    alice.skip();
    say(&mut there, &unavailable("m1")).await;
    let got: Vec<String> = std::iter::from_fn(|| alice.next()).collect();
    assert!(
        found(&got, &["/romeo'", "type='unavailable'", "code='333'"]),
        "{got:#?}"
    );
    assert!(!found(&got, &["type='error'"]), "{got:#?}");
}

#[tokio::test]
async fn the_archive_of_a_room_elsewhere_answers_whoever_asked() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    let mut there = house.neighbour("conference.example.org");
    tablet
        .ask(
            "<iq id='c' type='set'><enable xmlns='urn:xmpp:carbons:2'/></iq>",
            "<iq id='c' type='result'/>",
        )
        .await;
    alice.skip();
    let room = "hall@conference.example.org";
    let query = "<query xmlns='urn:xmpp:mam:2' queryid='f'/>";
    alice
        .send(&format!("<iq to='{room}' id='a' type='set'>{query}</iq>"))
        .await;
    there.expect(&format!(
        "<iq from='alice@localhost/phone' to='{room}' id='a' type='set'>{query}</iq>"
    ));
    let result = format!(
        "<message from='{room}' to='alice@localhost/phone' id='r'><result xmlns='urn:xmpp:mam:2' queryid='f' id='1'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-01-31T12:00:00Z'/><message xmlns='jabber:client' from='{room}/bob' type='groupchat'><body>hi</body></message></forwarded></result></message>"
    );
    let end = format!(
        "<iq from='{room}' to='alice@localhost/phone' id='a' type='result'><fin xmlns='urn:xmpp:mam:2' complete='true'/></iq>"
    );
    for stanza in [&result, &end] {
        say(&mut there, stanza).await;
        alice.expect(stanza);
    }
    tablet.expect_nothing();
    // Somebody's client is no archive.
    say(
        &mut there,
        &result.replace(
            "from='hall@conference.example.org' to",
            "from='hall@conference.example.org/bob' to",
        ),
    )
    .await;
    alice.expect_nothing();
}

#[tokio::test]
async fn requests_pass_between_occupants_of_two_servers() {
    let (_house, mut alice, mut there) = opened().await;
    enter(&mut there, ROMEO, "romeo").await;
    there.skip();
    alice.skip();
    let version = "<query xmlns='jabber:iq:version'/>";
    alice
        .send(&format!("<iq to='{ROOM}/romeo' id='v' type='get'>{version}</iq>"))
        .await;
    let passed = there.next().expect("the question");
    let passed = kim_core::wire::Element::parse(&passed).unwrap();
    assert_eq!(
        passed.attr("from").as_deref(),
        Some("coven@conference.localhost/alice")
    );
    assert_eq!(passed.attr("to").as_deref(), Some(ROMEO));
    let id = passed.attr("id").unwrap().into_owned();
    say(
        &mut there,
        &format!("<iq from='{ROMEO}' to='{ROOM}/alice' id='{id}' type='result'>{version}</iq>"),
    )
    .await;
    alice.expect(&format!(
        "<iq from='{ROOM}/romeo' to='alice@localhost/phone' id='v' type='result'>{version}</iq>"
    ));
    // XEP-0054 §3.3 by way of the room: the account answers.
    say(
        &mut there,
        &format!("<iq from='{ROMEO}' to='{ROOM}/alice' id='w' type='get'>{version}</iq>"),
    )
    .await;
    alice.expect(&format!(
        "<iq from='{ROOM}/romeo' to='alice@localhost/phone' type='get'>{version}</iq>"
    ));
}
