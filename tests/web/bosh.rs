//! XEP-0124 and XEP-0206 over HTTPS. Request ids are tried out beside the code, in `c2s::link::bosh`; here is a client.

use std::collections::VecDeque;

use kim_core::wire::Element;

use crate::common::{PASSWORD, Scram, TestServer};
use crate::http::{self, Answer, Http};
use crate::session::Carrier;

const NS: &str = "http://jabber.org/protocol/httpbind";

/// A client with one request at a time.
pub struct Bosh {
    http: Http,
    rid: u64,
    sid: Option<String>,
    inbox: VecDeque<Element>,
    /// The attributes of the answer that created the session.
    created: Option<Element>,
    /// The last request and its answer, for the test of repeating.
    last: (String, String),
    /// Says no more than it must: a restart names no domain, a stanza no namespace.
    is_terse: bool,
}

impl Bosh {
    pub async fn connect(server: &TestServer) -> Bosh {
        Bosh {
            http: Http::tls(server.https).await,
            rid: 4_711,
            sid: None,
            inbox: VecDeque::new(),
            created: None,
            last: Default::default(),
            is_terse: false,
        }
    }

    async fn post(&mut self, attributes: &str, payloads: &str) -> Element {
        self.rid += 1;
        let sid = self
            .sid
            .as_ref()
            .map(|sid| format!(" sid='{sid}'"))
            .unwrap_or_default();
        let body = format!(
            "<body xmlns='{NS}' xmlns:xmpp='urn:xmpp:xbosh' rid='{}'{sid} {attributes}>{payloads}</body>",
            self.rid
        );
        let answer = self.http.ask("POST /http-bind", "", body.as_bytes()).await;
        self.last = (body, answer.text());
        self.take(answer)
    }

    fn take(&mut self, answer: Answer) -> Element {
        assert_eq!(answer.status, 200, "{}", answer.head);
        assert_eq!(answer.header("content-type"), Some("text/xml; charset=utf-8"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let body = Element::parse(&answer.text()).expect("XML");
        assert!(body.is("body", NS), "{}", body.as_str());
        self.inbox.extend(body.children().map(|child| child.to_element()));
        body
    }
}

impl Carrier for Bosh {
    async fn open(&mut self, domain: &str) -> Element {
        if self.sid.is_none() {
            let attributes =
                format!("to='{domain}' wait='10' hold='1' ver='1.11' xmpp:version='1.0' xml:lang='en'");
            let created = self.post(&attributes, "").await;
            self.sid = created.attr("sid").map(|sid| sid.into_owned());
            self.created = Some(created);
        } else {
            let to = if self.is_terse {
                String::new()
            } else {
                format!("to='{domain}'")
            };
            self.post(&format!("{to} xmpp:restart='true'"), "").await;
        }
        self.next().await
    }

    async fn send(&mut self, xml: &str) {
        match self.is_terse {
            true => self.post("", &xml.replace(" xmlns='jabber:client'", "")).await,
            false => self.post("", xml).await,
        };
    }

    async fn next(&mut self) -> Element {
        loop {
            if let Some(next) = self.inbox.pop_front() {
                return next;
            }
            self.post("", "").await;
        }
    }
}

#[tokio::test]
async fn a_session_in_requests() {
    // XEP-0124 §7, XEP-0206 §§ 4–5
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut bob = server.session("bob@localhost/phone").await;
    let mut alice = Bosh::connect(&server).await;
    alice.session("alice@localhost/web").await;
    let created = alice.created.clone().expect("created");
    for (name, value) in [
        ("wait", "10"),
        ("hold", "1"),
        ("requests", "2"),
        ("inactivity", "60"),
        ("from", "localhost"),
    ] {
        assert_eq!(created.attr(name).as_deref(), Some(value), "{}", created.as_str());
    }
    assert_eq!(
        created.attr_ns("version", "urn:xmpp:xbosh").as_deref(),
        Some("1.0")
    );
    // Answers come with the next request, or wait for what is to be said.
    alice.say("bob@localhost/phone", "by post").await;
    assert!(bob.next_text().await.contains("by post"));
    bob.send("<message to='alice@localhost/web' type='chat'><body>hello</body></message>")
        .await;
    assert_eq!(alice.heard().await, "hello");
    // §14.3: repeated, the answer is the same, and what it asked for is not done twice.
    let (request, answer) = alice.last.clone();
    let again = alice.http.ask("POST /http-bind", "", request.as_bytes()).await;
    assert_eq!(again.text(), answer);
    // §13
    let end = alice
        .post(
            "type='terminate'",
            "<presence xmlns='jabber:client' type='unavailable'/>",
        )
        .await;
    assert_eq!(end.attr("type").as_deref(), Some("terminate"));
    let gone = alice.post("", "").await;
    assert_eq!(gone.attr("condition").as_deref(), Some("item-not-found"));
}

#[tokio::test]
async fn a_client_may_say_no_more_than_it_must() {
    // XEP-0206 §2: stanzas without a namespace of their own; §5: a restart without a domain.
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut bob = server.session("bob@localhost/phone").await;
    let mut alice = Bosh::connect(&server).await;
    alice.is_terse = true;
    alice.session("alice@localhost/web").await;
    alice
        .send("<message to='bob@localhost/phone' type='chat'><body>terse</body><x xmlns='urn:x'><y/></x></message>")
        .await;
    let heard = bob.next_text().await;
    assert!(
        heard.contains("<body>terse</body><x xmlns='urn:x'><y/></x>") && !heard.contains(NS),
        "{heard}"
    );
}

#[tokio::test]
async fn nothing_is_offered_to_bind_a_login_to() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut alice = Bosh::connect(&server).await;
    let features = alice.open("localhost").await;
    let offered = features.as_str();
    assert!(
        offered.contains("SCRAM-SHA-256<") && !offered.contains("-PLUS"),
        "{offered}"
    );
    assert!(!offered.contains("urn:xmpp:sasl-cb:0"), "{offered}");
    alice
        .log_in_with(Scram::new("alice", PASSWORD).flag("y"), "localhost")
        .await;
}

#[tokio::test]
async fn a_request_waits_no_longer_than_agreed() {
    let server = TestServer::configured("[http]\nbosh_wait_seconds = 1").await;
    let mut client = Bosh::connect(&server).await;
    client.open("localhost").await;
    assert_eq!(
        client.created.as_ref().expect("created").attr("wait").as_deref(),
        Some("1")
    );
    let empty = client.post("", "").await;
    assert_eq!(empty.as_str(), format!("<body xmlns='{NS}'/>"));
}

#[tokio::test]
async fn a_client_that_stays_away_is_gone_and_may_come_back() {
    let server = TestServer::configured("[http]\nbosh_inactivity_seconds = 5").await;
    server.account("alice@localhost").await;
    let mut bob = server.session("bob@localhost/phone").await;
    let mut alice = Bosh::connect(&server).await;
    alice.session("alice@localhost/web").await;
    alice.send("<presence xmlns='jabber:client'/>").await;
    alice.next().await;
    let id = alice.manage().await;
    drop(alice);
    server.until(|server| server.door().waiting() == 1).await;
    bob.send("<message to='alice@localhost/web' type='chat'><body>late</body></message>")
        .await;
    let mut alice = Bosh::connect(&server).await;
    alice.open("localhost").await;
    alice.log_in("alice", "localhost").await;
    alice.resume(&id, 0).await;
    assert_eq!(alice.heard().await, "late");
}

#[tokio::test]
async fn errors_of_the_stream_come_with_the_end() {
    // XEP-0206 §6
    let server = TestServer::start().await;
    let mut client = Bosh::connect(&server).await;
    let end = client
        .post("to='elsewhere.example' wait='5' hold='1' xmpp:version='1.0'", "")
        .await;
    assert_eq!(end.attr("condition").as_deref(), Some("remote-stream-error"));
    assert!(end.as_str().contains("host-unknown"), "{}", end.as_str());
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let server = TestServer::start().await;
    let post = |body: &'static [u8]| async { http::ask(&server, "POST /http-bind", "", body).await };
    for body in [
        b"".as_slice(),
        b"hello",
        b"\xFF\xFE",
        b"<body xmlns='http://jabber.org/protocol/httpbind'/>",
        b"<body xmlns='http://jabber.org/protocol/httpbind' rid='abc' to='localhost'/>",
        b"<body xmlns='http://jabber.org/protocol/httpbind' rid='1' wait='x' to='localhost'/>",
        b"<!DOCTYPE body><body xmlns='http://jabber.org/protocol/httpbind' rid='1'/>",
        b"<other xmlns='urn:x' rid='1'/>",
    ] {
        let answer = post(body).await;
        assert_eq!(answer.status, 200);
        assert!(
            answer.text().contains("condition='bad-request'"),
            "{body:?}: {}",
            answer.text()
        );
    }
    let unknown = post(b"<body xmlns='http://jabber.org/protocol/httpbind' rid='1' sid='nobody'/>").await;
    assert!(unknown.text().contains("condition='item-not-found'"));
    let options = http::ask(
        &server,
        "OPTIONS /http-bind",
        "Origin: https://localhost\r\n",
        b"",
    )
    .await;
    assert_eq!(
        (options.status, options.header("access-control-allow-origin")),
        (204, Some("*"))
    );
    assert_eq!(
        options.header("access-control-allow-headers"),
        Some("Content-Type")
    );
    assert_eq!(http::ask(&server, "GET /http-bind", "", b"").await.status, 405);
    let mut plain = Http::plain(server.http).await;
    let body = b"<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost'/>";
    assert_eq!(plain.ask("POST /http-bind", "", body).await.status, 403);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_read() {
    let server = TestServer::start().await;
    let mut http = Http::tls(server.https).await;
    http.send("POST /http-bind HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\n\r\n")
        .await;
    http.send(vec![b'x'; 400_000]).await;
    assert_eq!(http.answer(false).await.expect("an answer").status, 413);
    // Before login less is enough.
    let mut client = Bosh::connect(&server).await;
    client.open("localhost").await;
    let long = format!("<a xmlns='urn:x'>{}</a>", "x".repeat(20_000));
    let end = client.post("", &long).await;
    assert_eq!(end.attr("condition").as_deref(), Some("policy-violation"));
}
