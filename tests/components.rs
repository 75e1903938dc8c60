//! External components (XEP-0114) over sockets: who is let in, who is not, and how a stream ends.

mod common;

use std::net::SocketAddr;

use common::{Client, TestServer};
use sha1::{Digest, Sha1};

const CONFIG: &str = "[[component]]\njid = \"irc.localhost\"\nsecret = \"open sesame\"\n";
const NS: &str = "jabber:component:accept";

async fn server() -> TestServer {
    TestServer::configured(CONFIG).await
}

fn address(server: &TestServer) -> SocketAddr {
    *server
        .server()
        .component_addresses()
        .first()
        .expect("a listener for components")
}

fn header(ns: &str, domain: &str) -> String {
    format!("<stream:stream xmlns='{ns}' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}'>")
}

/// A stream for a domain whose header has been answered.
async fn opened(server: &TestServer, domain: &str) -> Client {
    let mut program = Client::connect(address(server)).await;
    program.send(header(NS, domain)).await;
    program.read_header().await;
    program
}

/// Shows a secret.
async fn show(program: &mut Client, secret: &str) {
    let mut hash = Sha1::new();
    hash.update(program.header("id").expect("a stream id"));
    hash.update(secret);
    let proof: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    program.send(format!("<handshake>{proof}</handshake>")).await;
}

/// A program that has been let in.
async fn connected(server: &TestServer) -> Client {
    let mut program = opened(server, "irc.localhost").await;
    show(&mut program, "open sesame").await;
    assert_eq!(program.next_text().await, "<handshake/>");
    program
}

#[tokio::test]
async fn a_program_that_knows_the_secret_talks_with_people() {
    let server = server().await;
    let mut alice = server.session("alice@localhost/tablet").await;
    alice.send("<presence/>").await;
    let mut irc = connected(&server).await;
    assert_eq!(irc.header("from"), Some("irc.localhost"));

    alice
        .send("<message to='#rust@irc.localhost' type='chat'><body>hello</body></message>")
        .await;
    let got = irc.next_text().await;
    assert!(
        got.contains("from='alice@localhost/tablet'") && got.contains("<body>hello</body>"),
        "{got}"
    );
    irc.send("<iq from='irc.localhost' to='alice@localhost/tablet' type='get' id='v'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    loop {
        let got = alice.next_text().await;
        if got.contains("urn:xmpp:ping") {
            assert!(got.contains("from='irc.localhost'"), "{got}");
            break;
        }
    }
    irc.send("</stream:stream>").await;
    while irc.frame().await.is_some() {}
}

#[tokio::test]
async fn others_are_told_why_not() {
    let server = server().await;
    for (ns, domain, condition) in [
        (NS, "localhost", "host-unknown"),
        (NS, "other.localhost", "host-unknown"),
        ("jabber:client", "irc.localhost", "invalid-namespace"),
    ] {
        let mut program = Client::connect(address(&server)).await;
        program.send(header(ns, domain)).await;
        program.read_header().await;
        program.expect_stream_error(condition).await;
    }
    let mut wrong = opened(&server, "irc.localhost").await;
    show(&mut wrong, "open barley").await;
    wrong.expect_stream_error("not-authorized").await;

    let _first = connected(&server).await;
    let mut second = opened(&server, "irc.localhost").await;
    show(&mut second, "open sesame").await;
    second.expect_stream_error("conflict").await;
}

#[tokio::test]
async fn a_forger_loses_its_stream_and_its_place_is_free_again() {
    let server = server().await;
    let mut irc = connected(&server).await;
    irc.send("<message from='admin@localhost' to='alice@localhost'><body>trust me</body></message>")
        .await;
    irc.expect_stream_error("invalid-from").await;
    let mut again = connected(&server).await;
    again
        .send("<message from='irc.localhost'><body>nobody in particular</body></message>")
        .await;
    again.expect_stream_error("improper-addressing").await;
    let mut third = connected(&server).await;
    third.send("<enable xmlns='urn:xmpp:sm:3'/>").await;
    third.expect_stream_error("unsupported-stanza-type").await;
}

#[tokio::test]
async fn a_stanza_larger_than_the_limit_ends_the_stream() {
    let server = TestServer::configured(&format!("{CONFIG}[limits]\nstanza_bytes_max = 20000\n")).await;
    let mut irc = connected(&server).await;
    let long = "x".repeat(20_001);
    irc.send(format!(
        "<message from='irc.localhost' to='alice@localhost'><body>{long}</body></message>"
    ))
    .await;
    irc.expect_stream_error("policy-violation").await;
}

#[tokio::test]
async fn a_program_hears_that_the_server_stops() {
    let mut server = server().await;
    let mut irc = connected(&server).await;
    tokio::join!(server.stop(), irc.expect_stream_error("system-shutdown"));
}

#[tokio::test]
async fn without_components_nothing_listens() {
    let server = TestServer::start().await;
    assert!(server.server().component_addresses().is_empty());
}
