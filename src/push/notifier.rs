//! What each push service is to this server: wishes it judges, and notifications it sends. And what they have in common.

use std::time::Duration;

use kim_core::db::BoxFuture;
use kim_xep::push_service::api::{Endpoint, PushWish, Urgency, Wake, WishRefused, Woken};
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};

/// A phone or browser that is off that long hears of its messages when it signs in.
const MESSAGE_TTL: Duration = Duration::from_secs(3 * 86_400);
/// Nobody rings longer.
const CALL_TTL: Duration = Duration::from_secs(30);
/// What was read elsewhere is soon of no interest.
const READ_TTL: Duration = Duration::from_secs(3_600);
/// What waits at a push service is replaced by what comes after it: one notification stands for all. A call is never replaced.
pub(super) const TOPIC: &str = "messages";
/// The longest that a push service may ask to wait.
const WAIT_MAX: Duration = Duration::from_secs(86_400);
/// So long it is left alone if it has too many requests and does not say for how long.
pub(super) const CROWDED: Duration = Duration::from_secs(60);
/// Why there was no answer.
pub(super) const TOO_SLOW: &str = "it does not answer in time";

/// One kind of push service.
pub(super) trait Notifier: Send + Sync {
    /// Judges where a client wants to be woken.
    fn accept(&self, wish: &PushWish<'_>) -> Result<Endpoint, WishRefused>;

    /// Where this is sent to, to be shown.
    fn host(&self, endpoint: &Endpoint) -> Option<String>;

    /// Sends a notification.
    fn send<'a>(&'a self, wake: &'a Wake<'_>) -> BoxFuture<'a, Woken>;
}

/// Refuses a wish for one of its fields.
pub(super) fn refused<T>(field: &'static str, why: &str) -> Result<T, WishRefused> {
    let why = why.to_owned();
    Err(WishRefused { field, why })
}

/// How long a push service keeps a notification for a client that it cannot reach.
pub(super) fn ttl(urgency: Urgency) -> Duration {
    match urgency {
        Urgency::High => CALL_TTL,
        Urgency::Normal => MESSAGE_TTL,
        Urgency::Low => READ_TTL,
    }
}

/// What a notification is about, in a word.
pub(super) fn kind(wake: &Wake<'_>) -> &'static str {
    let is_request = wake
        .told
        .is_some_and(|told| told.requests.is_some() && told.messages.is_none());
    match wake.urgency {
        Urgency::High => "call",
        Urgency::Normal if is_request => "request",
        Urgency::Normal => "message",
        Urgency::Low => "read",
    }
}

/// What an answer means that says nothing that only this push service says.
pub(super) fn judge_status(status: StatusCode, wait: Option<Duration>) -> Woken {
    match status {
        status if status.is_success() => Woken::Taken,
        StatusCode::TOO_MANY_REQUESTS => Woken::NotNow(wait.or(Some(CROWDED))),
        status if status.is_server_error() => Woken::NotNow(wait),
        status => Woken::Useless(status.as_u16()),
    }
}

/// How long a push service wants to be left alone.
pub(super) fn retry_after(answer: &Response) -> Option<Duration> {
    let value = answer.headers().get(RETRY_AFTER)?;
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

/// Why a request got no answer.
pub(super) fn unreachable(error: &reqwest::Error) -> Woken {
    Woken::Unreachable(match error {
        error if error.is_timeout() => TOO_SLOW,
        error if error.is_connect() => "no connection, or an address that is not allowed",
        _ => "the connection broke",
    })
}
