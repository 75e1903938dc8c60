//! Rooms: finding, making and ending them, who belongs to them, and what is said there.

use serde_json::{Value, json};

use super::{ask, code, get, good, member, refused};
use crate::common::TestServer;

/// Enters a room as a client of XMPP, past what the room says first.
async fn inside(server: &TestServer, jid: &str, room: &str, nick: &str) -> crate::common::Client {
    let mut client = server.session(jid).await;
    client
        .send(&format!(
            "<presence to='{room}@conference.localhost/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
    while client.next().await.child("subject", "jabber:client").is_none() {}
    client
}

async fn say(server: &TestServer, token: &str, room: &str, content: &str) -> crate::http::Answer {
    let body = json!({ "room": room, "content": content });
    ask(server, token, "POST /api/room/send", body).await
}

#[tokio::test]
async fn a_public_room_is_made_found_described_and_ended() {
    let server = TestServer::start().await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    let body = json!({ "room": "garden", "template": "public", "name": "The garden", "description": "Bees & roses" });
    let made = ask(&server, &alice, "POST /api/rooms", body.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(good(&made)["room"], "garden@conference.localhost");
    let again = ask(&server, &bob, "POST /api/rooms", body).await;
    assert_eq!(code(&again), refused(409, "conflict"));

    let page = good(&get(&server, &bob, "/api/rooms?limit=1").await);
    assert_eq!(
        page,
        json!({
            "rooms": [{ "room": "garden@conference.localhost", "name": "The garden" }],
            "complete": false,
            "last": "garden@conference.localhost",
        })
    );
    let rest = good(&get(&server, &bob, "/api/rooms?after=garden@conference.localhost").await);
    assert_eq!(rest["rooms"][0]["room"], "lobby@conference.localhost");
    assert_eq!(rest["complete"], true);

    let room = good(&get(&server, &bob, "/api/room?room=garden").await);
    for (fact, value) in [
        ("name", json!("The garden")),
        ("description", json!("Bees & roses")),
        ("occupants", json!(0)),
        ("affiliation", json!("none")),
        ("is_public", json!(true)),
        ("is_persistent", json!(true)),
        ("is_members_only", json!(false)),
        ("is_anonymous", json!(true)),
    ] {
        assert_eq!(room[fact], value, "{fact} of {room}");
    }
    let own = good(&get(&server, &alice, "/api/rooms/own").await);
    assert_eq!(
        own["rooms"],
        json!([{ "room": "garden@conference.localhost", "affiliation": "owner", "is_bookmarked": false }])
    );
    assert_eq!(
        good(&get(&server, &bob, "/api/rooms/own").await)["rooms"],
        json!([])
    );

    let line = "DELETE /api/room?room=garden@conference.localhost";
    let answer = ask(&server, &bob, line, Value::Null).await;
    assert_eq!(code(&answer), refused(403, "forbidden"));
    good(&ask(&server, &alice, line, Value::Null).await);
    let gone = get(&server, &alice, "/api/room?room=garden").await;
    assert_eq!(code(&gone), refused(404, "item-not-found"));
    assert!(
        gone.text()
            .contains("there is no room garden@conference.localhost"),
        "{}",
        gone.text()
    );
}

#[tokio::test]
async fn a_private_group_is_for_its_members_and_ready_for_encryption() {
    let server = TestServer::start().await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    let mallory = member(&server, "mallory").await;
    let body = json!({ "template": "private", "name": "Us", "members": ["bob"] });
    let made = good(&ask(&server, &alice, "POST /api/rooms", body).await);
    let room = made["room"].as_str().expect("an address").to_owned();

    let facts = good(&get(&server, &bob, &format!("/api/room?room={room}")).await);
    for (fact, value) in [
        ("affiliation", json!("member")),
        ("is_public", json!(false)),
        ("is_members_only", json!(true)),
        ("is_persistent", json!(true)),
        ("is_anonymous", json!(false)),
    ] {
        assert_eq!(facts[fact], value, "{fact} of {facts}");
    }
    let listed = good(&get(&server, &bob, "/api/rooms").await).to_string();
    assert!(!listed.contains(&room), "{listed}");

    let path = format!("/api/room/members?room={room}");
    let members = good(&get(&server, &bob, &path).await);
    assert_eq!(
        members["members"],
        json!([
            { "user": "alice@localhost", "affiliation": "owner", "nick": null },
            { "user": "bob@localhost", "affiliation": "member", "nick": null },
        ])
    );
    assert_eq!(
        code(&get(&server, &mallory, &path).await),
        refused(403, "forbidden")
    );
    let history = format!("/api/room/history?room={room}");
    assert_eq!(
        code(&get(&server, &mallory, &history).await),
        refused(403, "forbidden")
    );
    let answer = say(&server, &mallory, &room, "let me in").await;
    assert_eq!(code(&answer), refused(403, "registration-required"));

    // Only those who may, change who belongs.
    let set = async |token: &str, user: &str, affiliation: &str| {
        let body = json!({ "user": user, "affiliation": affiliation });
        ask(&server, token, &format!("PUT {path}"), body).await
    };
    assert_eq!(
        code(&set(&mallory, "mallory", "member").await),
        refused(403, "forbidden")
    );
    assert_eq!(
        code(&set(&bob, "mallory", "owner").await),
        refused(403, "forbidden")
    );
    good(&set(&alice, "mallory", "member").await);
    good(&say(&server, &mallory, &room, "thank you").await);
    good(&set(&alice, "mallory", "outcast").await);
    let answer = say(&server, &mallory, &room, "and now?").await;
    assert_eq!(code(&answer), refused(403, "forbidden"));
    let all = good(&get(&server, &alice, &path).await)["members"].to_string();
    assert!(all.contains("outcast"), "{all}");
    let few = good(&get(&server, &bob, &path).await)["members"].to_string();
    assert!(
        !few.contains("outcast"),
        "who is banned is for admins to know: {few}"
    );
}

#[tokio::test]
async fn who_speaks_is_there_as_long_as_that_takes() {
    let server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    let mut bob = inside(&server, "bob@localhost/phone", "lobby", "bob").await;
    let said = good(&say(&server, &alice, "lobby", "hi & <bye>").await);
    assert_eq!(
        (&said["nick"], &said["room"]),
        (&json!("alice"), &json!("lobby@conference.localhost"))
    );
    let entered = bob.next().await;
    assert_eq!(
        (entered.name(), entered.attr("from").as_deref()),
        ("presence", Some("lobby@conference.localhost/alice"))
    );
    let heard = bob.next().await;
    assert_eq!(
        heard.child("body", "jabber:client").expect("a body").text(),
        "hi & <bye>"
    );
    let left = bob.next().await;
    assert_eq!(
        (left.name(), left.attr("type").as_deref()),
        ("presence", Some("unavailable"))
    );

    // It is in the room's history, under the id that was told.
    let page = good(&get(&server, &alice, "/api/room/history?room=lobby").await);
    let message = &page["messages"][0];
    for (fact, value) in [
        ("type", json!("groupchat")),
        ("room", json!("lobby@conference.localhost")),
        ("nick", json!("alice")),
        ("content", json!("hi & <bye>")),
        ("id", said["id"].clone()),
        ("message_id", said["message_id"].clone()),
        ("timestamp", said["timestamp"].clone()),
    ] {
        assert_eq!(message[fact], value, "{fact}");
    }
}

#[tokio::test]
async fn where_the_account_is_there_already_nobody_sees_it_come() {
    let server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    let mut bob = inside(&server, "bob@localhost/phone", "lobby", "bob").await;
    let mut desk = inside(&server, "alice@localhost/desk", "lobby", "Queen of Hearts").await;
    bob.next().await;
    let said = good(&say(&server, &alice, "lobby", "off with it").await);
    assert_eq!(said["nick"], "Queen of Hearts");
    bob.send("<message to='lobby@conference.localhost' type='groupchat'><body>ouch</body></message>")
        .await;
    for client in [&mut bob, &mut desk] {
        let mut bodies = Vec::new();
        while bodies.len() < 2 {
            let heard = client.next().await;
            // The occupant's presence may be shown once more; that somebody went would be another.
            assert_ne!(heard.attr("type").as_deref(), Some("unavailable"));
            let from = heard.attr("from").expect("a sender").into_owned();
            let body = heard.child("body", "jabber:client");
            let is_bobs = from.ends_with("/bob");
            assert!(is_bobs || from.ends_with("/Queen of Hearts"), "{from}");
            bodies.extend(body.map(|body| body.text().into_owned()));
        }
        assert_eq!(bodies, ["off with it", "ouch"]);
    }
    // Somebody else's nickname is not to be had.
    let body = json!({ "room": "lobby", "content": "x", "nick": "bob" });
    let carol = member(&server, "carol").await;
    let answer = ask(&server, &carol, "POST /api/room/send", body).await;
    assert_eq!(code(&answer), refused(409, "conflict"));
}

#[tokio::test]
async fn what_was_said_comes_in_pages() {
    let server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    for n in 0..5 {
        good(&say(&server, &alice, "lobby", &format!("n{n}")).await);
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/room/history?room=lobby&limit=2&after={after}");
        let page = good(&get(&server, &alice, &path).await);
        let contents = page["messages"].as_array().expect("a list").iter();
        seen.extend(contents.map(|message| message["content"].clone()));
        if page["complete"] == true {
            break;
        }
        after = page["last"].as_str().expect("an id").to_owned();
    }
    assert_eq!(seen, ["n0", "n1", "n2", "n3", "n4"]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    for (line, body, expected) in [
        (
            "GET /api/room?room=alice@localhost",
            Value::Null,
            refused(400, "bad-request"),
        ),
        ("GET /api/room?room=", Value::Null, refused(400, "bad-request")),
        ("GET /api/room", Value::Null, refused(400, "bad-request")),
        ("GET /api/room?room=%00", Value::Null, refused(400, "bad-request")),
        (
            "GET /api/room?room=nowhere",
            Value::Null,
            refused(404, "item-not-found"),
        ),
        (
            "GET /api/room/history?room=nowhere",
            Value::Null,
            refused(404, "item-not-found"),
        ),
        ("GET /api/rooms?limit=0", Value::Null, refused(400, "bad-request")),
        (
            "POST /api/rooms",
            json!({ "template": "public" }),
            refused(400, "bad-request"),
        ),
        (
            "POST /api/rooms",
            json!({ "template": "odd", "room": "x" }),
            refused(400, "bad-request"),
        ),
        (
            "POST /api/rooms",
            json!({ "template": "private", "members": ["@"] }),
            refused(400, "bad-request"),
        ),
        (
            "POST /api/rooms",
            json!({ "template": "public", "room": "x", "name": "n".repeat(201) }),
            refused(400, "not-acceptable"),
        ),
        (
            "POST /api/room/send",
            json!({ "room": "nowhere", "content": "x" }),
            refused(404, "item-not-found"),
        ),
        (
            "POST /api/room/send",
            json!({ "room": "lobby", "content": "x", "nick": "" }),
            refused(400, "bad-request"),
        ),
        (
            "PUT /api/room/members?room=lobby",
            json!({ "user": "bob", "affiliation": "king" }),
            refused(400, "bad-request"),
        ),
    ] {
        let answer = ask(&server, &alice, line, body.clone()).await;
        assert_eq!(code(&answer), expected, "{line} {body}");
    }
    // The room that could not be as it was to be is not left behind.
    let answer = get(&server, &alice, "/api/room?room=x").await;
    assert_eq!(answer.status, 404);
}
