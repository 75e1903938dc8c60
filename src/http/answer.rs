//! Answers that several pages give, and the headers all of them share.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

/// A short answer in plain text.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    let mut text = text.into();
    text.push('\n');
    with_type(status, "text/plain; charset=utf-8", text)
}

/// An answer of some type.
pub(super) fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Lets pages of other origins read an answer. Nothing here goes by cookies, so this opens nothing that is closed to others.
pub(super) fn for_everybody(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// The answer to the question which requests from other origins are welcome (Fetch standard, CORS-preflight).
pub(super) fn preflight(methods: &'static str, headers: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let map = response.headers_mut();
    map.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(methods),
    );
    map.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(headers),
    );
    map.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    for_everybody(response)
}

/// Later: somebody has too much under way.
pub(super) fn too_many(words: &'static str) -> Response {
    let mut response = text(StatusCode::TOO_MANY_REQUESTS, words);
    let later = HeaderValue::from_static("10");
    response.headers_mut().insert(header::RETRY_AFTER, later);
    response
}

/// There is nothing here.
pub(super) async fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "not found")
}
