//! Web Push (RFC 8030, RFC 8291): the format of a subscription is final, so programs can be written for it; the server does not
//! push yet, and says so.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::body::Given;
use super::guard::{Manage, May};
use super::problem::Problem;

/// The longest address of a push service.
const ENDPOINT_BYTES_MAX: usize = 2_048;
/// RFC 8291 §3.1: a point on P-256, not compressed.
const P256DH_BYTES: usize = 65;
/// RFC 8291 §3.2
const AUTH_BYTES: usize = 16;

/// What a browser's PushSubscription says (`toJSON()`).
#[derive(Deserialize)]
pub(super) struct Subscription {
    endpoint: String,
    keys: Keys,
}

#[derive(Deserialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

/// `POST /api/push/subscribe`
pub(super) async fn subscribe(
    _: May<Manage>,
    Given(wanted): Given<Subscription>,
) -> Result<Response, Problem> {
    check(&wanted)?;
    let message = "the subscription is valid, but this server does not support Web Push yet";
    Err(Problem::new(
        StatusCode::NOT_IMPLEMENTED,
        "not-implemented-yet",
        message,
    ))
}

fn check(wanted: &Subscription) -> Result<(), Problem> {
    let endpoint = wanted.endpoint.parse::<Uri>().ok();
    let is_https = endpoint.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some());
    if !is_https || wanted.endpoint.len() > ENDPOINT_BYTES_MAX {
        return Err(Problem::bad("\"endpoint\" must be an https address"));
    }
    let bytes = |text: &str| {
        let decoded = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text));
        decoded.unwrap_or_default()
    };
    let key = bytes(&wanted.keys.p256dh);
    if key.len() != P256DH_BYTES || key.first() != Some(&4) {
        return Err(Problem::bad(
            "\"keys.p256dh\" must be a point on P-256: 65 bytes in base64url",
        ));
    }
    match bytes(&wanted.keys.auth).len() {
        AUTH_BYTES => Ok(()),
        _ => Err(Problem::bad("\"keys.auth\" must be 16 bytes in base64url")),
    }
}
