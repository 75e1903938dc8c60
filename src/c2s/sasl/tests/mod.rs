//! The login exchange as an honest client drives it, and the small client that the other tests let go astray.

mod binding;
mod hostile;
mod tampering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kim_core::accounts::scram::{Hash, Password, ScramKeys};

use super::*;

const HOST: &str = "example.org";
const EXPORTER: [u8; 32] = [7; 32];
const END_POINT: [u8; 32] = [8; 32];
/// Few, to keep the tests quick.
const ITERATIONS: u32 = 2;

/// A well-secured stream, with everything allowed that can be.
fn everything() -> Conditions {
    Conditions {
        encrypted: true,
        guests: false,
        plain: true,
        sha1: true,
        downgrade_hash: false,
    }
}

fn bindings() -> ChannelBindings {
    ChannelBindings {
        exporter: Some(EXPORTER),
        server_end_point: Some(END_POINT.to_vec()),
    }
}

fn offer() -> Offer {
    Offer::new(HOST, everything(), bindings())
}

/// A stream whose TLS ends elsewhere.
fn unbound() -> Offer {
    Offer::new(HOST, everything(), ChannelBindings::default())
}

fn names(offer: &Offer) -> Vec<&'static str> {
    offer
        .mechanisms()
        .iter()
        .map(|mechanism| mechanism.name())
        .collect()
}

/// The keys of an account whose password is "pencil", or of nobody.
fn keys(account: &BareJid, hash: Hash) -> ScramKeys {
    if account == "alice@example.org" {
        ScramKeys::derive(&Password::prepare("pencil").unwrap(), hash, ITERATIONS)
    } else {
        ScramKeys::fake(b"server secret", account, hash, ITERATIONS)
    }
}

/// The server up to the next thing it says, with the accounts above.
fn served(step: Step) -> Step {
    match step {
        Step::NeedKeys(lookup) => {
            let keys = keys(lookup.account(), lookup.hash());
            lookup.supply(&keys)
        }
        other => other,
    }
}

fn failure(step: Step) -> SaslFailure {
    match step {
        Step::Failure(failure) => failure,
        Step::Wrong => SaslFailure::NotAuthorized,
        other => panic!("not a failure: {other:?}"),
    }
}

fn success(step: Step) -> (Identity, Option<Vec<u8>>) {
    match step {
        Step::Success {
            identity,
            additional_data,
        } => (identity, additional_data),
        other => panic!("not a success: {other:?}"),
    }
}

fn alice() -> Identity {
    Identity::Account(BareJid::parse("alice@example.org").unwrap())
}

/// A SCRAM client. Its fields are what it will send; tests bend them.
#[derive(Clone)]
struct Client {
    mechanism: Mechanism,
    gs2: String,
    name: String,
    nonce: String,
    password: String,
    channel: Vec<u8>,
    /// Put behind the nonce of the first message, with a comma before it.
    first_extension: String,
    /// Put behind the nonce of the last message, with a comma before it.
    final_extension: String,
}

/// What a client has heard and computed when it sends its proof.
struct Answer {
    binding: String,
    nonce: String,
    proof: Vec<u8>,
    extension: String,
    server_signature: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        let Answer {
            binding,
            nonce,
            extension,
            ..
        } = self;
        format!(
            "c={binding},r={nonce}{extension},p={}",
            STANDARD.encode(&self.proof)
        )
    }
}

impl Client {
    fn new(mechanism: Mechanism) -> Client {
        let (gs2, channel) = match mechanism.is_plus() {
            true => ("p=tls-exporter,,", EXPORTER.to_vec()),
            false => ("n,,", Vec::new()),
        };
        Client {
            mechanism,
            gs2: gs2.into(),
            name: "alice".into(),
            nonce: "fyko+d2lbbFgONRv9qkxdawL".into(),
            password: "pencil".into(),
            channel,
            first_extension: String::new(),
            final_extension: String::new(),
        }
    }

    fn first_bare(&self) -> String {
        format!("n={},r={}{}", self.name, self.nonce, self.first_extension)
    }

    fn start(&self, offer: &Offer) -> Step {
        offer.start(
            self.mechanism.name(),
            Some(format!("{}{}", self.gs2, self.first_bare()).as_bytes()),
        )
    }

    fn attribute<'a>(challenge: &'a str, name: &str) -> &'a str {
        challenge
            .split(',')
            .find_map(|attribute| attribute.strip_prefix(name))
            .unwrap()
    }

    fn answer(&self, challenge: &str) -> Answer {
        self.answer_repeating(challenge, Client::attribute(challenge, "r="))
    }

    /// The answer with a nonce of the caller's choice, signed as if it were the right one.
    fn answer_repeating(&self, challenge: &str, nonce: &str) -> Answer {
        let hash = self.mechanism.scram_hash().unwrap();
        let nonce = nonce.to_owned();
        let salt = STANDARD.decode(Client::attribute(challenge, "s=")).unwrap();
        let iterations: u32 = Client::attribute(challenge, "i=").parse().unwrap();
        let binding = STANDARD.encode([self.gs2.as_bytes(), &self.channel].concat());

        // Hi() of RFC 5802 §2.2, by its definition.
        let mut u = hash.hmac(self.password.as_bytes(), &[&salt[..], &[0, 0, 0, 1]].concat());
        let mut salted = u.clone();
        for _ in 1..iterations {
            u = hash.hmac(self.password.as_bytes(), &u);
            salted.iter_mut().zip(&u).for_each(|(sum, byte)| *sum ^= byte);
        }
        let client_key = hash.hmac(&salted, b"Client Key");
        let extension = self.final_extension.clone();
        let auth_message = format!(
            "{},{challenge},c={binding},r={nonce}{extension}",
            self.first_bare()
        );
        let signature = hash.hmac(&hash.digest(&client_key), auth_message.as_bytes());
        let proof = client_key
            .iter()
            .zip(&signature)
            .map(|(key, byte)| key ^ byte)
            .collect();
        let server_signature = hash.hmac(&hash.hmac(&salted, b"Server Key"), auth_message.as_bytes());
        Answer {
            binding,
            nonce,
            proof,
            extension,
            server_signature,
        }
    }

    /// The whole login, with the last message bent by `bend`.
    fn login_bent(&self, offer: &Offer, bend: impl FnOnce(&mut Answer)) -> Step {
        let (data, then) = match served(self.start(offer)) {
            Step::Challenge { data, then } => (data, then),
            over => return over,
        };
        let mut answer = self.answer(std::str::from_utf8(&data).unwrap());
        bend(&mut answer);
        let step = then.respond(answer.text().as_bytes());
        if let Step::Success { additional_data, .. } = &step {
            let proof_of_server = format!("v={}", STANDARD.encode(&answer.server_signature));
            assert_eq!(additional_data.as_deref(), Some(proof_of_server.as_bytes()));
        }
        step
    }

    fn login(&self, offer: &Offer) -> Step {
        self.login_bent(offer, |_| {})
    }
}

#[test]
fn every_scram_mechanism_lets_the_owner_in() {
    for mechanism in Mechanism::ALL
        .into_iter()
        .filter(|mechanism| mechanism.scram_hash().is_some())
    {
        let (identity, data) = success(Client::new(mechanism).login(&offer()));
        assert_eq!(identity, alice());
        assert!(data.is_some());
    }
}

#[test]
fn a_wrong_password_is_not_authorized() {
    for mechanism in [Mechanism::ScramSha256, Mechanism::ScramSha1Plus] {
        let client = Client {
            password: "Pencil".into(),
            ..Client::new(mechanism)
        };
        assert_eq!(failure(client.login(&offer())), SaslFailure::NotAuthorized);
    }
}

/// Replays a published exchange: our challenge, and our last word, must be those of the RFC.
fn published(mechanism: Mechanism, nonces: (&str, &str), salt: &str, proof: &str, verifier: &str) {
    let client = Client {
        name: "user".into(),
        nonce: nonces.0.into(),
        ..Client::new(mechanism)
    };
    let Step::NeedKeys(Lookup {
        account,
        with: With::Scram(greeted),
        hash,
    }) = client.start(&unbound())
    else {
        panic!("no keys asked for");
    };
    assert_eq!(account, "user@example.org");
    // The keys by the client's own arithmetic: ClientKey is what turns its signature into its proof.
    let server_first = format!("r={}{},s={salt},i=4096", nonces.0, nonces.1);
    let stored = {
        let salt = STANDARD.decode(salt).unwrap();
        let mut u = hash.hmac(b"pencil", &[&salt[..], &[0, 0, 0, 1]].concat());
        let mut salted = u.clone();
        for _ in 1..4096 {
            u = hash.hmac(b"pencil", &u);
            salted.iter_mut().zip(&u).for_each(|(sum, byte)| *sum ^= byte);
        }
        let stored = hash.digest(&hash.hmac(&salted, b"Client Key"));
        ScramKeys::from_parts(hash, 4096, salt, stored, hash.hmac(&salted, b"Server Key")).unwrap()
    };
    let Step::Challenge { data, then } = greeted.challenge(account, &stored, nonces.1).unwrap() else {
        panic!("no challenge");
    };
    assert_eq!(String::from_utf8(data).unwrap(), server_first);
    let last = format!("c=biws,r={}{},p={proof}", nonces.0, nonces.1);
    let (_, data) = success(then.respond(last.as_bytes()));
    assert_eq!(data.unwrap(), verifier.as_bytes());
}

#[test]
fn rfc_5802_section_5_word_for_word() {
    published(
        Mechanism::ScramSha1,
        ("fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j"),
        "QSXCR+Q6sek8bf92",
        "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    );
}

#[test]
fn rfc_7677_section_3_word_for_word() {
    published(
        Mechanism::ScramSha256,
        ("rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    );
}

#[test]
fn what_is_offered_depends_on_what_secures_the_stream() {
    let all = everything();
    let plus_and_all = [
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
        "PLAIN",
    ];
    assert_eq!(names(&offer()), plus_and_all);
    assert_eq!(names(&unbound()), ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
    // Without TLS (a loopback listener): no password in the clear, and nothing to bind to.
    let clear = Offer::new(
        HOST,
        Conditions {
            encrypted: false,
            ..all
        },
        bindings(),
    );
    assert_eq!(names(&clear), ["SCRAM-SHA-256", "SCRAM-SHA-1"]);
    assert!(clear.channel_binding_types().is_empty());
    let strict = Offer::new(
        HOST,
        Conditions {
            plain: false,
            sha1: false,
            ..all
        },
        bindings(),
    );
    assert_eq!(names(&strict), ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
    let guests = Offer::new(
        "guest.example.org",
        Conditions { guests: true, ..all },
        bindings(),
    );
    assert_eq!(names(&guests), ["ANONYMOUS"]);
    assert!(guests.channel_binding_types().is_empty());
    for mechanism in Mechanism::ALL {
        assert_eq!(Mechanism::parse(mechanism.name()), Some(mechanism));
    }
}

#[test]
fn a_mechanism_that_was_not_offered_is_refused() {
    let clear = Offer::new(
        HOST,
        Conditions {
            encrypted: false,
            ..everything()
        },
        bindings(),
    );
    let strict = Offer::new(
        HOST,
        Conditions {
            plain: false,
            sha1: false,
            ..everything()
        },
        bindings(),
    );
    let message: Option<&[u8]> = Some(b"\0alice\0pencil");
    assert_eq!(
        failure(clear.start("PLAIN", message)),
        SaslFailure::EncryptionRequired
    );
    assert_eq!(
        failure(strict.start("PLAIN", message)),
        SaslFailure::InvalidMechanism
    );
    assert_eq!(
        failure(strict.start("SCRAM-SHA-1", None)),
        SaslFailure::InvalidMechanism
    );
    assert_eq!(
        failure(strict.start("ANONYMOUS", None)),
        SaslFailure::InvalidMechanism
    );
    assert_eq!(
        failure(strict.start("scram-sha-256", None)),
        SaslFailure::InvalidMechanism
    );
    assert_eq!(
        failure(strict.start("CRAM-MD5", None)),
        SaslFailure::InvalidMechanism
    );
}

#[test]
fn plain_with_the_right_and_the_wrong_password() {
    let login = |message: &[u8]| served(offer().start("PLAIN", Some(message)));
    assert_eq!(success(login(b"\0alice\0pencil")), (alice(), None));
    assert_eq!(
        success(login("\0ALICE\0pen\u{AD}cil".as_bytes())),
        (alice(), None)
    );
    assert_eq!(failure(login(b"\0alice\0Pencil")), SaslFailure::NotAuthorized);
    for broken in [
        &b""[..],
        b"alice",
        b"\0alice",
        b"\0alice\0",
        b"\0\0pencil",
        b"\0alice\0pen\0cil",
        b"\0\xFF\0x",
    ] {
        assert_eq!(
            failure(login(broken)),
            SaslFailure::MalformedRequest,
            "{broken:?}"
        );
    }
    // Not an account name, not a password: nothing is looked up, and the words are those for a wrong one.
    assert_eq!(failure(login(b"\0al ice\0pencil")), SaslFailure::NotAuthorized);
    assert_eq!(
        failure(login(b"\0alice@example.org\0pencil")),
        SaslFailure::NotAuthorized
    );
    assert_eq!(failure(login(b"\0alice\0pen\x07cil")), SaslFailure::NotAuthorized);
}

#[test]
fn a_client_may_speak_second() {
    // RFC 6120 §6.4.2: no initial response, so the server sends an empty challenge first.
    let Step::Challenge { data, then } = offer().start("PLAIN", None) else {
        panic!()
    };
    assert!(data.is_empty());
    assert_eq!(success(served(then.respond(b"\0alice\0pencil"))).0, alice());
    let client = Client::new(Mechanism::ScramSha256);
    let Step::Challenge { then, .. } = offer().start(client.mechanism.name(), None) else {
        panic!()
    };
    let first = format!("{}{}", client.gs2, client.first_bare());
    assert!(matches!(
        served(then.respond(first.as_bytes())),
        Step::Challenge { .. }
    ));
}

#[test]
fn guests_come_in_and_their_trace_is_forgotten() {
    let guests = Offer::new(
        "guest.example.org",
        Conditions {
            guests: true,
            ..everything()
        },
        bindings(),
    );
    for trace in [
        None,
        Some(&b""[..]),
        Some(b"mallory@example.net"),
        Some(&[b'x'; 1024]),
    ] {
        assert_eq!(success(guests.start("ANONYMOUS", trace)), (Identity::Guest, None));
    }
    assert_eq!(
        failure(guests.start("ANONYMOUS", Some(&[b'x'; 1025]))),
        SaslFailure::MalformedRequest
    );
}

#[test]
fn base64_is_taken_to_the_letter() {
    // RFC 6120 §6.4.2 and §6.4.4.
    assert_eq!(decode_initial("").unwrap(), None);
    assert_eq!(decode_initial("=").unwrap().unwrap().as_slice(), b"");
    assert_eq!(decode_initial("biws").unwrap().unwrap().as_slice(), b"n,,");
    assert_eq!(decode("").unwrap().as_slice(), b"");
    assert_eq!(decode("=").unwrap().as_slice(), b"");
    for broken in [
        "==", "====", "biw", "biw=s", "bi ws", "biws\n", "bi_-", "bix=", "é",
    ] {
        assert_eq!(decode(broken), Err(SaslFailure::IncorrectEncoding), "{broken:?}");
    }
    assert_eq!(encode(b"n,,"), "biws");
    assert_eq!(encode(b""), "");
}

#[test]
fn failures_have_the_names_of_rfc_6120() {
    let condition = |failure: SaslFailure| failure.condition();
    assert_eq!(condition(SaslFailure::NotAuthorized), "not-authorized");
    assert_eq!(
        SaslFailure::TemporaryAuthFailure.to_string(),
        "temporary-auth-failure"
    );
}
