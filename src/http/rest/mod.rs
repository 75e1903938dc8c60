//! The REST API, for programs that are not XMPP clients. Requests and answers are JSON, a request shows the token from signing
//! in, and what it does goes through the house like anything that a client sends.
//!
//! `openapi.json` beside this file describes it for programs.

mod accounts;
mod archive;
pub mod body;
mod document;
mod drain;
mod events;
mod files;
mod guard;
mod history;
pub mod keys;
pub mod message;
mod nodes;
mod pace;
mod problem;
mod push;
mod requests;
mod rooms;
mod roster;
mod send;
mod tokens;
mod visit;

use std::sync::Arc;

use axum::Router as Routes;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post, put};

use self::problem::Problem;
use super::Web;
use super::answer;

pub(super) use self::pace::Paces;

/// Its paths.
pub(super) fn routes() -> Routes<Arc<Web>> {
    Routes::new()
        .route("/api/openapi.json", get(openapi))
        .route("/api/register", get(accounts::challenge).post(accounts::register))
        .route("/api/login", post(accounts::login))
        .route("/api/logout", post(accounts::logout))
        .route("/api/tokens", get(tokens::list).delete(tokens::revoke_all))
        .route("/api/tokens/{id}", delete(tokens::revoke))
        .route("/api/message/send", post(send::send))
        .route("/api/message/history", get(history::history))
        .route("/api/events", get(events::events))
        .route("/api/rooms", get(rooms::list).post(rooms::create))
        .route("/api/rooms/own", get(rooms::own))
        .route("/api/room", get(rooms::info).delete(rooms::destroy))
        .route("/api/room/members", get(rooms::members).put(rooms::change))
        .route("/api/room/send", post(rooms::speak))
        .route("/api/room/history", get(rooms::history))
        .route("/api/roster", get(roster::list))
        .route("/api/roster/{jid}", put(roster::put).delete(roster::remove))
        .route("/api/roster/{jid}/{act}", post(roster::act))
        .route("/api/requests", get(requests::list))
        .route("/api/requests/{id}/{act}", post(requests::decide))
        .route("/api/devices", get(keys::devices))
        .route("/api/devices/{id}", delete(keys::remove))
        .route("/api/keys", get(keys::keys).put(keys::publish))
        .route("/api/upload/slot", post(files::slot))
        .route("/api/files", get(files::list))
        .route("/api/files/{id}", delete(files::remove))
        .route("/api/push/subscribe", get(push::list).post(push::subscribe))
        .route("/api/push/subscribe/{id}", delete(push::unsubscribe))
        .route("/api/{*rest}", any(nothing))
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(drain::heard))
        .layer(middleware::from_fn(for_every_page))
}

/// What is refused before the API hears of it, as the API says it.
pub(super) fn refused(status: StatusCode, message: &str) -> Response {
    let code = match status {
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::MISDIRECTED_REQUEST => "misdirected-request",
        StatusCode::TOO_MANY_REQUESTS => "too-many-requests",
        _ => "bad-request",
    };
    Problem::new(status, code, message).into_response()
}

/// Pages of every origin may use the API: what it goes by is a token that the page must have, never a cookie that a browser
/// adds by itself. Where no token is needed, `origin` has refused those that are not welcome.
async fn for_every_page(request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return answer::preflight(
            "GET, POST, PUT, DELETE, OPTIONS",
            "Authorization, Content-Type, Last-Event-ID",
        );
    }
    let mut response = answer::for_everybody(next.run(request).await);
    response.headers_mut().insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Retry-After, WWW-Authenticate"),
    );
    response
}

async fn openapi(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match document::check_query(&parts) {
        Ok(()) => answer::with_type(StatusCode::OK, "application/json", document::TEXT),
        Err(problem) => problem.into_response(),
    }
}

async fn nothing(uri: Uri) -> Response {
    let message = format!("there is no {} in this API; see /api/openapi.json", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "not-found", message).into_response()
}

async fn wrong_method() -> Response {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let message = "this path does not support the method; see /api/openapi.json";
    Problem::new(status, "method-not-allowed", message).into_response()
}
