//! Contacts, and who sees whom.

use serde_json::{Value, json};

use super::{ask, code, get, good, member, refused};
use crate::common::TestServer;

#[tokio::test]
async fn contacts_are_added_named_and_removed() {
    let server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    let mut phone = server.session("alice@localhost/phone").await;
    phone
        .send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        .await;
    phone.next().await;
    let body = json!({ "name": "Bob <b>", "groups": ["Friends & foes", "Work"] });
    let put = good(&ask(&server, &alice, "PUT /api/roster/bob@localhost", body).await);
    assert_eq!(put["jid"], "bob@localhost");
    let push = phone.next().await;
    let item = push.child("query", "jabber:iq:roster").expect("a push");
    let item = item.children().next().expect("an item");
    assert_eq!(
        item.attr("name").as_deref(),
        Some("Bob <b>"),
        "her phone hears of it"
    );
    let listed = good(&get(&server, &alice, "/api/roster").await);
    assert_eq!(
        listed,
        json!({
            "contacts": [{
                "jid": "bob@localhost",
                "name": "Bob <b>",
                "groups": ["Friends & foes", "Work"],
                "subscription": "none",
                "is_asked": false,
            }],
            "requests": [],
        })
    );
    good(
        &ask(
            &server,
            &alice,
            "PUT /api/roster/bob@localhost%2Fphone",
            json!({}),
        )
        .await,
    );
    let listed = good(&get(&server, &alice, "/api/roster").await);
    assert_eq!(
        (&listed["contacts"][0]["name"], &listed["contacts"][0]["groups"]),
        (&Value::Null, &json!([])),
        "what is put is all there is"
    );
    good(&ask(&server, &alice, "DELETE /api/roster/bob", Value::Null).await);
    assert_eq!(
        good(&get(&server, &alice, "/api/roster").await)["contacts"],
        json!([])
    );
    let again = ask(&server, &alice, "DELETE /api/roster/bob", Value::Null).await;
    assert_eq!(code(&again), refused(404, "item-not-found"));
    assert!(
        again.text().contains("bob@localhost is not one of your contacts"),
        "{}",
        again.text()
    );
}

#[tokio::test]
async fn subscriptions_are_asked_for_approved_and_denied() {
    let server = TestServer::start().await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    let act = async |token: &str, line: &str| good(&ask(&server, token, line, Value::Null).await);
    act(&alice, "POST /api/roster/bob/subscribe").await;
    let of_alice = good(&get(&server, &alice, "/api/roster").await);
    assert_eq!(of_alice["contacts"][0]["is_asked"], true);
    let of_bob = good(&get(&server, &bob, "/api/roster").await);
    assert_eq!(of_bob, json!({ "contacts": [], "requests": ["alice@localhost"] }));

    act(&bob, "POST /api/roster/alice/approve").await;
    let of_alice = good(&get(&server, &alice, "/api/roster").await);
    assert_eq!(of_alice["contacts"][0]["subscription"], "to");
    let of_bob = good(&get(&server, &bob, "/api/roster").await);
    assert_eq!(
        (&of_bob["contacts"][0]["subscription"], &of_bob["requests"]),
        (&json!("from"), &json!([]))
    );

    act(&bob, "POST /api/roster/alice/deny").await;
    let of_alice = good(&get(&server, &alice, "/api/roster").await);
    assert_eq!(of_alice["contacts"][0]["subscription"], "none", "taken back");
    act(&alice, "POST /api/roster/bob/subscribe").await;
    act(&alice, "POST /api/roster/bob/unsubscribe").await;
    assert_eq!(
        good(&get(&server, &bob, "/api/roster").await)["requests"],
        json!([]),
        "not wanted any more"
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    for (line, body, expected) in [
        ("PUT /api/roster/alice", json!({}), refused(403, "not-allowed")),
        ("PUT /api/roster/@", json!({}), refused(400, "bad-request")),
        (
            "PUT /api/roster/bob",
            json!({ "groups": "x" }),
            refused(400, "bad-request"),
        ),
        (
            "PUT /api/roster/bob",
            json!({ "groups": ["x", "x"] }),
            refused(400, "bad-request"),
        ),
        (
            "PUT /api/roster/bob",
            json!({ "name": "n".repeat(1_024) }),
            refused(400, "not-acceptable"),
        ),
        (
            "PUT /api/roster/bob",
            json!({ "name": "a\u{1}b" }),
            refused(400, "bad-request"),
        ),
        (
            "PUT /api/roster/bob",
            json!({ "name": "n".repeat(300_000) }),
            refused(413, "too-long"),
        ),
        (
            "POST /api/roster/bob/marry",
            Value::Null,
            refused(400, "bad-request"),
        ),
    ] {
        let answer = ask(&server, &alice, line, body).await;
        assert_eq!(code(&answer), expected, "{line}");
    }
    assert_eq!(
        good(&get(&server, &alice, "/api/roster").await)["contacts"],
        json!([])
    );
}
