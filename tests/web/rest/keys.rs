//! Devices and keys of OMEMO, on bundles that real clients made.

use serde_json::{Value, json};

use super::{ask, code, get, good, member, refused};
use crate::common::TestServer;

fn legacy() -> Value {
    json!({
        "device": 31415,
        "version": "0.3",
        "identity_key": "BS0Gqd9yCgcj+g8QdV6bdqvNg5Rs6xVdZOMXVxV2E8oE",
        "signed_prekey": {
            "id": 1,
            "key": "BT8pTzJ1MiqolQPO0x3qQCGH4bvjv4GDpnzO5yo6Fg8S",
            "signature": "NDJsKKjvSJQFJ3BO7fdnBaotDJOkQLpD5yGY14pxk8QcouEr8hw+m7ZuEldPF+1WNC/+f5/2eEfyWVfs6fv9gA==",
        },
        "prekeys": [
            { "id": 1, "key": "BctQ+t+kJsPWHP/cYOiIwB3tZ2B9xKN/XjzAqT/Zb6gA" },
            { "id": 3, "key": "BfKQTB7xItQRagLifTnTokOa0NJeMQLY6PUieR2zc6Ix" },
        ],
    })
}

fn two() -> Value {
    json!({
        "device": 31415,
        "version": "2",
        "identity_key": "QPoEb2npGuoQPs0jbw3ZmEQIujZX1r648sGMpm6ye+s=",
        "signed_prekey": {
            "id": 1,
            "key": "92E7ofiLuTYzwL81A+VZbUSQdSytZEOeXjMjj6NBFXE=",
            "signature": "DgHZpbQ5sg2n5Xy0ZajqWrRddowBHv7v/BFtQZX8i2K31cnAdgaJO9IlIKxRZFkj7GIYjxpU6tCy5PVh/QAhAw==",
        },
        "prekeys": [
            { "id": 2, "key": "3iLHftwDAM7Y94DQCZdLquR2bjBx1r1h7C1Y29wPkhs=" },
            { "id": 8, "key": "BT8wixhuw23N1zv0dB/QmC71o6o3rSdU+RImRtvZQ0Y=" },
        ],
    })
}

#[tokio::test]
async fn keys_are_published_and_everybody_can_fetch_them() {
    let server = TestServer::start().await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    for keys in [legacy(), two()] {
        let version = keys["version"].as_str().expect("a version").to_owned();
        let answer = ask(&server, &alice, "PUT /api/keys", keys.clone()).await;
        assert_eq!(good(&answer), json!({ "device": 31415, "version": version }));
        let path = format!("/api/keys?user=alice&device=31415&version={version}");
        let mut told = keys;
        told["user"] = "alice@localhost".into();
        assert_eq!(
            good(&get(&server, &bob, &path).await),
            told,
            "a stranger reads them"
        );
    }
    let seen = good(&get(&server, &bob, "/api/devices?user=alice@localhost").await);
    assert_eq!(
        seen,
        json!({ "user": "alice@localhost", "devices": [{ "id": 31415, "versions": ["0.3", "2"] }] })
    );
    let own = good(&get(&server, &alice, "/api/devices").await);
    assert_eq!(own["devices"][0]["prekeys"], 2, "what only the owner is told");
    assert!(own["devices"][0]["fingerprint"].is_string(), "{own}");

    // What an XMPP client asks for is what was published here.
    let mut client = server.session("bob@localhost/phone").await;
    client
        .send(
            "<iq to='alice@localhost' type='get' id='k'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <items node='eu.siacs.conversations.axolotl.bundles:31415'/></pubsub></iq>",
        )
        .await;
    let answer = client.next().await;
    assert!(
        answer
            .as_str()
            .contains("BS0Gqd9yCgcj+g8QdV6bdqvNg5Rs6xVdZOMXVxV2E8oE"),
        "{}",
        answer.as_str()
    );
}

#[tokio::test]
async fn a_second_device_stands_beside_the_first_and_goes_alone() {
    let server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    let mut second = two();
    second["device"] = json!(27183);
    for keys in [legacy(), two(), second] {
        good(&ask(&server, &alice, "PUT /api/keys", keys).await);
    }
    let ids = async || {
        let told = good(&get(&server, &alice, "/api/devices").await);
        let devices = told["devices"].as_array().expect("a list").clone();
        devices
            .iter()
            .map(|device| device["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [27183, 31415]);
    good(&ask(&server, &alice, "DELETE /api/devices/31415", Value::Null).await);
    assert_eq!(ids().await, [27183]);
    for version in ["0.3", "2"] {
        let path = format!("/api/keys?device=31415&version={version}");
        assert_eq!(
            code(&get(&server, &alice, &path).await),
            refused(404, "item-not-found"),
            "its keys are gone too"
        );
    }
    good(&get(&server, &alice, "/api/keys?device=27183&version=2").await);
    let again = ask(&server, &alice, "DELETE /api/devices/31415", Value::Null).await;
    assert_eq!(code(&again), refused(404, "item-not-found"));
}

#[tokio::test]
async fn keys_that_nobody_could_use_are_refused_with_the_reason() {
    let server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    for (at, value, reason) in [
        (
            "/signed_prekey/signature",
            json!("NDJsKKjvSJUFJ3BO7fdnBaotDJOkQLpD5yGY14pxk8QcouEr8hw+m7ZuEldPF+1WNC/+f5/2eEfyWVfs6fv9gA=="),
            "wrong-signature",
        ),
        ("/identity_key", json!("AAAA"), "wrong-key-length"),
        ("/prekeys", json!([]), "no-prekeys"),
        ("/prekeys/1/id", json!(1), "duplicate-key-id"),
    ] {
        let mut broken = legacy();
        *broken.pointer_mut(at).expect("a part") = value;
        let answer = ask(&server, &alice, "PUT /api/keys", broken).await;
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(code(&answer), refused(400, "not-acceptable"), "{at}");
        assert!(told.contains(reason), "{told}");
    }
    for (at, value) in [
        ("/version", json!("1")),
        ("/device", json!(-1)),
        ("/prekeys", json!({})),
    ] {
        let mut broken = legacy();
        *broken.pointer_mut(at).expect("a part") = value;
        let answer = ask(&server, &alice, "PUT /api/keys", broken).await;
        assert_eq!(code(&answer), refused(400, "bad-request"), "{at}");
    }
    for path in [
        "/api/keys?device=1",
        "/api/keys?device=x&version=2",
        "/api/keys?device=1&version=3",
        "/api/devices?user=@",
    ] {
        assert_eq!(
            code(&get(&server, &alice, path).await),
            refused(400, "bad-request"),
            "{path}"
        );
    }
    let none = good(&get(&server, &alice, "/api/devices").await);
    assert_eq!(none["devices"], json!([]), "nothing of it was kept");
}
