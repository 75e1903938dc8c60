//! The door for clients, from outside: a whole server, real sockets, and everything a client may do before it has a
//! session. What happens after that is in `door_session.rs`, time and limits in `door_limits.rs`.

mod common;

use common::{Client, Scram, TestServer, TlsOptions, condition, header};
use kim_core::wire::Frame;

const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

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

// ——— TLS ———

#[tokio::test]
async fn direct_tls_takes_alpn_or_none_but_no_other_protocol() {
    // XEP-0368 §3
    let server = TestServer::start().await;
    for options in [TlsOptions::direct(), TlsOptions::default()] {
        let mut client = Client::connect(server.direct).await;
        client.handshake(&options).await.expect("a handshake");
        client.open("localhost").await;
        assert!(client.mechanisms().contains(&"SCRAM-SHA-256-PLUS".to_owned()));
    }
    let mut lost = Client::connect(server.direct).await;
    let web = TlsOptions::default().alpn("h2");
    assert!(lost.handshake(&web).await.is_err(), "a browser is sent away");
}

#[tokio::test]
async fn a_client_may_ask_for_tls_together_with_its_header() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client.send(format!("{}{STARTTLS}", header("localhost"))).await;
    client.read_header().await;
    client.read_features().await;
    assert!(client.next().await.is("proceed", TLS));
    client
        .handshake(&TlsOptions::default())
        .await
        .expect("a handshake");
    client.open("localhost").await;
}

#[tokio::test]
async fn what_is_smuggled_in_before_tls_is_not_heard_after_it() {
    // RFC 6120 §5.4.3.3: somebody between client and server adds to what the client says in the clear.
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client.open("localhost").await;
    let injected = format!("{STARTTLS}{}<auth xmlns='urn:x'/>", header("localhost"));
    client.send(injected).await;
    assert!(client.next().await.is("proceed", TLS));
    client
        .handshake(&TlsOptions::default())
        .await
        .expect("a handshake");
    client.open("localhost").await;
    assert!(client.mechanisms().len() >= 4, "the stream begins anew");
}

#[tokio::test]
async fn without_tls_there_is_no_login_and_no_stanza() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client.open("localhost").await;
    let failure = client.auth("PLAIN", Some(b"\0alice\0secret")).await;
    assert_eq!(condition(&failure), "encryption-required", "RFC 6120 §6.5.3");
    client.expect_stream_error("policy-violation").await;

    for (early, error) in [
        (
            "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>",
            "not-authorized",
        ),
        ("<message/>", "not-authorized"),
        (
            "<compress xmlns='http://jabber.org/protocol/compress'/>",
            "unsupported-stanza-type",
        ),
    ] {
        let mut client = server.connect().await;
        client.open("localhost").await;
        client.send(early).await;
        client.expect_stream_error(error).await;
    }
}

#[tokio::test]
async fn a_loopback_connection_may_do_without_tls_where_the_operator_says_so() {
    let server = TestServer::configured("[c2s]\nrequire_tls = false\n").await;
    server.account("alice@localhost").await;
    let mut client = server.connect().await;
    client.open("localhost").await;
    assert!(
        client
            .features()
            .contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    );
    assert!(!client.mechanisms().iter().any(|name| name.ends_with("-PLUS")));
    client.login("alice", common::PASSWORD).await;
    client.open("localhost").await;
    client.bind(None).await;
    // TLS is there all the same.
    let mut secured = server.secured("localhost").await;
    assert!(secured.mechanisms().iter().any(|name| name.ends_with("-PLUS")));
    secured.login("alice", common::PASSWORD).await;
}

// ——— the stream header ———

/// Says something on a new connection and reads the error, which must stand behind our own header.
async fn refused_first(server: &TestServer, text: &str, error: &str) {
    let mut client = server.connect().await;
    client.send(text).await;
    client.read_header().await;
    client.expect_stream_error(error).await;
}

#[tokio::test]
async fn a_wrong_header_is_answered_with_a_header_and_an_error() {
    // RFC 6120 §4.9.1.2
    let server = TestServer::start().await;
    let with = |attributes: &str| {
        format!(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' {attributes}>"
        )
    };
    for (text, error) in [
        (with("to='example.org' version='1.0'"), "host-unknown"),
        (with("version='1.0'"), "host-unknown"),
        (with("to='alice@localhost' version='1.0'"), "host-unknown"),
        (with("to='localhost'"), "unsupported-version"),
        (with("to='localhost' version='0.9'"), "unsupported-version"),
        (with("to='localhost' version='eins'"), "unsupported-version"),
        (
            header("localhost").replace("jabber:client", "jabber:server"),
            "invalid-namespace",
        ),
        (
            header("localhost").replace("xmlns='jabber:client' ", ""),
            "invalid-namespace",
        ),
        (
            header("localhost").replace("etherx.jabber.org", "example.org"),
            "invalid-namespace",
        ),
        (
            header("localhost").replace("stream:stream", "stream:flow"),
            "invalid-namespace",
        ),
        (
            header("localhost").replace(" xmlns:stream=", " xmlns:s="),
            "bad-namespace-prefix",
        ),
        (
            header("localhost").replace("version='1.0'?", "version='1.0' encoding='latin1'?"),
            "unsupported-encoding",
        ),
        (
            format!(
                "<!-- hi -->{}",
                header("localhost").replace("<?xml version='1.0'?>", "")
            ),
            "restricted-xml",
        ),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]>".to_owned(), "restricted-xml"),
        ("<?php?>".to_owned(), "restricted-xml"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "not-well-formed"),
        (with(&format!("to='{}'", "x".repeat(5_000))), "policy-violation"),
    ] {
        refused_first(&server, &text, error).await;
    }
    // A later minor version is answered with ours (§4.7.5).
    let mut client = server.connect().await;
    client.send(with("to='localhost' version='1.7'")).await;
    client.read_header().await;
    client.read_features().await;
    assert_eq!(client.header("version"), Some("1.0"));
}

#[tokio::test]
async fn a_client_that_says_who_it_is_is_told_so_once_nobody_listens() {
    // RFC 6120 §4.7.2
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let hello = header("localhost").replace(" to=", " from='alice@localhost' to=");
    client.send(&hello).await;
    client.read_header().await;
    client.read_features().await;
    assert_eq!(client.header("to"), None);
    client.start_tls().await;
    client.send(&hello).await;
    client.read_header().await;
    assert_eq!(client.header("to"), Some("alice@localhost"));
}

#[tokio::test]
async fn a_closed_stream_is_closed_at_any_time() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client.open("localhost").await;
    client.close().await;
    let mut client = server.secured("localhost").await;
    client.close().await;
    let mut client = server.connect().await;
    client
        .send(format!("{}</stream:stream>", header("localhost")))
        .await;
    client.read_header().await;
    client.read_features().await;
    assert_eq!(client.frame().await, Some(Frame::Close));
}

// ——— SASL ———

#[tokio::test]
async fn every_mechanism_logs_in_and_plus_is_bound_to_the_channel() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let scram = || Scram::new("alice", common::PASSWORD);
    for kind in ["none", "tls-exporter", "tls-server-end-point"] {
        for sha1 in [false, true] {
            let mut client = server.connect_tls().await;
            client.open("localhost").await;
            let exchange = match kind {
                "none" => scram(),
                "tls-exporter" => scram().plus(kind, &client.binding.exporter.clone()),
                _ => scram().plus(kind, &client.binding.end_point.clone()),
            };
            let exchange = if sha1 { exchange.sha1() } else { exchange };
            let end = client.scram(exchange).await;
            assert_eq!(end.name(), "success", "{kind} {sha1}: {}", end.as_str());
        }
    }
}

#[tokio::test]
async fn a_login_that_was_bound_to_another_channel_fails() {
    // RFC 5802 §6, RFC 9266
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut other = server.secured("localhost").await;
    let mut client = server.secured("localhost").await;
    let scram = Scram::new("alice", common::PASSWORD);
    let end = client
        .scram(scram.plus("tls-exporter", &other.binding.exporter))
        .await;
    assert_eq!(condition(&end), "not-authorized");
    // "I could, but you do not offer it" is a lie that only somebody in between can have put there.
    let end = other.scram(Scram::new("alice", common::PASSWORD).flag("y")).await;
    assert_eq!(condition(&end), "not-authorized");
    let end = other
        .scram(Scram::new("alice", common::PASSWORD).plus("tls-unique", b"12345678"))
        .await;
    assert_eq!(end.name(), "failure");
}

#[tokio::test]
async fn tls_1_2_binds_to_the_certificate() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut client = Client::connect(server.direct).await;
    client.handshake(&TlsOptions::tls12()).await.expect("a handshake");
    client.open("localhost").await;
    assert!(!client.features().contains("tls-exporter"));
    let scram = Scram::new("alice", common::PASSWORD);
    let end = client
        .scram(scram.plus("tls-server-end-point", &client.binding.end_point.clone()))
        .await;
    assert_eq!(end.name(), "success");
}

#[tokio::test]
async fn a_resumed_tls_session_has_a_binding_of_its_own() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let options = TlsOptions::direct();
    let mut exporters = Vec::new();
    for round in 0..2 {
        let mut client = Client::connect(server.direct).await;
        client.handshake(&options).await.expect("a handshake");
        client.open("localhost").await;
        assert_eq!(client.binding.resumed, round == 1);
        let binding = client.binding.exporter.clone();
        let end = client
            .scram(Scram::new("alice", common::PASSWORD).plus("tls-exporter", &binding))
            .await;
        assert_eq!(end.name(), "success");
        exporters.push(binding);
    }
    assert_ne!(exporters[0], exporters[1]);
}

#[tokio::test]
async fn wrong_logins_fail_alike_and_three_end_the_stream() {
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut client = server.secured("localhost").await;
    let wrong = client.scram(Scram::new("alice", "guess")).await;
    let unknown = client.scram(Scram::new("nobody", "guess")).await;
    assert_eq!(wrong.as_str(), unknown.as_str());
    assert_eq!(condition(&wrong), "not-authorized");
    let third = client.scram(Scram::new("alice", "guess again")).await;
    assert_eq!(condition(&third), "not-authorized");
    client.expect_stream_error("policy-violation").await;
}

#[tokio::test]
async fn an_unknown_name_gets_the_same_salt_each_time() {
    // RFC 5802 §9: a server that tells who exists helps those who guess.
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut salts = Vec::new();
    for name in ["nobody", "nobody", "alice"] {
        let mut client = server.secured("localhost").await;
        let challenge = client
            .auth(
                "SCRAM-SHA-256",
                Some(format!("n,,n={name},r=abcdefgh").as_bytes()),
            )
            .await;
        let text = common::decoded(&challenge);
        let mut parts = text.split(',').skip(1).map(str::to_owned);
        salts.push((parts.next().expect("a salt"), parts.next().expect("a count")));
    }
    assert_eq!(salts[0], salts[1]);
    assert_eq!(salts[0].1, salts[2].1, "the same number of iterations");
    assert_eq!(salts[0].0.len(), salts[2].0.len());
}

#[tokio::test]
async fn refused_sasl_messages_say_why() {
    // RFC 6120 §6.5
    let server = TestServer::configured("[limits]\nsasl_tries_per_stream_max = 20\n").await;
    server.account("alice@localhost").await;
    let mut client = server.secured("localhost").await;
    let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    let auth =
        |mechanism: &str, text: &str| format!("<auth xmlns='{sasl}' mechanism='{mechanism}'>{text}</auth>");
    for (sent, failure) in [
        (auth("KERBEROS_V4", ""), "invalid-mechanism"),
        (auth("PLAIN", "AGFsaWNlAHNlY3JldA=="), "invalid-mechanism"),
        (auth("ANONYMOUS", "="), "invalid-mechanism"),
        (auth("SCRAM-SHA-256", "!!!"), "incorrect-encoding"),
        (auth("SCRAM-SHA-256", "aGVsbG8="), "malformed-request"),
        (format!("<auth xmlns='{sasl}'/>"), "invalid-mechanism"),
        (format!("<response xmlns='{sasl}'/>"), "malformed-request"),
        (format!("<abort xmlns='{sasl}'/>"), "malformed-request"),
    ] {
        client.send(&sent).await;
        let answer = client.next().await;
        assert_eq!(condition(&answer), failure, "{sent}");
    }
    // An exchange that the client gives up (§6.4.4).
    let challenge = client.auth("SCRAM-SHA-256", None).await;
    assert_eq!((challenge.name(), challenge.text().as_ref()), ("challenge", ""));
    client.send(format!("<abort xmlns='{sasl}'/>")).await;
    assert_eq!(condition(&client.next().await), "aborted");
    // Without an initial response it works too (§6.4.2).
    let mut scram = Scram::new("alice", common::PASSWORD);
    client.auth("SCRAM-SHA-256", None).await;
    let first = scram.first();
    let challenge = client.respond(first.as_bytes()).await;
    let answer = scram.answer(&common::decoded(&challenge));
    assert_eq!(client.respond(answer.as_bytes()).await.name(), "success");
}

#[tokio::test]
async fn nobody_logs_in_as_somebody_else() {
    // RFC 6120 §6.3.8
    let server = TestServer::configured("[c2s]\nplain = true\n").await;
    server.account("alice@localhost").await;
    server.account("bob@localhost").await;
    let mut client = server.secured("localhost").await;
    let mut scram = Scram::new("alice", common::PASSWORD);
    scram.authzid = "bob@localhost".into();
    assert_eq!(condition(&client.scram(scram).await), "invalid-authzid");
    let end = client.auth("PLAIN", Some(b"bob@localhost\0alice\0secret")).await;
    assert_eq!(condition(&end), "invalid-authzid");
    let end = client
        .auth("PLAIN", Some(b"alice@localhost\0alice\0secret"))
        .await;
    assert_eq!(end.name(), "success");
}

#[tokio::test]
async fn plain_is_there_only_if_the_operator_wants_it() {
    let server = TestServer::configured("[c2s]\nplain = true\n").await;
    server.account("alice@localhost").await;
    let mut client = server.secured("localhost").await;
    assert!(client.mechanisms().contains(&"PLAIN".to_owned()));
    assert_eq!(condition(&client.plain("alice", "guess").await), "not-authorized");
    assert_eq!(
        condition(&client.plain("nobody", "guess").await),
        "not-authorized"
    );
    assert_eq!(client.plain("alice", common::PASSWORD).await.name(), "success");
    client.open("localhost").await;
    client.bind(None).await;
}

#[tokio::test]
async fn guests_come_in_by_their_own_domain_and_nobody_else_does() {
    // XEP-0175
    let server = TestServer::start().await;
    let mut guest = server.secured("guest.localhost").await;
    assert_eq!(guest.mechanisms(), ["ANONYMOUS"]);
    assert_eq!(
        condition(&guest.scram(Scram::new("alice", "secret")).await),
        "invalid-mechanism"
    );
    guest.login_anonymous().await;
    guest.open("guest.localhost").await;
    let jid = guest.bind(Some("web")).await;
    assert_eq!(jid.domain(), "guest.localhost");
    assert!(
        jid.local().expect("a name").len() >= 26,
        "128 bits that nobody guesses"
    );
    let user = server.secured("localhost").await;
    assert!(!user.mechanisms().contains(&"ANONYMOUS".to_owned()));
}

#[tokio::test]
async fn the_account_s_domain_is_that_of_the_stream() {
    let server = TestServer::configured("[server]\ndomains = [\"localhost\", \"example.org\"]\n").await;
    server.account("alice@localhost").await;
    let mut client = server.secured("example.org").await;
    assert_eq!(
        condition(&client.scram(Scram::new("alice", common::PASSWORD)).await),
        "not-authorized"
    );
    let mut client = server.secured("localhost").await;
    client.login("alice", common::PASSWORD).await;
    client.send(header("example.org")).await;
    client.read_header().await;
    client.expect_stream_error("host-unknown").await;
}

// ——— before login, and binding ———

#[tokio::test]
async fn before_login_only_rooms_that_listen_are_heard() {
    let server = TestServer::start().await;
    for (early, error) in [
        (
            "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
            "not-authorized",
        ),
        ("<iq type='result' id='1'/>", "not-authorized"),
        ("<presence/>", "not-authorized"),
        (
            "<message to='alice@localhost'><body>hi</body></message>",
            "not-authorized",
        ),
        ("<a xmlns='urn:example'/>", "unsupported-stanza-type"),
    ] {
        let mut client = server.secured("localhost").await;
        client.send(early).await;
        client.expect_stream_error(error).await;
    }
}

#[tokio::test]
async fn resources_are_asked_for_or_made() {
    // RFC 6120 §7.6, §7.7
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut client = server.secured("localhost").await;
    client.login("alice", common::PASSWORD).await;
    client.open("localhost").await;
    for bad in ["\u{fff0}", &"x".repeat(1_024)] {
        let answer = client.try_bind(Some(bad)).await;
        assert_eq!(condition(&answer), "bad-request", "§7.7.2.1");
    }
    let made = client.bind(None).await;
    assert!(made.resource().expect("a resource").len() >= 16);
    let again = client.try_bind(Some("other")).await;
    assert_eq!(condition(&again), "not-allowed", "§7.6.1");
    client
        .send("<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>")
        .await;
    let answer = client.next().await;
    assert_eq!(
        (answer.attr("id").as_deref(), answer.attr("type").as_deref()),
        (Some("s"), Some("result"))
    );
    client.expect_nothing().await;
}

#[tokio::test]
async fn nothing_is_done_for_a_stream_that_is_not_bound() {
    // RFC 6120 §7.1
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    for early in [
        "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<message to='bob@localhost'/>",
        "<iq type='get' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
    ] {
        let mut client = server.secured("localhost").await;
        client.login("alice", common::PASSWORD).await;
        client.open("localhost").await;
        client.send(early).await;
        client.expect_stream_error("not-authorized").await;
    }
}

#[tokio::test]
async fn an_account_has_so_many_sessions_and_a_newer_one_takes_the_place_of_its_twin() {
    let server = TestServer::configured("[limits]\nresources_per_account_max = 2\n").await;
    let mut phone = server.session("alice@localhost/phone").await;
    let mut laptop = server.session("alice@localhost/laptop").await;
    let mut third = server.secured("localhost").await;
    third.login("alice", common::PASSWORD).await;
    third.open("localhost").await;
    let refused = third.try_bind(Some("tablet")).await;
    assert_eq!(condition(&refused), "resource-constraint", "RFC 6120 §7.6.2.1");
    // The refused stream lives and may try again.
    third.bind(Some("phone")).await;
    phone.expect_stream_error("conflict").await;
    third.expect_nothing().await;
    laptop.expect_nothing().await;
}
