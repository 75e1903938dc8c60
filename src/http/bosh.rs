//! `/http-bind`: the requests of BOSH (XEP-0124). What they mean is `c2s::bosh`'s; here is HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use kim_core::wire::{self, Element};

use super::body::{self, Unread};
use super::client::Client;
use super::websocket::unencrypted;
use super::{Web, answer};
use crate::c2s::bosh::{Answer, CONTENT_TYPE, Shared, Terms, terminal};
use crate::c2s::{self, Link, Start};

/// Where it is.
pub(super) const PATH: &str = "/http-bind";
/// What the wrapper may take beside one stanza.
const WRAPPER_BYTES_MAX: usize = 2_048;
/// How the id of a session begins and ends in a wrapper.
const SID: [(&[u8], u8); 2] = [(b"sid='", b'\''), (b"sid=\"", b'"')];

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
    let strict = body::deadline_before_login(&limits);
    let patience = |come: &[u8]| has_logged_in(&web, come).then(|| body::deadline_after_login(&limits));
    let bytes = match body::read(request.into_body(), bytes_max, strict, patience).await {
        Ok(bytes) => bytes,
        Err(Unread::TooLong) => return answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
        Err(Unread::TooSlow) => return answer::text(StatusCode::REQUEST_TIMEOUT, "the body came too slowly"),
        Err(Unread::Torn) => return answer::text(StatusCode::BAD_REQUEST, "the body ended early"),
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

/// Whether what has come of a body names a session that has logged in. Its id is a secret, so nobody gets time by guessing one.
fn has_logged_in(web: &Web, come: &[u8]) -> bool {
    let shared = session_in(come).and_then(|sid| web.bosh.get(sid));
    shared.is_some_and(|shared| shared.has_logged_in())
}

/// What the beginning of a body says which session it is of, before it can be parsed.
fn session_in(come: &[u8]) -> Option<&str> {
    let beginning = come.get(..WRAPPER_BYTES_MAX).unwrap_or(come);
    let sid = SID.iter().find_map(|(name, quote)| {
        let at = memchr::memmem::find(beginning, name)? + name.len();
        let rest = beginning.get(at..)?;
        rest.get(..memchr::memchr(*quote, rest)?)
    });
    std::str::from_utf8(sid?).ok()
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

fn xml(body: impl Into<Body>) -> Response {
    answer::with_type(StatusCode::OK, CONTENT_TYPE, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_by_the_beginning_of_a_body() {
        for (come, sid) in [
            ("<body rid='1' sid='abc' xmlns='x'><mess", Some("abc")),
            ("<body sid=\"abc\"", Some("abc")),
            ("<body rid='1' sid='ab", None),
            ("<body rid='1'>", None),
            ("", None),
        ] {
            assert_eq!(session_in(come.as_bytes()), sid, "{come}");
        }
        let late = format!("<body>{}<x sid='abc'/>", " ".repeat(WRAPPER_BYTES_MAX));
        assert_eq!(session_in(late.as_bytes()), None);
    }
}
