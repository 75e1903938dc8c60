//! Errors of the API: a status, a code for programs, and a sentence for people that says what is required.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kim_core::accounts::names::UsernameError;
use kim_core::accounts::scram::PasswordError;
use kim_core::accounts::{AccountError, Scope};
use kim_core::error::{Fault, STANZA_ERRORS};
use kim_core::jid::BareJid;
use kim_core::stanza::Stanza;
use serde_json::json;

use crate::http::answer;

/// An error as the API tells it: `{"error": {"code": …, "message": …}}`.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: String,
    message: String,
    /// What exactly is wrong, where programs say it in their own words.
    reason: Option<&'static str>,
    /// The message says no more than the code: a handler that knows the context can replace it.
    is_general: bool,
    /// The scope that the token lacks.
    scope: Option<Scope>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Problem {
        Problem {
            status,
            code: code.to_owned(),
            message: message.into(),
            reason: None,
            is_general: false,
            scope: None,
        }
    }

    /// Says more about an error with this code, unless a reason was given with it.
    pub fn saying(self, code: &str, message: impl FnOnce() -> String) -> Problem {
        match self.is_general && self.code == code {
            true => Problem {
                message: message(),
                is_general: false,
                ..self
            },
            false => self,
        }
    }

    /// The request is wrong; the message says what is required.
    pub fn bad(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", message)
    }

    /// Something does not exist; the message says what.
    pub fn not_found(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "item-not-found", message)
    }

    /// It is longer than it may be.
    pub fn too_long() -> Problem {
        let message = "the request is too long";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-long", message)
    }

    /// The request shows no token.
    pub fn no_token() -> Problem {
        let message =
            "a token is required: send the header Authorization: Bearer TOKEN, with a token from /api/login";
        Problem::new(StatusCode::UNAUTHORIZED, "missing-token", message)
    }

    /// Its token is not good.
    pub fn bad_token() -> Problem {
        let message = "the token is invalid, expired or revoked; sign in again";
        Problem::new(StatusCode::UNAUTHORIZED, "invalid-token", message)
    }

    /// Its token is not good for that (RFC 6750 §3.1).
    pub fn insufficient(scope: Scope) -> Problem {
        let message = format!("this request requires a token with the scope {}", scope.name());
        Problem {
            scope: Some(scope),
            ..Problem::new(StatusCode::FORBIDDEN, "insufficient-scope", message)
        }
    }

    /// That is switched off here.
    pub fn off(what: &str) -> Problem {
        let message = format!("{what} are switched off on this server");
        Problem::new(StatusCode::NOT_IMPLEMENTED, "switched-off", message)
    }

    /// The code, as programs see it.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Our own failure; its cause is for the log.
    pub fn ours() -> Problem {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(
            status,
            "internal-server-error",
            "the server failed to process the request; its log has the cause",
        )
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
        let is_wait = error.is_some_and(|error| error.attr("type").as_deref() == Some("wait"));
        let status = match code.as_str() {
            "policy-violation" if is_wait => StatusCode::TOO_MANY_REQUESTS,
            "bad-request" | "jid-malformed" | "not-acceptable" => StatusCode::BAD_REQUEST,
            "conflict" => StatusCode::CONFLICT,
            "forbidden" | "not-allowed" | "policy-violation" | "registration-required" => {
                StatusCode::FORBIDDEN
            }
            "item-not-found" | "remote-server-not-found" => StatusCode::NOT_FOUND,
            "resource-constraint" => StatusCode::TOO_MANY_REQUESTS,
            "internal-server-error" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let is_general = text.is_none();
        let message = text.unwrap_or_else(|| sentence(&code).to_owned());
        Problem {
            code,
            is_general,
            ..Problem::new(status, "", message)
        }
    }
}

impl From<UsernameError> for Problem {
    fn from(error: UsernameError) -> Problem {
        Problem {
            reason: Some(error.reason()),
            ..Problem::new(StatusCode::BAD_REQUEST, "not-acceptable", error.to_string())
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Problem {
        Problem {
            reason: Some(error.reason()),
            ..Problem::new(StatusCode::BAD_REQUEST, "not-acceptable", error.to_string())
        }
    }
}

/// What a condition of XMPP means where no text came with it (RFC 6120 §8.3.3).
fn sentence(code: &str) -> &'static str {
    match code {
        "bad-request" => "the request could not be understood",
        "conflict" => "the name is already in use",
        "forbidden" => "you do not have permission for this",
        "gone" => "it has moved or was removed",
        "item-not-found" => "what the request names does not exist",
        "jid-malformed" => "the request contains an address that is not valid",
        "not-acceptable" => "the request does not meet the server's requirements",
        "not-allowed" => "this is not allowed",
        "not-authorized" => "a password is required, or the one given is wrong",
        "policy-violation" => "this violates a rule of the server",
        "recipient-unavailable" => "the recipient is not available",
        "registration-required" => "only members may enter this room",
        "remote-server-not-found" => "there is no server for the domain of this address",
        "remote-server-timeout" => "the other server did not answer in time",
        "resource-constraint" => "a limit was reached; try again later",
        "service-unavailable" => "the recipient does not exist, or does not accept this",
        "unexpected-request" => "this is not possible at the moment",
        _ => "the request was refused",
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        tracing::error!(event = "api_failed", ?fault);
        Problem::ours()
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Problem {
        match error {
            AccountError::Busy => Problem::too_many("the server is busy checking passwords; try again"),
            AccountError::Outdated => {
                Problem::new(StatusCode::UNAUTHORIZED, "not-authorized", error.to_string())
            }
            error => {
                tracing::error!(event = "api_failed", %error);
                Problem::ours()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": { "code": self.code, "message": self.message } });
        if let Some(reason) = self.reason {
            body["error"]["reason"] = reason.into();
        }
        let mut response = written(self.status, &body);
        let headers = response.headers_mut();
        // RFC 6750 §3: without any token the error is not named.
        let challenge = match (self.code.as_str(), self.scope) {
            ("invalid-token", _) => Some("Bearer error=\"invalid_token\"".to_owned()),
            (_, Some(scope)) => Some(format!(
                "Bearer error=\"insufficient_scope\", scope=\"{}\"",
                scope.name()
            )),
            _ if self.status == StatusCode::UNAUTHORIZED => Some("Bearer".to_owned()),
            _ => None,
        };
        if let Some(challenge) = challenge.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }
}

/// An answer in JSON that is not cached.
pub(super) fn written(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = answer::with_type(status, "application/json", body.to_string());
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The sentence for a room that does not exist.
pub(super) fn no_room(room: &BareJid) -> String {
    format!("there is no room {room}")
}
