//! The REST API: what programs do that are no XMPP clients. Requests and answers are JSON, a request shows the token that
//! signing in gave, and whatever it does goes through the house like what any client sends.
//!
//! `openapi.json` beside this file describes it for programs.

mod accounts;
mod body;
mod history;
mod message;
mod pace;
mod problem;
mod send;
mod visit;

use std::sync::Arc;

use axum::Router as Routes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use kim_core::jid::BareJid;

use self::problem::Problem;
use super::Web;
use super::answer;
use super::client::Client;

pub(super) use self::pace::Paces;

/// The API as programs read it (OpenAPI 3.1).
const OPENAPI: &str = include_str!("openapi.json");

/// Its paths.
pub(super) fn routes() -> Routes<Arc<Web>> {
    Routes::new()
        .route("/api/openapi.json", get(openapi))
        .route("/api/register", post(accounts::register))
        .route("/api/login", post(accounts::login))
        .route("/api/logout", post(accounts::logout))
        .route("/api/message/send", post(send::send))
        .route("/api/message/history", get(history::history))
        .route("/api/{*rest}", any(nothing))
        .method_not_allowed_fallback(wrong_method)
}

async fn openapi() -> Response {
    answer::for_everybody(answer::with_type(StatusCode::OK, "application/json", OPENAPI))
}

async fn nothing() -> Response {
    let problem = Problem::new(StatusCode::NOT_FOUND, "not-found", "the API has nothing here");
    problem.into_response()
}

async fn wrong_method() -> Response {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Problem::new(status, "method-not-allowed", "this path takes another method").into_response()
}

/// Passwords and tokens are taken only where nobody can listen in.
fn check_secure(web: &Web, client: &Client) -> Result<(), Problem> {
    let is_plain_allowed = client.is_loopback && !web.router().config().c2s.require_tls;
    match client.is_secure || is_plain_allowed {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "tls-required",
            "TLS is required",
        )),
    }
}

/// The token of a request (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// For whom a request is made.
async fn owner(web: &Web, client: &Client, headers: &HeaderMap) -> Result<BareJid, Problem> {
    check_secure(web, client)?;
    let unauthorized = |code, message| Problem::new(StatusCode::UNAUTHORIZED, code, message);
    let token = bearer(headers)
        .ok_or_else(|| unauthorized("missing-token", "show a token: Authorization: Bearer …"))?;
    let owner = web.router().accounts().token_owner(token).await?;
    owner.ok_or_else(|| unauthorized("invalid-token", "the token is wrong, expired or revoked"))
}
