//! Who gets in at all: which pages may ask, for which hosts, through which proxies, over what; and how long a body may take.

use kim::http::listener::Speaks;
use serde_json::json;

use crate::common::{PASSWORD, PATIENCE, TestServer};
use crate::http::{self, Answer, Http};
use crate::websocket::HANDSHAKE;

const JSON: &str = "Content-Type: application/json\r\n";
const HOST_META: &str = "GET /.well-known/host-meta";

/// A request with exactly this header over the listener without TLS.
async fn raw(server: &TestServer, line: &str, headers: &str) -> Answer {
    let mut http = Http::plain(server.http).await;
    http.send(format!("{line} HTTP/1.1\r\n{headers}\r\n")).await;
    http.answer(false).await.expect("an answer")
}

/// Behind a proxy on this machine.
async fn behind_proxy(rest: &str) -> TestServer {
    TestServer::configured(&format!(
        "[listen]\npublic_url = \"https://chat.example.org\"\n\
         [http]\ntrusted_proxies = [\"127.0.0.1\"]\n{rest}"
    ))
    .await
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_at_every_door_that_needs_no_secret() {
    let bosh = "POST /http-bind";
    let first =
        b"<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost' xmpp:version='1.0' \
                  xmlns:xmpp='urn:xmpp:xbosh' wait='1' hold='1'/>";
    let wrong = json!({ "username": "alice", "password": "guess" }).to_string();
    let server = TestServer::configured("[http]\norigins = [\"https://app.example\"]\n").await;
    let ask = async |line: &str, origin: &str, headers: &str, body: &[u8]| {
        let headers = format!("Origin: {origin}\r\n{headers}");
        http::ask(&server, line, &headers, body).await.status
    };
    for (origin, is_welcome) in [
        ("https://app.example", true),
        ("https://localhost", true),
        ("https://localhost:443", true),
        ("http://localhost", false), // somebody else may have written that page on its way
        ("https://localhost:8443", false),
        ("https://evil.example", false),
        ("null", false),
        ("https://evil.example\r\nOrigin: https://app.example", false),
    ] {
        let expected = |status| if is_welcome { status } else { 403 };
        assert_eq!(ask(bosh, origin, "", first).await, expected(200), "{origin}");
        assert_eq!(
            ask("OPTIONS /http-bind", origin, "", b"").await,
            expected(204),
            "{origin}"
        );
        assert_eq!(
            ask("GET /xmpp-websocket", origin, HANDSHAKE, b"").await,
            expected(101),
            "{origin}"
        );
        for path in ["/api/login", "/api/register"] {
            let status = ask(&format!("POST {path}"), origin, JSON, wrong.as_bytes()).await;
            assert_eq!(
                status == 403,
                path == "/api/register" || !is_welcome,
                "{path} {origin}"
            );
            assert_eq!(
                ask(&format!("OPTIONS {path}"), origin, "", b"").await,
                expected(204),
                "{path} {origin}"
            );
        }
        // What needs a token, a secret address, or does nothing is open to every page.
        assert_eq!(ask("GET /api/roster", origin, "", b"").await, 401, "{origin}");
        assert_eq!(ask("OPTIONS /api/roster", origin, "", b"").await, 204, "{origin}");
        assert_eq!(ask("GET /upload/a/b.png", origin, "", b"").await, 404, "{origin}");
        assert_eq!(ask(HOST_META, origin, "", b"").await, 200, "{origin}");
    }
    assert_eq!(
        server.server().door().counters.failed_logins(),
        3,
        "those of welcome pages"
    );
    let open = TestServer::configured("[http]\norigins = [\"*\"]\n").await;
    let answer = http::ask(&open, bosh, "Origin: https://any.example\r\n", first).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn only_hosts_that_are_ours_are_served() {
    let toml = "[listen]\npublic_url = \"https://chat.example.org\"\n\
                [xep0363_upload]\npublic_url = \"https://files.example.org\"\n";
    let server = TestServer::configured(toml).await;
    for (headers, status) in [
        ("Host: localhost\r\n", 200),
        ("Host: LOCALHOST.:5443\r\n", 200),
        ("Host: guest.localhost\r\n", 200),
        ("Host: conference.localhost\r\n", 200),
        ("Host: chat.example.org\r\n", 200),
        ("Host: files.example.org:8443\r\n", 200),
        ("Host: 127.0.0.1:5280\r\n", 200),
        ("Host: [::1]\r\n", 200),
        ("Host: evil.example\r\n", 421),
        ("Host: chat.example.org.evil.example\r\n", 421),
        ("Host: example.org\r\n", 421),
        ("", 400),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
        ("Host: localhost\r\nHost: evil.example\r\n", 400),
        ("Host: user@localhost\r\n", 400),
        ("Host: \r\n", 400),
    ] {
        assert_eq!(raw(&server, HOST_META, headers).await.status, status, "{headers}");
    }
    // RFC 9112 §3.2.2
    let absolute = "GET http://evil.example/.well-known/host-meta";
    assert_eq!(raw(&server, absolute, "Host: localhost\r\n").await.status, 421);
    for line in [
        "GET /",
        "GET /xmpp-websocket",
        "POST /http-bind",
        "GET /metrics",
        "GET /upload/a/b",
        "GET /api/rooms",
    ] {
        assert_eq!(
            raw(&server, line, "Host: evil.example\r\n").await.status,
            421,
            "{line}"
        );
    }
}

#[tokio::test]
async fn monitoring_has_a_listener_of_its_own_or_comes_from_here_directly() {
    const PATHS: [&str; 3] = ["GET /metrics", "GET /health/live", "GET /health/ready"];
    let local = "Host: localhost\r\n";
    let behind = behind_proxy("").await;
    let nobody = TestServer::configured("[http]\nmetrics_from = []\n").await;
    let usual = TestServer::start().await;
    let apart = TestServer::configured("[listen]\nmetrics = [\"127.0.0.1:0\"]\n").await;
    let mut listeners = apart.server().web_addresses().iter();
    let (_, own) = listeners
        .find(|(speaks, _)| *speaks == Speaks::Monitoring)
        .expect("a listener");
    for path in PATHS {
        assert_eq!(raw(&usual, path, local).await.status, 200, "{path}");
        assert_eq!(
            raw(&behind, path, local).await.status,
            404,
            "a proxy that adds nothing: {path}"
        );
        assert_eq!(raw(&nobody, path, local).await.status, 404, "{path}");
        assert_eq!(raw(&apart, path, local).await.status, 404, "{path}");
        for host in ["localhost", "kim:9090", "127.0.0.1"] {
            let mut http = Http::plain(*own).await;
            http.send(format!("{path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .await;
            assert_eq!(
                http.answer(false).await.expect("an answer").status,
                200,
                "{path} {host}"
            );
        }
    }
    let mut http = Http::plain(*own).await;
    assert_eq!(http.ask("GET /", "", b"").await.status, 404, "nothing else");
    // A proxy on this machine that hides what it is passes on which host was asked.
    let named = TestServer::configured("[listen]\npublic_url = \"https://chat.example.org\"\n").await;
    assert_eq!(
        raw(&named, "GET /metrics", "Host: chat.example.org\r\n")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_clients_own_header_changes_nothing_behind_a_proxy() {
    let wrong = json!({ "username": "alice", "password": "guess" }).to_string();
    let limits = "[limits]\nlogin_failures_burst = 1\nlogin_failure_refill_seconds = 3600\n";
    let ours =
        |address: &str, proto: &str| format!("X-Forwarded-For: {address}\r\nX-Forwarded-Proto: {proto}\r\n");
    let other = |address: &str, proto: &str| format!("Forwarded: for={address};proto={proto}\r\n");
    for (setting, set, forged) in [
        (
            "",
            &ours as &dyn Fn(&str, &str) -> String,
            &other as &dyn Fn(&str, &str) -> String,
        ),
        ("proxy_header = \"forwarded\"\n", &other, &ours),
    ] {
        let server = behind_proxy(&format!("{setting}{limits}")).await;
        let try_with = async |headers: String| {
            let mut http = Http::plain(server.http).await;
            let headers = format!("{headers}{JSON}");
            http.ask("POST /api/login", &headers, wrong.as_bytes())
                .await
                .status
        };
        assert_eq!(try_with(set("192.0.2.1", "https")).await, 401);
        let hidden = format!("{}{}", forged("203.0.113.9", "https"), set("192.0.2.1", "https"));
        assert_eq!(
            try_with(hidden).await,
            429,
            "the address that has failed: {setting}"
        );
        let plain = format!("{}{}", forged("203.0.113.9", "https"), set("192.0.2.2", "http"));
        assert_eq!(
            try_with(plain).await,
            403,
            "nobody but the proxy says that there is TLS: {setting}"
        );
        assert_eq!(try_with(forged("203.0.113.9", "https")).await, 403, "{setting}");
        assert_eq!(
            try_with(set("198.51.100.7, 192.0.2.3", "https")).await,
            401,
            "{setting}"
        );
    }
}

#[tokio::test]
async fn the_clients_of_a_proxy_are_counted_one_by_one() {
    let server = behind_proxy("[limits]\nhttp_connections_per_address_max = 1\n").await;
    let of = |address: &str| {
        format!("Host: localhost\r\nX-Forwarded-For: {address}\r\nX-Forwarded-Proto: https\r\n")
    };
    let mut held = Http::plain(server.http).await;
    let begun = format!("{JSON}Content-Length: 100\r\n\r\n{{");
    held.send(format!("POST /api/login HTTP/1.1\r\n{}{begun}", of("192.0.2.1")))
        .await;
    let refused = async {
        while raw(&server, HOST_META, &of("192.0.2.1")).await.status != 429 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused)
        .await
        .expect("no second request");
    assert_eq!(raw(&server, HOST_META, &of("192.0.2.2")).await.status, 200);
    drop(held);
    let free = async {
        while raw(&server, HOST_META, &of("192.0.2.1")).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("free again");
}

#[tokio::test]
async fn https_is_for_good_where_the_certificate_is() {
    // RFC 6797
    const HSTS: &str = "strict-transport-security";
    let trial = TestServer::start().await;
    assert_eq!(http::ask(&trial, "GET /", "", b"").await.header(HSTS), None);
    let server = TestServer::prepared("", |home| {
        let folder = home.join("certs");
        std::fs::create_dir_all(&folder).expect("a folder");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        std::fs::write(folder.join("own.crt"), made.cert.pem()).expect("the certificate");
        std::fs::write(folder.join("own.key"), made.signing_key.serialize_pem()).expect("the key");
    })
    .await;
    for line in ["GET /", "GET /nowhere", "GET /api/rooms"] {
        let answer = http::ask(&server, line, "", b"").await;
        assert_eq!(answer.header(HSTS), Some("max-age=31536000"), "{line}");
    }
    assert_eq!(
        raw(&server, "GET /", "Host: localhost\r\n").await.header(HSTS),
        None,
        "RFC 6797 §7.2"
    );
}

#[tokio::test]
async fn forms_are_not_shown_where_somebody_can_listen_in() {
    let server = behind_proxy("").await;
    let direct = TestServer::configured("[listen]\npublic_url = \"https://chat.example.org\"\n").await;
    for path in ["/", "/register", "/rooms", "/invite/abc?x=y"] {
        let line = format!("GET {path}");
        let plain = "Host: chat.example.org\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n";
        for answer in [
            raw(&server, &line, plain).await,
            raw(&direct, &line, "Host: chat.example.org\r\n").await,
        ] {
            assert_eq!(answer.status, 307, "{path}");
            let there = format!("https://chat.example.org{path}");
            assert_eq!(answer.header("location"), Some(there.as_str()));
        }
        let secure = plain.replace("Proto: http", "Proto: https");
        assert_ne!(raw(&server, &line, &secure).await.status, 307, "{path}");
        assert_ne!(
            raw(&direct, &line, "Host: localhost\r\n").await.status,
            307,
            "on the machine itself"
        );
    }
    let nowhere = TestServer::configured("[listen]\npublic_url = \"http://chat.example.org\"\n").await;
    assert_eq!(
        raw(&nowhere, "GET /", "Host: chat.example.org\r\n").await.status,
        403
    );
}

#[tokio::test]
async fn a_body_that_pauses_for_too_long_is_not_waited_for() {
    let server =
        TestServer::configured("[limits]\nhttp_stall_seconds_max = 1\nlogin_seconds_max = 600\n").await;
    server.account("alice@localhost").await;
    let login = json!({ "username": "alice", "password": PASSWORD }).to_string();
    let answer = http::ask(&server, "POST /api/login", JSON, login.as_bytes()).await;
    let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    let token = format!(
        "Authorization: Bearer {}\r\n",
        told["token"].as_str().expect("a token")
    );
    for (path, headers) in [
        ("/api/message/send", format!("{token}{JSON}")),
        ("/api/login", JSON.to_owned()),
        ("/http-bind", String::new()),
    ] {
        assert_eq!(
            begin(&server, path, &headers)
                .await
                .answer(false)
                .await
                .expect("an answer")
                .status,
            408,
            "{path}"
        );
    }
}

#[tokio::test]
async fn before_login_a_body_has_less_time() {
    let server = TestServer::configured("[limits]\nlogin_seconds_max = 1\n").await;
    for (path, headers) in [("/http-bind", ""), ("/api/login", JSON)] {
        let mut slow = begin(&server, path, headers).await;
        assert_eq!(slow.answer(false).await.expect("an answer").status, 408, "{path}");
    }
}

/// A request whose body does not go on.
async fn begin(server: &TestServer, path: &str, headers: &str) -> Http {
    let mut http = Http::tls(server.https).await;
    http.send(format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: 1000\r\n\r\n{{\"a\""
    ))
    .await;
    http
}
