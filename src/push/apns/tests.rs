//! What Apple is told, how this server shows who it is, and what Apple's answers mean.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kim_xep::push_service::api::Told;
use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use super::*;
use crate::push::notifier::CROWDED;

const APP: &str = "org.example.app";

fn pem(der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n").into_bytes()
}

fn signer() -> Signer {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    Signer::read(&pem(key.as_ref()), "KEY1234567", "TEAM123456").unwrap()
}

fn sender() -> ApnsSender {
    ApnsSender {
        client: client::steady(Duration::from_secs(1), &[b"h2"])
            .unwrap()
            .build()
            .unwrap(),
        url: "https://apns.example".to_owned(),
        host_name: "apns.example".to_owned(),
        topics: vec![APP.to_owned()],
        signer: signer(),
        host: Host::new(1),
    }
}

fn made(urgency: Urgency, told: Option<&Told>, topic: &str) -> (ApnsRequest, Value) {
    let endpoint = Endpoint {
        address: "00ff".to_owned(),
        wire: Wire::Apns {
            topic: topic.to_owned(),
        },
    };
    let wake = Wake {
        endpoint: &endpoint,
        urgency,
        told,
    };
    let request = request(&wake, topic, UNIX_EPOCH + Duration::from_secs(1_000)).unwrap();
    let body = serde_json::from_str(&request.body).unwrap();
    (request, body)
}

#[test]
fn a_message_is_shown_and_replaced_by_the_next() {
    let told = Told {
        messages: Some(3),
        from: Some("bob@example.org".to_owned()),
        text: Some("hello".to_owned()),
        ..Told::default()
    };
    let (request, body) = made(Urgency::Normal, Some(&told), APP);
    assert_eq!(
        body,
        json!({
            "aps": {"alert": {"body": "New message"}, "badge": 3, "sound": "default", "mutable-content": 1},
            "kind": "message",
            "messages": 3,
        })
    );
    assert_eq!((request.push_type, request.priority), ("alert", "10"));
    assert_eq!((request.collapse_id, request.expiration), (Some(TOPIC), 260_200));
}

#[test]
fn a_call_rings_and_stands_alone() {
    let (request, body) = made(Urgency::High, None, "org.example.app.voip");
    assert_eq!(body, json!({"aps": {}, "kind": "call"}));
    assert_eq!((request.push_type, request.priority), ("voip", "10"));
    assert_eq!((request.collapse_id, request.expiration), (None, 1_030));
    let (request, body) = made(Urgency::High, None, APP);
    assert_eq!(body["aps"]["alert"]["body"], "Call");
    assert_eq!((request.push_type, request.collapse_id), ("alert", None));
}

#[test]
fn what_was_read_elsewhere_clears_the_number_in_silence() {
    let told = Told {
        messages: Some(0),
        ..Told::default()
    };
    let (request, body) = made(Urgency::Low, Some(&told), APP);
    assert_eq!(
        body,
        json!({"aps": {"badge": 0, "content-available": 1}, "kind": "read", "messages": 0})
    );
    assert_eq!((request.push_type, request.priority), ("background", "5"));
    assert_eq!((request.collapse_id, request.expiration), (Some(TOPIC), 4_600));
}

#[test]
fn no_payload_is_longer_than_apple_takes() {
    let told = Told {
        messages: Some(u32::MAX),
        requests: Some(u32::MAX),
        from: Some("x".repeat(10_000)),
        text: Some("x".repeat(10_000)),
    };
    for urgency in [Urgency::High, Urgency::Normal, Urgency::Low] {
        assert!(made(urgency, Some(&told), APP).0.body.len() <= 4_096);
    }
}

#[tokio::test]
async fn an_app_that_is_woken_by_calls_alone_hears_of_no_message() {
    let sender = sender();
    let endpoint = Endpoint {
        address: "00".to_owned(),
        wire: Wire::Apns {
            topic: format!("{APP}{VOIP}"),
        },
    };
    let wake = Wake {
        endpoint: &endpoint,
        urgency: Urgency::Normal,
        told: None,
    };
    assert_eq!(sender.send(&wake).await, Woken::Taken);
}

#[test]
fn ids_are_uuids_and_differ() {
    let (one, other) = (id().unwrap(), id().unwrap());
    assert_ne!(one, other);
    let lengths: Vec<_> = one.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12]);
    assert_eq!(&one[14..15], "4");
    assert!("89ab".contains(&one[19..20]));
}

#[test]
fn apple_can_check_whose_request_it_is() {
    let (signer, now) = (signer(), UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let token = signer.token(None, now).unwrap();
    let (signed, signature) = token.text.rsplit_once('.').unwrap();
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, signer.pair.public_key())
        .verify(signed.as_bytes(), &bytes(signature))
        .unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let read = |text: &str| serde_json::from_slice::<Value>(&bytes(text)).unwrap();
    assert_eq!(read(header), json!({"alg": "ES256", "kid": "KEY1234567"}));
    assert_eq!(read(claims), json!({"iss": "TEAM123456", "iat": 1_800_000_000}));
}

#[test]
fn a_token_is_used_for_a_while_and_replaced_only_if_it_is_old_enough() {
    let (signer, start) = (signer(), UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let minutes = |minutes: u64| start + Duration::from_secs(minutes * 60);
    let first = signer.token(None, start).unwrap();
    assert_eq!(signer.token(None, minutes(39)).unwrap().text, first.text);
    assert!(
        signer.token(Some(&first), minutes(19)).is_none(),
        "Apple would refuse another"
    );
    let second = signer.token(Some(&first), minutes(21)).unwrap();
    assert_ne!(second.text, first.text);
    // Another request was refused with the same old token: it takes the new one.
    assert_eq!(signer.token(Some(&first), minutes(21)).unwrap().text, second.text);
    assert_ne!(signer.token(None, minutes(62)).unwrap().text, second.text);
    assert_ne!(
        signer.token(None, minutes(1)).unwrap().text,
        second.text,
        "the clock was set back"
    );
}

#[test]
fn answers_end_put_off_or_blame_the_key() {
    let wait = Duration::from_secs(9);
    let judged = |status: u16, reason| judge(StatusCode::from_u16(status).unwrap(), reason, None);
    assert_eq!(judged(200, ""), Woken::Taken);
    for (status, reason) in [
        (410, "Unregistered"),
        (410, "ExpiredToken"),
        (400, "BadDeviceToken"),
        (400, "DeviceTokenNotForTopic"),
    ] {
        assert_eq!(judged(status, reason), Woken::Over(status), "{reason}");
    }
    for reason in [
        "InvalidProviderToken",
        "ExpiredProviderToken",
        "MissingProviderToken",
    ] {
        assert_eq!(judged(403, reason), Woken::Unreachable(NO_ACCESS), "{reason}");
    }
    assert!(matches!(judged(400, "TopicDisallowed"), Woken::Unreachable(_)));
    assert_eq!(judged(400, "BadExpirationDate"), Woken::Useless(400));
    assert_eq!(judged(413, "PayloadTooLarge"), Woken::Useless(413));
    assert_eq!(judged(429, "TooManyRequests"), Woken::NotNow(Some(CROWDED)));
    assert_eq!(
        judge(StatusCode::SERVICE_UNAVAILABLE, "Shutdown", Some(wait)),
        Woken::NotNow(Some(wait))
    );
    assert_eq!(judged(500, "InternalServerError"), Woken::NotNow(None));
}

#[test]
fn only_tokens_and_apps_that_can_be_served_are_taken() {
    let sender = sender();
    let wish = |token, topic| PushWish {
        kind: Some("apns"),
        token,
        topic,
        ..PushWish::default()
    };
    let accepted = sender.accept(&wish(Some("00FF"), None)).unwrap();
    let wire = Wire::Apns {
        topic: APP.to_owned(),
    };
    assert_eq!(accepted.address, "00ff");
    assert!(accepted.wire == wire);
    assert!(
        sender
            .accept(&wish(Some("00"), Some("org.example.app.voip")))
            .is_ok()
    );
    for (token, topic, field) in [
        (None, None, "token"),
        (Some(""), None, "token"),
        (Some("0"), None, "token"),
        (Some("../../x0"), None, "token"),
        (Some("00"), Some("org.example.other"), "topic"),
        (Some("00"), Some(".voip"), "topic"),
    ] {
        assert_eq!(
            sender.accept(&wish(token, topic)).unwrap_err().field,
            field,
            "{token:?} {topic:?}"
        );
    }
}

/// Apple's files name the curve twice (RFC 5915 §3), OpenSSL's do not.
#[test]
fn a_key_in_the_form_that_apple_gives_is_read() {
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let (private, public) = (&made.as_ref()[36..68], &made.as_ref()[73..138]);
    let apples = [
        &b"\x30\x81\x93\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"[..],
        b"\x04\x79\x30\x77\x02\x01\x01\x04\x20",
        private,
        b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\xa1\x44\x03\x42\x00",
        public,
    ]
    .concat();
    assert!(Signer::read(&pem(&apples), "K", "T").is_ok());
    let told = |bytes: &[u8]| Signer::read(bytes, "K", "T").err().unwrap();
    assert!(told(b"hello").contains("no private key in PEM"));
    assert!(told(&pem(b"hello")).contains("P-256"));
}
