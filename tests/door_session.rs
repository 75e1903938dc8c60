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
        ("<message><x:body/></message>".to_owned(), "bad-namespace-prefix"),
        (format!("<message>{deep}"), "policy-violation"),
        (format!("<message{attributes}/>"), "policy-violation"),
        (format!("<message>{many}</message>"), "policy-violation"),
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
    for forged in [
        "bob@localhost",
        "alice@localhost/other",
        "localhost",
        "bob@localhost/phone",
    ] {
        let mut alice = server.session("alice@localhost/phone").await;
        alice
            .send(format!(
                "<iq type='get' id='1' from='{forged}' to='bob@localhost/phone'><a xmlns='urn:x'/></iq>"
            ))
            .await;
        alice.expect_stream_error("invalid-from").await;
    }
    bob.expect_nothing().await;
    let mut alice = server.session("alice@localhost/phone").await;
    for honest in ["alice@localhost", "ALICE@localhost/phone"] {
        alice
            .send(format!(
                "<iq type='get' id='1' from='{honest}' to='bob@localhost/phone'><a xmlns='urn:x'/></iq>"
            ))
            .await;
        assert_eq!(
            bob.next().await.attr("from").as_deref(),
            Some("alice@localhost/phone")
        );
    }
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
