//! Rooms survive: what is there after a restart, who is still in, who goes, and what is left of what was destroyed.

use std::sync::Arc;

use kim_core::db::{Db, DbOptions, Query};
use kim_core::jid::BareJid;
use kim_core::testing::{Client, House};

use super::super::api::Rooms;
use super::super::farewell;
use super::{ROOM, enter, instant, join, room};

async fn memory() -> Db {
    Db::open("sqlite::memory:", &DbOptions::default()).await.unwrap()
}

async fn count(house: &House, sql: &'static str) -> i64 {
    let row = house.db.fetch_optional(Query::new(sql)).await.unwrap().unwrap();
    row.i64(0).unwrap()
}

fn rooms(house: &House) -> Arc<Rooms> {
    house.router.fact::<Rooms>().unwrap()
}

/// Everything that a client reads of a join, up to the subject.
async fn seen(client: &mut Client, nick: &str) -> Vec<String> {
    join(client, nick).await;
    std::iter::from_fn(|| client.next()).collect()
}

#[tokio::test]
async fn a_room_is_there_after_a_restart_with_everybody_in_it() {
    // Issue 5, item 3.
    let db = memory().await;
    let house = House::on(db.clone(), crate::MODULES, "").await;
    let (alice, mut bob) = room(&house).await;
    let member = "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='carol@localhost' nick='Carol'/></query>";
    let mut alice = alice;
    alice
        .send(&format!("<iq id='m' to='{ROOM}' type='set'>{member}</iq>"))
        .await;
    alice
        .send(&format!(
            "<message id='s' to='{ROOM}' type='groupchat'><subject>Fire</subject></message>"
        ))
        .await;
    bob.send(&format!(
        "<message id='1' to='{ROOM}' type='groupchat'><body>burn</body></message>"
    ))
    .await;
    alice.skip();
    bob.skip();
    // The process is gone; nobody has left.
    let house = House::on(db, crate::MODULES, "").await;
    let mut bob = house.connect("bob@localhost/laptop").await;
    bob.ask(
        &format!("<iq id='p' to='{ROOM}/bob' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"),
        "<iq id='p' type='result'/>",
    )
    .await;
    // Who comes now sees those who were there, the history, the subject, and that a nickname is taken.
    let mut dave = house.connect("dave@localhost/pda").await;
    let got = seen(&mut dave, "dave").await;
    assert_eq!(got.len(), 5, "{got:#?}");
    assert!(got[0].contains("/alice'") && got[0].contains("affiliation='owner'"));
    assert!(got[1].contains("/bob'"));
    assert!(got[2].contains("code='110'"));
    assert!(got[3].contains("burn") && got[3].contains("stanza-id") && got[3].contains("delay"));
    assert!(got[4].contains("<subject>Fire</subject>"));
    let mut erin = house.connect("erin@localhost/pda").await;
    join(&mut erin, "carol").await;
    assert!(erin.next().unwrap().contains("conflict"));
    bob.skip();

    // Alice does not come back.
    farewell::sweep(&rooms(&house).0, &house.router).await.unwrap();
    bob.expect(&format!(
        "<presence from='{ROOM}/alice' type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'>\
           <item affiliation='owner' role='none'/><status code='333'/></x>...</presence>"
    ));
    bob.expect_nothing();
}

#[tokio::test]
async fn a_server_that_stops_throws_nobody_out() {
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    // A session that ends for another reason leaves.
    bob.disconnect().await;
    assert!(alice.next().unwrap().contains("unavailable"));
    assert_eq!(count(&house, "SELECT COUNT(*) FROM muc_occupants").await, 1);
    bob = house.online("bob@localhost/laptop").await;
    // A room that goes with its last occupant.
    let den =
        "<presence to='den@conference.localhost/bob'><x xmlns='http://jabber.org/protocol/muc'/></presence>";
    bob.send(den).await;
    alice.skip();
    house.router.stop();
    // As a connection ends: the reason stands in no outbox yet.
    house.router.end(&bob.session, []).await;
    house.router.end(&alice.session, []).await;
    assert_eq!(count(&house, "SELECT COUNT(*) FROM muc_rooms").await, 2);
    assert_eq!(count(&house, "SELECT COUNT(*) FROM muc_occupants").await, 2);
    alice.expect_nothing();
}

#[tokio::test]
async fn what_is_damaged_in_a_room_is_empty_and_the_rest_goes_on() {
    let db = memory().await;
    let house = House::on(db.clone(), crate::MODULES, "").await;
    let (mut alice, mut bob) = room(&house).await;
    let ban = "<item affiliation='outcast' jid='mallory@localhost'><reason>lies</reason></item>";
    let member = "<item affiliation='member' jid='carol@localhost' nick='Carol'/>";
    for item in [ban, member] {
        alice
            .send(&format!("<iq id='i' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>{item}</query></iq>"))
            .await;
    }
    alice
        .send(&format!(
            "<message id='s' to='{ROOM}' type='groupchat'><subject>Fire</subject></message>"
        ))
        .await;
    bob.skip();
    for damage in [
        "UPDATE muc_rooms SET subject = x'00'",
        "UPDATE muc_affiliations SET note = x'0102' WHERE note IS NOT NULL",
        "UPDATE muc_occupants SET state = x'' WHERE account = 'bob@localhost'",
    ] {
        db.execute(Query::new(damage)).await.unwrap();
    }

    let house = House::on(db.clone(), crate::MODULES, "").await;
    let mut mallory = house.connect("mallory@localhost/x").await;
    join(&mut mallory, "mallory").await;
    assert!(
        mallory.next().unwrap().contains("<forbidden"),
        "banned all the same"
    );
    let mut alice = house.connect("alice@localhost/desktop").await;
    let got = seen(&mut alice, "alice").await;
    assert!(got[0].contains("affiliation='owner'"), "{got:#?}");
    assert!(got[1].contains("<subject/>"), "{got:#?}");
    let list = "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast'/></query>";
    alice
        .ask(
            &format!("<iq id='l' to='{ROOM}' type='get'>{list}</iq>"),
            "<iq id='l' type='result'><query xmlns='http://jabber.org/protocol/muc#admin'>\
               <item affiliation='outcast' jid='mallory@localhost'/></query></iq>",
        )
        .await;
    enter(&mut house.connect("carol@localhost/x").await, "carol").await;
    alice.skip();
    alice
        .send(&format!(
            "<message id='s' to='{ROOM}' type='groupchat'><subject>Ice</subject></message>"
        ))
        .await;
    assert!(alice.next().unwrap().contains("Ice"));

    // A room whose settings are damaged is lost, and no other room with it.
    db.execute(Query::new("UPDATE muc_rooms SET state = x'00'"))
        .await
        .unwrap();
    let house = House::on(db, crate::MODULES, "").await;
    let mut alice = house.online("alice@localhost/desktop").await;
    join(&mut alice, "alice").await;
    assert!(alice.next().unwrap().contains("<internal-server-error"));
    let den = "<presence to='den@conference.localhost/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>";
    alice.send(den).await;
    assert!(alice.next().unwrap().contains("code='201'"));
    alice.skip();
    farewell::sweep(&rooms(&house).0, &house.router).await.unwrap();
    let search = "<search xmlns='urn:xmpp:channel-search:0:search'><x xmlns='jabber:x:data' type='submit'>\
                  <field var='all'><value>1</value></field></x></search>";
    alice
        .send(&format!(
            "<iq id='f' to='conference.localhost' type='get'>{search}</iq>"
        ))
        .await;
    assert!(alice.next().unwrap().contains("type='result'"));
    house.router.erase_account(&alice.session.account).await.unwrap();
}

#[tokio::test]
async fn a_destroyed_room_leaves_nothing() {
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    bob.send(&format!(
        "<message id='1' to='{ROOM}' type='groupchat'><body>burn</body></message>"
    ))
    .await;
    assert_eq!(count(&house, "SELECT COUNT(*) FROM mam_archive").await, 1);
    let keys = count(&house, "SELECT COUNT(*) FROM kim_data_keys").await;
    alice
        .send(&format!("<iq id='d' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>"))
        .await;
    for table in [
        "SELECT COUNT(*) FROM mam_archive",
        "SELECT COUNT(*) FROM muc_rooms",
        "SELECT COUNT(*) FROM muc_affiliations",
        "SELECT COUNT(*) FROM muc_occupants",
    ] {
        assert_eq!(count(&house, table).await, 0, "{table}");
    }
    assert_eq!(
        count(&house, "SELECT COUNT(*) FROM kim_data_keys").await,
        keys - 1
    );
    // Its name is free again, and the new one has another key.
    alice.skip();
    bob.skip();
    join(&mut bob, "bob").await;
    assert!(bob.next().unwrap().contains("code='201'"));
}

#[tokio::test]
async fn nothing_that_people_wrote_is_readable_in_the_database() {
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    let secret = "cauldronburn";
    bob.send(&format!(
        "<message id='1' to='{ROOM}' type='groupchat'><body>{secret}</body></message>"
    ))
    .await;
    bob.send(&format!(
        "<presence to='{ROOM}/{secret}'><status>{secret}</status></presence>"
    ))
    .await;
    alice
        .send(&format!(
            "<message id='2' to='{ROOM}' type='groupchat'><subject>{secret}</subject></message>"
        ))
        .await;
    let ban = format!("<item affiliation='outcast' jid='mallory@localhost'><reason>{secret}</reason></item>");
    alice
        .send(&format!("<iq id='b' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>{ban}</query></iq>"))
        .await;
    let form = format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_roomdesc'><value>{secret}</value></field>\
         <field var='muc#roomconfig_roomsecret'><value>{secret}</value></field></x>"
    );
    alice
        .send(&format!("<iq id='c' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query></iq>"))
        .await;
    for sql in [
        "SELECT COUNT(*) FROM muc_rooms WHERE instr(state, 'cauldronburn') + instr(coalesce(subject, ''), 'cauldronburn') > 0",
        "SELECT COUNT(*) FROM muc_affiliations WHERE instr(coalesce(note, ''), 'cauldronburn') > 0",
        "SELECT COUNT(*) FROM muc_occupants WHERE instr(state, 'cauldronburn') > 0",
        "SELECT COUNT(*) FROM mam_archive WHERE instr(stanza, 'cauldronburn') > 0",
    ] {
        assert_eq!(count(&house, sql).await, 0, "{sql}");
    }
    assert_eq!(
        count(
            &house,
            "SELECT COUNT(*) FROM muc_affiliations WHERE note IS NOT NULL"
        )
        .await,
        1
    );
    assert_eq!(count(&house, "SELECT COUNT(*) FROM mam_archive").await, 1);
}

#[tokio::test]
async fn rooms_without_an_owner_find_one_or_go() {
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    let admin = "<item affiliation='admin' jid='bob@localhost'/>";
    alice
        .send(&format!("<iq id='a' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>{admin}</query></iq>"))
        .await;
    bob.skip();
    house.router.erase_account(&alice.session.account).await.unwrap();
    let got: Vec<String> = std::iter::from_fn(|| bob.next()).collect();
    assert!(
        got.iter()
            .any(|xml| xml.contains("affiliation='owner'") && xml.contains("/bob'")),
        "{got:#?}"
    );
    assert!(
        got.iter()
            .any(|xml| xml.contains("/alice'") && xml.contains("unavailable")),
        "{got:#?}"
    );
    assert_eq!(
        count(
            &house,
            "SELECT COUNT(*) FROM muc_affiliations WHERE jid = 'alice@localhost'"
        )
        .await,
        0
    );
    assert_eq!(
        count(
            &house,
            "SELECT COUNT(*) FROM muc_rooms WHERE creator = 'alice@localhost'"
        )
        .await,
        0
    );
    // Nobody is left to own it.
    house.router.erase_account(&bob.session.account).await.unwrap();
    assert_eq!(count(&house, "SELECT COUNT(*) FROM muc_rooms").await, 0);
    assert_eq!(count(&house, "SELECT COUNT(*) FROM muc_affiliations").await, 0);
}

#[tokio::test]
async fn rooms_out_of_use_are_put_out_of_memory_and_come_back() {
    let house = House::new(crate::MODULES).await;
    let mut alice = house.connect("alice@localhost/desktop").await;
    for at in 0..20 {
        let to = format!("room{at}@conference.localhost");
        alice
            .send(&format!(
                "<presence to='{to}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
            ))
            .await;
        instant(
            &mut alice,
            &to,
            "<field var='muc#roomconfig_persistentroom'><value>1</value></field>",
        )
        .await;
    }
    let registry = rooms(&house).0.clone();
    assert_eq!(registry.loaded(), 20);
    house.clock.advance(3_600);
    assert_eq!(registry.put_away(house.clock.now(), 600), 0, "somebody is there");
    for at in 0..20 {
        alice
            .send(&format!(
                "<presence to='room{at}@conference.localhost/alice' type='unavailable'/>"
            ))
            .await;
    }
    assert_eq!(registry.put_away(house.clock.now(), 600), 0, "just used");
    house.clock.advance(601);
    assert_eq!(registry.put_away(house.clock.now(), 600), 20);
    assert_eq!(registry.loaded(), 0);
    alice.skip();
    alice.send("<presence to='room7@conference.localhost/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>").await;
    assert!(alice.next().unwrap().contains("affiliation='owner'"));
    assert_eq!(registry.loaded(), 1);
}

#[tokio::test]
async fn a_default_room_is_made_once() {
    let db = memory().await;
    let settings = "[rooms]\ndefault = [\"Agora\"]\n";
    let house = House::on(db.clone(), crate::MODULES, settings).await;
    let mut admin = house.connect("admin@localhost/x").await;
    let agora = "agora@conference.localhost";
    admin
        .send(&format!(
            "<presence to='{agora}/admin'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
    assert!(admin.next().unwrap().contains("affiliation='owner'"));
    admin
        .send(&format!("<iq id='d' to='{agora}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>"))
        .await;
    let house = House::on(db, crate::MODULES, settings).await;
    let mut bob = house.connect("bob@localhost/x").await;
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    bob.ask(
        &format!("<iq id='i' to='conference.localhost' type='get'>{items}</iq>"),
        &format!("<iq id='i' type='result'>{items}</iq>"),
    )
    .await;
}

#[tokio::test]
async fn a_room_made_for_an_owner_who_is_away_is_there_after_a_restart() {
    let db = memory().await;
    let house = House::on(db.clone(), crate::MODULES, "").await;
    let owner = house.account("alice@localhost").await;
    let tea = BareJid::parse("tea@conference.localhost").unwrap();
    let create = async |house: &House, room: &BareJid| {
        let mut cx = house.router.cx().unwrap();
        let is_new = rooms(house).create(room, &owner, &mut cx).await.unwrap();
        house.router.finish(cx).await;
        is_new
    };
    assert!(create(&house, &tea).await);
    assert!(!create(&house, &tea).await, "it exists");
    let lobby = BareJid::parse("lobby@conference.localhost").unwrap();
    assert!(
        !create(&house, &lobby).await,
        "so does a default room that nobody has looked for yet"
    );

    let house = House::on(db, crate::MODULES, "").await;
    let mut bob = house.connect("bob@localhost/x").await;
    bob.send(&format!(
        "<presence to='{tea}/bob'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
    ))
    .await;
    let own = bob.next().unwrap();
    assert!(
        own.contains("affiliation='none'") && !own.contains("code='201'"),
        "{own}"
    );
    let mut alice = house.connect("alice@localhost/x").await;
    alice
        .send(&format!(
            "<presence to='{tea}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
    let seen: Vec<String> = std::iter::from_fn(|| alice.next()).collect();
    assert!(
        seen.iter().any(|xml| xml.contains("affiliation='owner'")),
        "{seen:#?}"
    );
    let listed = rooms(&house)
        .listed("conference.localhost", "", 10, &house.router)
        .await
        .unwrap();
    assert!(listed.iter().any(|room| room.jid == tea), "it is public");
}
