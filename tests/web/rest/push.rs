//! Web push: what a subscription looks like is settled; pushing is not there yet.

use serde_json::json;

use super::{ask, code, member, refused};
use crate::common::TestServer;

/// A point on P-256, and 16 bytes, as a browser gives them (RFC 8291 §5).
const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

#[tokio::test]
async fn a_subscription_is_understood_and_the_server_says_that_it_does_not_push_yet() {
    let server = TestServer::start().await;
    let token = member(&server, "alice").await;
    let whole = json!({ "endpoint": "https://push.example/x", "keys": { "p256dh": P256DH, "auth": AUTH } });
    let answer = ask(&server, &token, "POST /api/push/subscribe", whole.clone()).await;
    assert_eq!(code(&answer), refused(501, "not-implemented-yet"));
    for (field, value) in [
        ("/endpoint", json!("http://push.example/x")),
        ("/endpoint", json!("https:///x")),
        ("/endpoint", json!(7)),
        ("/keys/p256dh", json!(AUTH)),
        ("/keys/p256dh", json!("!")),
        ("/keys/auth", json!(P256DH)),
        ("/keys/auth", json!("")),
        ("/keys", json!({})),
    ] {
        let mut broken = whole.clone();
        *broken.pointer_mut(field).expect("a field") = value;
        let answer = ask(&server, &token, "POST /api/push/subscribe", broken).await;
        assert_eq!(code(&answer), refused(400, "bad-request"), "{field}");
    }
}
