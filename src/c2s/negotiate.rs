//! From a new connection to a bound session, as types: [`Fresh`] → [`Secured`] → `Authenticated` → `Bound`. Each later
//! value can only be made by the check that the earlier one stands for, so no path leads round one.

use kim_core::error::{StreamCondition, StreamError};
use kim_core::jid::BareJid;
use kim_core::ns;
use kim_core::wire::Writer;

use super::bind::Bound;
use super::end::{End, unexpected};
use super::features;
use super::login::wanted;
use super::places::short;
use super::sasl::{ChannelBindings, SaslFailure};
use super::secured::{Secured, proceed};
use super::stream::Stream;

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
