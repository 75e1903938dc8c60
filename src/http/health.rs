//! Whether the server lives and whether it can serve, for whatever watches it. It is nobody else's business, so it is answered on
//! the listener for monitoring, or on the one without TLS to the networks that may ask, and never through a proxy.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::client::Client;
use super::{Web, answer};

/// The process answers.
pub(super) async fn live(Extension(client): Extension<Client>) -> Response {
    if !client.is_operator {
        return answer::not_found().await;
    }
    answer::text(StatusCode::OK, "live")
}

/// Clients can be sent here: the database answers, and the server does not stop.
pub(super) async fn ready(State(web): State<Arc<Web>>, Extension(client): Extension<Client>) -> Response {
    if !client.is_operator {
        return answer::not_found().await;
    }
    let database = web.db.stats().reachable && web.router().accounts().list(None, 1).await.is_ok();
    let wrong = match (database, web.door.is_stopping()) {
        (_, true) => "the server stops",
        (false, _) => "the database does not answer",
        (true, false) => return answer::text(StatusCode::OK, "ready"),
    };
    answer::text(StatusCode::SERVICE_UNAVAILABLE, wrong)
}
