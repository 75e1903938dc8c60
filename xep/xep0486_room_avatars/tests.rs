//! Pictures of rooms, in memory: what lies in the database.

use kim_core::db::Query;
use kim_core::testing::House;

const ROOM: &str = "garden@conference.localhost";

#[tokio::test]
async fn a_card_is_sealed_and_goes_with_its_room() {
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    for text in [
        format!("<presence to='{ROOM}/a'><x xmlns='http://jabber.org/protocol/muc'/></presence>"),
        format!(
            "<iq id='c' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'/></query></iq>"
        ),
        format!(
            "<iq id='v' to='{ROOM}' type='set'><vCard xmlns='vcard-temp'><FN>The secret garden</FN></vCard></iq>"
        ),
    ] {
        alice.send(&text).await;
    }
    let rows = house
        .db
        .fetch_all(Query::new("SELECT card FROM room_card"))
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    let card = rows[0].bytes(0).unwrap();
    assert!(!card.windows(6).any(|bytes| bytes == b"secret"));
    alice
        .send(&format!(
            "<iq id='x' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>"
        ))
        .await;
    let rows = house
        .db
        .fetch_all(Query::new("SELECT room FROM room_card"))
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn a_card_has_a_largest_size() {
    let house = House::configured(crate::MODULES, "[limits]\nvcard_bytes_max = 5000\n").await;
    let mut alice = house.online("alice@localhost/phone").await;
    for text in [
        format!("<presence to='{ROOM}/a'><x xmlns='http://jabber.org/protocol/muc'/></presence>"),
        format!(
            "<iq id='v' to='{ROOM}' type='set'><vCard xmlns='vcard-temp'><NOTE>{}</NOTE></vCard></iq>",
            "x".repeat(6_000)
        ),
    ] {
        alice.send(&text).await;
    }
    let answers: Vec<String> = std::iter::from_fn(|| alice.next()).collect();
    assert!(
        answers.iter().any(|answer| answer.contains("<policy-violation")),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_picture_that_was_not_stored_is_not_shown_and_a_damaged_card_is_none() {
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let card = |binval: &str| {
        format!(
            "<iq id='v' to='{ROOM}' type='set'><vCard xmlns='vcard-temp'>\
             <PHOTO><TYPE>image/png</TYPE><BINVAL>{binval}</BINVAL></PHOTO></vCard></iq>"
        )
    };
    let info = format!(
        "<iq id='i' to='{ROOM}' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    );
    alice
        .send(&format!(
            "<presence to='{ROOM}/a'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
    alice.send(&card("YQ==")).await;
    alice.skip();
    alice.send(&info).await;
    let before = alice.next().unwrap();
    assert!(before.contains("muc#roominfo_avatarhash"), "{before}");
    let refuse = "CREATE TRIGGER no BEFORE INSERT ON room_card BEGIN SELECT RAISE(ABORT, 'no'); END";
    house.db.execute(Query::new(refuse)).await.unwrap();
    alice.send(&card("Yg==")).await;
    let refused: String = std::iter::from_fn(|| alice.next()).collect();
    assert!(refused.contains("type='error'"), "{refused}");
    alice.send(&info).await;
    assert_eq!(alice.next().unwrap(), before);
    house.db.execute(Query::new("DROP TRIGGER no")).await.unwrap();
    house
        .db
        .execute(Query::new("UPDATE room_card SET card = x'00'"))
        .await
        .unwrap();
    alice
        .send(&format!(
            "<iq id='g' to='{ROOM}' type='get'><vCard xmlns='vcard-temp'/></iq>"
        ))
        .await;
    assert!(alice.next().unwrap().contains("<item-not-found"));
}
