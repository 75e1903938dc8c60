//! Messages to people, and their history.

use super::{code, history, json, login, refused, send};
use crate::common::TestServer;

#[tokio::test]
async fn the_sender_is_whose_token_it_is() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut bob = server.session("bob@localhost/phone").await;
    bob.send("<presence/>").await;
    bob.next().await;
    let token = login(&server, "bob@localhost").await;
    let mallory = {
        server.account("mallory@localhost").await;
        login(&server, "mallory").await
    };
    for sender in ["alice@localhost", "alice", "mallory@elsewhere.example"] {
        let forged = json!({ "sender": sender, "receiver": "bob", "content": "hi" });
        let answer = send(&server, &mallory, forged).await;
        assert_eq!(code(&answer), refused(403, "forbidden"), "{sender}");
        assert!(answer.text().contains("mallory@localhost"), "{}", answer.text());
    }
    let answer = send(
        &server,
        &mallory,
        json!({ "from": "alice@localhost", "to": "bob", "content": "hi" }),
    )
    .await;
    assert_eq!(code(&answer), refused(400, "bad-request"));
    let plain = json!({
        "sender": "mallory@localhost",
        "receiver": "bob@localhost",
        "content": "hi & <bye>",
        "encrypted": false,
        "encryption_type": null,
    });
    let answer = send(&server, &mallory, plain).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(json(&answer)["from"], "mallory@localhost");
    let message = bob.next().await;
    assert!(
        message
            .attr("from")
            .expect("a sender")
            .starts_with("mallory@localhost/")
    );
    assert_eq!(
        message.child("body", "jabber:client").expect("a body").text(),
        "hi & <bye>"
    );

    // Everybody reads their own archive, and there is no way to name another.
    let of_bob = json(&history(&server, &token, "user=mallory").await);
    assert_eq!(of_bob["messages"][0]["content"], "hi & <bye>");
    let own = json(&history(&server, &mallory, "user=bob").await);
    assert_eq!(
        (&own["messages"][0]["id"], &own["messages"][0]["message_id"]),
        (&json(&answer)["id"], &json(&answer)["message_id"]),
        "the ids are those of the answer"
    );
    assert!(json(&answer)["id"].is_string());
    assert_eq!(own["messages"][0]["timestamp"], json(&answer)["timestamp"]);
    // To oneself, the id is that of the one copy there is.
    let own = json!({ "receiver": "mallory", "content": "remember the milk" });
    let noted = json(&send(&server, &mallory, own).await);
    let page = json(&history(&server, &mallory, "user=mallory").await);
    assert_eq!(page["messages"][0]["id"], noted["id"]);
    assert_eq!(page["messages"][0]["timestamp"], noted["timestamp"]);
    let foreign = json(&history(&server, &mallory, "user=alice@localhost").await);
    assert_eq!(foreign["messages"], json!([]));
}

#[tokio::test]
async fn people_are_named_in_every_way_and_receiver_and_to_are_one_thing() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    server.account("bob@localhost").await;
    let token = login(&server, "alice@localhost/phone").await;
    for (number, name) in ["bob", "bob@localhost", "BOB@localhost", "bob@localhost/phone"]
        .into_iter()
        .enumerate()
    {
        for field in ["to", "receiver"] {
            let answer = send(&server, &token, json!({ field: name, "content": "x" })).await;
            assert_eq!(json(&answer)["to"], "bob@localhost", "{field} {name}");
        }
        let path = name.replace('/', "%2F");
        let page = json(&history(&server, &token, &format!("user={path}")).await);
        let count = page["messages"].as_array().expect("a list").len();
        assert_eq!(count, 2 * (number + 1), "{name}");
    }
    let both = json!({ "to": "bob", "receiver": "bob@localhost", "content": "x" });
    assert_eq!(send(&server, &token, both).await.status, 200);
    for (body, told) in [
        (
            json!({ "to": "bob", "receiver": "carol", "content": "x" }),
            "different recipients",
        ),
        (
            json!({ "content": "x" }),
            "the field \\\"receiver\\\" is required",
        ),
        (
            json!({ "reciever": "bob", "content": "x" }),
            "did you mean \\\"receiver\\\"?",
        ),
        (
            json!({ "to": "bob", "content": "secret", "encrpyted": true }),
            "unknown field \\\"encrpyted\\\"; did you mean \\\"encrypted\\\"?",
        ),
        (
            json!({ "to": "bob", "content": "" }),
            "must be a string that is not empty",
        ),
        (
            json!({ "to": "b b", "content": "x" }),
            "is not a valid address; it must be a name such as bob",
        ),
    ] {
        let answer = send(&server, &token, body.clone()).await;
        assert_eq!(code(&answer), refused(400, "bad-request"), "{body}");
        assert!(answer.text().contains(told), "{}", answer.text());
    }
    // A field that stands there twice could mean either.
    let twice = br#"{"to":"bob","content":"secret","encrypted":true,"encrypted":false}"#;
    let headers = format!("Content-Type: application/json\r\n{}", super::shown(&token));
    let answer = crate::http::ask(&server, "POST /api/message/send", &headers, twice).await;
    assert_eq!(code(&answer), refused(400, "bad-request"));
}

#[tokio::test]
async fn ciphertext_is_carried_as_elements_with_a_hint() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut bob = server.session("bob@localhost/phone").await;
    bob.send("<presence/>").await;
    bob.next().await;
    let token = login(&server, "alice").await;
    let sealed = "AAECAwQFBgcICQoLDA0ODw==";
    let omemo = "PGVuY3J5cHRlZCB4bWxucz0nZXUuc2lhY3MuY29udmVyc2F0aW9ucy5heG9sb3RsJz48aGVhZGVyIHNpZD0nMScvPjwvZW5jcnlwdGVkPg==";
    for (content, how, namespace) in [
        (sealed, "AES-256-GCM", "urn:kim:aes-256-gcm:0"),
        (omemo, "OMEMO", "eu.siacs.conversations.axolotl"),
    ] {
        let body = json!({ "to": "bob", "content": content, "encrypted": true, "encryption_type": how });
        assert_eq!(send(&server, &token, body).await.status, 200, "{how}");
        let message = bob.next().await;
        assert!(
            message.child("encrypted", namespace).is_some(),
            "{}",
            message.as_str()
        );
        let hint = message.child("encryption", "urn:xmpp:eme:0").expect("a hint");
        assert_eq!(hint.attr("namespace").as_deref(), Some(namespace));
    }
    let page = json(&history(&server, &token, "user=bob").await);
    for (at, content, how) in [(0, sealed, "AES-256-GCM"), (1, omemo, "OMEMO")] {
        let message = &page["messages"][at];
        assert_eq!(
            (&message["content"], &message["encryption_type"]),
            (&json!(content), &json!(how))
        );
        assert_eq!(message["encrypted"], true);
    }
    for body in [
        json!({ "to": "bob", "content": "x", "encrypted": true }),
        json!({ "to": "bob", "content": "x", "encryption_type": "OMEMO" }),
        json!({ "to": "bob", "content": "x", "encrypted": true, "encryption_type": "ROT13" }),
        json!({ "to": "bob", "content": "not base64", "encrypted": true, "encryption_type": "AES-256-GCM" }),
        json!({ "to": "bob", "content": "a\u{0}b" }),
        json!({ "to": "@", "content": "x" }),
        json!({ "to": "localhost@conference.localhost", "content": "x" }),
        json!({ "to": "bob" }),
    ] {
        assert_eq!(
            code(&send(&server, &token, body.clone()).await),
            refused(400, "bad-request"),
            "{body}"
        );
    }
    let nobody = send(&server, &token, json!({ "to": "nobody", "content": "x" })).await;
    assert_eq!(code(&nobody), refused(422, "service-unavailable"));
    assert!(
        nobody.text().contains("nobody has the address nobody@localhost"),
        "{}",
        nobody.text()
    );
}

#[tokio::test]
async fn messages_wait_for_whoever_is_away_and_history_comes_in_pages() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    server.account("bob@localhost").await;
    let token = login(&server, "alice").await;
    for n in 0..5 {
        let answer = send(
            &server,
            &token,
            json!({ "to": "bob", "content": format!("n{n}"), "id": format!("id{n}") }),
        )
        .await;
        assert_eq!(json(&answer)["message_id"], format!("id{n}"), "{answer:?}");
    }
    let bob = login(&server, "bob").await;
    let mut seen = Vec::new();
    let mut query = "user=alice&limit=2".to_owned();
    loop {
        let page = json(&history(&server, &bob, &query).await);
        let contents = page["messages"].as_array().expect("a list").iter();
        let mut contents: Vec<_> = contents.map(|message| message["content"].clone()).collect();
        contents.append(&mut seen);
        seen = contents;
        if page["complete"] == true {
            break;
        }
        query = format!(
            "user=alice&limit=2&before={}",
            page["first"].as_str().expect("an id")
        );
    }
    assert_eq!(seen, ["n0", "n1", "n2", "n3", "n4"]);
    for query in [
        "",
        "user=",
        "user=alice&limit=0",
        "user=alice&limit=x",
        "user=alice&before=a&after=b",
    ] {
        assert_eq!(
            code(&history(&server, &bob, query).await),
            refused(400, "bad-request"),
            "{query}"
        );
    }
    let first = json(&history(&server, &bob, "user=alice&limit=2&after=").await);
    assert_eq!(
        (&first["messages"][0]["content"], &first["complete"]),
        (&json!("n0"), &json!(false))
    );
    let unknown = history(&server, &bob, "user=alice&before=nothing").await;
    assert_eq!(code(&unknown), refused(404, "item-not-found"));
    assert!(
        unknown.text().contains("there is no message with the id"),
        "{}",
        unknown.text()
    );
}
