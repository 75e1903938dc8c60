//! `/http-bind`: the requests of BOSH (XEP-0124). What they mean is `c2s::bosh`'s; here is HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use kim_core::wire::{self, Element};

use super::Web;
use super::answer;
use super::client::Client;
use super::websocket::unencrypted;
use crate::c2s::bosh::{Answer, CONTENT_TYPE, Shared, Terms, terminal};
use crate::c2s::{self, Link, Start};

/// Where it is.
pub(super) const PATH: &str = "/http-bind";
/// What the wrapper may take beside one stanza.
const WRAPPER_BYTES_MAX: usize = 2_048;

/// Serves a request.
pub(super) async fn serve(
    State(web): State<Arc<Web>>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    let response = match *request.method() {
        Method::POST => post(web, client, request).await,
        Method::OPTIONS => answer::preflight("POST, OPTIONS", "Content-Type"),
        _ => answer::text(
            StatusCode::METHOD_NOT_ALLOWED,
            "this is for BOSH (XEP-0124): POST only",
        ),
    };
    answer::for_everybody(response)
}

async fn post(web: Arc<Web>, client: Client, request: Request) -> Response {
    let is_plain_allowed = client.is_loopback && !web.router().config().c2s.require_tls;
    if !client.is_secure && !is_plain_allowed {
        return unencrypted();
    }
    let limits = web.router().limits();
    // More than one stanza may come in a body, but not more than one would be allowed to have.
    let bytes_max = limits.stanza_bytes_max + WRAPPER_BYTES_MAX;
    let stall = Duration::from_secs(limits.http_stall_seconds_max);
    let read = tokio::time::timeout(2 * stall, read(request.into_body(), bytes_max, stall));
    let bytes = match read.await.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT)) {
        Ok(bytes) => bytes,
        Err(status) => return answer::text(status, "the body is too long or did not come"),
    };
    // Which limits hold is known only when it is known whose it is: the wrapper is looked at with the larger ones, within
    // the bytes above, and judged again below.
    let Some(body) = parse(&bytes, web.door.wire_after_login()) else {
        return xml(terminal(Some("bad-request"), ""));
    };
    let shared = match body.attr("sid") {
        Some(sid) => match web.bosh.get(&sid) {
            Some(shared) => shared,
            None => return xml(terminal(Some("item-not-found"), "")),
        },
        None => match begin(&web, client, &body) {
            Ok(shared) => shared,
            Err(response) => return *response,
        },
    };
    if bytes.len() > shared.limits().stanza_bytes_max + WRAPPER_BYTES_MAX {
        return xml(terminal(Some("policy-violation"), ""));
    }
    match shared.request(&body, bytes.len()) {
        Answer::Now(bytes) => xml(bytes),
        Answer::Held { mut answer, rid } => {
            let here = Here(shared.clone());
            let answered = match tokio::time::timeout(shared.wait(), &mut answer).await {
                Ok(answered) => answered,
                Err(_) => {
                    shared.due(rid);
                    answer.await
                }
            };
            drop(here);
            match answered {
                Ok(bytes) => xml(bytes),
                // The session went without a word.
                Err(_) => xml(terminal(Some("item-not-found"), "")),
            }
        }
    }
}

/// A request that is held; told should its connection go.
struct Here(Arc<Shared>);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.gone();
    }
}

/// Begins a session for its first request.
fn begin(web: &Arc<Web>, client: Client, body: &Element) -> Result<Arc<Shared>, Box<Response>> {
    let door = web.door.clone();
    let Some(place) = door.place(client.address) else {
        door.counters.refused();
        let text = "too many streams from this address";
        return Err(Box::new(answer::text(StatusCode::TOO_MANY_REQUESTS, text)));
    };
    let http = &web.router().config().http;
    let terms = Terms {
        wait: Duration::from_secs(http.bosh_wait_seconds),
        inactivity: Duration::from_secs(http.bosh_inactivity_seconds),
    };
    let begun = web
        .bosh
        .begin(body, door.wire_before_login(), &terms, client.is_secure);
    let (link, shared) = begun.map_err(|_| Box::new(xml(terminal(Some("bad-request"), ""))))?;
    // No channel binding: a session's requests come over many connections.
    let start = Start::Secured(Box::default());
    tokio::spawn(c2s::serve(
        door,
        Link::Bosh(Box::new(link)),
        client.address,
        place,
        start,
    ));
    Ok(shared)
}

/// Reads the content of a request: one element and nothing else. `limits` are those of a stanza in it; the wrapper has
/// its own bytes and depth beside them.
pub fn parse(bytes: &[u8], limits: wire::Limits) -> Option<Element> {
    let text = std::str::from_utf8(bytes).ok()?;
    let limits = wire::Limits {
        stanza_bytes_max: limits.stanza_bytes_max + WRAPPER_BYTES_MAX,
        depth_max: limits.depth_max + 1,
        ..limits
    };
    Element::parse_within(text.trim(), limits).ok()
}

/// The whole content of a request, if it comes and is not too long.
pub(super) async fn read(mut body: Body, bytes_max: usize, stall: Duration) -> Result<Bytes, StatusCode> {
    let mut all = bytes::BytesMut::new();
    loop {
        let frame = tokio::time::timeout(stall, body.frame()).await;
        match frame.map_err(|_| StatusCode::REQUEST_TIMEOUT)? {
            None => return Ok(all.freeze()),
            Some(Err(_)) => return Err(StatusCode::BAD_REQUEST),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                if all.len() + data.len() > bytes_max {
                    return Err(StatusCode::PAYLOAD_TOO_LARGE);
                }
                all.extend_from_slice(&data);
            }
        }
    }
}

fn xml(body: impl Into<Body>) -> Response {
    answer::with_type(StatusCode::OK, CONTENT_TYPE, body)
}
