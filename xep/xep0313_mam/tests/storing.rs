//! What is archived, for whom, under which id (§3, §6).

use kim_core::stanza::Stanza;
use kim_core::wire::Element;

use super::*;

/// The id by which a delivered message is in its recipient's archive.
fn stanza_id(stanza: &str, by: &str) -> Option<String> {
    let (_, rest) = stanza.split_once("<stanza-id xmlns='urn:xmpp:sid:0' id='")?;
    let (id, rest) = rest.split_once('\'')?;
    assert!(rest.starts_with(&format!(" by='{by}'")), "{stanza}");
    Some(id.to_owned())
}

#[tokio::test]
async fn both_sides_have_it_each_under_an_id_of_its_own() {
    // §3.5: and the sender's stays with the sender.
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let commits = house.db.stats().commits;
    say(&mut alice, "bob@localhost", "hello").await;
    // The keys of both archives, and one commit for both rows.
    assert_eq!(house.db.stats().commits - commits, 3);
    let live = bob.next().unwrap();
    let id = stanza_id(&live, "bob@localhost").unwrap();
    assert_eq!(live.matches("stanza-id").count(), 1);
    let (of_alice, of_bob) = (ask(&mut alice, "").await, ask(&mut bob, "").await);
    assert_eq!(of_bob.ids, [id.as_str()]);
    assert_ne!(of_alice.ids, of_bob.ids);
    for (result, archive) in [
        (&of_alice.results[0], "alice@localhost"),
        (&of_bob.results[0], "bob@localhost"),
    ] {
        assert!(
            result.starts_with(&format!("<message from='{archive}' to='{archive}/")),
            "{result}"
        );
        assert!(
            result.contains(
                "<message xmlns='jabber:client' from='alice@localhost/phone' to='bob@localhost' type='chat'>\
                 <body>hello</body></message>"
            ),
            "{result}"
        );
        assert!(
            result.contains("<delay xmlns='urn:xmpp:delay' stamp='2026-01-31T12:00:00."),
            "{result}"
        );
    }
    let commits = house.db.stats().commits;
    say(&mut alice, "bob@localhost", "again").await;
    assert_eq!(house.db.stats().commits - commits, 1, "both archives share one");
}

#[tokio::test]
async fn a_message_is_stored_once_however_many_get_it() {
    // §6.1.1
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut laptop = house.online("bob@localhost/laptop").await;
    let mut phone = house.online("bob@localhost/phone").await;
    laptop.skip();
    say(&mut alice, "bob@localhost", "hello").await;
    let (one, two) = (laptop.next().unwrap(), phone.next().unwrap());
    assert_eq!(stanza_id(&one, "bob@localhost"), stanza_id(&two, "bob@localhost"));
    assert_eq!(ask(&mut phone, "").await.ids.len(), 1);
    // To oneself as well.
    say(&mut alice, "alice@localhost", "note").await;
    let own = ask(&mut alice, &form(&[("with", "alice@localhost")])).await;
    assert_eq!(own.bodies(), ["note"]);
}

#[tokio::test]
async fn all_that_a_message_leaves_behind_is_one_commit() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    house.account("bob@localhost").await;
    say(&mut alice, "bob@localhost", "first, for which keys are made").await;
    let (commits, rows) = (house.db.stats().commits, house.db.stats().committed_rows);
    say(&mut alice, "bob@localhost", "second").await;
    let stats = house.db.stats();
    assert_eq!((stats.commits - commits, stats.committed_rows - rows), (1, 3));
}

#[tokio::test]
async fn waiting_messages_are_archived_and_delivered_under_the_same_id() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    house.account("bob@localhost").await;
    say(&mut alice, "bob@localhost", "hello").await;
    let mut bob = house.connect("bob@localhost/laptop").await;
    let archived = ask(&mut bob, "").await;
    bob.send("<presence/>").await;
    let mut late = String::new();
    while let Some(stanza) = bob.next() {
        if stanza.contains("hello") {
            late = stanza;
        }
    }
    assert_eq!(stanza_id(&late, "bob@localhost").as_ref(), archived.ids.first());
    assert_eq!(
        ask(&mut bob, "").await.ids.len(),
        1,
        "its second way is no second message"
    );
}

#[tokio::test]
async fn every_copy_of_a_message_has_the_id_of_the_archive() {
    // XEP-0359 §3, XEP-0280 §7: by delivery, as a copy, held back for a client that does not look, and later.
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut phone = house.online("bob@localhost/phone").await;
    let mut laptop = house.online("bob@localhost/laptop").await;
    let mut idle = house.online("bob@localhost/idle").await;
    let mut away = house.connect("bob@localhost/away").await;
    for client in [&mut phone, &mut laptop, &mut idle, &mut away] {
        client
            .send("<iq id='c' type='set'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
            .await;
    }
    away.send("<presence><priority>-1</priority></presence>").await;
    idle.send("<inactive xmlns='urn:xmpp:csi:0'/>").await;
    let id_of = |xml: &str| {
        let at = xml.split("<stanza-id xmlns='urn:xmpp:sid:0'").nth(1).expect(xml);
        assert!(
            at.split("/>").next().unwrap().contains("by='bob@localhost'"),
            "{xml}"
        );
        at.split(" id='")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap()
            .to_owned()
    };
    for to in ["bob@localhost", "bob@localhost/phone", "bob@localhost/gone"] {
        for client in [&mut phone, &mut laptop, &mut idle, &mut away] {
            client.skip();
        }
        say(&mut alice, to, "hello").await;
        let mut ids: Vec<String> = Vec::new();
        for client in [&mut phone, &mut laptop, &mut idle, &mut away] {
            let got: Vec<String> = std::iter::from_fn(|| client.next()).collect();
            let copies: Vec<&String> = got
                .iter()
                .filter(|xml| xml.contains("<body>hello</body>"))
                .collect();
            assert_eq!(copies.len(), 1, "{to}: {got:?}");
            ids.push(id_of(copies[0]));
        }
        let archived = ask(&mut phone, &set("<max>1</max><before/>")).await;
        assert!(
            ids.iter().all(|id| *id == archived.ids[0]),
            "{to}: {ids:?} {archived:?}"
        );
    }
    for client in [phone, laptop, idle, away] {
        client.disconnect().await;
    }
    say(&mut alice, "bob@localhost", "later").await;
    let mut phone = house.connect("bob@localhost/phone").await;
    phone.send("<presence/>").await;
    let got: Vec<String> = std::iter::from_fn(|| phone.next()).collect();
    let waited = got.iter().find(|xml| xml.contains("<body>later</body>"));
    let id = waited.map(|xml| id_of(xml));
    let archived = ask(&mut phone, &set("<max>1</max><before/>")).await;
    assert_eq!(id.as_ref(), archived.ids.first(), "{got:?}");
}

#[tokio::test]
async fn what_matters_is_archived_and_what_passes_is_not() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let kept = [
        "<body>x</body>",
        "<subject>x</subject>",
        "<store xmlns='urn:xmpp:hints'/><x xmlns='urn:example'/>",
        "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:example'/>",
        "<encrypted xmlns='eu.siacs.conversations.axolotl'/>",
        "<received xmlns='urn:xmpp:receipts' id='1'/>",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
        "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>",
        "<replace xmlns='urn:xmpp:message-correct:0' id='1'/>",
        "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>",
        "<invite xmlns='urn:xmpp:call-invites:0'/>",
        "<x xmlns='jabber:x:conference' jid='room@conference.localhost'/>",
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='bob@localhost'/></x>",
        "<retract xmlns='urn:xmpp:message-retract:1' id='1'/><no-store xmlns='urn:xmpp:hints'/>",
        "<body>x</body><no-copy xmlns='urn:xmpp:hints'/>",
    ];
    for payload in kept {
        let before = ask(&mut bob, &set("<max>0</max>")).await.fin;
        alice
            .send(&format!(
                "<message to='bob@localhost/laptop' type='chat'>{payload}</message>"
            ))
            .await;
        assert!(
            stanza_id(&bob.next().unwrap(), "bob@localhost").is_some(),
            "{payload}"
        );
        assert_ne!(ask(&mut bob, &set("<max>0</max>")).await.fin, before, "{payload}");
    }
    for passing in [
        "<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
        "<message type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>",
        "<message type='chat'><body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>",
        "<message type='chat'><store xmlns='urn:xmpp:hints'/><no-store xmlns='urn:xmpp:hints'/></message>",
        "<message type='headline'><body>x</body></message>",
        "<message type='groupchat'><body>x</body></message>",
        "<message type='error'><body>x</body></message>",
        "<message><event xmlns='http://jabber.org/protocol/pubsub#event'/></message>",
        "<message><x xmlns='http://jabber.org/protocol/muc#user'/></message>",
        "<message><thread>x</thread></message>",
    ] {
        let to = passing.replacen("<message", "<message to='bob@localhost/laptop'", 1);
        alice.send(&to).await;
        if let Some(live) = bob.next() {
            assert_eq!(stanza_id(&live, "bob@localhost"), None, "{passing}");
        }
    }
    assert!(
        ask(&mut bob, &set("<max>0</max>"))
            .await
            .fin
            .contains(&format!("<count>{}</count>", kept.len()))
    );
    assert!(
        ask(&mut alice, &set("<max>0</max>"))
            .await
            .fin
            .contains(&format!("<count>{}</count>", kept.len()))
    );
}

#[tokio::test]
async fn what_is_refused_was_never_received_nor_sent() {
    // §6.1
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    bob.send(
        "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='alice@localhost'/></block></iq>",
    )
    .await;
    say(&mut alice, "bob@localhost", "blocked").await;
    alice
        .send("<message to='bob@localhost/gone'><body>to a resource that is not there</body></message>")
        .await;
    say(&mut alice, "nobody@localhost", "nobody").await;
    say(&mut alice, "somebody@elsewhere.example", "not reached").await;
    assert!(ask(&mut bob, "").await.ids.is_empty());
    assert!(ask(&mut alice, "").await.ids.is_empty());
}

#[tokio::test]
async fn a_forged_id_is_not_the_archives() {
    // XEP-0359 §3
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    alice
        .send(
            "<message to='bob@localhost' type='chat'><body>x</body>\
             <stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='bob@localhost'/>\
             <stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='BOB@localhost'/>\
             <stanza-id xmlns='urn:xmpp:sid:0' id='theirs' by='room@elsewhere.example'/></message>",
        )
        .await;
    let live = bob.next().unwrap();
    assert!(!live.contains("forged") && live.contains("theirs"), "{live}");
    let id = live
        .rsplit("<stanza-id xmlns='urn:xmpp:sid:0' id='")
        .next()
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    let archive = ask(&mut bob, "").await;
    assert_eq!(archive.ids, [id]);
    assert!(!archive.results[0].contains("forged"));
}

#[tokio::test]
async fn nobody_sees_anybody_elses_archive() {
    // §8.1: nor learns who exists.
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    say(&mut alice, "bob@localhost", "hello").await;
    bob.skip();
    let mut guest = house.guest("q1w2@guest.localhost/x").await;
    for asker in [&mut bob, &mut guest] {
        for payload in [
            "type='set' id='1'><query xmlns='urn:xmpp:mam:2'/>",
            "type='get' id='1'><query xmlns='urn:xmpp:mam:2'/>",
            "type='get' id='1'><metadata xmlns='urn:xmpp:mam:2'/>",
            "type='get' id='1'><prefs xmlns='urn:xmpp:mam:2'/>",
            "type='set' id='1'><prefs xmlns='urn:xmpp:mam:2' default='never'/>",
        ] {
            let mut answers = Vec::new();
            for to in ["alice@localhost", "nobody@localhost"] {
                asker.send(&format!("<iq to='{to}' {payload}</iq>")).await;
                let answer = asker.next().unwrap();
                assert!(answer.contains("type='error'"), "{answer}");
                answers.push(answer.replace(to, "X"));
                asker.expect_nothing();
            }
            assert_eq!(answers[0], answers[1]);
        }
    }
    guest
        .send("<iq type='set' id='1'><query xmlns='urn:xmpp:mam:2'/></iq>")
        .await;
    assert!(guest.next().unwrap().contains("<service-unavailable "));
}

#[tokio::test]
async fn guests_have_no_archive() {
    let house = house().await;
    let mut one = house.guest("q1w2@guest.localhost/x").await;
    let mut two = house.guest("e3r4@guest.localhost/x").await;
    for guest in [&mut one, &mut two] {
        guest.send("<presence/>").await;
    }
    say(&mut one, "e3r4@guest.localhost", "hello").await;
    say(&mut one, "q1w2@guest.localhost", "to myself").await;
    let rows = house
        .db
        .fetch_all(kim_core::db::Query::new("SELECT owner FROM mam_archive"))
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn results_from_clients_are_not_delivered() {
    // §8.2
    let house = house().await;
    let mut mallory = house.online("mallory@localhost/x").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    mallory
        .send(
            "<message to='bob@localhost/laptop'><result xmlns='urn:xmpp:mam:2' id='1'>\
             <forwarded xmlns='urn:xmpp:forward:0'/></result></message>",
        )
        .await;
    bob.expect_nothing();
}

#[tokio::test]
async fn archives_keep_their_order_when_the_clock_does_not() {
    // §3.1: the server starts again, an hour earlier.
    let db = kim_core::testing::TestDb::sqlite().await;
    let later = House::on(db.db(), MODULES, "").await;
    later.clock.advance(3_600);
    let mut alice = later.online("alice@localhost/phone").await;
    later.account("bob@localhost").await;
    say(&mut alice, "bob@localhost", "first").await;
    let first = ask(&mut alice, "").await.ids;

    let earlier = House::on(db.db(), MODULES, "").await;
    let mut alice = earlier.online("alice@localhost/phone").await;
    say(&mut alice, "bob@localhost", "second").await;
    let after = ask(&mut alice, &set(&format!("<after>{}</after>", first[0]))).await;
    assert_eq!(after.bodies(), ["second"]);
}

#[tokio::test]
async fn an_archive_goes_with_its_account_and_so_does_its_key() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    say(&mut alice, "bob@localhost", "hello").await;
    alice
        .send("<iq type='set' id='1'><prefs xmlns='urn:xmpp:mam:2' default='always'/></iq>")
        .await;
    house
        .router
        .erase_account(&alice.session.account.clone())
        .await
        .unwrap();
    for sql in [
        "SELECT owner FROM mam_archive",
        "SELECT owner FROM mam_prefs UNION ALL SELECT 'bob@localhost'",
        "SELECT owner FROM kim_data_keys",
    ] {
        let rows = house.db.fetch_all(kim_core::db::Query::new(sql)).await.unwrap();
        let owners: Vec<String> = rows.iter().map(|row| row.text(0).unwrap()).collect();
        assert_eq!(owners, ["bob@localhost"], "{sql}");
    }
    bob.skip();
    assert_eq!(ask(&mut bob, "").await.bodies(), ["hello"]);
}

#[tokio::test]
async fn one_damaged_row_is_empty_and_the_others_go_on() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    house.account("bob@localhost").await;
    for body in ["one", "two", "three"] {
        say(&mut alice, "bob@localhost", body).await;
    }
    let before = ask(&mut alice, "").await;
    let mut rows = house
        .db
        .fetch_all(kim_core::db::Query::new(
            "SELECT stamp, stanza FROM mam_archive WHERE owner = 'alice@localhost' ORDER BY stamp",
        ))
        .await
        .unwrap();
    let row = rows.remove(1);
    let (stamp, mut stanza) = (row.i64(0).unwrap(), row.bytes(1).unwrap());
    stanza[40] ^= 1;
    house
        .db
        .write(move |tx| {
            let query = kim_core::db::Query::new(
                "UPDATE mam_archive SET stanza = $1 WHERE owner = 'alice@localhost' AND stamp = $2",
            )
            .bind(&stanza)
            .bind(stamp);
            Box::pin(async move { tx.execute(query).await.map(|_| ()) })
        })
        .await
        .unwrap();
    let after = ask(&mut alice, "").await;
    assert_eq!(after.ids, before.ids);
    assert_eq!(after.bodies(), ["one", "", "three"]);
    // §3.2: the message is left out, its time is not.
    assert!(
        after.results[1].contains("<forwarded xmlns='urn:xmpp:forward:0'><delay ")
            && !after.results[1].contains("jabber:client")
    );
}

#[tokio::test]
async fn a_full_store_of_waiting_messages_refuses_nothing_that_is_archived() {
    let house = House::configured(MODULES, "[limits]\noffline_messages_max = 1\n").await;
    let mut alice = house.online("alice@localhost/phone").await;
    house.account("bob@localhost").await;
    say(&mut alice, "bob@localhost", "one").await;
    say(&mut alice, "bob@localhost", "two").await;
    alice.expect_nothing();
    alice
        .send("<message to='bob@localhost' type='chat'><body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>")
        .await;
    assert!(
        alice.next().unwrap().contains("<service-unavailable "),
        "what is in no archive would be lost"
    );
    let mut bob = house.connect("bob@localhost/x").await;
    assert_eq!(ask(&mut bob, "").await.bodies(), ["one", "two"]);
}

#[tokio::test]
async fn readers_see_what_other_connections_have_under_way() {
    let house = house().await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let alice = house.online("alice@localhost/phone").await;
    let message =
        Element::parse("<message to='bob@localhost' type='chat'><body>hello</body></message>").unwrap();
    // Gone through the house, not committed, not delivered.
    let outcome = house
        .router
        .depart(&alice.session, Stanza::from_element(message).unwrap())
        .await;
    assert!(!outcome.is_settled());
    assert_eq!(ask(&mut bob, "").await.bodies(), ["hello"]);
    house.router.perform(outcome).await;
}
