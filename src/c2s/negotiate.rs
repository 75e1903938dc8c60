//! From a new connection to a bound session, as types: [`Fresh`] → [`Secured`] → `Authenticated` → `Bound`. Each later
//! value can only be made by the check that the earlier one stands for, so no path leads round one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kim_core::error::{StreamCondition, StreamError};
use kim_core::jid::BareJid;
use kim_core::ns;
use kim_core::wire::Writer;

use super::bind::Bound;
use super::connection::short;
use super::login::wanted;
use super::sasl::{ChannelBindings, SaslFailure};
use super::socket::Socket;
use super::stream::{End, Stream};
use super::{Door, features};
use crate::tls::Witness;

/// How a connection becomes secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// The client asks for TLS inside the stream (RFC 6120 §5).
    StartTls,
    /// TLS comes first (XEP-0368).
    DirectTls,
}

/// Where a stream begins.
pub(crate) enum Start {
    /// On a new connection.
    Fresh(Security),
    /// Where TLS is done, here or by a proxy that is trusted, or the operator does without it; with what there is to bind a
    /// login to.
    Secured(Box<ChannelBindings>),
}

impl Start {
    /// For the log.
    pub fn name(&self) -> &'static str {
        match self {
            Start::Fresh(Security::StartTls) => "starttls",
            Start::Fresh(Security::DirectTls) => "tls",
            Start::Secured(_) => "web",
        }
    }
}

/// Takes a new stream to its bound session.
pub(crate) async fn negotiate(stream: &mut Stream, start: Start) -> Result<Bound, End> {
    let secured = match start {
        Start::Secured(bindings) => Secured { bindings: *bindings },
        Start::Fresh(Security::DirectTls) => Secured::handshake(stream, &["xmpp-client"]).await?,
        Start::Fresh(Security::StartTls) if may_be_plain(stream) => Secured::unencrypted(),
        Start::Fresh(Security::StartTls) => Fresh::open(stream).await?.start_tls(stream).await?,
    };
    // Boxed one by one, so that a connection that never gets so far does not make room for what comes later.
    let authenticated = Box::pin(secured.authenticate(stream)).await?;
    Box::pin(authenticated.bind(stream)).await
}

/// Whether the operator allows logins without TLS, and nobody can listen in on this one.
fn may_be_plain(stream: &mut Stream) -> bool {
    let is_loopback = stream.link.tcp().is_some_and(|tcp| tcp.socket().is_loopback());
    !stream.door.router.config().c2s.require_tls && is_loopback
}

/// A stream whose first header was accepted.
pub struct Fresh {
    domain: BareJid,
}

impl Fresh {
    async fn open(stream: &mut Stream) -> Result<Fresh, End> {
        let domain = stream.open().await?;
        Ok(Fresh { domain })
    }

    /// Offers TLS and nothing else until the client takes it (RFC 6120 §5.4). Some clients ask together with their
    /// header; what they send after asking is thrown away.
    async fn start_tls(self, stream: &mut Stream) -> Result<Secured, End> {
        stream.answer(&self.domain, &features::starttls(true)).await?;
        let element = stream.element().await?;
        if element.is("starttls", ns::TLS) {
            return proceed(stream).await;
        }
        if element.is("auth", ns::SASL) {
            let failure = SaslFailure::EncryptionRequired.condition();
            stream.door.login_refused();
            let from = short(stream.address);
            tracing::info!(event = "login_failed", %from, reason = failure, wanted = wanted(&element));
            let mut xml = Writer::new();
            xml.start("failure", ns::SASL)
                .start(failure, ns::SASL)
                .end()
                .end();
            stream.send(&xml.finish_string()).await?;
            return Err(StreamError::new(StreamCondition::PolicyViolation)
                .text("TLS is required")
                .into());
        }
        Err(unexpected(element.ns()))
    }
}

/// What ends a stream on which something comes too early (RFC 6120 §4.9.3.12, §4.9.3.24).
pub(super) fn unexpected(namespace: &str) -> End {
    if namespace == ns::CLIENT {
        StreamCondition::NotAuthorized.into()
    } else {
        StreamCondition::UnsupportedStanzaType.into()
    }
}

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
    fn unencrypted() -> Secured {
        Secured {
            bindings: ChannelBindings::default(),
        }
    }

    /// Makes the TLS handshake.
    async fn handshake(stream: &mut Stream, protocols: &[&str]) -> Result<Secured, End> {
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
