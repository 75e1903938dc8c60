//! Pages of every origin may use the API behind a token: it is theirs, and no cookie helps them. Signing in and registering
//! take only what every page has, so there the page must be welcome.

use serde_json::Value;

use super::{ask, json, member};
use crate::common::TestServer;
use crate::http;

const ORIGIN: &str = "Origin: https://app.example\r\n";

#[tokio::test]
async fn pages_of_every_origin_may_ask_and_read_the_answer() {
    let server = TestServer::configured("[http]\norigins = [\"https://app.example\"]\n").await;
    let stranger = TestServer::start().await;
    let document = json(&http::ask(&server, "GET /api/openapi.json", ORIGIN, b"").await);
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 20);
    for (path, methods) in paths {
        let path = path.replace(['{', '}'], "");
        let asked = format!("{ORIGIN}Access-Control-Request-Method: POST\r\n");
        let line = format!("OPTIONS {path}");
        let is_open = !["/api/login", "/api/register"].contains(&path.as_str());
        let elsewhere = http::ask(&stranger, &line, &asked, b"").await;
        assert_eq!(elsewhere.status, if is_open { 204 } else { 403 }, "{path}");
        assert_eq!(
            elsewhere.header("access-control-allow-origin").is_some(),
            is_open,
            "{path}"
        );
        let answer = http::ask(&server, &line, &asked, b"").await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        let methods_allowed = answer.header("access-control-allow-methods").expect("methods");
        for method in methods.as_object().expect("methods").keys() {
            assert!(
                methods_allowed.contains(&method.to_uppercase()),
                "{method} {path}"
            );
        }
        let headers = answer.header("access-control-allow-headers").expect("headers");
        for header in ["Authorization", "Content-Type", "Last-Event-ID"] {
            assert!(headers.contains(header), "{header}");
        }
        // With cookies `*` would not do, and would not be allowed.
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn errors_can_be_read_too() {
    let server = TestServer::start().await;
    let token = member(&server, "alice").await;
    for (line, status) in [
        ("GET /api/roster", 200),
        ("GET /api/nothing", 404),
        ("PUT /api/roster", 405),
        ("GET /api/room?room=nowhere", 404),
    ] {
        let answer = ask(&server, &token, line, Value::Null).await;
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{line}");
    }
    let answer = http::ask(&server, "GET /api/roster", ORIGIN, b"").await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (401, Some("*"))
    );
    let exposed = answer
        .header("access-control-expose-headers")
        .expect("exposed headers");
    assert!(exposed.contains("WWW-Authenticate") && exposed.contains("Retry-After"));
}
