//! Reads the body of a request: JSON, not too long, not too deep.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The longest body (docs/security.md, row 32).
pub(super) const BODY_BYTES_MAX: usize = 1_048_576;
/// How deep arrays and objects may lie in each other.
const DEPTH_MAX: usize = 64;
/// How long a body may take to come.
const BODY_SECONDS_MAX: u64 = 30;

/// The body as what an endpoint expects. Fields that it does not know mean nothing to it.
pub(super) async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next());
    if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "the body must be application/json",
        ));
    }
    let reading = Limited::new(body, BODY_BYTES_MAX).collect();
    let read = tokio::time::timeout(Duration::from_secs(BODY_SECONDS_MAX), reading).await;
    let read = read.map_err(|_| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "the body took too long to come",
        )
    })?;
    let bytes = read
        .map_err(|error| match error.is::<LengthLimitError>() {
            true => too_long(),
            false => Problem::bad("the body ended early"),
        })?
        .to_bytes();
    if is_too_deep(&bytes) {
        return Err(Problem::bad("the body is nested too deeply"));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::bad(format!("the body is not as expected: {error}")))
}

/// The answer to what is longer than it may be.
pub(super) fn too_long() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-long",
        "that is longer than it may be",
    )
}

/// Counts brackets outside of strings, before anything is built of them.
fn is_too_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_strings() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!is_too_deep(nested(DEPTH_MAX).as_bytes()));
        assert!(is_too_deep(nested(DEPTH_MAX + 1).as_bytes()));
        let text = format!(r#"["\"{}"]"#, "[".repeat(1_000));
        assert!(!is_too_deep(text.as_bytes()));
        assert!(!is_too_deep("[],".repeat(1_000).as_bytes()));
    }
}
