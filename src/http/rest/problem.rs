//! What a request got instead of what it wanted: a status, a code for programs, and a sentence for people.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kim_core::accounts::AccountError;
use kim_core::error::STANZA_ERRORS;
use kim_core::stanza::Stanza;
use serde_json::json;

use crate::http::answer;

/// An error as the API tells it: `{"error": {"code": …, "message": …}}`.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: String,
    message: String,
}

impl Problem {
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Problem {
        Problem {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// The request makes no sense.
    pub fn bad(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", message)
    }

    /// Our own failure; its cause is for the log.
    pub fn ours() -> Problem {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "internal-server-error", "the server could not do it")
    }

    /// Later.
    pub fn too_many(message: &str) -> Problem {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", message)
    }

    /// An error that came as a stanza: its condition is the code (RFC 6120 §8.3.3).
    pub fn of_stanza(stanza: &Stanza) -> Problem {
        let error = stanza
            .children()
            .find(|child| child.name() == "error" && child.attr("type").is_some());
        let told = error.map(|error| {
            let mut condition = None;
            let mut text = None;
            for child in error.children().filter(|child| child.ns() == STANZA_ERRORS) {
                match child.name() {
                    "text" => text = Some(child.text().into_owned()),
                    name => condition = Some(name.to_owned()),
                }
            }
            (condition, text)
        });
        let (condition, text) = told.unwrap_or_default();
        let code = condition.unwrap_or_else(|| "undefined-condition".to_owned());
        let status = match code.as_str() {
            "bad-request" | "jid-malformed" | "not-acceptable" => StatusCode::BAD_REQUEST,
            "conflict" => StatusCode::CONFLICT,
            "forbidden" | "not-allowed" | "policy-violation" => StatusCode::FORBIDDEN,
            "item-not-found" | "remote-server-not-found" => StatusCode::NOT_FOUND,
            "resource-constraint" => StatusCode::TOO_MANY_REQUESTS,
            "internal-server-error" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let message = text.unwrap_or_else(|| code.replace('-', " "));
        Problem {
            status,
            code,
            message,
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Problem {
        match error {
            AccountError::Busy => Problem::too_many("too many passwords are being checked; try again"),
            error => {
                tracing::error!(event = "api_failed", %error);
                Problem::ours()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = written(self.status, &body);
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 6750 §3
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }
}

/// An answer in JSON that nobody keeps.
pub(super) fn written(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = answer::with_type(status, "application/json", body.to_string());
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
