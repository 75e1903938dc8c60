//! The way to push services on the internet. What is told and when is decided in `xep/` (XEP-0357, `push_service`); here it is
//! put into each service's form and sent: one [`Notifier`] per service.
//!
//! A push service that hangs has a few places of its own and takes nobody else's.

mod addresses;
mod hosts;
mod notifier;
mod sealed;
mod vapid;
mod webpush;

use std::sync::Arc;
use std::time::Duration;

use kim_core::config::Config;
use kim_core::db::BoxFuture;
use kim_xep::push_service::api::{
    AppServer, Endpoint, PushNetwork, PushWish, Wake, Wire, WishRefused, Woken,
};

use self::notifier::Notifier;
use self::webpush::WebPushSender;
use crate::failure::Failure;

/// Sends what is to wake somebody.
pub struct PushSender {
    webpush: WebPushSender,
    answer_within: Duration,
}

impl PushSender {
    /// Opens the way: with the server's key, which is made at the first start.
    pub async fn connect(server: &AppServer, config: &Config) -> Result<(), Failure> {
        let broken = |why: String| Failure::Other(format!("push notifications: {why}"));
        let sender = PushSender {
            webpush: WebPushSender::open(server, config).await.map_err(broken)?,
            answer_within: server.answer_within(),
        };
        server.connect(Arc::new(sender));
        Ok(())
    }

    /// The service that is spoken to in this way, if this server is set up for it.
    fn notifier(&self, wire: &Wire) -> Option<&dyn Notifier> {
        match wire {
            Wire::Encrypted { .. } | Wire::Plain => Some(&self.webpush),
            Wire::Fcm | Wire::Apns { .. } => None,
        }
    }
}

impl PushNetwork for PushSender {
    fn accept(&self, wish: &PushWish<'_>) -> Result<Endpoint, WishRefused> {
        match wish.kind {
            None | Some("webpush" | "unifiedpush") => self.webpush.accept(wish),
            Some("fcm") => notifier::refused(
                "kind",
                "\"fcm\" is not served here: this server has no key for Firebase",
            ),
            Some("apns") => notifier::refused(
                "kind",
                "\"apns\" is not served here: this server has no key for Apple",
            ),
            Some(_) => notifier::refused("kind", "must be webpush, unifiedpush, fcm or apns"),
        }
    }

    fn public_key(&self) -> String {
        self.webpush.public_key()
    }

    fn host(&self, endpoint: &Endpoint) -> Option<String> {
        self.notifier(&endpoint.wire)?.host(endpoint)
    }

    fn wake<'a>(&'a self, wake: Wake<'a>) -> BoxFuture<'a, Woken> {
        Box::pin(async move {
            let Some(notifier) = self.notifier(&wake.endpoint.wire) else {
                return Woken::Unreachable("this server is not set up for it any more");
            };
            let sent = tokio::time::timeout(self.answer_within, notifier.send(&wake)).await;
            sent.unwrap_or(Woken::Unreachable(notifier::TOO_SLOW))
        })
    }
}
