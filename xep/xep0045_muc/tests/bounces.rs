//! What comes back from somebody else's session: ghosts leave, and nobody hears of an error that is not theirs.

use kim_core::db::{Db, DbOptions};
use kim_core::testing::{Client, House};

use super::{ROOM, all, enter, join, room, say};

async fn block(client: &mut Client, jid: &str) {
    client.skip();
    client
        .ask(
            &format!(
                "<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='{jid}'/></block></iq>"
            ),
            "<iq id='b' type='result'/>",
        )
        .await;
}

/// A room with Alice, Bob and Carol.
async fn three(house: &House) -> (Client, Client, Client) {
    let (mut alice, mut bob) = room(house).await;
    let mut carol = house.connect("carol@localhost/pda").await;
    enter(&mut carol, "carol").await;
    alice.skip();
    bob.skip();
    (alice, bob, carol)
}

#[tokio::test]
async fn an_author_hears_nothing_of_blocks() {
    // XEP-0191 §3.3: by the occupant's address, the room's, the service's, and the author's own.
    for blocked in [
        format!("{ROOM}/bob").as_str(),
        ROOM,
        "conference.localhost",
        "bob@localhost",
    ] {
        let house = House::new(crate::MODULES).await;
        let (mut alice, mut bob, mut carol) = three(&house).await;
        block(&mut alice, blocked).await;
        for (id, what) in [
            ("1", "<body>x</body>"),
            ("2", "<subject>y</subject><body>z</body>"),
        ] {
            say(&mut bob, id, what).await;
            let (own, seen) = (all(&mut bob), all(&mut carol));
            assert_eq!((own.len(), seen.len()), (1, 1), "{blocked}: {own:#?} {seen:#?}");
            assert!(own[0].contains("type='groupchat'"), "{blocked}: {own:#?}");
            let heard = all(&mut alice);
            assert_eq!(
                heard.is_empty(),
                blocked != "bob@localhost",
                "{blocked}: {heard:#?}"
            );
        }
        // Alice is still in the room for the others.
        let mut dave = house.connect("dave@localhost/x").await;
        join(&mut dave, "dave").await;
        assert!(all(&mut dave).iter().any(|xml| xml.contains("/alice'")));
    }
}

#[tokio::test]
async fn a_client_may_answer_a_message_to_all_with_an_error_and_nobody_hears_it() {
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob, mut carol) = three(&house).await;
    say(&mut bob, "1", "<body>x</body>").await;
    let _ = (all(&mut alice), all(&mut bob), all(&mut carol));
    for condition in [
        "service-unavailable",
        "forbidden",
        "feature-not-implemented",
        "bad-request",
    ] {
        for to in [ROOM, &format!("{ROOM}/bob")] {
            alice
                .send(&format!(
                    "<message id='1' to='{to}' type='error'><error type='cancel'>\
                     <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
                ))
                .await;
            let got = (all(&mut alice), all(&mut bob), all(&mut carol));
            assert_eq!(got, Default::default(), "{condition} {to}");
        }
    }
}

#[tokio::test]
async fn an_error_about_a_private_message_finds_its_author_once() {
    // §7.5
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob, mut carol) = three(&house).await;
    let private = format!("<message id='p' to='{ROOM}/alice' type='chat'><body>x</body></message>");
    bob.send(&private).await;
    assert!(alice.next().unwrap().contains("<body>x</body>"));
    let error = format!(
        "<message id='p' to='{ROOM}/bob' type='error'><error type='cancel'>\
         <feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    );
    // Carol was not written to.
    carol.send(&error).await;
    bob.expect_nothing();
    alice.send(&error).await;
    let got = bob.next().unwrap();
    assert!(
        got.contains(&format!("from='{ROOM}/alice'")) && got.contains("<feature-not-implemented "),
        "{got}"
    );
    alice.send(&error).await;
    bob.expect_nothing();

    // A blocked author gets the same error as for an occupant out of reach (XEP-0191 §3.3).
    block(&mut alice, &format!("{ROOM}/bob")).await;
    bob.send(&private).await;
    let got = bob.next().unwrap();
    assert!(
        got.contains("<service-unavailable ") && !got.contains("blocked"),
        "{got}"
    );
    bob.expect_nothing();
    alice.expect_nothing();
}

#[tokio::test]
async fn a_request_to_an_occupant_behind_a_block_is_service_unavailable() {
    // XEP-0191 §3.3, §17.4
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob, mut carol) = three(&house).await;
    block(&mut alice, &format!("{ROOM}/bob")).await;
    bob.send(&format!(
        "<iq id='v' to='{ROOM}/alice' type='get'><query xmlns='jabber:iq:version'/></iq>"
    ))
    .await;
    let got = all(&mut bob);
    assert_eq!(got.len(), 1, "{got:#?}");
    assert!(
        got[0].contains("id='v'") && got[0].contains("<service-unavailable "),
        "{got:#?}"
    );
    assert!(!got[0].contains("alice@localhost") && !got[0].contains("blocked"));
    bob.send(&format!("<presence to='{ROOM}/bob'><show>away</show></presence>"))
        .await;
    assert_eq!((all(&mut bob).len(), all(&mut carol).len()), (1, 1));
    alice.expect_nothing();
}

#[tokio::test]
async fn alerts_from_somebody_blocked_end_in_silence() {
    // XEP-0191 §3.3, RFC 6121 §8.5.2.2.1: as for an account that is away.
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/desktop").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    block(&mut alice, "bob@localhost").await;
    for to in ["alice@localhost", "alice@localhost/desktop", "alice@localhost/no"] {
        bob.send(&format!(
            "<message id='h' to='{to}' type='headline'><body>x</body></message>"
        ))
        .await;
        bob.expect_nothing();
    }
    alice.expect_nothing();
}

/// What comes up to so many stanzas that say so: ghosts leave behind the room's own sending, in a task of its own.
async fn until(client: &mut Client, count: usize, says: &str) -> Vec<String> {
    let mut came = Vec::new();
    for _ in 0..10_000 {
        came.extend(all(client));
        if came.iter().filter(|xml| xml.contains(says)).count() >= count {
            return came;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} got {came:#?}", client.session.jid)
}

async fn restarted() -> (Db, House) {
    let db = Db::open("sqlite::memory:", &DbOptions::default()).await.unwrap();
    let house = House::on(db.clone(), crate::MODULES, "").await;
    three(&house).await;
    // The process is gone; nobody has left.
    let house = House::on(db.clone(), crate::MODULES, "").await;
    (db, house)
}

#[tokio::test]
async fn after_a_crash_the_first_word_shows_who_has_not_come_back() {
    // §18.1.2, §11.1
    let (_db, house) = restarted().await;
    let mut bob = house.connect("bob@localhost/laptop").await;
    say(&mut bob, "1", "<body>anybody?</body>").await;
    let got = until(&mut bob, 2, "code='333'").await;
    assert_eq!(got.len(), 3, "{got:#?}");
    assert!(got[0].contains("<body>anybody?</body>"), "{got:#?}");
    for (at, nick) in [(1, "alice"), (2, "carol")] {
        assert!(
            got[at].contains(&format!("from='{ROOM}/{nick}'"))
                && got[at].contains("type='unavailable'")
                && got[at].contains("<status code='333'/>"),
            "{got:#?}"
        );
    }
    // The nickname is free, also for somebody else.
    let mut dave = house.connect("dave@localhost/x").await;
    enter(&mut dave, "carol").await;
    bob.skip();
    say(&mut bob, "2", "<body>again</body>").await;
    assert_eq!(all(&mut bob).len(), 1);
    // Alice comes back later, finds out, and enters again.
    let mut alice = house.connect("alice@localhost/desktop").await;
    alice
        .send(&format!(
            "<iq id='p' to='{ROOM}/alice' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"
        ))
        .await;
    assert!(alice.next().unwrap().contains("<not-acceptable "));
    enter(&mut alice, "alice").await;
}

#[tokio::test]
async fn ghosts_go_also_where_they_have_blocked_the_author() {
    let db = Db::open("sqlite::memory:", &DbOptions::default()).await.unwrap();
    let house = House::on(db.clone(), crate::MODULES, "").await;
    let (mut alice, _bob, _carol) = three(&house).await;
    block(&mut alice, ROOM).await;
    let house = House::on(db, crate::MODULES, "").await;
    let mut bob = house.connect("bob@localhost/laptop").await;
    say(&mut bob, "1", "<body>x</body>").await;
    let got = until(&mut bob, 2, "code='333'").await;
    assert!(!got.iter().any(|xml| xml.contains("type='error'")), "{got:#?}");
}

#[tokio::test]
async fn a_server_that_stops_takes_nobody_for_a_ghost() {
    let house = House::new(crate::MODULES).await;
    let (alice, mut bob, mut carol) = three(&house).await;
    house.router.stop();
    alice
        .session
        .close(kim_core::error::StreamCondition::SystemShutdown);
    // Ending, and ended.
    say(&mut bob, "1", "<body>x</body>").await;
    house.router.end(&alice.session, []).await;
    say(&mut bob, "2", "<body>y</body>").await;
    assert_eq!((all(&mut bob).len(), all(&mut carol).len()), (2, 2));
}

#[tokio::test]
async fn writing_to_a_ghost_or_asking_one_says_that_nobody_is_there() {
    for stanza in [
        format!("<message id='1' to='{ROOM}/alice' type='chat'><body>x</body></message>"),
        format!("<iq id='1' to='{ROOM}/alice' type='get'><query xmlns='jabber:iq:version'/></iq>"),
    ] {
        let (_db, house) = restarted().await;
        let mut bob = house.connect("bob@localhost/laptop").await;
        bob.send(&stanza).await;
        let got = all(&mut bob);
        assert!(
            got.iter()
                .any(|xml| xml.contains("id='1'") && xml.contains("<item-not-found ")),
            "{got:#?}"
        );
        assert!(
            got.iter()
                .any(|xml| xml.contains("/alice'") && xml.contains("code='333'")),
            "{got:#?}"
        );
    }
}

#[tokio::test]
async fn one_session_of_several_that_is_gone_leaves_alone() {
    // §7.2.8
    let db = Db::open("sqlite::memory:", &DbOptions::default()).await.unwrap();
    let house = House::on(db.clone(), crate::MODULES, "").await;
    let (_alice, _bob) = room(&house).await;
    let mut phone = house.connect("alice@localhost/phone").await;
    enter(&mut phone, "alice").await;
    let house = House::on(db, crate::MODULES, "").await;
    let mut phone = house.connect("alice@localhost/phone").await;
    let mut bob = house.connect("bob@localhost/laptop").await;
    say(&mut bob, "1", "<body>x</body>").await;
    // The presence of the session that is there is shown in place of the other's.
    let got = until(&mut bob, 1, "/alice'").await;
    assert!(!got.iter().any(|xml| xml.contains("unavailable")), "{got:#?}");
    assert!(all(&mut phone)[0].contains("<body>x</body>"));
    say(&mut phone, "2", "<body>y</body>").await;
    assert!(bob.next().unwrap().contains("<body>y</body>"));
}

#[tokio::test]
async fn all_copies_of_a_private_message_carry_one_id() {
    // XEP-0359 §3, §7.2.8
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    let mut phone = house.connect("alice@localhost/phone").await;
    enter(&mut phone, "alice").await;
    alice.skip();
    bob.send(&format!(
        "<message id='p' to='{ROOM}/alice' type='chat'><body>x</body></message>"
    ))
    .await;
    let id = |client: &mut Client| {
        let got = all(client);
        assert_eq!(got.len(), 1, "{got:#?}");
        let id = got[0].split("<stanza-id ").nth(1).expect("an id").to_owned();
        assert!(id.contains("by='alice@localhost'"), "{id}");
        id.split("/>").next().unwrap_or_default().to_owned()
    };
    assert_eq!(id(&mut alice), id(&mut phone));
    let count = kim_core::db::Query::new("SELECT COUNT(*) FROM mam_archive WHERE owner = 'alice@localhost'");
    let row = house.db.fetch_optional(count).await.unwrap().unwrap();
    assert_eq!(row.i64(0).unwrap(), 1);
}
