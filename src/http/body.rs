//! The bodies of requests: how long they may pause, how long they may take, how long they may be. One rule for every door.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use kim_core::config::Limits;
use tokio::time::{Instant, Sleep};

use super::Place;

/// How long a whole body may take before it is known whose it is. What it holds then is a name and a password.
const SECONDS_BEFORE_LOGIN_MAX: u64 = 10;
/// How long one may take after that, at least.
const SECONDS_AFTER_LOGIN: u64 = 30;

/// When the body of somebody who has not logged in must have come.
pub(super) fn deadline_before_login(limits: &Limits) -> Instant {
    Instant::now() + Duration::from_secs(SECONDS_BEFORE_LOGIN_MAX.min(limits.login_seconds_max))
}

/// When the body of somebody who has logged in must have come.
pub(super) fn deadline_after_login(limits: &Limits) -> Instant {
    Instant::now() + Duration::from_secs(SECONDS_AFTER_LOGIN.max(2 * limits.http_stall_seconds_max))
}

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than it may be.
    TooLong,
    /// It paused for too long, or took too long altogether.
    TooSlow,
    /// It ended early.
    Torn,
}

/// Reads a whole body. `patience` looks at what has come and may give a later deadline, once.
pub(super) async fn read(
    mut body: Body,
    bytes_max: usize,
    mut deadline: Instant,
    patience: impl Fn(&[u8]) -> Option<Instant>,
) -> Result<Bytes, Unread> {
    let mut all = BytesMut::new();
    let mut was_patient = false;
    loop {
        let frame = tokio::time::timeout_at(deadline, body.frame()).await;
        match frame.map_err(|_| Unread::TooSlow)? {
            None => return Ok(all.freeze()),
            Some(Err(error)) if is_stalled(&error) => return Err(Unread::TooSlow),
            Some(Err(_)) => return Err(Unread::Torn),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                if all.len() + data.len() > bytes_max {
                    return Err(Unread::TooLong);
                }
                all.extend_from_slice(&data);
            }
        }
        if !was_patient && let Some(later) = patience(&all) {
            (deadline, was_patient) = (later, true);
        }
    }
}

/// A body paused for too long.
#[derive(Debug)]
struct Stalled;

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing of the body came for too long")
    }
}

impl Error for Stalled {}

/// Whether a body ended because it paused for too long.
pub(super) fn is_stalled(error: &(dyn Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(one) = error {
        if one.is::<Stalled>() {
            return true;
        }
        error = one.source();
    }
    false
}

/// A body that ends with an error when nothing of it comes for too long while somebody waits for it.
pub(super) fn without_stalls(body: Body, stall_max: Duration) -> Body {
    match body.is_end_stream() {
        true => body,
        false => Body::new(Impatient {
            body,
            stall_max,
            stall: None,
        }),
    }
}

struct Impatient {
    body: Body,
    stall_max: Duration,
    /// Something must have come by then.
    stall: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Impatient {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.stall = None;
            return Poll::Ready(frame);
        }
        let stall_max = self.stall_max;
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall_max)));
        match stall.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(axum::Error::new(Stalled)))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer that keeps its client's place until it has been written.
pub(super) fn in_place(body: Body, place: Place) -> Body {
    match body.is_end_stream() {
        true => body,
        false => Body::new(Placed { body, _place: place }),
    }
}

struct Placed {
    body: Body,
    _place: Place,
}

impl http_body::Body for Placed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{self, StreamExt};

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    /// So many bytes, each after a moment in which there is nothing; then, if it does not end, nothing for ever.
    fn body(pieces: usize, ends: bool) -> Body {
        let pieces = stream::iter(0..pieces).then(|at| async move {
            if at > 0 {
                tokio::task::yield_now().await;
            }
            Ok::<_, std::io::Error>(Bytes::from_static(b"x"))
        });
        match ends {
            true => Body::from_stream(pieces),
            false => Body::from_stream(pieces.chain(stream::pending())),
        }
    }

    async fn read_by(
        body: Body,
        stall_max: Duration,
        deadline: Instant,
        later: Option<Instant>,
    ) -> Result<usize, Unread> {
        let read = read(without_stalls(body, stall_max), 10, deadline, |_| later).await;
        read.map(|bytes| bytes.len())
    }

    #[tokio::test]
    async fn a_body_must_go_on_and_come_to_an_end() {
        let now = Instant::now();
        // Timers are rounded to a millisecond.
        let (over, far) = (now - Duration::from_millis(20), now + LONG);
        assert_eq!(read_by(body(5, true), LONG, far, None).await, Ok(5));
        assert_eq!(
            read_by(body(11, true), LONG, far, None).await,
            Err(Unread::TooLong)
        );
        let moment = Duration::from_millis(1);
        assert_eq!(
            read_by(body(5, false), moment, far, None).await,
            Err(Unread::TooSlow)
        );
        assert_eq!(
            read_by(body(5, true), LONG, over, None).await,
            Err(Unread::TooSlow)
        );
        assert_eq!(read_by(body(5, true), LONG, over, Some(far)).await, Ok(5));
        assert_eq!(
            read_by(body(5, false), LONG, far, Some(over)).await,
            Err(Unread::TooSlow)
        );
        let torn = stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
        let torn = read_by(Body::from_stream(torn), LONG, far, None).await;
        assert_eq!(torn, Err(Unread::Torn));
    }
}
