//! Passwords tried in vain are counted by account at every door, and the owner hears of it (decision 22).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::bosh::Bosh;
use crate::common::{PASSWORD, Scram, TestServer, condition, decoded};
use crate::http;
use crate::session::{Carrier, SASL};
use crate::websocket::Ws;

async fn fail_over(carrier: &mut impl Carrier, name: &str) {
    carrier.open("localhost").await;
    let mut scram = Scram::new(name, "guess");
    let first = STANDARD.encode(scram.first());
    let mechanism = scram.mechanism();
    carrier
        .send(&format!(
            "<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>"
        ))
        .await;
    let challenge = carrier.next().await;
    let answer = STANDARD.encode(scram.answer(&decoded(&challenge)));
    carrier
        .send(&format!("<response xmlns='{SASL}'>{answer}</response>"))
        .await;
    assert_eq!(condition(&carrier.next().await), "not-authorized");
}

/// Ten times, by every door.
async fn fail(server: &TestServer, name: &str) {
    for _ in 0..2 {
        let mut client = server.secured("localhost").await;
        for answer in [
            client.scram(Scram::new(name, "guess")).await,
            client.plain(name, "guess").await,
        ] {
            assert_eq!(condition(&answer), "not-authorized");
        }
        fail_over(&mut Ws::connect(server).await, name).await;
        fail_over(&mut Bosh::connect(server).await, name).await;
        let body = json!({ "username": name, "password": "guess" }).to_string();
        let headers = "Content-Type: application/json\r\n";
        let answer = http::ask(server, "POST /api/login", headers, body.as_bytes()).await;
        assert_eq!(answer.status, 401);
    }
}

#[tokio::test]
async fn the_owner_hears_of_what_was_tried_at_all_doors_together() {
    let limits =
        "[c2s]\nplain = true\n[limits]\nlogin_failures_burst = 1000\naccount_failures_burst = 1000\n";
    let server = TestServer::configured(limits).await;
    server.account("alice@localhost").await;
    fail(&server, "nobody").await;
    fail(&server, "alice").await;
    // Kept for them till they come; on the day after that there may be another one.
    fail(&server, "alice").await;
    let mut alice = server.session("alice@localhost/phone").await;
    alice
        .send("<presence/><iq type='get' id='last'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    let mut messages = Vec::new();
    loop {
        let next = alice.next().await;
        match next.name() {
            "message" => messages.push(next),
            "iq" => break,
            _ => {}
        }
    }
    let [message] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(message.attr("from").as_deref(), Some("localhost"));
    assert!(
        message.as_str().contains("wrong password 10 times since 20"),
        "{}",
        message.as_str()
    );
}

#[tokio::test]
async fn who_guesses_waits_and_the_owner_at_home_does_not() {
    let limits = "[c2s]\nplain = true\n[limits]\nlogin_seconds_max = 3\nlogin_failures_burst = 1000\n\
         account_failures_burst = 1\naccount_failure_delay_seconds_max = 300\n";
    let server = TestServer::configured(limits).await;
    server.account("alice@localhost").await;
    server.account("bob@localhost").await;
    let mut home = server.secured("localhost").await;
    home.login("alice", PASSWORD).await;
    for _ in 0..4 {
        let mut client = server.secured("localhost").await;
        assert_eq!(condition(&client.plain("alice", "guess").await), "not-authorized");
    }
    server.secured("localhost").await.login("alice", PASSWORD).await;
    // Nobody has logged in to this one from here: each try waits for twice as long, those at the same time too.
    let mut first = server.secured("localhost").await;
    assert_eq!(condition(&first.plain("bob", "guess").await), "not-authorized");
    let plain = |password: &str| {
        let text = STANDARD.encode(format!("\0bob\0{password}"));
        format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{text}</auth>")
    };
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = server.secured("localhost").await;
        client.send(plain("guess")).await;
        waiting.push(client);
    }
    server.until(|server| server.door().logins_in_hand() == 3).await;
    let mut last = server.secured("localhost").await;
    // What they were told is not known here; that the right password was not looked at is.
    last.send(plain(PASSWORD)).await;
    last.expect_stream_error("connection-timeout").await;
}
