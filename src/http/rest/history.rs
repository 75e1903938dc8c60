//! The messages exchanged with somebody, page by page, from the account's own archive.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::jid::Jid;
use serde::Deserialize;

use super::archive::{self, WhichMessages};
use super::body::Asked;
use super::guard::{May, Read};
use super::problem::{Problem, written};
use super::send::address;
use crate::http::Web;

/// With whom.
#[derive(Deserialize)]
pub(super) struct With {
    user: String,
}

/// `GET /api/message/history`
pub(super) async fn history(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
    Asked(with): Asked<With>,
    Asked(which): Asked<WhichMessages>,
) -> Result<Response, Problem> {
    let with = Jid::from(address(&with.user, &caller.account)?);
    let page = archive::page(&web, &caller, None, Some(&with), &which).await?;
    Ok(written(StatusCode::OK, &page.told()))
}
