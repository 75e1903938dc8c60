//! Login messages (RFC 6120 §6). Three parts with line breaks between them: the mechanism, the client's first message and its
//! second. In the second, `{nonce}` stands for the nonce of the challenge and `{proof}` for the proof that is right there.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kim::c2s::sasl::{
    ChannelBindings, Conditions, Identity, MESSAGE_BYTES_MAX, Mechanism, Offer, Step, decode, decode_initial,
    encode,
};
use kim_core::accounts::scram::{Hash, Password, ScramKeys};
use kim_core::jid::{BareJid, prepare_username};

const HOST: &str = "example.org";
const CLIENT_KEY: [u8; 32] = [7; 32];
const EXPORTER: [u8; 32] = [1; 32];
const CERTIFICATE: [u8; 32] = [2; 32];

/// For PLAIN.
static PENCIL: LazyLock<ScramKeys> = LazyLock::new(|| {
    let password = Password::prepare("pencil").expect("a password");
    ScramKeys::derive(&password, Hash::Sha256, 1)
});

pub fn check(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (mechanism, first, second) = (String::from_utf8_lossy(part()), part(), part());
    encoded(first);
    for guests in [false, true] {
        exchange(guests, &mechanism, first, second);
    }
}

/// The same bytes as the text of an element.
fn encoded(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let decoded = decode(&text);
    if let Ok(Some(initial)) = decode_initial(&text) {
        assert_eq!(decoded.as_ref(), Ok(&initial));
    }
    if let Ok(decoded) = decoded {
        assert_eq!(decode(&encode(&decoded)).as_ref(), Ok(&decoded));
    }
}

fn exchange(guests: bool, mechanism: &str, first: &[u8], second: &[u8]) {
    let conditions = Conditions {
        encrypted: true,
        guests,
        plain: true,
        sha1: true,
        downgrade_hash: true,
    };
    let bindings = ChannelBindings {
        exporter: Some(EXPORTER),
        server_end_point: Some(CERTIFICATE.to_vec()),
    };
    let offer = Offer::new(HOST, conditions, bindings);
    let lookup = match offer.start(mechanism, Some(first)) {
        Step::NeedKeys(lookup) => lookup,
        Step::Success { identity, .. } => {
            assert_eq!(
                (mechanism, identity, guests),
                ("ANONYMOUS", Identity::Guest, true)
            );
            return;
        }
        Step::Failure(failure) => {
            // Asked for the message instead of sending it along, the client fares no better.
            if let Step::Challenge { then, .. } = offer.start(mechanism, None) {
                assert!(matches!(then.respond(first), Step::Failure(again) if again == failure));
            }
            return;
        }
        Step::Challenge { .. } | Step::Wrong => panic!("a judgement without an account"),
    };
    assert!(!guests && first.len() <= MESSAGE_BYTES_MAX);
    let account = lookup.account().clone();
    assert_eq!(account.domain(), HOST);
    let first = std::str::from_utf8(first).expect("accepted messages are text");
    if mechanism == Mechanism::Plain.name() {
        let parts: Vec<&str> = first.split('\0').collect();
        let [authzid, name, password] = parts[..] else {
            panic!("accepted with {} parts", parts.len());
        };
        named(&account, name, authzid);
        let step = lookup.supply(&PENCIL);
        assert_eq!(
            matches!(step, Step::Success { .. }),
            Password::prepare(password).is_ok_and(|p| PENCIL.verify(&p))
        );
        return;
    }
    let hash = lookup.hash();
    let keys = keys(hash);
    let Step::Challenge { data, then } = lookup.supply(&keys) else {
        panic!("no challenge for an account with keys");
    };
    assert_eq!(then.account(), Some(&account));
    let challenge = String::from_utf8(data).expect("a challenge is text");
    let bare_at = first.match_indices(',').nth(1).map_or(0, |(at, _)| at + 1);
    let (gs2, bare) = first.split_at(bare_at);
    let nonce = challenge
        .split(',')
        .next()
        .and_then(|r| r.strip_prefix("r="))
        .expect("a nonce first");
    let client_nonce = bare
        .split(',')
        .find_map(|part| part.strip_prefix("r="))
        .expect("the client's nonce");
    assert!(nonce.starts_with(client_nonce) && nonce.len() >= client_nonce.len() + 16);

    let Some(second) = filled_in(second, nonce, &format!("{bare},{challenge},"), &keys) else {
        assert!(matches!(then.respond(second), Step::Failure(_)));
        return;
    };
    if let Step::Success {
        identity,
        additional_data,
    } = then.respond(second.as_bytes())
    {
        assert_eq!(identity, Identity::Account(account));
        assert!(additional_data.is_some_and(|data| data.starts_with(b"v=")));
        let data: &[u8] = match gs2.split(',').next() {
            Some("p=tls-exporter") => &EXPORTER,
            Some("p=tls-server-end-point") => &CERTIFICATE,
            Some("n") => b"",
            flag => panic!("bound to {flag:?}"),
        };
        let binding = STANDARD.encode([gs2.as_bytes(), data].concat());
        let wanted = format!("c={binding},r={nonce},");
        assert!(second.starts_with(&wanted), "{second} but not {wanted}");
    }
}

/// The message with what stands for the nonce and the proof replaced; `None` if it is no text.
fn filled_in(message: &[u8], nonce: &str, begin: &str, keys: &ScramKeys) -> Option<String> {
    let text = std::str::from_utf8(message).ok()?.replace("{nonce}", nonce);
    let without_proof = text.rsplit_once(",p=").map_or(&*text, |(text, _)| text);
    let signature = keys
        .hash()
        .hmac(keys.stored_key(), format!("{begin}{without_proof}").as_bytes());
    let proof: Vec<u8> = signature.iter().zip(CLIENT_KEY).map(|(a, b)| a ^ b).collect();
    Some(text.replace("{proof}", &STANDARD.encode(proof)))
}

/// Keys whose client key is known.
fn keys(hash: Hash) -> ScramKeys {
    let stored_key = hash.digest(&CLIENT_KEY[..hash.bytes()]);
    let server_key = vec![9; hash.bytes()];
    ScramKeys::from_parts(hash, 4096, vec![3; 16], stored_key, server_key).expect("sound keys")
}

/// Whoever names an account, and somebody to act for, named the same twice.
fn named(account: &BareJid, name: &str, authzid: &str) {
    assert_eq!(prepare_username(name).as_deref().ok(), account.local());
    assert!(authzid.is_empty() || BareJid::parse(authzid).as_ref() == Ok(account));
}
