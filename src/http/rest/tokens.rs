//! The account's own tokens: a list of them, never the secrets, and how one that was lost is revoked.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::accounts::{Scope, Scopes};
use kim_core::clock::Timestamp;
use kim_core::jid::BareJid;
use serde_json::{Value, json};

use super::body::Segment;
use super::guard::{Manage, May};
use super::problem::{Problem, written};
use crate::http::Web;

/// What scopes are called.
pub(super) fn names(scopes: Scopes) -> Vec<&'static str> {
    scopes.iter().map(Scope::name).collect()
}

/// Lets the streams of an account look again whether their tokens are good.
pub(super) fn end_streams(web: &Web, account: &BareJid) {
    for session in web.router().sessions().all_of(account) {
        session.outbox.wake();
    }
}

/// `GET /api/tokens`
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
) -> Result<Response, Problem> {
    let rows = web.router().accounts().tokens(&caller.account).await?;
    let tokens: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            json!({
                "id": row.id,
                "scopes": names(row.scopes),
                "created_at": Timestamp(row.created_at).to_string(),
                "expires_at": Timestamp(row.expires_at).to_string(),
                "is_current": row.id == caller.token_id,
            })
        })
        .collect();
    Ok(written(StatusCode::OK, &json!({ "tokens": tokens })))
}

/// `DELETE /api/tokens/{id}`
pub(super) async fn revoke(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Segment(id): Segment<String>,
) -> Result<Response, Problem> {
    let accounts = web.router().accounts();
    if !accounts.revoke_token(&caller.account, &id).await? {
        return Err(Problem::not_found(format!(
            "you have no token with the id \"{id}\""
        )));
    }
    end_streams(&web, &caller.account);
    tracing::info!(event = "token_revoked", account = %caller.account, by = "api");
    Ok(written(StatusCode::OK, &json!({ "revoked": 1 })))
}

/// `DELETE /api/tokens`: all of them, the one that is shown too.
pub(super) async fn revoke_all(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
) -> Result<Response, Problem> {
    let revoked = web.router().accounts().revoke_tokens(&caller.account).await?;
    end_streams(&web, &caller.account);
    tracing::info!(event = "tokens_revoked", account = %caller.account, revoked, by = "api");
    Ok(written(StatusCode::OK, &json!({ "revoked": revoked })))
}
