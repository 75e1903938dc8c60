//! What is for operators and for discovery, and HTTP's own limits.

use crate::common::{Client, TestServer, TlsOptions};
use crate::http::{self, Http};
use crate::session::Carrier;

#[tokio::test]
async fn alternative_connections_are_told() {
    // XEP-0156 §2, with CORS for pages from elsewhere (§3).
    let server = TestServer::configured("[listen]\npublic_url = \"https://Chat.example.org/\"").await;
    let xrd = http::ask(&server, "GET /.well-known/host-meta", "", b"").await;
    assert_eq!(xrd.header("content-type"), Some("application/xrd+xml"));
    assert_eq!(xrd.header("access-control-allow-origin"), Some("*"));
    let text = xrd.text();
    assert!(text.contains(
        "<Link rel='urn:xmpp:alt-connections:websocket' href='wss://chat.example.org/xmpp-websocket'/>"
    ));
    assert!(
        text.contains(
            "<Link rel='urn:xmpp:alt-connections:xbosh' href='https://chat.example.org/http-bind'/>"
        )
    );
    let jrd = http::ask(&server, "GET /.well-known/host-meta.json", "", b"").await;
    assert_eq!(jrd.header("access-control-allow-origin"), Some("*"));
    let json: serde_json::Value = serde_json::from_slice(&jrd.body).expect("JSON");
    assert_eq!(json["links"][0]["href"], "wss://chat.example.org/xmpp-websocket");
}

#[tokio::test]
async fn operators_see_health_and_figures_and_nobody_else_does() {
    let server = TestServer::start().await;
    let _alice = server.session("alice@localhost/phone").await;
    let mut inner = Http::plain(server.http).await;
    assert_eq!(inner.ask("GET /health/live", "", b"").await.status, 200);
    assert_eq!(inner.ask("GET /health/ready", "", b"").await.status, 200);
    let figures = inner.ask("GET /metrics", "", b"").await.text();
    for line in [
        "kim_sessions 1",
        "kim_logins_total 1",
        "kim_iqs_total ",
        "kim_messages_encrypted_total 0",
        "kim_db_commit_seconds_total ",
        "# EOF",
    ] {
        assert!(figures.contains(line), "{line} in\n{figures}");
    }
    for page in ["/health/live", "/health/ready", "/metrics"] {
        assert_eq!(
            http::ask(&server, &format!("GET {page}"), "", b"").await.status,
            404,
            "{page}"
        );
        let forwarded = inner
            .ask(&format!("GET {page}"), "X-Forwarded-For: 192.0.2.1\r\n", b"")
            .await;
        assert_eq!(forwarded.status, 404, "the world behind a proxy: {page}");
    }
}

#[tokio::test]
async fn headers_have_limits() {
    // docs/security.md, row 25
    let server = TestServer::configured("[limits]\nhttp_header_seconds_max = 1").await;
    let status = async |headers: String| {
        let mut http = Http::tls(server.https).await;
        http.send(format!(
            "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
        ))
        .await;
        http.answer(false).await.map(|answer| answer.status)
    };
    assert_eq!(status(String::new()).await, Some(404));
    assert_eq!(status(format!("X: {}\r\n", "x".repeat(20_000))).await, Some(431));
    assert_eq!(status("X: y\r\n".repeat(100)).await, Some(431));
    assert_eq!(
        status("Content-Length: 1\r\nContent-Length: 2\r\n".to_owned()).await,
        Some(400)
    );
    assert_eq!(status("Content-Length: -1\r\n".to_owned()).await, Some(400));
    // Who does not finish does not stay; who was answered and says nothing more does not either.
    let mut slow = Http::tls(server.https).await;
    slow.send("GET / HTTP/1.1\r\nHost: loc").await;
    assert!(slow.ends().await);
    let mut silent = Http::tls(server.https).await;
    silent.ask("GET /", "", b"").await;
    assert!(silent.ends().await);
}

#[tokio::test]
async fn an_address_has_so_many_connections() {
    let server = TestServer::configured("[limits]\nhttp_connections_per_address_max = 2").await;
    let mut first = Http::tls(server.https).await;
    let mut second = Http::tls(server.https).await;
    first.ask("GET /", "", b"").await;
    second.ask("GET /", "", b"").await;
    let third = tokio::net::TcpStream::connect(server.https)
        .await
        .expect("a connection");
    assert!(TlsOptions::default().connect(third).await.is_err());
    assert_eq!(server.server().door().counters.refused_connections(), 1);
    drop(first);
    // Free again, sooner or later.
    loop {
        let tcp = tokio::net::TcpStream::connect(server.https)
            .await
            .expect("a connection");
        if TlsOptions::default().connect(tcp).await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn a_proxy_that_is_trusted_is_believed() {
    let server = TestServer::configured(
        "[http]\ntrusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = true\n[limits]\nhttp_connections_per_address_max = 1",
    )
    .await;
    let with = async |header: &'static str| {
        let mut http = Http::plain(server.http).await;
        http.send(header).await;
        http.send("GET /.well-known/host-meta HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        let answer = http.answer(false).await.map(|answer| answer.status);
        (http, answer)
    };
    let (_first, answer) = with("PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n").await;
    assert_eq!(answer, Some(200));
    let (_second, answer) = with("PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n").await;
    assert_eq!(answer, None, "that address has its connection");
    let (_other, answer) = with("PROXY TCP4 192.0.2.2 198.51.100.1 1 2\r\n").await;
    assert_eq!(answer, Some(200));
    let (_third, answer) = with("").await;
    assert_eq!(answer, None, "no header, no service");
    // Its client is not on this machine, whatever the connection looks like.
    let mut http = Http::plain(server.http).await;
    http.send("PROXY TCP4 192.0.2.3 198.51.100.1 1 2\r\n").await;
    assert_eq!(http.ask("GET /metrics", "", b"").await.status, 404);
}

#[tokio::test]
async fn one_port_for_everything() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = port.local_addr().expect("an address");
    drop(port);
    let toml = format!("[listen]\nc2s_tls = [\"{address}\"]\nhttps = [\"{address}\"]\n");
    let server = TestServer::configured(&toml).await;
    assert_eq!((server.https, server.direct), (address, address));
    assert_eq!(
        http::ask(&server, "GET /.well-known/host-meta", "", b"")
            .await
            .status,
        200
    );
    server.account("alice@localhost").await;
    // By ALPN, and by the first byte where there is none.
    for options in [TlsOptions::direct(), TlsOptions::default()] {
        let mut client = Client::connect(address).await;
        client.handshake(&options).await.expect("a handshake");
        client.open("localhost").await;
        client.login("alice", crate::common::PASSWORD).await;
        client.open("localhost").await;
        client.bind(None).await;
    }
    let tcp = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let tls = TlsOptions::default().connect(tcp).await.expect("a handshake");
    assert_eq!(
        Http(Box::new(tls))
            .ask("GET /.well-known/host-meta", "", b"")
            .await
            .status,
        200
    );
    let mut bosh = crate::bosh::Bosh::connect(&server).await;
    bosh.session("alice@localhost/web").await;
}

#[tokio::test]
async fn the_lobby_is_listed_from_the_first_moment() {
    let server = TestServer::configured("[rooms]\ndefault = [\"lobby\"]\n").await;
    let page = http::ask(&server, "GET /rooms", "", b"").await;
    assert!(page.text().contains("href=\"/room/lobby\""), "{}", page.text());
}

#[tokio::test]
async fn without_tls_a_page_leads_to_the_encrypted_one() {
    let server = TestServer::configured("[listen]\npublic_url = \"https://chat.example.org\"").await;
    let page = Http::plain(server.http)
        .await
        .ask("GET /register?language=en", "", b"")
        .await;
    assert_eq!(page.status, 200);
    let text = page.text();
    assert!(text.contains("the connection is not encrypted") && !text.contains("<form"));
    assert!(text.contains("href=\"https://chat.example.org/register\""));
    let page = http::ask(&server, "GET /register?language=en", "", b"")
        .await
        .text();
    assert!(!page.contains("the connection is not encrypted"));

    // Where passwords may travel without TLS, on this machine, nothing has to be said.
    let open = TestServer::configured("[c2s]\nrequire_tls = false").await;
    let page = Http::plain(open.http)
        .await
        .ask("GET /?language=en", "", b"")
        .await
        .text();
    assert!(!page.contains("the connection is not encrypted"));
}

#[tokio::test]
async fn where_nothing_is_people_get_a_page_and_programs_a_line() {
    let server = TestServer::start().await;
    let page = http::ask(
        &server,
        "GET /nothing/here",
        "Accept: text/html,*/*;q=0.8\r\n",
        b"",
    )
    .await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (404, Some("text/html; charset=utf-8"))
    );
    assert!(page.text().contains("Page not found"));
    assert!(page.header("content-security-policy").is_some());
    for (request, accept) in [
        ("GET /nothing/here", "Accept: */*\r\n"),
        ("GET /nothing/here", ""),
        ("POST /nothing/here", "Accept: text/html\r\n"),
    ] {
        let line = http::ask(&server, request, accept, b"").await;
        assert_eq!(line.status, 404, "{request} {accept}");
        assert!(
            line.header("content-type")
                .is_some_and(|kind| kind.starts_with("text/plain"))
        );
    }
}

#[tokio::test]
async fn contacts_for_vulnerabilities_come_from_the_configuration() {
    let toml = "[contact]\nadmin = [\"http://example.org/contact\", \"mailto:admin@example.org\"]";
    let server = TestServer::configured(toml).await;
    let answer = http::ask(&server, "GET /.well-known/security.txt", "", b"").await;
    assert!(
        answer
            .text()
            .starts_with("Contact: mailto:admin@example.org\nExpires: ")
    );
    let silent = TestServer::start().await;
    let answer = http::ask(&silent, "GET /.well-known/security.txt", "", b"").await;
    assert_eq!(answer.status, 404);
}
