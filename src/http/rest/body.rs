//! Reads a request: its body (JSON, within limits of length and depth), its query and its path. Each is checked against the
//! document first. Text that XML cannot carry is refused here, because requests become stanzas.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Instant as StdInstant;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use kim_core::wire::is_text;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokio::time::Instant;

use super::document::{NOT_TEXT, Operation};
use super::guard::Caller;
use super::problem::Problem;
use crate::http::Web;
use crate::http::body::{self, Unread};

const TWICE: &str = "the body must not contain a field twice";
/// The longest body (docs/security.md, row 32).
const BODY_BYTES_MAX: usize = 1_048_576;
/// How deep arrays and objects may lie in each other.
pub const DEPTH_MAX: usize = 64;

/// The body as what an endpoint expects.
pub(super) struct Given<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Web>> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, web: &Arc<Web>) -> Result<Given<T>, Problem> {
        let (parts, content) = request.into_parts();
        let caller = parts.extensions.get::<Caller>();
        let limits = web.router().limits();
        let deadline = match caller {
            Some(_) => body::deadline_after_login(&limits),
            None => body::deadline_before_login(&limits),
        };
        let bytes = read(&parts.headers, content, deadline).await?;
        if let Some(caller) = caller {
            web.paces.pay(&caller.account, bytes.len(), StdInstant::now());
        }
        let body: Value = parse(&bytes).map_err(|error| Problem::bad(error.to_string()))?;
        Operation::of(&parts)?.check_body(&body)?;
        let given = serde_json::from_value(body);
        Ok(Given(given.map_err(|_| {
            Problem::bad("the body must be as /api/openapi.json describes it")
        })?))
    }
}

/// What stands behind the `?`. The guard has checked it (see [`super::guard`]).
pub(super) struct Asked<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Web>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Web>) -> Result<Asked<T>, Problem> {
        let wrong = |_| Problem::bad("the parameters must be as /api/openapi.json describes them");
        let Query(asked) = Query::try_from_uri(&parts.uri).map_err(wrong)?;
        Ok(Asked(asked))
    }
}

/// What stands in the path.
pub(super) struct Segment<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Web>> for Segment<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Segment<T>, Problem> {
        let wrong = || Problem::bad("the path must be as /api/openapi.json describes it");
        let raw = RawPathParams::from_request_parts(parts, web).await;
        let raw = raw.map_err(|_| wrong())?;
        Operation::of(parts)?.check_path(raw.iter())?;
        let path = Path::<T>::from_request_parts(parts, web).await;
        let Path(segments) = path.map_err(|_| wrong())?;
        Ok(Segment(segments))
    }
}

async fn read(headers: &HeaderMap, content: Body, deadline: Instant) -> Result<bytes::Bytes, Problem> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next());
    if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "the body must be JSON, with the header Content-Type: application/json",
        ));
    }
    let read = body::read(content, BODY_BYTES_MAX, deadline, |_| None).await;
    read.map_err(|unread| match unread {
        Unread::TooLong => Problem::too_long(),
        Unread::TooSlow => {
            let slow = "the body took too long to arrive";
            Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", slow)
        }
        Unread::Torn => Problem::bad("the connection ended before the whole body arrived"),
    })
}

/// Why a body is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Arrays and objects lie too deep in each other.
    #[error("the body must not be nested more than {DEPTH_MAX} levels deep")]
    TooDeep,
    /// It is not JSON.
    #[error("the body must be JSON; there is a mistake in line {line}, column {column}")]
    Syntax {
        /// Where, counted from one.
        line: usize,
        /// Where, counted from one.
        column: usize,
    },
    /// It is JSON that is refused.
    #[error("{0}")]
    Refused(String),
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Refusal {
        if error.is_data() {
            let text = error.to_string();
            // The reason alone: where it stands is of no use to a program that wrote the JSON.
            let reason = text.split(" at line ").next().unwrap_or_default();
            return Refusal::Refused(reason.to_owned());
        }
        Refusal::Syntax {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// Reads JSON. What is accepted nests at most [`DEPTH_MAX`] deep, has no field twice, and XML can carry every name and text.
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Refusal> {
    if is_too_deep(json) {
        return Err(Refusal::TooDeep);
    }
    serde_json::from_slice::<Sayable>(json)?;
    Ok(serde_json::from_slice(json)?)
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

/// JSON all of whose text XML can carry, and in which no object has a field twice. Nothing is built of it.
struct Sayable;

impl<'de> serde::Deserialize<'de> for Sayable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sayable, D::Error> {
        deserializer.deserialize_any(Sayable)
    }
}

impl<'de> Visitor<'de> for Sayable {
    type Value = Sayable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Sayable, E> {
        match is_text(text) {
            true => Ok(Sayable),
            false => Err(E::custom(NOT_TEXT)),
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Sayable, E> {
        Ok(Sayable)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Sayable, E> {
        Ok(Sayable)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Sayable, E> {
        Ok(Sayable)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Sayable, E> {
        Ok(Sayable)
    }

    fn visit_unit<E>(self) -> Result<Sayable, E> {
        Ok(Sayable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Sayable, A::Error> {
        while all.next_element::<Sayable>()?.is_some() {}
        Ok(Sayable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Sayable, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = all.next_key::<String>()? {
            if !is_text(&name) {
                return Err(serde::de::Error::custom(NOT_TEXT));
            }
            all.next_value::<Sayable>()?;
            // One of the two values would be ignored.
            if !names.insert(name) {
                return Err(serde::de::Error::custom(TWICE));
            }
        }
        Ok(Sayable)
    }
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

    #[test]
    fn text_that_xml_cannot_carry_and_repeated_fields_are_found_anywhere() {
        for (json, is_sayable) in [
            (r#"{"a":["b",1,-1,2.5,null,true,{"c":"d\n\te"}]}"#, true),
            (r#"{"a":["b",{"c":"\u0000"}]}"#, false),
            (r#"{"a\u0001":1}"#, false),
            (r#""\uffff""#, false),
            (r#""\ud83d\ude00""#, true),
            (r#"{"a":{"b":1},"b":{"a":1}}"#, true),
            (r#"{"a":true,"b":1,"a":false}"#, false),
            (r#"[{"x":{"a":1,"\u0061":2}}]"#, false),
        ] {
            let read = serde_json::from_str::<Sayable>(json);
            assert_eq!(read.is_ok(), is_sayable, "{json}");
        }
    }
}
