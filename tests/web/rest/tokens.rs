//! What a token is good for, and how one that was lost is ended.

use serde_json::Value;

use super::{ask, code, get, good, json, login, login_for, member, post, refused};
use crate::common::{PASSWORD, TestServer};

#[tokio::test]
async fn a_token_does_what_it_was_given_for_and_nothing_else() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    server.account("bob@localhost").await;
    let scopes = ["read", "send", "manage"];
    for own in scopes {
        let token = login_for(&server, "alice", json!([own])).await;
        for (line, needed, body) in super::GUARDED {
            // A good one would end what it is tried with.
            if needed == own && line.starts_with("DELETE /api/tokens")
                || line == "GET /api/events" && own == "read"
            {
                continue;
            }
            let body = serde_json::from_str(body).unwrap_or(Value::Null);
            if needed.is_empty() {
                continue;
            }
            let answer = ask(&server, &token, line, body).await;
            if needed == own {
                let told = String::from_utf8_lossy(&answer.body);
                assert!(!told.contains("insufficient-scope"), "{line} with {own}: {told}");
                continue;
            }
            assert_eq!(
                code(&answer),
                refused(403, "insufficient-scope"),
                "{line} with {own}"
            );
            assert_eq!(
                answer.header("www-authenticate"),
                Some(&*format!(
                    "Bearer error=\"insufficient_scope\", scope=\"{needed}\""
                )),
                "RFC 6750 §3.1"
            );
        }
    }
}

#[tokio::test]
async fn scopes_are_chosen_when_signing_in() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let sign_in = async |scopes: Value| {
        let body = json!({ "username": "alice", "password": PASSWORD, "scopes": scopes });
        post(&server, "/api/login", "", &body).await
    };
    for (asked, given) in [
        (Value::Null, json!(["read", "send", "manage"])),
        (json!(["send", "read", "send"]), json!(["read", "send"])),
        (json!(["manage"]), json!(["manage"])),
    ] {
        assert_eq!(good(&sign_in(asked).await)["scopes"], given);
    }
    for wrong in [json!([]), json!(["everything"]), json!("read"), json!([1])] {
        assert_eq!(
            code(&sign_in(wrong.clone()).await),
            refused(400, "bad-request"),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_lost_token_is_found_by_its_id_and_ended() {
    let server = TestServer::start().await;
    let (lost, kept) = (member(&server, "alice").await, login(&server, "alice").await);
    let bobs = member(&server, "bob").await;
    let listed = good(&get(&server, &kept, "/api/tokens").await);
    let tokens = listed["tokens"].as_array().expect("a list").clone();
    assert_eq!(tokens.len(), 2);
    assert_eq!(
        tokens
            .iter()
            .map(|token| &token["is_current"])
            .collect::<Vec<_>>(),
        [&json!(true), &json!(false)],
        "the newest first"
    );
    let whole = listed.to_string();
    assert!(!whole.contains(&lost) && !whole.contains(&kept), "no secrets");
    let id = tokens[1]["id"].as_str().expect("an id");
    let line = format!("DELETE /api/tokens/{id}");

    let answer = ask(&server, &bobs, &line, Value::Null).await;
    assert_eq!(code(&answer), refused(404, "item-not-found"), "it is not his");
    assert_eq!(get(&server, &lost, "/api/roster").await.status, 200);
    assert_eq!(good(&ask(&server, &kept, &line, Value::Null).await)["revoked"], 1);
    let answer = get(&server, &lost, "/api/roster").await;
    assert_eq!(code(&answer), refused(401, "invalid-token"));
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer error=\"invalid_token\"")
    );
    let answer = ask(&server, &kept, &line, Value::Null).await;
    assert_eq!(code(&answer), refused(404, "item-not-found"));

    // All at once, the one that says so too; those of others stay.
    login(&server, "alice").await;
    let answer = ask(&server, &kept, "DELETE /api/tokens", Value::Null).await;
    assert_eq!(json(&answer)["revoked"], 2);
    assert_eq!(get(&server, &kept, "/api/roster").await.status, 401);
    assert_eq!(get(&server, &bobs, "/api/roster").await.status, 200);
}
