//! The task of one connection: negotiation, then the bound session until its end.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kim_core::error::{StreamCondition, StreamError};
use tracing::Instrument;

use super::Door;
use super::bind::Bound;
use super::end::End;
use super::link::Link;
use super::negotiate::{Start, negotiate};
use super::places::{Place, short};
use super::session::Connection;
use super::stream::Stream;

/// Serves a connection from its first byte to its last. Not an async function: that would keep room for its arguments.
pub(crate) fn serve(
    door: Arc<Door>,
    link: Link,
    address: IpAddr,
    place: Place,
    start: Start,
) -> impl Future<Output = ()> + Send {
    let alive = door.alive();
    let span = tracing::debug_span!("conn", from = %short(address), how = start.name());
    let stream = Box::new(Stream::new(door, link, address, place));
    // Boxed, because it is many times as big as what an idle session needs, and over when that begins.
    let login = Box::pin(login(stream, start).instrument(span));
    async move {
        if let Some(mut connection) = login.await {
            connection.run().await;
        }
        drop(alive);
    }
}

/// Negotiates within the time that is allowed for it, whatever the client does with it.
async fn login(mut stream: Box<Stream>, start: Start) -> Option<Box<Connection>> {
    let door = stream.door.clone();
    let seconds = door.router.limits().login_seconds_max;
    let mut stopping = door.stopping.subscribe();
    let end = tokio::select! {
        negotiated = negotiate(&mut stream, start) => match negotiated {
            Ok(Bound { registered }) => return Some(Box::new(Connection::new(*stream, registered))),
            Err(end) => end,
        },
        () = tokio::time::sleep(Duration::from_secs(seconds)) => {
            StreamError::new(StreamCondition::ConnectionTimeout).text("login took too long; connect again").into()
        }
        _ = stopping.wait_for(|stopping| *stopping) => StreamCondition::SystemShutdown.into(),
    };
    match &end {
        End::Error(error) => tracing::debug!(event = "stream_refused", condition = error.condition.as_str()),
        End::Closed | End::Replaced => tracing::debug!(event = "stream_closed"),
        End::Lost(error) => tracing::debug!(event = "connection_lost", %error),
    }
    stream.close(end).await;
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_bytes<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_that_says_nothing_is_small() {
        let login = future_bytes(login);
        assert!(login <= 1_536, "{login}");
    }
}
