//! What Firebase is told, and what its answers mean.

use kim_xep::push_service::api::Told;
use serde_json::{Value, json};

use super::*;
use crate::push::notifier::CROWDED;

fn endpoint() -> Endpoint {
    Endpoint {
        address: "token:1".to_owned(),
        wire: Wire::Fcm,
    }
}

fn body(urgency: Urgency, told: Option<&Told>) -> Value {
    let endpoint = endpoint();
    let wake = Wake {
        endpoint: &endpoint,
        urgency,
        told,
    };
    serde_json::to_value(request(&wake)).unwrap()
}

#[test]
fn a_message_is_a_count_that_the_next_one_replaces() {
    let told = Told {
        messages: Some(3),
        from: Some("bob@example.org".to_owned()),
        text: Some("hello".to_owned()),
        ..Told::default()
    };
    assert_eq!(
        body(Urgency::Normal, Some(&told)),
        json!({"message": {
            "token": "token:1",
            "data": {"kind": "message", "messages": "3"},
            "android": {"collapse_key": "messages", "priority": "high", "ttl": "259200s"},
        }})
    );
}

#[test]
fn a_call_is_urgent_and_stands_alone() {
    assert_eq!(
        body(Urgency::High, None),
        json!({"message": {
            "token": "token:1",
            "data": {"kind": "call"},
            "android": {"priority": "high", "ttl": "30s"},
        }})
    );
}

#[test]
fn what_was_read_elsewhere_replaces_what_waits() {
    let told = Told {
        messages: Some(0),
        ..Told::default()
    };
    assert_eq!(
        body(Urgency::Low, Some(&told)),
        json!({"message": {
            "token": "token:1",
            "data": {"kind": "read", "messages": "0"},
            "android": {"collapse_key": "messages", "priority": "normal", "ttl": "3600s"},
        }})
    );
}

fn judged(status: u16, answer: &Value, wait: Option<Duration>) -> Woken {
    let answer: FcmAnswer = serde_json::from_value(answer.clone()).unwrap();
    judge(StatusCode::from_u16(status).unwrap(), &answer.error, wait)
}

fn fcm_error(code: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
}

#[test]
fn a_token_that_is_none_any_more_ends_the_subscription() {
    let gone = json!({"error": {"code": 404, "status": "NOT_FOUND", "message": "Requested entity was not found.",
                                "details": [fcm_error("UNREGISTERED")]}});
    let other_project = json!({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "SenderId mismatch",
                                         "details": [fcm_error("SENDER_ID_MISMATCH")]}});
    let no_token = json!({"error": {"code": 400, "status": "INVALID_ARGUMENT",
        "message": "The registration token is not a valid FCM registration token",
        "details": [fcm_error("INVALID_ARGUMENT")]}});
    let field = json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "Request contains an invalid argument.",
        "details": [{"@type": "type.googleapis.com/google.rpc.BadRequest",
                     "fieldViolations": [{"field": "message.token", "description": "Invalid registration token"}]}]}});
    for (status, answer) in [(404, gone), (403, other_project), (400, no_token), (400, field)] {
        assert_eq!(judged(status, &answer, None), Woken::Over(status), "{answer}");
    }
}

#[test]
fn what_is_not_the_tokens_fault_does_not_end_it() {
    let of_field = |field: &str| {
        json!({"error": {"status": "INVALID_ARGUMENT",
                         "details": [{"fieldViolations": [{"field": field}]}]}})
    };
    assert_eq!(
        judged(400, &of_field("message.android.ttl"), None),
        Woken::Useless(400)
    );
    assert!(
        matches!(judged(404, &json!({}), None), Woken::Unreachable(_)),
        "no Firebase"
    );
    let denied = json!({"error": {"status": "PERMISSION_DENIED", "details": []}});
    assert_eq!(judged(403, &denied, None), Woken::Unreachable(NO_ACCESS));
    let unauthenticated = json!({"error": {"status": "UNAUTHENTICATED"}});
    assert_eq!(judged(401, &unauthenticated, None), Woken::Unreachable(NO_ACCESS));
}

#[test]
fn firebase_is_left_alone_for_as_long_as_it_asks() {
    let (quota, wait) = (
        json!({"error": {"status": "RESOURCE_EXHAUSTED"}}),
        Duration::from_secs(7),
    );
    assert_eq!(judged(429, &quota, Some(wait)), Woken::NotNow(Some(wait)));
    assert_eq!(judged(429, &quota, None), Woken::NotNow(Some(CROWDED)));
    assert_eq!(judged(503, &json!({}), Some(wait)), Woken::NotNow(Some(wait)));
    assert_eq!(judged(500, &json!({}), None), Woken::NotNow(None));
}

#[test]
fn a_key_that_cannot_work_is_told_with_its_setting() {
    let folder = std::env::temp_dir().join(format!("kim-fcm-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("key.json");
    let config = Fcm {
        service_account: Some(path.clone()),
        ..Fcm::default()
    };
    let problem = |text: Option<&str>| {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        FcmSender::open(&config, Duration::from_secs(1)).err().unwrap()
    };
    let key = r#"{"project_id":"p","client_email":"a@b","token_uri":"https://oauth2.example/token","private_key":"x"}"#;
    for (text, why) in [
        (None, "there is no such file"),
        (
            Some("hello"),
            "is not the JSON of a service account's key (line 1, column 1)",
        ),
        (
            Some("{}"),
            "has no \"project_id\": it is not the key of a service account",
        ),
        (
            Some(&key.replace("\"p\"", "\"../p\"")),
            "has a \"project_id\" that is none",
        ),
        (Some(key), "failed to parse PKCS#8 RSA key pair"),
    ] {
        let told = problem(text);
        assert!(told.starts_with("[push.fcm] service_account: "), "{told}");
        assert!(told.contains(why), "{told}");
    }
    std::fs::remove_dir_all(folder).unwrap();
    assert!(
        FcmSender::open(&Fcm::default(), Duration::from_secs(1))
            .unwrap()
            .is_none()
    );
}
