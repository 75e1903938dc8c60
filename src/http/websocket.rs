//! `/xmpp-websocket`: the handshake of RFC 6455 §4 with the subprotocol of RFC 7395, and from there to a session.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::upgrade::OnUpgrade;
use sha1::{Digest, Sha1};

use super::Web;
use super::answer;
use super::client::Client;
use super::io::HttpIo;
use crate::c2s::{self, Link, Place, Start, WebSocket};

/// Where it is.
pub(super) const PATH: &str = "/xmpp-websocket";
/// RFC 7395 §3.1.
const PROTOCOL: &str = "xmpp";
/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Answers the handshake.
pub(super) async fn upgrade(
    State(web): State<Arc<Web>>,
    Extension(client): Extension<Client>,
    mut request: Request,
) -> Response {
    let accept = match judge(&web, &client, &request) {
        Ok(accept) => accept,
        Err(response) => return *response,
    };
    let Some(place) = web.door.place(client.address) else {
        web.door.counters.refused();
        return answer::text(
            StatusCode::TOO_MANY_REQUESTS,
            "too many streams from this address",
        );
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(serve(web, client, place, upgrade));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// Judges a handshake; gives the key's proof.
fn judge(web: &Web, client: &Client, request: &Request) -> Result<HeaderValue, Box<Response>> {
    let headers = request.headers();
    let bad = |text: &str| Err(answer::text(StatusCode::BAD_REQUEST, text).into());
    if request.method() != Method::GET {
        return Err(answer::text(StatusCode::METHOD_NOT_ALLOWED, "GET only").into());
    }
    if !has_token(headers, &header::CONNECTION, "upgrade")
        || !has_token(headers, &header::UPGRADE, "websocket")
    {
        let mut response = answer::text(StatusCode::UPGRADE_REQUIRED, "this is for WebSocket (RFC 7395)");
        response
            .headers_mut()
            .insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return Err(response.into());
    }
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        let mut response = answer::text(StatusCode::UPGRADE_REQUIRED, "version 13 only");
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(response.into());
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return bad("no Sec-WebSocket-Key");
    };
    if BASE64.decode(key.as_bytes()).map_or(0, |key| key.len()) != 16 {
        return bad("the Sec-WebSocket-Key is not 16 bytes");
    }
    if !has_token(headers, &header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return bad("the subprotocol is xmpp (RFC 7395)");
    }
    let is_plain_allowed = client.is_loopback && !web.router().config().c2s.require_tls;
    if !client.is_secure && !is_plain_allowed {
        return Err(unencrypted().into());
    }
    let digest = Sha1::new()
        .chain_update(key.as_bytes())
        .chain_update(GUID)
        .finalize();
    HeaderValue::try_from(BASE64.encode(digest))
        .map_err(|_| answer::text(StatusCode::BAD_REQUEST, "bad key").into())
}

/// The answer where somebody could listen in.
pub(super) fn unencrypted() -> Response {
    answer::text(
        StatusCode::FORBIDDEN,
        "TLS is required; a proxy in [http] trusted_proxies says with X-Forwarded-Proto: https that there is some",
    )
}

/// Whether one of the words of a header is this one.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// Takes the connection over from hyper and serves its stream.
async fn serve(web: Arc<Web>, client: Client, place: Place, upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let Ok(parts) = upgraded.downcast::<HttpIo>() else {
        tracing::error!(event = "upgrade_failed", "the connection is not the listener's");
        return;
    };
    let (socket, mut raw) = parts.io.into_parts();
    if !parts.read_buf.is_empty() {
        let late = std::mem::take(&mut raw);
        raw.extend_from_slice(&parts.read_buf);
        raw.extend_from_slice(&late);
    }
    let door = web.door.clone();
    let ping_every = Duration::from_secs(web.router().config().http.websocket_ping_seconds);
    let link = WebSocket::new(
        socket,
        raw,
        client.is_secure,
        door.wire_before_login(),
        ping_every,
    );
    // A browser shows its pages nothing of the TLS connection that a login could be bound to.
    let start = Start::Secured(Box::default());
    // Its own task: nothing of the handshake stays.
    tokio::spawn(c2s::serve(
        door,
        Link::WebSocket(Box::new(link)),
        client.address,
        place,
        start,
    ));
}
