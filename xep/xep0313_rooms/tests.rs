//! Stories of room archives, told in memory.

use kim_core::testing::{Client, House};

const ROOM: &str = "coven@conference.localhost";

async fn enter(client: &mut Client, nick: &str) {
    client
        .send(&format!(
            "<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
}

async fn configure(client: &mut Client, fields: &[(&str, &str)]) {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    client
        .send(&format!(
            "<iq id='cfg' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#roomconfig</value></field>{fields}</x></query></iq>"
        ))
        .await;
    let answers: Vec<String> = std::iter::from_fn(|| client.next()).collect();
    assert!(
        answers
            .iter()
            .any(|answer| answer.contains("type='result' id='cfg'") || answer.contains("id='cfg'")),
        "{answers:?}"
    );
    assert!(
        !answers.iter().any(|answer| answer.contains("type='error'")),
        "{answers:?}"
    );
}

async fn say(client: &mut Client, body: &str) {
    client
        .send(&format!(
            "<message to='{ROOM}' type='groupchat'><body>{body}</body></message>"
        ))
        .await;
    client.skip();
}

/// What the archive gives: the results, and the last stanza.
async fn read(client: &mut Client, inner: &str) -> (Vec<String>, String) {
    client.skip();
    client
        .send(&format!(
            "<iq type='set' id='q' to='{ROOM}'><query xmlns='urn:xmpp:mam:2'>{inner}</query></iq>"
        ))
        .await;
    let mut came: Vec<String> = std::iter::from_fn(|| client.next()).collect();
    let fin = came.pop().unwrap();
    (came, fin)
}

async fn features(client: &mut Client) -> String {
    client.skip();
    client
        .send(&format!(
            "<iq type='get' id='d' to='{ROOM}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        ))
        .await;
    client.next().unwrap()
}

async fn room() -> (House, Client, Client) {
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let bob = house.online("bob@localhost/laptop").await;
    enter(&mut alice, "alice").await;
    configure(&mut alice, &[]).await;
    (house, alice, bob)
}

#[tokio::test]
async fn only_those_who_may_enter_read() {
    // §6.1.2
    let (_house, mut alice, mut bob) = room().await;
    say(&mut alice, "one").await;
    assert_eq!(read(&mut bob, "").await.0.len(), 1, "an open room");
    configure(&mut alice, &[("muc#roomconfig_membersonly", "1")]).await;
    let (none, error) = read(&mut bob, "").await;
    assert!(none.is_empty() && error.contains("<forbidden"), "{error}");
    alice
        .send(&format!(
            "<iq id='m' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>\
             <item affiliation='member' jid='bob@localhost'/></query></iq>"
        ))
        .await;
    assert_eq!(read(&mut bob, "").await.0.len(), 1, "a member, there or not");
    configure(
        &mut alice,
        &[
            ("muc#roomconfig_membersonly", "0"),
            ("muc#roomconfig_passwordprotectedroom", "1"),
            ("muc#roomconfig_roomsecret", "cauldron"),
        ],
    )
    .await;
    assert!(
        read(&mut bob, "").await.1.contains("<forbidden"),
        "who is outside has not said the password"
    );
    bob.send(&format!(
        "<presence to='{ROOM}/bob'><x xmlns='http://jabber.org/protocol/muc'><password>cauldron</password></x></presence>"
    ))
    .await;
    assert_eq!(read(&mut bob, "").await.0.len(), 1);
    assert_eq!(read(&mut alice, "").await.0.len(), 1, "its owner needs none");
}

#[tokio::test]
async fn guests_read_what_is_public_and_no_more() {
    let (house, mut alice, _bob) = room().await;
    say(&mut alice, "welcome").await;
    let mut guest = house.guest("g1@guest.localhost/web").await;
    assert_eq!(read(&mut guest, "").await.0.len(), 1);
    configure(&mut alice, &[("{urn:kim:muc:0}roomconfig_guests", "0")]).await;
    assert!(read(&mut guest, "").await.1.contains("<forbidden"));
}

#[tokio::test]
async fn where_addresses_are_no_secret_the_archive_tells_them() {
    // §6.1.2, §4.1.1
    let (_house, mut alice, mut bob) = room().await;
    enter(&mut bob, "bob").await;
    say(&mut alice, "one").await;
    say(&mut bob, "two").await;
    let with = |jid: &str| {
        format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
             <field var='with'><value>{jid}</value></field></x>"
        )
    };
    let (veiled, _) = read(&mut bob, "").await;
    assert!(veiled.iter().all(|result| !result.contains("jid=")), "{veiled:?}");
    configure(&mut alice, &[("muc#roomconfig_whois", "anyone")]).await;
    let (open, _) = read(&mut bob, "").await;
    assert!(open[0].contains("jid='alice@localhost/phone'"), "{}", open[0]);
    assert!(open[1].contains("jid='bob@localhost/laptop'"), "{}", open[1]);
    for who in ["bob@localhost", "bob@localhost/laptop", &format!("{ROOM}/bob")] {
        let (his, _) = read(&mut bob, &with(who)).await;
        assert_eq!(his.len(), 1, "{who}");
        assert!(his[0].contains("<body>two</body>"), "{}", his[0]);
    }
    assert!(read(&mut bob, &with("bob@localhost/other")).await.0.is_empty());
}

#[tokio::test]
async fn private_messages_and_what_the_room_refused_are_not_there() {
    // §6.1.2
    let (_house, mut alice, mut bob) = room().await;
    enter(&mut bob, "bob").await;
    alice
        .send(&format!(
            "<message to='{ROOM}/bob' type='chat'><body>psst</body>\
             <x xmlns='http://jabber.org/protocol/muc#user'/></message>"
        ))
        .await;
    configure(&mut alice, &[("muc#roomconfig_moderatedroom", "1")]).await;
    alice
        .send(&format!(
            "<iq id='v' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>\
             <item nick='bob' role='visitor'/></query></iq>"
        ))
        .await;
    say(&mut bob, "I have no voice").await;
    assert!(read(&mut alice, "").await.0.is_empty());
}

#[tokio::test]
async fn a_room_without_an_archive_promises_none() {
    let (_house, mut alice, _bob) = room().await;
    let promises = [
        "urn:xmpp:mam:2'",
        "urn:xmpp:mam:2#extended'",
        "urn:xmpp:message-moderate:0'",
        "urn:xmpp:message-moderate:1'",
        "urn:xmpp:message-retract:1'",
        "urn:xmpp:message-retract:1#tombstone'",
    ];
    let with = features(&mut alice).await;
    assert!(with.contains("urn:xmpp:sid:0'"), "{with}");
    assert!(promises.iter().all(|feature| with.contains(feature)), "{with}");
    configure(&mut alice, &[("muc#roomconfig_enablearchiving", "0")]).await;
    let without = features(&mut alice).await;
    assert!(
        !promises.iter().any(|feature| without.contains(feature)),
        "{without}"
    );
    say(&mut alice, "gone with the wind").await;
    assert!(read(&mut alice, "").await.0.is_empty());
}

#[tokio::test]
async fn an_archive_is_sealed_with_the_rooms_key_and_goes_with_the_room() {
    let (house, mut alice, _bob) = room().await;
    say(&mut alice, "by the pricking of my thumbs").await;
    let rows = house
        .db
        .fetch_all(kim_core::db::Query::new("SELECT owner, stanza FROM mam_archive"))
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].text(0).unwrap(), ROOM);
    let sealed = rows[0].bytes(1).unwrap();
    assert!(!sealed.windows(8).any(|bytes| bytes == b"pricking"));
    alice
        .send(&format!(
            "<iq id='x' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>"
        ))
        .await;
    let rows = house
        .db
        .fetch_all(kim_core::db::Query::new("SELECT owner FROM mam_archive"))
        .await
        .unwrap();
    assert!(rows.is_empty());
    assert!(read(&mut alice, "").await.1.contains("<item-not-found"));
}

#[tokio::test]
async fn pages_of_a_busy_room_follow_one_another() {
    // §4.3
    let (_house, mut alice, mut bob) = room().await;
    for n in 0..25 {
        say(&mut alice, &format!("number {n}")).await;
    }
    let mut after = String::new();
    let mut read_so_far = Vec::new();
    loop {
        let page = format!("<set xmlns='http://jabber.org/protocol/rsm'><max>10</max>{after}</set>");
        let (results, fin) = read(&mut bob, &page).await;
        read_so_far.extend(results);
        if fin.contains("complete='true'") {
            break;
        }
        let last = fin.split("<last>").nth(1).unwrap().split('<').next().unwrap();
        after = format!("<after>{last}</after>");
    }
    assert_eq!(read_so_far.len(), 25);
    for (n, result) in read_so_far.iter().enumerate() {
        assert!(result.contains(&format!("<body>number {n}</body>")), "{result}");
    }
}
