//! Bytes that no client sends. Whatever comes, the exchange ends in a failure and never in a panic.

use proptest::prelude::*;

use super::*;

#[test]
fn messages_have_a_limit() {
    let long = "x".repeat(MESSAGE_BYTES_MAX);
    for mechanism in Mechanism::ALL {
        let first = format!("n,,n=alice,r={long}");
        assert!(
            matches!(
                offer().start(mechanism.name(), Some(first.as_bytes())),
                Step::Failure(_)
            ),
            "{mechanism}"
        );
        if let Step::Challenge { then, .. } = offer().start(mechanism.name(), None) {
            assert_eq!(
                failure(then.respond(first.as_bytes())),
                SaslFailure::MalformedRequest
            );
        }
    }
    let client = Client {
        final_extension: format!(",x={long}"),
        ..Client::new(Mechanism::ScramSha256)
    };
    assert_eq!(failure(client.login(&offer())), SaslFailure::MalformedRequest);
    assert_eq!(decode(&"A".repeat(5468)), Err(SaslFailure::MalformedRequest));
    assert_eq!(decode(&"A".repeat(5464)).map(|bytes| bytes.len()), Ok(4098));
}

#[test]
fn nothing_secret_is_printed() {
    let step = offer().start("PLAIN", Some(b"\0alice\0pencil"));
    let text = format!("{step:?}");
    assert!(text.contains("alice") && !text.contains("pencil"), "{text}");
    let text = format!(
        "{:?} {:?}",
        offer(),
        served(Client::new(Mechanism::ScramSha256Plus).start(&offer()))
    );
    assert!(!text.contains("7, 7, 7"), "{text}");
}

const WORDS: [&str; 14] = [
    "n,",
    "y,",
    "p=tls-exporter,",
    ",",
    "a=",
    "n=alice",
    "r=abc",
    "c=biws",
    "p=",
    "=2C",
    "=",
    "m=x",
    "\0",
    "AAAA",
];

fn wins(step: Step) -> bool {
    matches!(step, Step::Success { .. })
}

/// Messages made of the pieces that SCRAM and PLAIN are made of.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn mechanism() -> impl Strategy<Value = Mechanism> {
    prop::sample::select(&Mechanism::ALL[..5])
}

proptest! {
    #[test]
    fn no_first_message_panics_or_wins(mechanism in mechanism(), message in pieces(), last in pieces()) {
        let step = match served(offer().start(mechanism.name(), Some(&message))) {
            Step::Challenge { then, .. } => then.respond(&last),
            step => step,
        };
        prop_assert!(!wins(step));
    }

    #[test]
    fn arbitrary_bytes_never_win(mechanism in mechanism(), message in any::<Vec<u8>>(), last in any::<Vec<u8>>()) {
        let step = served(offer().start(mechanism.name(), Some(&message)));
        prop_assert!(!wins(step));
        let Step::Challenge { then, .. } = served(Client::new(Mechanism::ScramSha256).start(&offer())) else {
            panic!("no challenge");
        };
        prop_assert!(!wins(then.respond(&last)));
    }

    #[test]
    fn one_changed_byte_of_the_last_message_loses(plus in any::<bool>(), at in any::<prop::sample::Index>(), xor in 1u8..) {
        let client = Client::new(if plus { Mechanism::ScramSha1Plus } else { Mechanism::ScramSha1 });
        let Step::Challenge { data, then } = served(client.start(&offer())) else { panic!("no challenge") };
        let mut last = client.answer(std::str::from_utf8(&data).unwrap()).text().into_bytes();
        let at = at.index(last.len());
        last[at] ^= xor;
        prop_assert!(!wins(then.respond(&last)));
    }

    #[test]
    fn text_that_is_no_base64_is_said_to_be_so(text in any::<String>()) {
        if let Err(failure) = decode(&text) {
            prop_assert_eq!(failure, SaslFailure::IncorrectEncoding);
        }
    }

    #[test]
    fn no_certificate_is_no_trouble(der in any::<Vec<u8>>()) {
        let _ = server_end_point_hash(&der);
    }
}
