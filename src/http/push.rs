//! What is posted for apps on a user's phone (UnifiedPush): a push resource as in RFC 8030 §5, of which messages are handed on
//! at once or not at all.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use kim_xep::unified_push::api::{MESSAGE_BYTES_MAX, PushProvider, Pushed};

use super::body::{self, Unread};
use super::{Web, answer};

/// The path of the addresses.
pub(super) const PATH: &str = "/push/{token}";

/// How long a message was kept (RFC 8030 §5.2): not at all.
const TTL: HeaderName = HeaderName::from_static("ttl");

fn said(pushed: Pushed) -> Response {
    match pushed {
        Pushed::Taken => {
            let mut response = answer::text(StatusCode::CREATED, "the message is with the app's user");
            response.headers_mut().insert(TTL, HeaderValue::from_static("0"));
            response
        }
        // RFC 8030 §7.3: 404 says that nothing posted here will ever arrive.
        Pushed::Gone => answer::text(StatusCode::NOT_FOUND, "there is no such address, or no longer"),
        Pushed::Away => later(
            StatusCode::SERVICE_UNAVAILABLE,
            "the user's phone is not connected",
            60,
        ),
        Pushed::TooMany(seconds) => later(StatusCode::TOO_MANY_REQUESTS, "too many messages", seconds),
    }
}

fn later(status: StatusCode, words: &'static str, seconds: u32) -> Response {
    let mut response = answer::text(status, words);
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

async fn post(web: &Web, provider: &PushProvider, token: &str, request: Request) -> Response {
    let deadline = body::deadline_before_login(&web.router().limits());
    let message = body::read(request.into_body(), MESSAGE_BYTES_MAX, deadline, |_| None).await;
    let message = match message {
        Ok(message) if message.is_empty() => {
            return answer::text(StatusCode::BAD_REQUEST, "a message is required");
        }
        Ok(message) => message,
        Err(Unread::TooLong) => {
            return answer::text(StatusCode::PAYLOAD_TOO_LARGE, "at most 4096 bytes are taken");
        }
        Err(Unread::TooSlow) => {
            return answer::text(StatusCode::REQUEST_TIMEOUT, "the message took too long");
        }
        Err(Unread::Torn) => return answer::text(StatusCode::BAD_REQUEST, "the message ended early"),
    };
    match provider.push(token, &message, web.router()).await {
        Ok(pushed) => said(pushed),
        Err(fault) => {
            tracing::error!(event = "unified_push_failed", %fault);
            answer::text(StatusCode::INTERNAL_SERVER_ERROR, "this did not work; try again")
        }
    }
}

/// Serves an address. Apps ask it first whether it is one of UnifiedPush.
pub(super) async fn serve(
    State(web): State<Arc<Web>>,
    Path(token): Path<String>,
    request: Request,
) -> Response {
    let Some(provider) = web.router().fact::<PushProvider>() else {
        return answer::not_found().await;
    };
    let response = match *request.method() {
        Method::POST => post(&web, &provider, &token, request).await,
        Method::GET => answer::with_type(
            StatusCode::OK,
            "application/json",
            r#"{"unifiedpush":{"version":1}}"#,
        ),
        Method::OPTIONS => {
            return answer::preflight("OPTIONS, GET, POST", "Content-Encoding, TTL, Urgency, Topic");
        }
        _ => answer::text(StatusCode::METHOD_NOT_ALLOWED, "GET and POST only"),
    };
    answer::for_everybody(response)
}
