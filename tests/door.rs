//! The door for clients, from outside: a whole server, real sockets, and everything a client may do before it has a
//! session. What happens after that is in `door_session.rs`, time and limits in `door_limits.rs`.

mod common;

use common::{Client, Scram, TestServer, TlsOptions, condition, header};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

#[tokio::test]
async fn a_client_logs_in_over_starttls_and_pings() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut alice = server.connect().await;
    alice.open("localhost").await;
    assert!(
        alice.transcript.starts_with(b"<?xml version='1.0'?>"),
        "the declaration comes first"
    );
    assert_eq!(alice.header("from"), Some("localhost"));
    assert_eq!(alice.header("version"), Some("1.0"));
    assert_eq!(alice.header("xml:lang"), Some("en"));
    assert_eq!(
        alice.features(),
        "<features xmlns='http://etherx.jabber.org/streams'><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>\
         <required/></starttls></features>",
        "RFC 6120 §5.3.1: nothing but TLS"
    );
    let first_id = alice.header("id").expect("an id").to_owned();
    alice.start_tls().await;
    alice.open("localhost").await;
    assert_ne!(
        alice.header("id"),
        Some(first_id.as_str()),
        "each stream has an id of its own"
    );
    assert!(
        alice
            .features()
            .contains("<channel-binding type='tls-server-end-point'/>"),
        "XEP-0440 §3"
    );
    assert!(
        alice.features().contains("<max-bytes>10240</max-bytes>"),
        "XEP-0478"
    );
    alice.login("alice", common::PASSWORD).await;
    alice.open("localhost").await;
    assert!(alice.features().contains("<max-bytes>262144</max-bytes>"));
    assert!(
        alice
            .features()
            .contains("<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>")
    );
    let jid = alice.bind(Some("phone")).await;
    assert_eq!(jid.as_str(), "alice@localhost/phone");
    alice
        .send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    let pong = alice.next().await;
    assert_eq!(pong.attr("type").as_deref(), Some("result"));
    alice.close().await;
}
