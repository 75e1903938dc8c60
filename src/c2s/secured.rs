//! A stream that nobody can listen in on, and the TLS handshake that makes it one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kim_core::ns;
use kim_core::wire::Writer;

use super::Door;
use super::end::End;
use super::sasl::ChannelBindings;
use super::socket::Socket;
use super::stream::Stream;
use crate::tls::Witness;

/// Agrees to the client's wish for TLS.
pub(super) async fn proceed(stream: &mut Stream) -> Result<Secured, End> {
    let mut xml = Writer::new();
    xml.start("proceed", ns::TLS).end();
    stream.send(&xml.finish_string()).await?;
    stream.forget_plaintext();
    Secured::handshake(stream, &[]).await
}

/// A stream that nobody can listen in on.
pub struct Secured {
    pub(super) bindings: ChannelBindings,
}

impl Secured {
    /// Only for loopback connections, where the operator wants it so.
    pub(super) fn unencrypted() -> Secured {
        Secured {
            bindings: ChannelBindings::default(),
        }
    }

    /// Makes the TLS handshake.
    pub(super) async fn handshake(stream: &mut Stream, protocols: &[&str]) -> Result<Secured, End> {
        stream.mute = true;
        let door = stream.door.clone();
        let Some(tcp) = stream.link.tcp() else {
            return Err(End::Lost(io::ErrorKind::Unsupported.into()));
        };
        let (socket, input) = tcp.socket_and_input();
        let witness = Box::pin(handshake(&door, socket, input, protocols)).await?;
        stream.mute = false;
        Ok(Secured {
            bindings: witness.bindings(),
        })
    }
}

/// Makes a TLS handshake within its time, and gives what saw it. What the client says right behind it goes to `input`.
pub(crate) async fn handshake(
    door: &Door,
    socket: &mut Socket,
    input: &mut BytesMut,
    protocols: &[&str],
) -> io::Result<Arc<Witness>> {
    let handshake = async {
        // Nothing is laid out for a client that says nothing.
        socket.readable().await?;
        let (config, witness) = door.certificates.current().for_connection(protocols);
        socket.handshake(config, &door.handshakes.now(), input).await?;
        Ok(witness)
    };
    let seconds = door.router.limits().tls_handshake_seconds_max;
    tokio::time::timeout(Duration::from_secs(seconds), handshake)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
