//! Where WebSocket and BOSH are, for clients that cannot ask DNS (XEP-0156).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::wire::escape_value;

use super::{Web, answer, bosh, websocket};

/// RFC 6415 §2.
const XRD: &str = "http://docs.oasis-open.org/ns/xri/xrd-1.0";

/// The links, as kinds and addresses. XEP-0156 §2.2: encrypted ones only.
fn links(web: &Web) -> Vec<(&'static str, String)> {
    let Some(own) = web.router().config().public_url().filter(|own| own.is_secure()) else {
        return Vec::new();
    };
    let authority = own.authority();
    vec![
        (
            "urn:xmpp:alt-connections:websocket",
            format!("wss://{authority}{}", websocket::PATH),
        ),
        (
            "urn:xmpp:alt-connections:xbosh",
            format!("https://{authority}{}", bosh::PATH),
        ),
    ]
}

/// As XML, which every client understands.
pub(super) async fn xrd(State(web): State<Arc<Web>>) -> Response {
    let mut xml = format!("<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='{XRD}'>\n");
    for (rel, href) in links(&web) {
        let mut written = String::new();
        escape_value(&mut written, &href);
        xml.push_str(&format!("  <Link rel='{rel}' href='{written}'/>\n"));
    }
    xml.push_str("</XRD>\n");
    answer::for_everybody(answer::with_type(StatusCode::OK, "application/xrd+xml", xml))
}

/// As JSON.
pub(super) async fn jrd(State(web): State<Arc<Web>>) -> Response {
    let links: Vec<_> = links(&web)
        .into_iter()
        .map(|(rel, href)| serde_json::json!({ "rel": rel, "href": href }))
        .collect();
    let json = serde_json::json!({ "links": links }).to_string();
    answer::for_everybody(answer::with_type(StatusCode::OK, "application/json", json))
}
