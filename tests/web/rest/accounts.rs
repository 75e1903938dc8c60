//! Registering and signing in.

use sha2::{Digest, Sha256};

use super::{OPEN, code, history, json, login, post, refused};
use crate::common::{PASSWORD, TestServer};
use crate::http;

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
    let wanted = kim_xep::xep0401_invites::api::WantedInvitation::by_operator("localhost");
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
async fn a_username_or_password_that_is_refused_says_why() {
    let server = TestServer::configured(OPEN).await;
    for (username, password, reason, sentence) in [
        (
            "al ice",
            "pencil",
            "username-space",
            "a username cannot contain spaces",
        ),
        (
            "al/ice",
            "pencil",
            "username-character",
            "a username cannot contain /",
        ),
        ("", "pencil", "username-empty", "a username is required"),
        ("alice", "", "password-empty", "the password is empty"),
    ] {
        let body = json!({ "username": username, "password": password });
        let answer = post(&server, "/api/register", "", &body).await;
        assert_eq!(code(&answer), refused(400, "not-acceptable"), "{username:?}");
        let error = &json(&answer)["error"];
        assert_eq!(
            (&error["reason"], &error["message"]),
            (&json!(reason), &json!(sentence))
        );
    }
}

#[tokio::test]
async fn an_address_is_a_username_too_and_a_life_that_was_cut_is_told() {
    let server = TestServer::configured(OPEN).await;
    let body = json!({ "username": "carol@localhost", "password": "pencil" });
    let made = post(&server, "/api/register", "", &body).await;
    assert_eq!(json(&made)["jid"], "carol@localhost");
    let elsewhere = json!({ "username": "dave@elsewhere.example", "password": "pencil" });
    let answer = post(&server, "/api/register", "", &elsewhere).await;
    assert_eq!(code(&answer), refused(404, "host-unknown"));
    let both = json!({ "username": "dave@localhost", "password": "pencil", "domain": "LOCALHOST" });
    assert_eq!(post(&server, "/api/register", "", &both).await.status, 201);
    for (asked, seconds, is_told) in [
        (json!(null), 2_592_000, false),
        (json!(3_600), 3_600, false),
        (json!(1), 60, true),
        (json!(31_536_000), 2_592_000, true),
    ] {
        let body = json!({ "username": "carol@localhost/desk", "password": "pencil", "expires_in": asked });
        let token = json(&post(&server, "/api/login", "", &body).await);
        assert_eq!(token["expires_in"], seconds, "{token}");
        assert_eq!(token["notice"].is_string(), is_told, "{token}");
    }
}

/// XEP-0158 §6.2: the challenge is asked for, solved and sent back, and is good for one account.
#[tokio::test]
async fn open_registration_asks_for_work() {
    let closed = TestServer::start().await;
    let answer = http::ask(&closed, "GET /api/register", "", b"").await;
    assert_eq!(code(&answer), refused(403, "not-allowed"));
    let open = "[registration]\nopen = true\n[xep0158_captcha]\nbits = 6\n";
    let server = TestServer::configured(open).await;
    let mut body = json!({ "username": "carol", "password": "pencil" });
    let answer = post(&server, "/api/register", "", &body).await;
    assert_eq!(code(&answer), refused(400, "not-acceptable"));

    let answer = http::ask(&server, "GET /api/register?domain=localhost", "", b"").await;
    assert_eq!(answer.status, 200);
    let challenge = json(&answer)["challenge"].clone();
    let part = |name: &str| challenge[name].as_str().expect("a text").to_owned();
    let (prefix, label) = (part("prefix"), part("label"));
    body["challenge"] = part("id").into();
    body["proof"] = prefix.clone().into();
    let wrong = post(&server, "/api/register", "", &body).await;
    assert_eq!(code(&wrong), refused(400, "not-acceptable"));
    body["proof"] = solve(&prefix, &label).into();
    assert_eq!(post(&server, "/api/register", "", &body).await.status, 201);
    body["username"] = "dave".into();
    let again = post(&server, "/api/register", "", &body).await;
    assert_eq!(code(&again).1, "service-unavailable");

    let unasked = TestServer::configured(OPEN).await;
    let answer = http::ask(&unasked, "GET /api/register", "", b"").await;
    assert_eq!(
        (answer.status, json(&answer)),
        (200, json!({ "challenge": null }))
    );
}

/// A text that begins with `prefix` and whose hash ends in the bits of `label`.
fn solve(prefix: &str, label: &str) -> String {
    let label = u64::from_str_radix(label, 16).expect("hexadecimal");
    let mask = (1_u64 << (u64::BITS - label.leading_zeros())) - 1;
    (0_u64..)
        .map(|count| format!("{prefix}{count}"))
        .find(|text| {
            let hash = Sha256::digest(text.as_bytes());
            let end = hash.last_chunk::<8>().copied().map(u64::from_be_bytes);
            end.is_some_and(|end| end & mask == label)
        })
        .expect("a text")
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
    // Neither the answers nor what is counted tell who is there. A name that nobody can have is no guess.
    for name in ["alice", "nobody", "alice@elsewhere.example", "a b", "somebody"] {
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
