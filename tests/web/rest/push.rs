//! Push subscriptions of browsers and programs. What is pushed is told in tests/clients, where there is a push service.

use serde_json::{Value, json};

use super::{ask, code, json as read, member, refused};
use crate::common::TestServer;

/// A point on P-256, and 16 bytes, as a browser gives them (RFC 8291 §5).
const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

fn subscription() -> Value {
    json!({
        "endpoint": "https://push.example/x",
        "expirationTime": null,
        "keys": { "p256dh": P256DH, "auth": AUTH },
        "resource": "kim-1"
    })
}

#[tokio::test]
async fn a_browser_subscribes_sees_its_subscription_and_ends_it() {
    let server = TestServer::start().await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    let made = read(&ask(&server, &alice, "POST /api/push/subscribe", subscription()).await);
    assert_eq!(made["service"], "push.localhost");
    // The same browser again is the same subscription.
    let again = read(&ask(&server, &alice, "POST /api/push/subscribe", subscription()).await);
    assert_eq!(again, made);

    let list = read(&ask(&server, &alice, "GET /api/push/subscribe", Value::Null).await);
    assert_eq!(list["public_key"], made["public_key"]);
    let [one] = list["subscriptions"].as_array().expect("a list").as_slice() else {
        panic!("one subscription: {list}");
    };
    assert_eq!((&one["id"], &one["kind"]), (&made["id"], &json!("webpush")));
    assert_eq!(
        (&one["host"], &one["resource"]),
        (&json!("push.example"), &json!("kim-1"))
    );
    assert_eq!(
        (&one["last_success_at"], &one["last_failure"]),
        (&Value::Null, &Value::Null)
    );

    let delete = format!(
        "DELETE /api/push/subscribe/{}",
        made["id"].as_str().expect("an id")
    );
    let others = ask(&server, &bob, &delete, Value::Null).await;
    assert_eq!(code(&others), refused(404, "item-not-found"), "alice's is hers");
    assert_eq!(ask(&server, &alice, &delete, Value::Null).await.status, 200);
    assert_eq!(
        code(&ask(&server, &alice, &delete, Value::Null).await),
        refused(404, "item-not-found")
    );
    let list = read(&ask(&server, &alice, "GET /api/push/subscribe", Value::Null).await);
    assert_eq!(list["subscriptions"], json!([]));
}

#[tokio::test]
async fn a_subscription_that_cannot_work_is_refused() {
    let server = TestServer::start().await;
    let token = member(&server, "alice").await;
    for (field, value) in [
        ("/endpoint", json!("http://push.example/x")),
        ("/endpoint", json!("https://alice:secret@push.example/x")),
        ("/endpoint", json!(7)),
        // The server's own network.
        ("/endpoint", json!("https://127.0.0.1/x")),
        ("/endpoint", json!("https://0x7f.1/x")),
        ("/endpoint", json!("https://[::1]/x")),
        ("/endpoint", json!("https://[::ffff:10.0.0.1]/x")),
        ("/endpoint", json!("https://169.254.169.254/latest")),
        ("/keys/p256dh", json!(AUTH)),
        ("/keys/p256dh", json!("!")),
        ("/keys/auth", json!(P256DH)),
        ("/keys/auth", json!("")),
        ("/keys", json!({})),
        ("/resource", json!("\u{0}")),
    ] {
        let mut broken = subscription();
        *broken.pointer_mut(field).expect("a field") = value.clone();
        let answer = ask(&server, &token, "POST /api/push/subscribe", broken).await;
        assert_eq!(code(&answer), refused(400, "bad-request"), "{field} {value}");
    }
    // 65 bytes that are no point.
    let mut broken = subscription();
    broken["keys"]["p256dh"] = json!(format!("BB{}", &P256DH[2..]));
    let answer = ask(&server, &token, "POST /api/push/subscribe", broken).await;
    assert_eq!(code(&answer), refused(400, "bad-request"));
}

#[tokio::test]
async fn an_account_has_only_so_many() {
    let server = TestServer::configured("[push_service]\nsubscriptions_max = 2").await;
    let token = member(&server, "alice").await;
    for (at, status) in [(1, 200), (2, 200), (3, 429), (2, 200)] {
        let mut one = subscription();
        one["endpoint"] = json!(format!("https://push.example/{at}"));
        let answer = ask(&server, &token, "POST /api/push/subscribe", one).await;
        assert_eq!(answer.status, status, "{at}");
    }
}
