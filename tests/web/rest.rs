//! The REST API: who may ask what, and what XMPP clients see of it.

use serde_json::{Value, json};

use crate::common::{PASSWORD, TestServer};
use crate::http::{self, Answer, Http};

const OPEN: &str = "[registration]\nopen = true\n";
/// Everything that needs a token, as first lines of requests.
const GUARDED: [&str; 3] = [
    "POST /api/logout",
    "POST /api/message/send",
    "GET /api/message/history?user=bob",
];

fn json(answer: &Answer) -> Value {
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{answer:?}"
    );
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn code(answer: &Answer) -> (u16, String) {
    let code = json(answer)["error"]["code"].as_str().expect("a code").to_owned();
    (answer.status, code)
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

async fn login(server: &TestServer, name: &str) -> String {
    let body = json!({ "username": name, "password": PASSWORD });
    let answer = post(server, "/api/login", "", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    json(&answer)["token"].as_str().expect("a token").to_owned()
}

fn shown(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

async fn send(server: &TestServer, token: &str, body: Value) -> Answer {
    post(server, "/api/message/send", &shown(token), &body).await
}

async fn history(server: &TestServer, token: &str, query: &str) -> Answer {
    let line = format!("GET /api/message/history?{query}");
    http::ask(server, &line, &shown(token), b"").await
}

#[tokio::test]
async fn without_a_good_token_nothing_is_done() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let revoked = login(&server, "alice").await;
    let out = http::ask(&server, "POST /api/logout", &shown(&revoked), b"").await;
    assert_eq!(out.status, 200);
    for line in GUARDED {
        for (headers, expected) in [
            (String::new(), "missing-token"),
            (
                "Authorization: Basic YWxpY2U6c2VjcmV0\r\n".to_owned(),
                "missing-token",
            ),
            (shown(""), "invalid-token"),
            (shown(&"a".repeat(32)), "invalid-token"),
            (shown(&revoked), "invalid-token"),
        ] {
            let answer = http::ask(&server, line, &headers, b"").await;
            assert_eq!(code(&answer), refused(401, expected), "{line} {headers:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
}

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
    let forged = json!({ "from": "alice@localhost", "sender": "alice@localhost", "to": "bob", "content": "hi & <bye>" });
    let answer = send(&server, &mallory, forged).await;
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
    let foreign = json(&history(&server, &mallory, "user=alice@localhost").await);
    assert_eq!(foreign["messages"], json!([]));
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
        assert_eq!(json(&answer)["id"], format!("id{n}"), "{answer:?}");
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
        "user=alice&after=",
    ] {
        assert_eq!(
            code(&history(&server, &bob, query).await),
            refused(400, "bad-request"),
            "{query}"
        );
    }
    let unknown = history(&server, &bob, "user=alice&before=nothing").await;
    assert_eq!(code(&unknown), refused(404, "item-not-found"));
}

#[tokio::test]
async fn registering_has_the_rules_of_every_door() {
    let closed = TestServer::start().await;
    let body = json!({ "username": "carol", "password": "pencil" });
    let answer = post(&closed, "/api/register", "", &body).await;
    assert_eq!(code(&answer), refused(403, "not-allowed"));
    let mut invited = body.clone();
    invited["invitation"] = "a".repeat(32).into();
    let answer = post(&closed, "/api/register", "", &invited).await;
    assert_eq!(code(&answer), refused(404, "item-not-found"));
    let router = &closed.server().house().router;
    let invites = router
        .fact::<kim_xep::xep0401_invites::api::Invites>()
        .expect("invitations");
    let wanted = kim_xep::xep0401_invites::api::Wanted::by_operator("localhost");
    let uri = invites
        .create(router, wanted)
        .await
        .expect("an invitation")
        .links
        .uri;
    let token = uri.split("preauth=").nth(1).expect("a token");
    invited["invitation"] = token.split(';').next().into();
    let answer = post(&closed, "/api/register", "", &invited).await;
    assert_eq!(
        (answer.status, json(&answer)["jid"].clone()),
        (201, json!("carol@localhost"))
    );
    invited["username"] = "dave".into();
    let answer = post(&closed, "/api/register", "", &invited).await;
    assert_eq!(answer.status, 404, "it is used up");

    let open = TestServer::configured(OPEN).await;
    assert_eq!(post(&open, "/api/register", "", &body).await.status, 201);
    let again = post(&open, "/api/register", "", &body).await;
    assert_eq!(code(&again), refused(409, "conflict"));
    let reserved = json!({ "username": "admin", "password": "pencil" });
    assert_eq!(
        code(&post(&open, "/api/register", "", &reserved).await),
        refused(409, "conflict")
    );
    let elsewhere = json!({ "username": "x", "password": "y", "domain": "guest.localhost" });
    assert_eq!(
        code(&post(&open, "/api/register", "", &elsewhere).await),
        refused(404, "host-unknown")
    );
}

#[tokio::test]
async fn one_network_registers_a_few_accounts_an_hour() {
    let server = TestServer::configured(OPEN).await;
    for n in 0..3 {
        let body = json!({ "username": format!("u{n}"), "password": "pencil" });
        assert_eq!(post(&server, "/api/register", "", &body).await.status, 201);
    }
    let body = json!({ "username": "u3", "password": "pencil" });
    let answer = post(&server, "/api/register", "", &body).await;
    assert_eq!(code(&answer), refused(429, "resource-constraint"));
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down_as_at_every_door() {
    let server = TestServer::configured("[limits]\nlogin_failures_burst = 4\n").await;
    server.account("alice@localhost").await;
    // Neither the answers nor what is counted tell who is there.
    for name in ["alice", "nobody", "alice@elsewhere.example", "a b"] {
        let body = json!({ "username": name, "password": "wrong" });
        let answer = post(&server, "/api/login", "", &body).await;
        assert_eq!(code(&answer), refused(401, "not-authorized"), "{name}");
    }
    let body = json!({ "username": "alice", "password": PASSWORD });
    let answer = post(&server, "/api/login", "", &body).await;
    assert_eq!(code(&answer), refused(429, "too-many-requests"));
    assert!(answer.header("retry-after").is_some());
    let mut stream = server.secured("localhost").await;
    let failure = stream.plain("alice", PASSWORD).await;
    assert!(
        failure.as_str().contains("temporary-auth-failure"),
        "{}",
        failure.as_str()
    );
}

#[tokio::test]
async fn a_new_password_ends_what_was_signed_in_with_the_old_one() {
    let server = TestServer::start().await;
    let alice = server.account("alice@localhost").await;
    let token = login(&server, "alice").await;
    let accounts = server.server().house().router.accounts();
    let password = kim_core::accounts::scram::Password::prepare("another").expect("a password");
    accounts.set_password(&alice, &password).await.expect("a change");
    let answer = history(&server, &token, "user=bob").await;
    assert_eq!(code(&answer), refused(401, "invalid-token"));
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

/// Every path of the document answers, and the document knows every path that needs a token.
#[tokio::test]
async fn the_document_says_what_is_there() {
    let server = TestServer::start().await;
    let document = json(&http::ask(&server, "GET /api/openapi.json", "", b"").await);
    assert_eq!(document["openapi"], "3.1.0");
    let mut guarded = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let line = format!("{} {path}", method.to_uppercase());
            let answer = http::ask(&server, &line, "", b"").await;
            match operation.get("security") {
                Some(_) => assert_eq!(answer.status, 415, "{line}"),
                None => {
                    assert_eq!(answer.status, 401, "{line}");
                    guarded.push(line);
                }
            }
            let told = &operation["responses"][answer.status.to_string()];
            assert!(told.is_object(), "{path} does not say {}", answer.status);
        }
    }
    let known = GUARDED.map(|line| line.split('?').next().expect("a path").to_owned());
    guarded.sort();
    assert_eq!(guarded, {
        let mut known = known.to_vec();
        known.sort();
        known
    });
}
