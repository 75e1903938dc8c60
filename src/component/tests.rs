//! The handshake (XEP-0114 §3), byte by byte and all at once.

use bytes::BytesMut;
use kim_core::config::{Config, Sources};
use kim_core::error::{StreamCondition, StreamError};
use kim_core::wire::Limits;

use super::handshake::{Handshake, HandshakeStep};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' to='plays.shakespeare.lit'>";
/// The sum of the id `3BF96D32` and the secret `open sesame`.
const PROOF: &str = "dab7e27c4d2dcbb4bbabb203700dd710a41ed55f";

fn config() -> Config {
    let toml = "[[component]]\njid = \"plays.shakespeare.lit\"\nsecret = \"open sesame\"\n";
    Config::load(&Sources::none().text("test.toml", toml), &[]).expect("a valid configuration")
}

/// What a program is told that sends this, in pieces of so many bytes.
fn shake(words: &str, piece: usize) -> Result<(String, Option<String>), StreamError> {
    let config = config();
    let mut handshake = Handshake::new(&config.components, "3BF96D32".to_owned(), Limits::default());
    let (mut said, mut input) = (String::new(), BytesMut::new());
    for piece in words.as_bytes().chunks(piece) {
        input.extend_from_slice(piece);
        loop {
            match handshake.read(&mut input)? {
                HandshakeStep::More => break,
                HandshakeStep::Answer(words) => said.push_str(&words),
                HandshakeStep::Proven(domain) => return Ok((said, Some(domain))),
            }
        }
    }
    Ok((said, None))
}

fn refusal(words: &str) -> Option<StreamCondition> {
    shake(words, words.len()).err().map(|error| error.condition)
}

#[test]
fn the_secret_lets_in() {
    for piece in [1, 7, 4_096] {
        let words = format!("{HEADER}<handshake>{PROOF}</handshake>");
        let (said, proven) = shake(&words, piece).expect("a right handshake");
        assert_eq!(proven.as_deref(), Some("plays.shakespeare.lit"));
        assert_eq!(
            said,
            "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
             xmlns:stream='http://etherx.jabber.org/streams' from='plays.shakespeare.lit' id='3BF96D32'>"
        );
    }
}

#[test]
fn anything_else_does_not() {
    let wrong = [
        "<handshake/>".to_owned(),
        format!("<handshake>{}</handshake>", PROOF.to_uppercase()),
        format!("<handshake>{}</handshake>", &PROOF[1..]),
        format!("<handshake>{PROOF}0</handshake>"),
        format!("<password>{PROOF}</password>"),
        "<message from='plays.shakespeare.lit' to='localhost'/>".to_owned(),
        "</stream:stream>".to_owned(),
    ];
    for words in wrong {
        let condition = refusal(&format!("{HEADER}{words}"));
        assert_eq!(condition, Some(StreamCondition::NotAuthorized), "{words}");
    }
}

#[test]
fn the_header_names_a_component_and_the_namespace() {
    let cases = [
        (
            "plays.shakespeare.lit'",
            "localhost'",
            StreamCondition::HostUnknown,
        ),
        ("to='plays.shakespeare.lit'", "", StreamCondition::HostUnknown),
        ("component:accept", "client", StreamCondition::InvalidNamespace),
        (
            "component:accept",
            "component:connect",
            StreamCondition::InvalidNamespace,
        ),
        ("stream:stream", "stream:flow", StreamCondition::InvalidNamespace),
    ];
    for (right, wrong, condition) in cases {
        assert_eq!(refusal(&HEADER.replace(right, wrong)), Some(condition), "{wrong}");
    }
    assert_eq!(
        refusal("GET / HTTP/1.1\r\n\r\n"),
        Some(StreamCondition::NotWellFormed)
    );
}
