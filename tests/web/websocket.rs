//! RFC 7395 over RFC 6455.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use kim_core::wire::Element;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::common::{PASSWORD, PATIENCE, Scram, TestServer, TlsOptions, decoded};
use crate::http::{self, Http, Io};
use crate::session::{Carrier, SASL, STREAMS};

const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";

/// A WebSocket.
pub struct Ws {
    socket: WebSocketStream<Box<dyn Io>>,
    /// The server's last `<open/>`.
    opened: Option<Element>,
}

impl Ws {
    pub async fn connect(server: &TestServer) -> Ws {
        let tcp = TcpStream::connect(server.https).await.expect("a connection");
        let tls = TlsOptions::default().alpn("http/1.1").connect(tcp).await;
        let tls = tls.expect("a handshake");
        Ws::over(Box::new(tls)).await
    }

    async fn over(io: Box<dyn Io>) -> Ws {
        let mut request = "ws://localhost/xmpp-websocket"
            .into_client_request()
            .expect("a request");
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", HeaderValue::from_static("xmpp"));
        let (socket, response) = tokio_tungstenite::client_async(request, io)
            .await
            .expect("an upgrade");
        assert_eq!(response.headers()["sec-websocket-protocol"], "xmpp");
        Ws { socket, opened: None }
    }

    async fn online(server: &TestServer, jid: &str) -> Ws {
        let mut ws = Ws::connect(server).await;
        ws.session(jid).await;
        ws
    }

    async fn message(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.socket.next())
            .await
            .expect("the server says something")
            .expect("a message")
            .expect("no breach")
    }

    /// Reads to the end: the condition of the stream error, if there is one, then `<close/>` and the closing frame.
    async fn end(&mut self) -> Option<String> {
        let mut condition = None;
        loop {
            match self.message().await {
                Message::Text(text) => {
                    let element = Element::parse(&text).expect("one element");
                    if element.is("error", STREAMS) {
                        condition = element.children().next().map(|child| child.name().to_owned());
                    } else if !element.is("features", STREAMS) {
                        assert!(element.is("close", FRAMING), "{text}");
                    }
                }
                Message::Close(frame) => {
                    // RFC 6455 §7.4.1: a message that is too big has a code of its own.
                    let code = match condition.as_deref() {
                        Some("policy-violation") => 1009,
                        _ => 1000,
                    };
                    assert_eq!(u16::from(frame.expect("a code").code), code);
                    return condition;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

impl Carrier for Ws {
    async fn open(&mut self, domain: &str) -> Element {
        self.send(&format!("<open xmlns='{FRAMING}' to='{domain}' version='1.0'/>"))
            .await;
        let opened = self.next().await;
        assert!(opened.is("open", FRAMING), "{}", opened.as_str());
        self.opened = Some(opened);
        self.next().await
    }

    async fn send(&mut self, xml: &str) {
        self.socket.send(Message::text(xml)).await.expect("a connection");
    }

    async fn next(&mut self) -> Element {
        loop {
            match self.message().await {
                Message::Text(text) => {
                    // RFC 7395 §3.3.3: each is a document of its own; a second parser agrees.
                    let element = Element::parse(&text).expect("one element");
                    assert!(text.contains("xmlns"), "{text}");
                    return element;
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_browser_and_a_phone_talk() {
    // RFC 7395 §3.4–3.6
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut bob = server.session("bob@localhost/phone").await;
    let mut alice = Ws::online(&server, "alice@localhost/web").await;
    let opened = alice.opened.clone().expect("opened");
    assert_eq!(opened.attr("from").as_deref(), Some("localhost"));
    assert_eq!(opened.attr("version").as_deref(), Some("1.0"));
    assert!(opened.attr("id").is_some());
    alice.say("bob@localhost/phone", "from the &lt;web&gt;").await;
    let heard = bob.next_text().await;
    assert!(heard.contains("from='alice@localhost/web'") && heard.contains("from the &lt;web&gt;"));
    bob.send("<message to='alice@localhost/web' type='chat'><body>hello</body></message>")
        .await;
    assert_eq!(alice.heard().await, "hello");
    alice.send(&format!("<close xmlns='{FRAMING}'/>")).await;
    assert_eq!(alice.end().await, None);
}

#[tokio::test]
async fn nothing_is_offered_that_a_browser_cannot_bind_a_login_to() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut alice = Ws::connect(&server).await;
    let features = alice.open("localhost").await;
    let offered = features.as_str();
    assert!(offered.contains("SCRAM-SHA-256<"), "{offered}");
    for not_offered in ["-PLUS", "urn:xmpp:sasl-cb:0", "starttls"] {
        assert!(!offered.contains(not_offered), "{offered}");
    }
    // RFC 5802 §6: a client that could bind says so, and nobody has hidden an offer from it.
    let scram = Scram::new("alice", crate::common::PASSWORD).flag("y");
    alice.log_in_with(scram, "localhost").await;
    alice.bind("web").await;
}

#[tokio::test]
async fn a_guest_needs_no_account() {
    let server = TestServer::start().await;
    let mut guest = Ws::connect(&server).await;
    guest.open("guest.localhost").await;
    guest
        .send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>")
        .await;
    assert_eq!(guest.next().await.name(), "success");
    guest.open("guest.localhost").await;
    guest.bind("web").await;
}

#[tokio::test]
async fn a_reloaded_page_goes_on_where_it_was() {
    // XEP-0198 §5
    let server = TestServer::start().await;
    let mut bob = server.session("bob@localhost/phone").await;
    server.account("alice@localhost").await;
    let mut alice = Ws::online(&server, "alice@localhost/web").await;
    alice.send("<presence xmlns='jabber:client'/>").await;
    alice.next().await;
    let id = alice.manage().await;
    bob.send("<message to='alice@localhost/web' type='chat'><body>one</body></message>")
        .await;
    assert_eq!(alice.heard().await, "one");
    // The page is gone: a closing frame without <close/>, which ends the connection and not the stream.
    alice.socket.close(None).await.expect("a closing frame");
    server.until(|server| server.door().waiting() == 1).await;
    bob.send("<message to='alice@localhost/web' type='chat'><body>two</body></message>")
        .await;
    let mut alice = Ws::connect(&server).await;
    alice.open("localhost").await;
    alice.log_in("alice", "localhost").await;
    alice.resume(&id, 1).await;
    assert_eq!(alice.heard().await, "two");
    // And over TCP, if the browser becomes a phone.
    drop(alice);
    server.until(|server| server.door().waiting() == 1).await;
    let mut client = server.secured("localhost").await;
    client.login("alice", crate::common::PASSWORD).await;
    client.open("localhost").await;
    client
        .send(format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='2'/>"))
        .await;
    assert!(client.next().await.is("resumed", "urn:xmpp:sm:3"));
}

#[tokio::test]
async fn pings_are_answered_and_asked() {
    let server = TestServer::configured("[http]\nwebsocket_ping_seconds = 5").await;
    let mut ws = Ws::connect(&server).await;
    ws.socket
        .send(Message::Ping("are you there".into()))
        .await
        .expect("sent");
    assert_eq!(ws.message().await, Message::Pong("are you there".into()));
    assert_eq!(ws.message().await, Message::Ping("".into()));
}

#[tokio::test]
async fn a_message_holds_one_element() {
    let server = TestServer::start().await;
    let open = format!("<open xmlns='{FRAMING}' to='localhost' version='1.0'/>");
    for (text, condition) in [
        (format!("{open}{open}"), "bad-format"),
        (
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'".to_owned(),
            "bad-format",
        ),
        (" ".to_owned(), "bad-format"),
        (String::new(), "bad-format"),
        ("<a></b>".to_owned(), "not-well-formed"),
        ("<!DOCTYPE a><a/>".to_owned(), "restricted-xml"),
        ("<?xml version='1.0'?><?x y?><a/>".to_owned(), "restricted-xml"),
        (
            format!("<open xmlns='{FRAMING}' to='elsewhere.example' version='1.0'/>"),
            "host-unknown",
        ),
        (
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'/>".to_owned(),
            "not-well-formed",
        ),
        (
            format!("<a xmlns='urn:x'>{}</a>", "x".repeat(20_000)),
            "policy-violation",
        ),
    ] {
        let mut ws = Ws::connect(&server).await;
        ws.send(&text).await;
        loop {
            match ws.message().await {
                Message::Text(text) if Element::parse(&text).expect("XML").is("open", FRAMING) => break,
                Message::Text(_) => panic!("the opening comes first"),
                _ => {}
            }
        }
        assert_eq!(ws.end().await.as_deref(), Some(condition), "{text}");
    }
}

#[tokio::test]
async fn white_space_around_an_element_is_nobody_s() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    for space in ["\n", " \r\n"] {
        let open = format!("{space}<open xmlns='{FRAMING}' to='localhost' version='1.0'/>{space}");
        let mut ws = Ws::connect(&server).await;
        ws.send(&open).await;
        assert!(ws.next().await.is("open", FRAMING));
        ws.next().await;
        let mut scram = Scram::new("alice", PASSWORD);
        let first = STANDARD.encode(scram.first());
        ws.send(&format!(
            "{space}<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>{space}"
        ))
        .await;
        let answer = STANDARD.encode(scram.answer(&decoded(&ws.next().await)));
        ws.send(&format!(
            "{space}<response xmlns='{SASL}'>{answer}</response>{space}"
        ))
        .await;
        assert!(ws.next().await.is("success", SASL));
        // A declaration may stand before the opening, and white space before it.
        ws.send(&format!("{space}<?xml version='1.0'?>{open}")).await;
        assert!(ws.next().await.is("open", FRAMING));
        ws.next().await;
        ws.bind("web").await;
    }
}

#[tokio::test]
async fn what_is_no_element_counts_before_login_too() {
    let server = TestServer::configured("[limits]\nlogin_seconds_max = 600\n").await;
    let mut ws = Ws::connect(&server).await;
    ws.open("localhost").await;
    ws.send(&" ".repeat(20_000)).await;
    assert_eq!(ws.end().await.as_deref(), Some("policy-violation"));
    // Pings, answered or not: a hundred elements' worth of them, and then it is enough.
    let mut ws = Ws::connect(&server).await;
    ws.open("localhost").await;
    let mut sent = 0;
    while sent < 10_000
        && ws
            .socket
            .send(Message::Ping(vec![0_u8; 120].into()))
            .await
            .is_ok()
    {
        sent += 1;
        // Its answer is read, so that it is not unread answers that end it.
        match ws.message().await {
            Message::Pong(_) => {}
            Message::Text(text) => {
                assert!(text.contains("policy-violation"), "{text}");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((1_000..9_999).contains(&sent), "{sent}");
}

#[tokio::test]
async fn breaches_of_the_protocol_end_the_connection() {
    // RFC 6455 §5 and §7.4.1: no mask, reserved bits, opcodes, control frames, binary, text that is none. The code of the
    // closing frame says what it was.
    let server = TestServer::start().await;
    for (bytes, code) in [
        (vec![0x81, 1, b'x'], 1002_u16),
        (vec![0xC1, 0x81, 0, 0, 0, 0, b'x'], 1002),
        (vec![0x83, 0x81, 0, 0, 0, 0, b'x'], 1002),
        (vec![0x09, 0x80, 0, 0, 0, 0], 1002),
        (vec![0x80, 0x81, 0, 0, 0, 0, b'x'], 1002),
        (vec![0x88, 0x81, 0, 0, 0, 0, 3], 1002),
        (vec![0x88, 0x82, 0, 0, 0, 0, 3, 237], 1002),
        (vec![0x82, 0x81, 0, 0, 0, 0, b'x'], 1003),
        (vec![0x81, 0x81, 0, 0, 0, 0, 0xFF], 1007),
        (vec![0x81, 0x83, 0, 0, 0, 0, b'<', b'a', 0xC3], 1007),
        (vec![0x88, 0x83, 0, 0, 0, 0, 3, 232, 0xFF], 1007),
    ] {
        let mut http = Http::tls(server.https).await;
        let answer = http.ask("GET /xmpp-websocket", HANDSHAKE, b"").await;
        assert_eq!(answer.status, 101, "{}", answer.head);
        // The example of RFC 6455 §1.3.
        assert_eq!(
            answer.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        http.send(&bytes).await;
        let mut close = [0; 4];
        tokio::io::AsyncReadExt::read_exact(&mut http.0, &mut close)
            .await
            .expect("a closing frame");
        assert_eq!(close, [0x88, 2, code.to_be_bytes()[0], code.to_be_bytes()[1]]);
        assert!(http.ends().await);
    }
}

pub const HANDSHAKE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n";

#[tokio::test]
async fn only_welcome_pages_and_whole_handshakes() {
    let server = TestServer::configured("[http]\norigins = [\"https://chat.example.org/\"]").await;
    let ask = async |headers: String| {
        http::ask(&server, "GET /xmpp-websocket", &headers, b"")
            .await
            .status
    };
    for (origin, status) in [
        ("https://chat.example.org", 101),
        ("https://localhost", 101), // the Host it asks
        ("https://evil.example", 403),
        ("null", 403),
        ("https://chat.example.org.evil.example", 403),
    ] {
        assert_eq!(
            ask(format!("{HANDSHAKE}Origin: {origin}\r\n")).await,
            status,
            "{origin}"
        );
    }
    for (without, status) in [
        ("Sec-WebSocket-Protocol: xmpp\r\n", 400),
        ("Sec-WebSocket-Version: 13\r\n", 426),
        ("Upgrade: websocket\r\n", 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400),
    ] {
        assert_eq!(ask(HANDSHAKE.replace(without, "")).await, status, "{without}");
    }
    assert_eq!(
        http::ask(&server, "POST /xmpp-websocket", HANDSHAKE, b"")
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn without_tls_only_behind_a_trusted_proxy() {
    let forwarded = format!("{HANDSHAKE}X-Forwarded-For: 192.0.2.77\r\nX-Forwarded-Proto: https\r\n");
    let server = TestServer::start().await;
    let mut http = Http::plain(server.http).await;
    assert_eq!(
        http.ask("GET /xmpp-websocket", &forwarded, b"").await.status,
        403,
        "nobody trusts it"
    );
    let server = TestServer::configured("[http]\ntrusted_proxies = [\"127.0.0.0/8\"]").await;
    let mut http = Http::plain(server.http).await;
    assert_eq!(
        http.ask("GET /xmpp-websocket", HANDSHAKE, b"").await.status,
        403,
        "no TLS outside"
    );
    let mut http = Http::plain(server.http).await;
    assert_eq!(http.ask("GET /xmpp-websocket", &forwarded, b"").await.status, 101);
    // The operator does without, on this machine.
    let server = TestServer::configured("[c2s]\nrequire_tls = false").await;
    server.account("alice@localhost").await;
    let tcp = TcpStream::connect(server.http).await.expect("a connection");
    let mut alice = Ws::over(Box::new(tcp)).await;
    alice.session("alice@localhost/web").await;
}

#[tokio::test]
async fn a_stopping_server_says_so() {
    let mut server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut alice = Ws::online(&server, "alice@localhost/web").await;
    let (condition, ()) = tokio::join!(alice.end(), server.stop());
    assert_eq!(condition.as_deref(), Some("system-shutdown"));
}
