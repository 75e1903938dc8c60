//! Which web pages may make a browser do something here. A page needs nothing of its own to open a stream, to guess passwords or
//! to register accounts: it would do so with its visitor's address, which limits go by. So a request that a page of another
//! origin makes is refused unless `[http] origins` names that origin (Fetch standard, `Origin`).
//!
//! Open to every page is what a page can use only with something that its visitor's browser does not add by itself: the API
//! behind a token, files behind their secret addresses; and what is public and does nothing, as XEP-0156 §3 wants it.

use axum::http::{HeaderMap, HeaderValue, header};
use kim_core::config::Config;

use super::client::Client;
use super::host::Authority;

/// What every page may ask for.
const OPEN: [&str; 3] = ["/api/", "/upload/", "/.well-known/host-meta"];
/// Among it what works without a token.
const CLOSED: [&str; 2] = ["/api/login", "/api/register"];

/// Whether the page that makes a request may make it. A request without an origin is made by no page, or by one of ours.
pub(super) fn is_welcome(config: &Config, client: &Client, path: &str, headers: &HeaderMap) -> bool {
    let is_open = OPEN.iter().any(|open| path.starts_with(open)) && !CLOSED.contains(&path);
    let mut origins = headers.get_all(header::ORIGIN).iter();
    is_open || origins.all(|origin| is_known(config, client, origin))
}

fn is_known(config: &Config, client: &Client, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let is_named = |name: &String| name == "*" || name.trim_end_matches('/').eq_ignore_ascii_case(origin);
    let is_own = || {
        let own = config.public_url();
        own.is_some_and(|own| own.as_str().eq_ignore_ascii_case(origin))
    };
    config.http.origins.iter().any(is_named) || is_own() || is_of_host(client, origin)
}

/// Whether a page comes from the host that it asks, over the same scheme.
fn is_of_host(client: &Client, origin: &str) -> bool {
    let scheme = if client.is_secure { "https" } else { "http" };
    let page = origin
        .split_once("://")
        .filter(|(of_page, _)| of_page.eq_ignore_ascii_case(scheme))
        .and_then(|(_, authority)| Authority::parse(authority));
    match (&client.host, page) {
        (Some(host), Some(page)) => host.is_same(&page, scheme),
        _ => false,
    }
}
