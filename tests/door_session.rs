//! A bound session over a real socket: order, refusals, languages, what happens at its end.

mod common;

use common::{TestServer, condition};
use kim_core::accounts::scram::Password;

#[tokio::test]
async fn answers_come_in_the_order_of_the_questions() {
    // RFC 6120 §10.1; the questions arrive in one piece.
    let server = TestServer::start().await;
    let mut alice = server.session("alice@localhost/phone").await;
    let mut all = String::new();
    for number in 0..500 {
        all.push_str(&format!(
            "<iq type='get' id='{number}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq> \n"
        ));
    }
    alice.send(all).await;
    for number in 0..500 {
        let answer = alice.next().await;
        assert_eq!(answer.attr("id").as_deref(), Some(number.to_string().as_str()));
    }
}

#[tokio::test]
async fn a_large_stanza_goes_through_whole() {
    let server = TestServer::start().await;
    let mut alice = server.session("alice@localhost/phone").await;
    let mut bob = server.session("bob@localhost/phone").await;
    let text = "a&amp;".repeat(40_000);
    alice
        .send(format!(
            "<iq type='get' id='big' to='bob@localhost/phone'><a xmlns='urn:x'>{text}</a></iq>"
        ))
        .await;
    let big = bob.next().await;
    assert_eq!(big.attr("from").as_deref(), Some("alice@localhost/phone"));
    assert_eq!(big.child("a", "urn:x").expect("the payload").text().len(), 80_000);
}

#[tokio::test]
async fn what_breaks_a_stream_ends_it_with_the_error_that_says_so() {
    // RFC 6120 §4.9.3, §11.1
    let server = TestServer::start().await;
    let deep = "<a xmlns='urn:x'>".repeat(80);
    let attributes: String = (0..80).map(|n| format!(" a{n}=''")).collect();
    let many = "<a/>".repeat(5_000);
    for (sent, error) in [
        ("<message><!-- hi --></message>".to_owned(), "restricted-xml"),
        ("<?xml-stylesheet href='a'?>".to_owned(), "restricted-xml"),
        ("<!DOCTYPE a>".to_owned(), "restricted-xml"),
        (
            "<message><body>&unknown;</body></message>".to_owned(),
            "restricted-xml",
        ),
        ("<message></presence>".to_owned(), "not-well-formed"),
        ("<message a='1' a='2'/>".to_owned(), "not-well-formed"),
        ("hello".to_owned(), "not-well-formed"),
        ("<message><x:body/></message>".to_owned(), "not-well-formed"),
        ("<message x:id='1'/>".to_owned(), "not-well-formed"),
        ("<message xmlns:p=''/>".to_owned(), "not-well-formed"),
        (
            "<message xmlns:p='http://www.w3.org/2000/xmlns/'/>".to_owned(),
            "not-well-formed",
        ),
        (format!("<message>{deep}"), "policy-violation"),
        (format!("<message{attributes}/>"), "policy-violation"),
        (format!("<message>{many}</message>"), "policy-violation"),
        (
            format!("<message><x xmlns='urn:x'>{many}</x></message>"),
            "policy-violation",
        ),
        (
            format!("<message>{}</message>", "<a xmlns='urn:x'/>".repeat(1_025)),
            "policy-violation",
        ),
        (
            format!("<message><body>{}</body></message>", "x".repeat(300_000)),
            "policy-violation",
        ),
        (
            "<features xmlns='http://etherx.jabber.org/streams'/>".to_owned(),
            "unsupported-stanza-type",
        ),
        (
            "<message xmlns='jabber:component:connect'/>".to_owned(),
            "unsupported-stanza-type",
        ),
        ("<handshake/>".to_owned(), "unsupported-stanza-type"),
    ] {
        let mut alice = server.session("alice@localhost/phone").await;
        alice.send(&sent).await;
        let shown: String = sent.chars().take(60).collect();
        eprintln!("{shown} → {error}");
        alice.expect_stream_error(error).await;
    }
    let mut alice = server.session("alice@localhost/phone").await;
    alice.send(b"<message><body>\xff\xfe</body></message>").await;
    alice.expect_stream_error("unsupported-encoding").await;
}

#[tokio::test]
async fn a_refused_stanza_leaves_the_stream_alive() {
    let server = TestServer::start().await;
    let mut alice = server.session("alice@localhost/phone").await;
    for (sent, error) in [
        ("<iq type='get' id='1'/>", "bad-request"),
        ("<iq type='fetch' id='1'><a xmlns='urn:x'/></iq>", "bad-request"),
        (
            "<iq type='get' id='1' to='@'><a xmlns='urn:x'/></iq>",
            "jid-malformed",
        ),
        ("<message id='1' to='a b@localhost'/>", "jid-malformed"),
        (
            "<iq type='get' id='1' to='localhost'><a xmlns='urn:x'/></iq>",
            "service-unavailable",
        ),
        (
            "<iq type='get' id='1' to='example.org'><a xmlns='urn:x'/></iq>",
            "remote-server-not-found",
        ),
    ] {
        alice.send(sent).await;
        let answer = alice.next().await;
        assert_eq!(answer.attr("id").as_deref(), Some("1"), "{sent}");
        assert_eq!(condition(&answer), error, "{sent}");
    }
    alice.send(" \n\t ").await;
    alice.expect_nothing().await;
}

#[tokio::test]
async fn who_claims_to_be_somebody_else_is_sent_away() {
    // RFC 6120 §8.1.2.1
    let server = TestServer::start().await;
    let mut bob = server.session("bob@localhost/phone").await;
    bob.send("<presence/><iq type='get' id='up' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    while bob.next().await.name() != "iq" {}
    let kinds = |from: &str| {
        [
            format!("<iq type='get' id='1' from='{from}' to='bob@localhost/phone'><a xmlns='urn:x'/></iq>"),
            format!("<message from='{from}' to='bob@localhost/phone'><body>x</body></message>"),
            format!("<presence from='{from}' to='bob@localhost/phone'/>"),
            format!("<iq type='result' id='1' from='{from}' to='bob@localhost/phone'/>"),
        ]
    };
    for forged in [
        "bob@localhost",
        "localhost",
        "bob@localhost/phone",
        "alice@guest.localhost/phone",
        // Not addresses at all.
        "a b@localhost",
        "",
    ] {
        let refused = [
            // Not even a malformed one is answered, nor what is done without the house.
            format!("<iq type='ask' id='1' from='{forged}'/>"),
            format!(
                "<iq type='set' id='1' from='{forged}'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>"
            ),
        ];
        for stanza in kinds(forged).into_iter().chain(refused) {
            let mut alice = server.session("alice@localhost/phone").await;
            alice.send(&stanza).await;
            alice.expect_stream_error("invalid-from").await;
        }
    }
    bob.expect_nothing().await;
    // What a client has bound is written, whatever it calls itself: Converse.js 14 resumes a session and goes on under the
    // resource that it would have bound.
    let mut alice = server.session("alice@localhost/phone").await;
    for own in [
        "alice@localhost",
        "ALICE@localhost/phone",
        "alice@localhost/converse.js-1",
    ] {
        for stanza in kinds(own) {
            alice.send(&stanza).await;
            assert_eq!(
                bob.next().await.attr("from").as_deref(),
                Some("alice@localhost/phone"),
                "{stanza}"
            );
        }
    }
}

#[tokio::test]
async fn an_error_comes_from_where_the_stanza_was_sent_to() {
    // A client finds the question of an answer by id and address (RFC 6120 §8.2.3); what it asked may be no address at all.
    let server = TestServer::start().await;
    let mut alice = server.session("alice@localhost/phone").await;
    server.account("bob@localhost").await;
    for (written, to) in [
        ("a b@host", "a b@host"),
        (
            "room@conference.localhost/bad&#x202E;rtl",
            "room@conference.localhost/bad\u{202E}rtl",
        ),
        ("@localhost", "@localhost"),
        ("bob@localhost/", "bob@localhost/"),
        ("", ""),
        ("&lt;a&gt; &amp; &apos;b&quot;@localhost", "<a> & 'b\"@localhost"),
        ("bob@localhost/nobody", "bob@localhost/nobody"),
        ("localhost", "localhost"),
        ("conference.localhost", "conference.localhost"),
        ("example.invalid", "example.invalid"),
        ("somebody@example.invalid/there", "somebody@example.invalid/there"),
    ] {
        for stanza in [
            format!("<iq type='get' id='1' to='{written}'><a xmlns='urn:x'/></iq>"),
            format!("<iq type='ask' id='1' to='{written}'/>"),
            format!("<message id='1' to='{written}'><body>x</body></message>"),
            format!("<presence id='1' type='away' to='{written}'/>"),
        ] {
            alice.send(&stanza).await;
            let answer = alice.next().await;
            assert_eq!(answer.attr("type").as_deref(), Some("error"), "{stanza}");
            assert_eq!(answer.attr("from").as_deref(), Some(to), "{stanza}");
            assert_eq!(
                answer.attr("to").as_deref(),
                Some("alice@localhost/phone"),
                "{stanza}"
            );
        }
    }
    // Without an address it is the account that answers.
    alice.send("<iq type='get' id='1'><a xmlns='urn:x'/></iq>").await;
    assert_eq!(
        alice.next().await.attr("from").as_deref(),
        Some("alice@localhost")
    );
    // Before login, and before binding, the same.
    let mut early = server.secured("localhost").await;
    let question = "<iq type='get' id='1' to='a b@host'><query xmlns='jabber:iq:register'/></iq>";
    early.send(question).await;
    let answer = early.next().await;
    assert_eq!(condition(&answer), "jid-malformed");
    assert_eq!(answer.attr("from").as_deref(), Some("a b@host"));
    early.login("bob", common::PASSWORD).await;
    early.open("localhost").await;
    early.send(question).await;
    assert_eq!(early.next().await.attr("from").as_deref(), Some("a b@host"));
}

#[tokio::test]
async fn a_line_break_behind_the_last_words_of_a_stream_is_not_of_the_next() {
    // RFC 6120 §4.3.3. go-xmpp ends its <auth/> and <response/> with a line break.
    let server = TestServer::configured("[c2s]\nplain = true\n").await;
    server.account("alice@localhost").await;
    let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    // Base64 of NUL alice NUL secret.
    let plain = format!("<auth xmlns='{sasl}' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>");
    for break_ in ["\n", "\r\n", " \t\n"] {
        let mut client = server.connect().await;
        client.open("localhost").await;
        client.start_tls().await;
        // After TLS the stream is new as well.
        client.send(break_).await;
        client.open("localhost").await;
        client.send(format!("{plain}{break_}")).await;
        assert_eq!(client.next().await.name(), "success");
        client.open("localhost").await;
        client.bind(None).await;

        // In one piece, and with SCRAM.
        let mut client = server.secured("localhost").await;
        client
            .send(format!("{plain}{break_}{}", common::header("localhost")))
            .await;
        assert_eq!(client.next().await.name(), "success");
        client.read_header().await;
        client.read_features().await;
        client.bind(None).await;
        let mut client = server.secured("localhost").await;
        client.login("alice", common::PASSWORD).await;
        client.send(break_).await;
        client.open("localhost").await;
        client.bind(None).await;
    }
    // The very first bytes of a connection are those of the declaration, if there is one (XML 1.0 §2.8).
    let mut client = server.connect().await;
    client.send(format!("\n{}", common::header("localhost"))).await;
    client.read_header().await;
    client.expect_stream_error("restricted-xml").await;
}

#[tokio::test]
async fn stanzas_speak_the_language_of_their_stream() {
    // RFC 6120 §8.1.5
    let server = TestServer::start().await;
    server.account("alice@localhost").await;
    let mut bob = server.session("bob@localhost/phone").await;
    let mut alice = server.secured("localhost").await;
    alice.login("alice", common::PASSWORD).await;
    alice
        .send(common::header("localhost").replace("<stream:stream ", "<stream:stream xml:lang='eo' "))
        .await;
    alice.read_header().await;
    alice.read_features().await;
    alice.bind(Some("phone")).await;
    for (lang, expected) in [("", "eo"), ("xml:lang='fi' ", "fi")] {
        alice
            .send(format!(
                "<iq {lang}type='get' id='1' to='bob@localhost/phone'><a xmlns='urn:x'/></iq>"
            ))
            .await;
        assert_eq!(bob.next().await.attr("xml:lang").as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn what_was_sent_before_the_end_is_dealt_with() {
    let server = TestServer::start().await;
    let mut bob = server.session("bob@localhost/phone").await;
    let mut alice = server.session("alice@localhost/phone").await;
    let question =
        |id: &str| format!("<iq type='get' id='{id}' to='bob@localhost/phone'><a xmlns='urn:x'/></iq>");
    alice
        .send(format!("{}{}</stream:stream>", question("1"), question("2")))
        .await;
    assert_eq!(bob.next().await.attr("id").as_deref(), Some("1"));
    assert_eq!(bob.next().await.attr("id").as_deref(), Some("2"));
    assert_eq!(alice.frame().await, Some(kim_core::wire::Frame::Close));
    alice.expect_end().await;
    // Also of somebody who goes without a word.
    let mut alice = server.session("alice@localhost/phone").await;
    alice.send(question("3")).await;
    alice.vanish();
    assert_eq!(bob.next().await.attr("id").as_deref(), Some("3"));
}

#[tokio::test]
async fn a_session_that_is_over_is_no_longer_there() {
    let server = TestServer::start().await;
    let mut bob = server.session("bob@localhost/phone").await;
    let mut alice = server.session("alice@localhost/phone").await;
    alice.close().await;
    bob.send("<iq type='get' id='1' to='alice@localhost/phone'><a xmlns='urn:x'/></iq>")
        .await;
    assert_eq!(condition(&bob.next().await), "service-unavailable");
    assert_eq!(server.server().house().router.sessions().all().len(), 1);
}

#[tokio::test]
async fn a_new_password_or_none_ends_the_sessions() {
    use kim::control::{Control, Direct, Secret};
    let server = TestServer::start().await;
    let router = &server.server().house().router;
    let control = Direct::serving(router.clone());
    let mut alice = server.session("alice@localhost/phone").await;
    let account = alice.jid.as_ref().expect("bound").bare();
    let secret = Secret::new(zeroize::Zeroizing::new("another".to_owned()));
    control
        .user_passwd(&account, &secret)
        .await
        .expect("a new password");
    alice.expect_stream_error("reset").await;
    let password = Password::prepare("another").expect("a password");
    assert!(
        router
            .accounts()
            .verify(&account, &password)
            .await
            .expect("accounts answer")
    );

    let mut alice = server.secured("localhost").await;
    alice.login("alice", "another").await;
    alice.open("localhost").await;
    alice.bind(None).await;
    control
        .user_delete(&account)
        .await
        .expect("the account is removed");
    alice.expect_stream_error("not-authorized").await;
}
