//! Reads what a request says: its body, JSON, not too long and not too deep, and what stands behind the `?`. Text that XML
//! cannot say is refused here, once for all: what is asked becomes stanzas.

use std::fmt;
use std::sync::Arc;
use std::time::Instant as StdInstant;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use kim_core::wire::is_text;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use tokio::time::Instant;

use super::guard::Caller;
use super::problem::Problem;
use crate::http::Web;
use crate::http::body::{self, Unread};

/// The longest body (docs/security.md, row 32).
const BODY_BYTES_MAX: usize = 1_048_576;
/// How deep arrays and objects may lie in each other.
pub const DEPTH_MAX: usize = 64;
const STRANGE: &str = "there are characters in it that no message and no address can have";

/// The body as what an endpoint expects. Fields that it does not know mean nothing to it.
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
        let given = parse(&bytes).map_err(|error| Problem::bad(error.to_string()))?;
        Ok(Given(given))
    }
}

/// What stands behind the `?`.
pub(super) struct Asked<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Web>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Web>) -> Result<Asked<T>, Problem> {
        let wrong = |error: axum::extract::rejection::QueryRejection| Problem::bad(error.body_text());
        let all = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(wrong)?;
        if all.iter().any(|(_, value)| !is_text(value)) {
            return Err(Problem::bad(STRANGE));
        }
        let Query(asked) = Query::try_from_uri(&parts.uri).map_err(wrong)?;
        Ok(Asked(asked))
    }
}

/// What stands in the path. What makes no sense there is refused.
pub(super) struct Segment<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Web>> for Segment<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Segment<T>, Problem> {
        let path = Path::<T>::from_request_parts(parts, web).await;
        let Path(segments) = path.map_err(|error| Problem::bad(error.body_text()))?;
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
            "the body must be application/json",
        ));
    }
    let read = body::read(content, BODY_BYTES_MAX, deadline, |_| None).await;
    read.map_err(|unread| match unread {
        Unread::TooLong => Problem::too_long(),
        Unread::TooSlow => {
            let slow = "the body took too long to come";
            Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", slow)
        }
        Unread::Torn => Problem::bad("the body ended early"),
    })
}

/// Why a body is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Arrays and objects lie too deep in each other.
    #[error("the body is nested too deeply")]
    TooDeep,
    /// It is no JSON, not what the endpoint expects, or holds text that XML cannot say.
    #[error("the body is not as expected: {0}")]
    Unexpected(#[from] serde_json::Error),
}

/// Reads JSON. Whatever is accepted nests at most [`DEPTH_MAX`] deep, and XML can say every name and every text in it.
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

/// JSON all of whose texts XML can say. Nothing is built of it.
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
            false => Err(E::custom(STRANGE)),
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
        while all.next_entry::<Sayable, Sayable>()?.is_some() {}
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
    fn what_xml_cannot_say_is_found_wherever_it_stands() {
        for (json, is_sayable) in [
            (r#"{"a":["b",1,-1,2.5,null,true,{"c":"d\n\te"}]}"#, true),
            (r#"{"a":["b",{"c":"\u0000"}]}"#, false),
            (r#"{"a\u0001":1}"#, false),
            (r#""\uffff""#, false),
            (r#""\ud83d\ude00""#, true),
        ] {
            let read = serde_json::from_str::<Sayable>(json);
            assert_eq!(read.is_ok(), is_sayable, "{json}");
        }
    }
}
