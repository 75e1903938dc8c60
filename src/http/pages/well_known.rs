//! What machines look for at fixed addresses: `/robots.txt` (RFC 9309) and `/.well-known/security.txt` (RFC 9116).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::clock::Timestamp;

use super::Pages;
use crate::http::answer;

/// Pages for people may be found by search engines. Invitations and files are nobody's business, the API is no page.
const ROBOTS: &str = "User-agent: *\nDisallow: /api/\nDisallow: /invite/\nDisallow: /upload/\nAllow: /";

/// How long the contacts hold. RFC 9116 §2.5.5 recommends less than a year; they are written anew with every answer.
const EXPIRES: Duration = Duration::from_secs(180 * 86_400);

/// `/robots.txt`
pub(super) async fn robots() -> Response {
    answer::text(StatusCode::OK, ROBOTS)
}

/// `/.well-known/security.txt`: whom `[contact]` names. It is not there if nobody is named, because a contact is required.
pub(super) async fn security(State(pages): State<Arc<Pages>>) -> Response {
    let settings = &pages.settings;
    if settings.security_contacts.is_empty() {
        return answer::not_found().await;
    }
    let mut text = String::new();
    for contact in &settings.security_contacts {
        text.push_str(&format!("Contact: {contact}\n"));
    }
    let expires = SystemTime::now() + EXPIRES;
    let expires = expires
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    let expires = Timestamp(expires).to_string();
    let to_the_second = expires.split('.').next().unwrap_or(&expires);
    text.push_str(&format!("Expires: {}Z\n", to_the_second.trim_end_matches('Z')));
    if settings.origin.starts_with("https:") {
        text.push_str(&format!(
            "Canonical: {}/.well-known/security.txt",
            settings.origin
        ));
    }
    answer::text(StatusCode::OK, text.trim_end())
}
