//! What strangers sent and the account has not decided about (`xep/strangers`).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::ns;
use kim_core::stanza::Kind;
use kim_xep::strangers::api::{Decision, Requests, WaitingRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Segment;
use super::guard::{Manage, May, Read};
use super::problem::{Problem, written};
use crate::http::Web;

/// What becomes of a request.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RequestStep {
    /// All of its sender's is delivered.
    Accept,
    /// It is deleted.
    Refuse,
    /// All of its sender's is deleted, and the sender is blocked.
    Block,
}

fn of(web: &Web) -> Result<Arc<Requests>, Problem> {
    web.router()
        .fact()
        .ok_or_else(|| Problem::off("message requests"))
}

fn told(request: &WaitingRequest) -> Value {
    let body = request.stanza.child("body", ns::CLIENT);
    let kind = match request.stanza.kind {
        Kind::Presence(_) => "subscription",
        _ => "message",
    };
    json!({
        "id": request.id.to_string(),
        "kind": kind,
        "from": request.sender.as_str(),
        "received_at": request.received.to_string(),
        "text": body.map(|body| body.text().into_owned()),
    })
}

/// `GET /api/requests`: oldest first.
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
) -> Result<Response, Problem> {
    let waiting = of(&web)?.waiting(&caller.account).await?;
    let requests: Vec<Value> = waiting.iter().map(told).collect();
    Ok(written(StatusCode::OK, &json!({ "requests": requests })))
}

/// `POST /api/requests/{id}/{act}`
pub(super) async fn decide(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Segment((id, act)): Segment<(String, RequestStep)>,
) -> Result<Response, Problem> {
    let requests = of(&web)?;
    let decision = match act {
        RequestStep::Accept => Decision::Accept,
        RequestStep::Refuse => Decision::Refuse,
        RequestStep::Block => Decision::Block,
    };
    let mut cx = web.router().cx().ok_or_else(Problem::ours)?;
    let is_there = match id.parse() {
        Ok(id) => requests.decide(&caller.account, id, decision, &mut cx).await?,
        Err(_) => false,
    };
    web.router().finish(cx).await;
    match is_there {
        true => Ok(written(StatusCode::OK, &json!({}))),
        false => Err(Problem::not_found(format!(
            "you have no request with the id \"{id}\""
        ))),
    }
}
