//! The task of one connection: negotiation, then the bound session until its end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kim_core::error::{StreamCondition, StreamError};
use tracing::Instrument;

use super::Door;
use super::bind::Bound;
use super::negotiate::{Security, negotiate};
use super::places::Place;
use super::session::Connection;
use super::socket::Socket;
use super::stream::{End, Stream};

/// Serves a connection from its first byte to its last.
pub(super) async fn serve(
    door: Arc<Door>,
    socket: Socket,
    address: IpAddr,
    place: Place,
    security: Security,
) {
    let _alive = door.alive();
    let span = tracing::info_span!("conn", from = %short(address), ?security);
    let stream = Box::new(Stream::new(door, socket, address, place));
    // Boxed, because it is many times as big as what an idle session needs, and over when that begins.
    let login = Box::pin(login(stream, security).instrument(span));
    if let Some(mut connection) = login.await {
        connection.run().await;
    }
}

/// Negotiates within the time that is allowed for it, whatever the client does with it.
async fn login(mut stream: Box<Stream>, security: Security) -> Option<Connection> {
    let door = stream.door.clone();
    let seconds = door.router.limits().login_seconds_max;
    let mut stopping = door.stopping.subscribe();
    let end = tokio::select! {
        negotiated = negotiate(&mut stream, security) => match negotiated {
            Ok(Bound { registered }) => return Some(Connection::new(*stream, registered)),
            Err(end) => end,
        },
        () = tokio::time::sleep(Duration::from_secs(seconds)) => {
            StreamError::new(StreamCondition::ConnectionTimeout).text("login took too long").into()
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

/// An address as logs may have it: without its last part, which tells one household from the next.
pub(super) fn short(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    }
}
