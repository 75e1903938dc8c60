//! The document, and what holds for every path.

use std::collections::BTreeSet;

use super::{GUARDED, OPEN, ask, code, json, login, member, post, refused, shown};
use crate::common::TestServer;
use crate::http::{self, Http};

#[tokio::test]
async fn without_a_good_token_nothing_is_done() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let revoked = login(&server, "alice").await;
    let out = http::ask(&server, "POST /api/logout", &shown(&revoked), b"").await;
    assert_eq!(out.status, 200);
    for (line, _, _) in GUARDED {
        for (headers, expected) in [
            (String::new(), "missing-token"),
            (
                "Authorization: Basic YWxpY2U6c2VjcmV0\r\n".to_owned(),
                "missing-token",
            ),
            (shown(""), "missing-token"),
            (shown(&"a".repeat(32)), "invalid-token"),
            (shown("x"), "invalid-token"),
            (shown(&revoked), "invalid-token"),
        ] {
            let answer = http::ask(&server, line, &headers, b"").await;
            assert_eq!(code(&answer), refused(401, expected), "{line} {headers:?}");
            let challenge = answer.header("www-authenticate").expect("RFC 6750 §3");
            assert!(challenge.starts_with("Bearer"), "{challenge}");
        }
    }
}

#[tokio::test]
async fn every_refusal_is_json_with_a_code() {
    let server = TestServer::start().await;
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(64), "]".repeat(64));
    let long = vec![b' '; 1_048_577];
    let typed = "Content-Type: application/json\r\n";
    for (line, headers, body, expected) in [
        ("GET /api/nothing", "", &b""[..], refused(404, "not-found")),
        ("GET /api/login", "", b"", refused(405, "method-not-allowed")),
        (
            "POST /api/login",
            "",
            b"{}",
            refused(415, "unsupported-media-type"),
        ),
        ("POST /api/login", typed, b"", refused(400, "bad-request")),
        ("POST /api/login", typed, b"[]", refused(400, "bad-request")),
        ("POST /api/login", typed, b"\xff", refused(400, "bad-request")),
        (
            "POST /api/login",
            typed,
            deep.as_bytes(),
            refused(400, "bad-request"),
        ),
        ("POST /api/login", typed, &long, refused(413, "too-long")),
    ] {
        let answer = http::ask(&server, line, headers, body).await;
        assert_eq!(code(&answer), expected, "{line} {} bytes", body.len());
    }
    // Where somebody could listen in, no password is taken.
    let mut plain = Http::plain(server.http).await;
    for line in ["POST /api/login", "POST /api/register", "POST /api/message/send"] {
        let answer = plain.ask(line, typed, b"{}").await;
        assert_eq!(code(&answer), refused(403, "tls-required"), "{line}");
    }
}

/// Every path of the document answers, and the document knows every path that needs a token, and for what it must be good.
#[tokio::test]
async fn the_document_says_what_is_there() {
    let server = TestServer::configured(OPEN).await;
    let document = json(&http::ask(&server, "GET /api/openapi.json", "", b"").await);
    assert_eq!(document["openapi"], "3.1.0");
    let mut guarded = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let line = format!("{} {path}", method.to_uppercase());
            let answer = http::ask(&server, &line, "", b"").await;
            let security = operation["security"].as_array().expect("security");
            let expected = match (security.first(), method.as_str()) {
                (None, "get") => 200,
                (None, _) => 415,
                (Some(scheme), _) => {
                    let scope = scheme["bearer"][0].as_str().unwrap_or_default().to_owned();
                    guarded.insert((line.clone(), scope));
                    401
                }
            };
            assert_eq!(answer.status, expected, "{line}");
            let told = &operation["responses"][answer.status.to_string()];
            assert!(told.is_object(), "{line} does not say {}", answer.status);
        }
    }
    // The document says {id} where a request says which.
    let general = |line: &str| match line.split('?').next().unwrap_or_default() {
        "DELETE /api/tokens/x" => "DELETE /api/tokens/{id}".to_owned(),
        "DELETE /api/devices/1" => "DELETE /api/devices/{id}".to_owned(),
        "DELETE /api/files/x" => "DELETE /api/files/{id}".to_owned(),
        "DELETE /api/push/subscribe/x" => "DELETE /api/push/subscribe/{id}".to_owned(),
        "POST /api/requests/1/accept" => "POST /api/requests/{id}/{act}".to_owned(),
        "POST /api/roster/bob/subscribe" => "POST /api/roster/{jid}/{act}".to_owned(),
        line => line.replace("/roster/bob", "/roster/{jid}"),
    };
    let known: BTreeSet<_> = GUARDED
        .iter()
        .map(|(line, scope, _)| (general(line), (*scope).to_owned()))
        .collect();
    assert_eq!(guarded, known);
}

/// Whatever is not known is named, with what was meant, on every path; so nothing that was misspelt is ever done otherwise.
#[tokio::test]
async fn unknown_fields_and_parameters_are_refused_on_every_path() {
    let server = TestServer::configured("[limits]\nenabled = false\n").await;
    server.account("bob@localhost").await;
    let token = member(&server, "alice").await;
    for (line, _, body) in GUARDED {
        let with = if line.contains('?') { '&' } else { '?' };
        let body_of_it = serde_json::from_str(body).unwrap_or_default();
        let answer = ask(&server, &token, &format!("{line}{with}surplus=1"), body_of_it).await;
        assert_eq!(code(&answer), refused(400, "bad-request"), "{line}");
        assert!(
            answer.text().contains("unknown parameter \\\"surplus\\\""),
            "{line}: {}",
            answer.text()
        );
        if body.is_empty() {
            continue;
        }
        let mut more: serde_json::Value = serde_json::from_str(body).expect("JSON");
        more["surplus"] = json!(1);
        let answer = ask(&server, &token, line, more).await;
        assert_eq!(code(&answer), refused(400, "bad-request"), "{line}");
        assert!(
            answer.text().contains("unknown field \\\"surplus\\\""),
            "{line}: {}",
            answer.text()
        );
    }
    for line in ["POST /api/login", "POST /api/register"] {
        let body = json!({ "username": "alice", "password": "secret", "surplus": 1 });
        let answer = post(&server, line.trim_start_matches("POST "), "", &body).await;
        assert_eq!(code(&answer), refused(400, "bad-request"), "{line}");
    }
    let answer = http::ask(&server, "GET /api/openapi.json?surplus=1", "", b"").await;
    assert_eq!(code(&answer), refused(400, "bad-request"));
}

/// No name of a type in the program and no text of a library gets out.
#[tokio::test]
async fn errors_are_sentences_for_people() {
    let server = TestServer::start().await;
    let token = member(&server, "alice").await;
    let foreign = [
        "u32",
        "u64",
        "struct",
        "expected",
        "serde",
        "column 0",
        "Fault",
        "variant",
        "deserialize",
        "item not found",
    ];
    for (line, body) in [
        ("DELETE /api/devices/x", json!(null)),
        ("DELETE /api/devices/99999999999", json!(null)),
        ("GET /api/keys?device=x&version=2", json!(null)),
        ("GET /api/keys?device=1&version=9", json!(null)),
        ("GET /api/message/history?user=bob&limit=x", json!(null)),
        ("GET /api/message/history?user=bob&before=nothing", json!(null)),
        ("GET /api/room/history?room=nowhere", json!(null)),
        ("GET /api/room?room=nowhere", json!(null)),
        ("DELETE /api/room?room=nowhere", json!(null)),
        ("GET /api/room/members?room=nowhere", json!(null)),
        (
            "PUT /api/room/members?room=nowhere",
            json!({ "user": "bob", "affiliation": "member" }),
        ),
        (
            "PUT /api/room/members?room=lobby",
            json!({ "user": "bob", "affiliation": "king" }),
        ),
        (
            "POST /api/room/send",
            json!({ "room": "nowhere", "content": "x" }),
        ),
        ("DELETE /api/roster/nobody", json!(null)),
        ("POST /api/roster/bob/marry", json!(null)),
        ("DELETE /api/tokens/x", json!(null)),
        ("DELETE /api/files/x", json!(null)),
        ("POST /api/upload/slot", json!({ "filename": "x", "size": "1" })),
        ("POST /api/upload/slot", json!({ "filename": "x", "size": 1.5 })),
        ("POST /api/message/send", json!("text")),
        ("POST /api/message/send", json!({ "to": ["bob"], "content": "x" })),
        ("GET /api/nothing", json!(null)),
    ] {
        let answer = ask(&server, &token, line, body).await;
        let told = json(&answer);
        let message = told["error"]["message"].as_str().expect("a sentence");
        assert!((400..500).contains(&answer.status), "{line}: {told}");
        assert!(message.contains(' '), "{line}: {message}");
        for word in foreign {
            assert!(!message.contains(word), "{line}: {message}");
        }
    }
}
