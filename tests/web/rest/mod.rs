//! The REST API: who may ask what, and what XMPP clients see of it.

mod accounts;
mod cors;
mod document;
mod events;
mod files;
mod keys;
mod messages;
mod push;
mod rooms;
mod roster;
mod tokens;

use serde_json::{Value, json};

use crate::common::{PASSWORD, TestServer};
use crate::http::{self, Answer};

/// Open registration that asks for no work, for what is not about it.
const OPEN: &str = "[registration]\nopen = true\n[xep0158_captcha]\nenabled = false\n";

/// Everything that needs a token: first lines of requests that would do something, the scope, and a body.
const GUARDED: [(&str, &str, &str); 32] = [
    ("POST /api/logout", "", ""),
    ("GET /api/tokens", "manage", ""),
    ("DELETE /api/tokens", "manage", ""),
    ("DELETE /api/tokens/x", "manage", ""),
    ("POST /api/message/send", "send", r#"{"to":"bob","content":"x"}"#),
    ("GET /api/message/history?user=bob", "read", ""),
    ("GET /api/events", "read", ""),
    ("GET /api/rooms", "read", ""),
    ("POST /api/rooms", "manage", r#"{"room":"x","template":"public"}"#),
    ("GET /api/rooms/own", "read", ""),
    ("GET /api/room?room=lobby", "read", ""),
    ("DELETE /api/room?room=lobby", "manage", ""),
    ("GET /api/room/members?room=lobby", "read", ""),
    (
        "PUT /api/room/members?room=lobby",
        "manage",
        r#"{"user":"bob","affiliation":"member"}"#,
    ),
    ("POST /api/room/send", "send", r#"{"room":"lobby","content":"x"}"#),
    ("GET /api/room/history?room=lobby", "read", ""),
    ("GET /api/roster", "read", ""),
    ("PUT /api/roster/bob", "manage", "{}"),
    ("DELETE /api/roster/bob", "manage", ""),
    ("POST /api/roster/bob/subscribe", "manage", ""),
    ("GET /api/requests", "read", ""),
    ("POST /api/requests/1/accept", "manage", ""),
    ("GET /api/devices", "read", ""),
    ("DELETE /api/devices/1", "manage", ""),
    ("GET /api/keys?device=1&version=2", "read", ""),
    ("PUT /api/keys", "manage", "{}"),
    ("POST /api/upload/slot", "send", r#"{"filename":"x","size":1}"#),
    ("GET /api/files", "read", ""),
    ("DELETE /api/files/x", "manage", ""),
    ("GET /api/push/subscribe", "read", ""),
    ("POST /api/push/subscribe", "manage", "{}"),
    ("DELETE /api/push/subscribe/x", "manage", ""),
];

fn json(answer: &Answer) -> Value {
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{answer:?}"
    );
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// What an answer has that must be there and well.
fn good(answer: &Answer) -> Value {
    assert!(
        (200..300).contains(&answer.status),
        "{} {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    json(answer)
}

#[track_caller]
fn code(answer: &Answer) -> (u16, String) {
    let told = json(answer);
    let code = told["error"]["code"].as_str();
    let code = code.unwrap_or_else(|| panic!("{} {told}", answer.status));
    (answer.status, code.to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

async fn post(server: &TestServer, path: &str, headers: &str, body: &Value) -> Answer {
    let headers = format!("Content-Type: application/json\r\n{headers}");
    http::ask(
        server,
        &format!("POST {path}"),
        &headers,
        body.to_string().as_bytes(),
    )
    .await
}

/// Asks with a token; a body is JSON.
async fn ask(server: &TestServer, token: &str, line: &str, body: Value) -> Answer {
    let headers = format!("Content-Type: application/json\r\n{}", shown(token));
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    http::ask(server, line, &headers, body.as_bytes()).await
}

async fn get(server: &TestServer, token: &str, path: &str) -> Answer {
    ask(server, token, &format!("GET {path}"), Value::Null).await
}

async fn login(server: &TestServer, name: &str) -> String {
    login_for(server, name, Value::Null).await
}

/// A token that is good for some things only.
async fn login_for(server: &TestServer, name: &str, scopes: Value) -> String {
    let body = json!({ "username": name, "password": PASSWORD, "scopes": scopes });
    let answer = post(server, "/api/login", "", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    json(&answer)["token"].as_str().expect("a token").to_owned()
}

/// A new account and a token of it.
async fn member(server: &TestServer, name: &str) -> String {
    server.account(&format!("{name}@localhost")).await;
    login(server, name).await
}

fn shown(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

async fn send(server: &TestServer, token: &str, body: Value) -> Answer {
    post(server, "/api/message/send", &shown(token), &body).await
}

async fn history(server: &TestServer, token: &str, query: &str) -> Answer {
    get(server, token, &format!("/api/message/history?{query}")).await
}
