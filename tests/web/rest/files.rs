//! Files: a slot, what was put there, the list, and deleting.

use serde_json::{Value, json};

use super::{ask, code, get, good, member, refused};
use crate::common::TestServer;
use crate::http;

/// The path of an address of this server.
fn path(url: &Value) -> String {
    let url = url.as_str().expect("an address");
    let (_, rest) = url.split_once("://").expect("an address");
    rest.split_once('/')
        .map(|(_, path)| format!("/{path}"))
        .expect("a path")
}

#[tokio::test]
async fn a_file_goes_up_is_listed_and_deleted_by_its_owner_alone() {
    let server = TestServer::start().await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    let body = json!({ "filename": "a b.txt", "size": 5, "content_type": "text/plain" });
    let slot = good(&ask(&server, &alice, "POST /api/upload/slot", body).await);
    assert_eq!(slot["put"]["headers"], json!({ "Content-Type": "text/plain" }));
    assert_eq!(
        good(&get(&server, &alice, "/api/files").await)["files"],
        json!([])
    );
    let put = http::ask(
        &server,
        &format!("PUT {}", path(&slot["put"]["url"])),
        "Content-Type: text/plain\r\n",
        b"hello",
    )
    .await;
    assert_eq!(put.status, 201, "{put:?}");

    let listed = good(&get(&server, &alice, "/api/files").await);
    let file = &listed["files"][0];
    for (fact, value) in [
        ("filename", json!("a b.txt")),
        ("size", json!(5)),
        ("content_type", json!("text/plain")),
        ("url", slot["get"]["url"].clone()),
    ] {
        assert_eq!(file[fact], value, "{fact} of {listed}");
    }
    let before = file["created_at"].as_str().expect("a time");
    let older = good(&get(&server, &alice, &format!("/api/files?before={before}&limit=1")).await);
    assert_eq!(older, json!({ "files": [], "complete": true }));
    let got = http::ask(&server, &format!("GET {}", path(&file["url"])), "", b"").await;
    assert_eq!((got.status, got.body.as_slice()), (200, &b"hello"[..]));

    let line = format!("DELETE /api/files/{}", file["id"].as_str().expect("an id"));
    assert_eq!(good(&get(&server, &bob, "/api/files").await)["files"], json!([]));
    let foreign = ask(&server, &bob, &line, Value::Null).await;
    assert_eq!(code(&foreign), refused(404, "item-not-found"));
    good(&ask(&server, &alice, &line, Value::Null).await);
    let got = http::ask(&server, &format!("GET {}", path(&file["url"])), "", b"").await;
    assert_eq!(got.status, 404);
    let again = ask(&server, &alice, &line, Value::Null).await;
    assert_eq!(code(&again), refused(404, "item-not-found"));
}

#[tokio::test]
async fn what_cannot_be_uploaded_is_refused_before_anything_comes() {
    let server =
        TestServer::configured("[xep0363_upload]\nfile_bytes_max = 1024\naccount_bytes_max = 1000\n").await;
    let alice = member(&server, "alice").await;
    for (body, expected) in [
        (
            json!({ "filename": "x", "size": 1_025 }),
            refused(400, "not-acceptable"),
        ),
        (
            json!({ "filename": "x", "size": 1_001 }),
            refused(429, "resource-constraint"),
        ),
        (json!({ "filename": "x", "size": 0 }), refused(400, "bad-request")),
        (
            json!({ "filename": "x", "size": -1 }),
            refused(400, "bad-request"),
        ),
        (json!({ "filename": "x" }), refused(400, "bad-request")),
        (
            json!({ "filename": "x", "size": 1, "content_type": "?" }),
            refused(400, "bad-request"),
        ),
    ] {
        let answer = ask(&server, &alice, "POST /api/upload/slot", body.clone()).await;
        assert_eq!(code(&answer), expected, "{body}");
    }
    for path in ["/api/files?limit=0", "/api/files?before=yesterday"] {
        assert_eq!(
            code(&get(&server, &alice, path).await),
            refused(400, "bad-request"),
            "{path}"
        );
    }
    let off = TestServer::configured("[xep0363_upload]\nenabled = false\n").await;
    let bob = member(&off, "bob").await;
    assert_eq!(
        code(&get(&off, &bob, "/api/files").await),
        refused(501, "switched-off")
    );
}
