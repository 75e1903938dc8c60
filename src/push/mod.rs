//! The way to push services on the internet. What is told and when is decided in `xep/` (XEP-0357, `push_service`); here it is
//! put into each service's form and sent: one [`Notifier`] per service.
//!
//! A push service that hangs has a few places of its own and takes nobody else's.

mod addresses;
mod apns;
mod client;
mod fcm;
mod google;
mod hosts;
mod jwt;
mod notifier;
pub mod sealed;
pub mod vapid;
mod webpush;

use std::sync::Arc;
use std::time::Duration;

use kim_core::config::{Apns, Config, Fcm};
use kim_core::db::BoxFuture;
use kim_xep::push_service::api::{
    AppServer, Endpoint, PushNetwork, PushWish, Wake, Wire, WishRefused, Woken,
};

use self::apns::ApnsSender;
use self::fcm::FcmSender;
use self::notifier::Notifier;
use self::webpush::WebPushSender;
use crate::failure::Failure;

/// Sends what is to wake somebody.
pub struct PushSender {
    webpush: WebPushSender,
    fcm: Option<FcmSender>,
    apns: Option<ApnsSender>,
    answer_within: Duration,
}

impl PushSender {
    /// Opens the way: with the server's key, which is made at the first start.
    pub async fn connect(server: &AppServer, config: &Config) -> Result<(), Failure> {
        let broken = |why: String| Failure::Other(format!("push notifications: {why}"));
        let answer_within = server.answer_within();
        let sender = PushSender {
            webpush: WebPushSender::open(server, config).await.map_err(broken)?,
            fcm: FcmSender::open(&config.fcm, answer_within).map_err(broken)?,
            apns: ApnsSender::open(&config.apns, answer_within).map_err(broken)?,
            answer_within,
        };
        server.connect(Arc::new(sender));
        Ok(())
    }

    /// The service that is spoken to in this way, if this server is set up for it.
    fn notifier(&self, wire: &Wire) -> Option<&dyn Notifier> {
        match wire {
            Wire::Encrypted { .. } | Wire::Plain => Some(&self.webpush),
            Wire::Fcm => self.fcm.as_ref().map(|fcm| fcm as &dyn Notifier),
            Wire::Apns { .. } => self.apns.as_ref().map(|apns| apns as &dyn Notifier),
        }
    }
}

/// Whether Firebase gives this server a token; `None` if it is not configured.
pub async fn try_firebase(config: &Fcm, answer_within: Duration) -> Option<Result<String, String>> {
    let sender = match FcmSender::open(config, answer_within).transpose()? {
        Ok(sender) => sender,
        Err(why) => return Some(Err(why)),
    };
    let tried = tokio::time::timeout(answer_within, sender.try_out()).await;
    let tried = tried.unwrap_or_else(|_| Err(notifier::TOO_SLOW.to_owned()));
    Some(match tried {
        Ok(project) => Ok(format!("Firebase takes the key of project {project}")),
        Err(why) => Err(format!("Firebase ([push.fcm] service_account): {why}")),
    })
}

/// Whether Apple is reached and does not refuse this server's key; `None` if it is not configured.
pub async fn try_apple(config: &Apns, answer_within: Duration) -> Option<Result<String, String>> {
    let sender = match ApnsSender::open(config, answer_within).transpose()? {
        Ok(sender) => sender,
        Err(why) => return Some(Err(why)),
    };
    let tried = tokio::time::timeout(answer_within, sender.try_out()).await;
    let tried = tried.unwrap_or_else(|_| Err(notifier::TOO_SLOW.to_owned()));
    Some(match tried {
        Ok(()) => Ok("Apple is reached over HTTP/2 and does not refuse the key".to_owned()),
        Err(why) => Err(format!("Apple ([push.apns]): {why}")),
    })
}

impl PushNetwork for PushSender {
    fn accept(&self, wish: &PushWish<'_>) -> Result<Endpoint, WishRefused> {
        match (wish.kind, &self.fcm, &self.apns) {
            (None | Some("webpush" | "unifiedpush"), ..) => self.webpush.accept(wish),
            (Some("fcm"), Some(fcm), _) => fcm.accept(wish),
            (Some("apns"), _, Some(apns)) => apns.accept(wish),
            (Some("fcm"), None, _) => {
                let why =
                    "cannot be \"fcm\": this server has no key for Firebase ([push.fcm] service_account)";
                notifier::refused("kind", why)
            }
            (Some("apns"), _, None) => {
                let why = "cannot be \"apns\": this server has no key for Apple ([push.apns] key)";
                notifier::refused("kind", why)
            }
            (Some(_), ..) => notifier::refused("kind", "must be webpush, unifiedpush, fcm or apns"),
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
