//! Makes sure that a client sees a refusal. Many clients read nothing before they have written everything; if the connection
//! were closed with the body half written, they would see a broken connection and no answer. So what a handler leaves unread of
//! a body is read and discarded, within limits, before the answer goes out.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

/// What is thrown away of one body at most.
const BYTES_MAX: usize = 8 * 1_048_576;
/// How long that may take.
const SECONDS_MAX: u64 = 10;

/// A body that its reader gives back by dropping it.
struct Lent(Arc<Mutex<Body>>);

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.size_hint()
    }
}

/// Answers a request once its body is read, by whomever.
pub(super) async fn heard(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let body = Arc::new(Mutex::new(body));
    let lent = Body::new(Lent(body.clone()));
    let response = next.run(Request::from_parts(parts, lent)).await;
    // A body that did not come in time is not waited for again.
    if response.status() == StatusCode::REQUEST_TIMEOUT {
        return response;
    }
    let draining = drain(Lent(body));
    // A client that sends more or takes longer may miss the answer.
    let _ = tokio::time::timeout(Duration::from_secs(SECONDS_MAX), draining).await;
    response
}

async fn drain(mut body: Lent) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > BYTES_MAX {
            return;
        }
    }
}
