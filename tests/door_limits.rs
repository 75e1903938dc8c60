//! What bounds a client: time, numbers, bytes; and what an operator does to a running server: certificates, stopping.

mod common;

use std::path::Path;
use std::time::Duration;

use common::{Client, Scram, TestServer, TlsOptions, condition, header};
use kim::server::Server;
use kim_core::config::{Config, Sources};

// ——— time ———

#[tokio::test]
async fn who_does_not_log_in_in_time_is_sent_away() {
    let server = TestServer::configured("[limits]\nlogin_seconds_max = 1\n").await;
    let mut silent = server.connect().await;
    silent.read_header().await;
    silent.expect_stream_error("connection-timeout").await;
    let mut busy = server.connect().await;
    busy.open("localhost").await;
    busy.expect_stream_error("connection-timeout").await;
    // Where TLS comes first, nothing can be said before it.
    let mut lost = Client::connect(server.direct).await;
    lost.read_to_end().await;
    assert!(lost.transcript.is_empty());
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_given_up() {
    let server = TestServer::configured("[limits]\ntls_handshake_seconds_max = 1\n").await;
    let mut client = Client::connect(server.direct).await;
    client.send(b"\x16\x03\x01\x02\x00\x01").await;
    client.read_to_end().await;
    let mut client = Client::connect(server.direct).await;
    client.send(b"<stream:stream>").await;
    client.read_to_end().await;
}

// ——— numbers ———

#[tokio::test]
async fn an_address_has_so_many_streams_before_login_and_others_live_on() {
    let server = TestServer::configured(
        "[limits]\nstreams_unauthenticated_per_address_max = 3\nstreams_per_address_max = 5\n",
    )
    .await;
    let mut alice = server.session("alice@localhost/phone").await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.open("localhost").await;
        waiting.push(client);
    }
    let mut refused = server.connect().await;
    refused.read_to_end().await;
    assert_eq!(server.server().door().counters.refused_connections(), 1);
    alice.expect_nothing().await;
    // One that goes makes room for another.
    waiting.pop().expect("a client").close().await;
    server.until(|server| server.door().connections() == 3).await;
    let mut bob = server.session("bob@localhost/phone").await;
    bob.expect_nothing().await;
}

#[tokio::test]
async fn who_fails_too_often_waits_also_with_the_right_password() {
    let server =
        TestServer::configured("[limits]\nlogin_failures_burst = 2\nlogin_failure_refill_seconds = 3600\n")
            .await;
    server.account("alice@localhost").await;
    let mut client = server.secured("localhost").await;
    for _ in 0..2 {
        assert_eq!(
            condition(&client.scram(Scram::new("alice", "guess")).await),
            "not-authorized"
        );
    }
    let refused = client.scram(Scram::new("alice", common::PASSWORD)).await;
    assert_eq!(condition(&refused), "temporary-auth-failure");
    client.expect_stream_error("policy-violation").await;
    let mut again = server.secured("localhost").await;
    let refused = again.scram(Scram::new("alice", common::PASSWORD)).await;
    assert_eq!(condition(&refused), "temporary-auth-failure");
}

#[tokio::test]
async fn only_a_wrong_password_is_a_guess() {
    // slixmpp 1.8 to 1.10 try both -PLUS mechanisms without a binding before they log in.
    let strict = "[limits]\nlogin_failures_burst = 2\nlogin_failure_refill_seconds = 3600\naccount_failures_burst = 1\n";
    let server = TestServer::configured(strict).await;
    server.account("alice@localhost").await;
    server.account("bob@localhost").await;
    for _ in 0..5 {
        let mut client = server.secured("localhost").await;
        for mechanism in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"] {
            let failure = client.auth(mechanism, Some(b"n,,n=alice,r=abcdefgh")).await;
            assert_eq!(condition(&failure), "malformed-request");
        }
        client.login("alice", common::PASSWORD).await;
    }
    // Whatever fails before a proof: all of it, again and again.
    let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    for _ in 0..3 {
        for (mechanism, initial, refused) in [
            ("PLAIN", &b"\0alice\0guess"[..], "invalid-mechanism"),
            ("SCRAM-SHA-256", &b"hello"[..], "malformed-request"),
            // We did offer -PLUS (RFC 5802 §6), and this is a binding that nobody knows.
            ("SCRAM-SHA-256", &b"y,,n=alice,r=abcdefgh"[..], "not-authorized"),
            (
                "SCRAM-SHA-256-PLUS",
                &b"p=tls-unique,,n=alice,r=abcdefgh"[..],
                "not-authorized",
            ),
            (
                "SCRAM-SHA-256",
                &b"n,a=bob,n=alice,r=abcdefgh"[..],
                "invalid-authzid",
            ),
            ("SCRAM-SHA-256", &b"n,,n=al ice,r=abcdefgh"[..], "not-authorized"),
        ] {
            let mut client = server.secured("localhost").await;
            assert_eq!(condition(&client.auth(mechanism, Some(initial)).await), refused);
        }
        for end in [
            "<abort xmlns='{}'/>",
            "<response xmlns='{}'>aGVsbG8=</response>",
            "<response xmlns='{}'>!</response>",
        ] {
            let mut client = server.secured("localhost").await;
            client.auth("SCRAM-SHA-256", Some(b"n,,n=alice,r=abcdefgh")).await;
            client.send(end.replace("{}", sasl)).await;
            assert_eq!(client.next().await.name(), "failure");
        }
        // The right password on another channel.
        let mut client = server.secured("localhost").await;
        let bound = Scram::new("alice", common::PASSWORD).plus("tls-exporter", &[0; 32]);
        assert_eq!(condition(&client.scram(bound).await), "not-authorized");
    }
    let mut client = server.secured("localhost").await;
    client.login("alice", common::PASSWORD).await;
    // A mistake on the way to one's own account costs nothing.
    for _ in 0..3 {
        let mut client = server.secured("localhost").await;
        let mistake = client.scram(Scram::new("alice", "secrte")).await;
        assert_eq!(condition(&mistake), "not-authorized");
        client.login("alice", common::PASSWORD).await;
    }
    // A guess at somebody else's costs one, also when the guesser has an account: known names and others alike.
    for name in ["bob", "nobody"] {
        let mut client = server.secured("localhost").await;
        let guess = client.scram(Scram::new(name, "guess")).await;
        assert_eq!(condition(&guess), "not-authorized");
        if name == "bob" {
            client.login("alice", common::PASSWORD).await;
        }
    }
    let mut client = server.secured("localhost").await;
    let refused = client.scram(Scram::new("alice", common::PASSWORD)).await;
    assert_eq!(condition(&refused), "temporary-auth-failure");
}

#[tokio::test]
async fn white_space_before_login_is_not_free() {
    // Behind it nothing is looked at: the same however much of it comes.
    let server = TestServer::start().await;
    let flood = " \n".repeat(10_000);
    let mut client = server.connect().await;
    client.send(&flood).await;
    client.read_header().await;
    client.expect_stream_error("policy-violation").await;
    let mut client = server.connect().await;
    client.open("localhost").await;
    client.send(&flood).await;
    client.expect_stream_error("policy-violation").await;
    let mut client = server.secured("localhost").await;
    client.send(&flood).await;
    client.expect_stream_error("policy-violation").await;
    // Nor between login and binding.
    server.account("alice@localhost").await;
    let mut client = server.secured("localhost").await;
    client.login("alice", common::PASSWORD).await;
    client.send(&flood).await;
    client.read_header().await;
    client.expect_stream_error("policy-violation").await;
    // A little of it, now and then, is no harm; after login it is as free as other bytes.
    let mut client = server.secured("localhost").await;
    client.send(" \n").await;
    client.login("alice", common::PASSWORD).await;
    client.open("localhost").await;
    client.send(" ").await;
    client.bind(None).await;
    client.send(&flood).await;
    client
        .send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    assert_eq!(client.next().await.attr("type").as_deref(), Some("result"));
}

#[tokio::test]
async fn there_is_a_limit_to_what_may_be_said_before_login() {
    let server = TestServer::start().await;
    let mut client = server.secured("localhost").await;
    let long = format!(
        "<iq type='set' id='1'><query xmlns='jabber:iq:register'><a>{}",
        "x".repeat(11_000)
    );
    client.send(long).await;
    client.expect_stream_error("policy-violation").await;
    // Nor may it be said in many small pieces.
    let mut client = server.secured("localhost").await;
    let question = "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>";
    client.send(question.repeat(200)).await;
    client.read_to_stream_error().await;
}

// ——— bytes ———

#[tokio::test]
async fn a_client_that_sends_too_fast_is_read_more_slowly_and_loses_nothing() {
    let server = TestServer::configured("[limits]\nstanzas_per_second = 200\nstanzas_burst = 10\n").await;
    let mut alice = server.session("alice@localhost/phone").await;
    let started = std::time::Instant::now();
    let ping =
        |id: usize| format!("<iq type='get' id='{id}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    alice.send((0..100).map(ping).collect::<String>()).await;
    for id in 0..100 {
        assert_eq!(
            alice.next().await.attr("id").as_deref(),
            Some(id.to_string().as_str())
        );
    }
    // 90 above the burst at 200 a second: it cannot have taken less.
    assert!(
        started.elapsed() >= Duration::from_millis(400),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn who_does_not_read_is_cut_and_nobody_else_notices() {
    let server = TestServer::configured(
        "[limits]\nslow_reader_seconds_max = 1\noutbox_bytes_max = 65536\nstanza_bytes_max = 30000\nbytes_burst = 1000000000\nbytes_per_second = 1000000000\n\
         stanzas_burst = 1000000\n",
    )
    .await;
    let deaf = Client::connect_narrow(server.tcp).await;
    let mut deaf = server.session_over(deaf, "deaf@localhost/phone").await;
    let mut alice = server.session("alice@localhost/phone").await;
    let text = "x".repeat(20_000);
    // The kernel's buffers take a part; then the outbox fills.
    while server
        .server()
        .house()
        .router
        .sessions()
        .get(deaf.jid.as_ref().expect("bound"))
        .is_some()
    {
        alice
            .send(format!(
                "<iq type='get' id='1' to='deaf@localhost/phone'><a xmlns='urn:x'>{text}</a></iq>"
            ))
            .await;
        alice
            .send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
            .await;
        loop {
            let answer = alice.next().await;
            if answer.attr("id").as_deref() == Some("p") {
                break;
            }
        }
    }
    server.until(|server| server.door().connections() == 1).await;
    deaf.read_to_end().await;
    // RFC 6120 §8.2.3: requests that were never read are answered in its place.
    alice
        .send("<iq type='get' id='q' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    let mut bounced = 0;
    loop {
        let answer = alice.next().await;
        if answer.attr("id").as_deref() == Some("q") {
            break;
        }
        assert_eq!(condition(&answer), "service-unavailable");
        bounced += 1;
    }
    assert!(bounced > 0);
}

// ——— the operator ———

#[tokio::test]
async fn a_stopping_server_tells_everybody_and_ends() {
    let mut server = TestServer::start().await;
    let mut alice = server.session("alice@localhost/phone").await;
    let mut early = server.connect().await;
    early.open("localhost").await;
    let mut silent = server.connect().await;
    alice
        .send("<iq type='get' id='1' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    alice.next().await;
    let (tcp, clients) = (server.tcp, async {
        alice.expect_stream_error("system-shutdown").await;
        early.expect_stream_error("system-shutdown").await;
        silent.read_header().await;
        silent.expect_stream_error("system-shutdown").await;
    });
    tokio::join!(server.stop(), clients);
    assert!(
        tokio::net::TcpStream::connect(tcp).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_replaced_without_a_restart() {
    let mut server = TestServer::prepared("[server]\ndomains = [\"localhost\", \"example.org\"]\n", |home| {
        lay_certificate(home, "example.org", &["example.org", "*.example.org"])
    })
    .await;
    let shown = async |options: TlsOptions| {
        let mut client = Client::connect(server.direct).await;
        client.handshake(&options).await.expect("a handshake");
        client.binding.certificate.clone()
    };
    let own = shown(TlsOptions::default().sni("localhost")).await;
    let other = shown(TlsOptions::default().sni("example.org")).await;
    assert_ne!(own, other);
    assert_eq!(
        other,
        shown(TlsOptions::default().sni("chat.example.org")).await,
        "a star is one label"
    );
    assert_eq!(
        own,
        shown(TlsOptions::default().sni("a.chat.example.org")).await,
        "and no more"
    );
    assert_eq!(
        own,
        shown(TlsOptions::default().sni("elsewhere.test")).await,
        "the first is for all others"
    );
    assert_eq!(
        own,
        shown(TlsOptions::default().sni("conference.localhost")).await
    );

    // A broken file is refused as a whole.
    let mut alice = server.session("alice@localhost/phone").await;
    let key = server.home().join("certs/example.org.key");
    let good = std::fs::read(&key).expect("the key");
    std::fs::write(&key, "no key").expect("a broken key");
    assert!(server.server().reload().is_err());
    assert_eq!(other, shown(TlsOptions::default().sni("example.org")).await);
    std::fs::write(&key, good).expect("the key");
    lay_certificate(server.home(), "example.org", &["example.org"]);
    server.server().reload().expect("good certificates");
    let fresh = shown(TlsOptions::default().sni("example.org")).await;
    assert_ne!(other, fresh);
    assert_eq!(
        own,
        shown(TlsOptions::default().sni("localhost")).await,
        "what was good is not made anew"
    );
    alice.expect_nothing().await;
    server.stop().await;
}

fn lay_certificate(home: &Path, name: &str, names: &[&str]) {
    let folder = home.join("certs");
    std::fs::create_dir_all(&folder).expect("a folder");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    std::fs::write(folder.join(format!("{name}.crt")), made.cert.pem()).expect("the certificate");
    std::fs::write(
        folder.join(format!("{name}.key")),
        made.signing_key.serialize_pem(),
    )
    .expect("the key");
}

#[tokio::test]
async fn what_keeps_a_server_from_starting_is_said_in_one_line() {
    let running = TestServer::start().await;
    let failure = |toml: String| async move {
        let home = std::env::temp_dir().join(format!("kim-test-{}", kim_core::random::token()));
        std::fs::create_dir_all(&home).expect("a folder");
        let sources = Sources::none().text("test.toml", toml).flag(
            "--data-dir",
            "server",
            "data_dir",
            home.to_string_lossy(),
        );
        let config = Config::load(&sources, &kim::server::app().schemas()).expect("a valid configuration");
        let failure = Server::start(config).await.err().expect("it does not start");
        std::fs::remove_dir_all(&home).expect("the folder");
        (failure.exit_code(), failure.to_string())
    };
    let (code, line) = failure(format!(
        "[listen]\nc2s = [\"{}\"]\nc2s_tls = []\ns2s = []\ns2s_tls = []\nhttps = []\nhttp = []\n",
        running.tcp
    ))
    .await;
    assert_eq!(code, 4);
    assert!(
        line.contains("the port is in use") && !line.contains('\n'),
        "{line}"
    );
    let (code, line) = failure(
        "[listen]\nc2s = [\"192.0.2.1:5222\"]\nc2s_tls = []\ns2s = []\ns2s_tls = []\nhttps = []\nhttp = []\n"
            .into(),
    )
    .await;
    assert_eq!(code, 4);
    assert!(line.contains("does not have this address"), "{line}");

    let folder = running.home().join("certs");
    let (cert, key) = (folder.join("localhost.crt"), folder.join("localhost.key"));
    lay_certificate(running.home(), "other", &["other"]);
    for (cert, key) in [
        (folder.join("missing.crt"), key.clone()),
        (cert.clone(), folder.join("other.key")),
        (key.clone(), key.clone()),
        (cert.clone(), cert.clone()),
    ] {
        let (code, line) = failure(format!(
            "[listen]\nc2s = [\"127.0.0.1:0\"]\nc2s_tls = []\ns2s = []\ns2s_tls = []\nhttps = []\nhttp = []\n[tls]\ncert = \"{}\"\nkey = \"{}\"\n",
            cert.display(),
            key.display()
        ))
        .await;
        assert_eq!(code, 5, "{line}");
        assert!(!line.contains('\n'), "{line}");
        eprintln!("{line}");
    }
}

#[tokio::test]
async fn a_made_certificate_is_for_the_domain_and_its_services_and_its_key_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let server = TestServer::configured("[server]\ndomains = [\"localhost\", \"bücher.example\"]\n").await;
    let key = server.home().join("certs/localhost.key");
    let mode = std::fs::metadata(&key).expect("the key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let certificates = server.server().certificates().current();
    let [own, other] = certificates.pairs() else {
        panic!("one certificate for each domain")
    };
    assert!(own.is_self_signed && own.is_for("localhost") && own.is_for("conference.localhost"));
    assert!(other.is_for("bücher.example") && other.is_for("xn--bcher-kva.example"));
    assert!(!own.is_for("bücher.example"));
    let mut client = Client::connect(server.tcp).await;
    client.send(header("bücher.example")).await;
    client.read_header().await;
    assert_eq!(client.header("from"), Some("bücher.example"));
}

// ——— limits that change ———

#[tokio::test]
async fn new_limits_hold_for_what_begins_and_mistakes_are_told_in_a_line() {
    let server = TestServer::start().await;
    let mut alice = server.session("alice@localhost/phone").await;
    let load = |toml: &str| {
        let sources = Sources::none().text("kim.toml", toml);
        server.server().reload_limits(&sources)
    };
    let block = |id: u32| {
        format!(
            "<iq type='set' id='b{id}'><block xmlns='urn:xmpp:blocking'><item jid='m{id}@localhost'/></block></iq>"
        )
    };
    let answer = async |client: &mut Client, id: u32| {
        client.send(block(id)).await;
        loop {
            let next = client.next().await;
            if next.attr("id").as_deref() == Some(&*format!("b{id}")) {
                return next.attr("type").unwrap_or_default().into_owned();
            }
        }
    };
    assert_eq!(answer(&mut alice, 1).await, "result");
    // What rooms go by holds at the next use, what doors go by for the next connection.
    load("[limits]\nblock_list_max = 1\nstreams_per_address_max = 2\nlogin_failures_burst = 1\n")
        .expect("good limits");
    assert_eq!(answer(&mut alice, 2).await, "error");
    let mut second = server.secured("localhost").await;
    assert_eq!(
        condition(&second.scram(Scram::new("alice", "guess")).await),
        "not-authorized"
    );
    assert_eq!(
        condition(&second.scram(Scram::new("alice", "guess")).await),
        "temporary-auth-failure"
    );
    let mut third = server.connect().await;
    third.read_to_end().await;
    assert!(third.transcript.is_empty());
    // A file with a mistake, wherever, changes nothing and says what is wrong in one line for each.
    for wrong in [
        "[limits]\nblock_list_max = -3\n",
        "[limits]\nblock_list_max = 50\nblock_lists_max = 3\n",
        "[limits]\nblock_list_max = 50\n[server]\ndomains = []\n",
        "[limits\n",
    ] {
        let failure = load(wrong).expect_err("it is refused").to_string();
        assert!(failure.contains("kim.toml"), "{failure}");
        assert_eq!(failure.trim().lines().count(), 1, "{failure}");
        assert_eq!(answer(&mut alice, 3).await, "error", "{wrong}");
    }
    load("").expect("no limits are the defaults");
    assert_eq!(answer(&mut alice, 4).await, "result");
}
