//! The way to push services on the internet: Web Push (RFC 8030) and UnifiedPush. What is told and when is decided in `xep/`
//! (XEP-0357, `push_service`); here it is encrypted for the subscriber ([`sealed`]), signed ([`vapid`]) and sent.
//!
//! The addresses come from users, so they are hostile: https only, no redirects, and only to addresses of the whole internet,
//! looked at after the name was resolved. A push service that hangs has a few places of its own and takes nobody else's.

mod addresses;
mod hosts;
mod sealed;
pub mod vapid;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kim_core::config::Config;
use kim_core::db::BoxFuture;
use kim_xep::push_service::api::{AppServer, PushNetwork, Told, Urgency, Wake, Wire, Woken};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use tokio_rustls::rustls;
use zeroize::Zeroizing;

use self::hosts::Hosts;
use self::vapid::Vapid;
use crate::failure::Failure;
use crate::s2s::dns::is_public;
use crate::s2s::tls;

/// A browser that is off that long hears of its messages when it signs in (RFC 8030 §5.2).
const MESSAGE_TTL: Duration = Duration::from_secs(3 * 86_400);
/// Nobody rings longer.
const CALL_TTL: Duration = Duration::from_secs(30);
/// What waits at the push service is replaced by what comes after it (RFC 8030 §5.4): one notification stands for all.
const TOPIC: &str = "messages";
/// The longest that a push service may ask to wait.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// So long it is left alone if it has too many requests and does not say for how long.
const CROWDED: Duration = Duration::from_secs(60);

/// Sends what is to wake somebody.
pub struct PushSender {
    client: Client,
    vapid: Arc<Vapid>,
    hosts: Hosts,
    answer_within: Duration,
    allows_private: bool,
}

/// What a subscriber reads.
#[derive(Serialize)]
struct Text<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

impl PushSender {
    /// Ready to send. The error says what is wrong with the settings or the system.
    pub fn new(server: &AppServer, vapid: Arc<Vapid>) -> Result<PushSender, String> {
        let allows_private = server.allows_private_addresses();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(tls::roots(None)?)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(config)
            .dns_resolver(addresses::Resolver { allows_private })
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(server.answer_within())
            .pool_max_idle_per_host(4)
            .user_agent(concat!("kIM/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(PushSender {
            client,
            vapid,
            hosts: Hosts::default(),
            answer_within: server.answer_within(),
            allows_private,
        })
    }

    /// Opens the way: with the server's key, which is made at the first start.
    pub async fn connect(server: &Arc<AppServer>, config: &Config) -> Result<Arc<Vapid>, Failure> {
        let broken = |why: String| Failure::Other(format!("push notifications: {why}"));
        let new = Vapid::make().ok_or_else(|| broken("a key cannot be made".to_owned()))?;
        let key = server.identity("vapid", &new).await;
        let key = Zeroizing::new(key.map_err(|fault| broken(fault.to_string()))?);
        let vapid = Vapid::read(&key, subject(config));
        let vapid = Arc::new(vapid.ok_or_else(|| broken("the stored key cannot be read".to_owned()))?);
        let sender = PushSender::new(server, vapid.clone()).map_err(broken)?;
        server.connect(Arc::new(sender));
        Ok(vapid)
    }

    async fn send(&self, wake: &Wake<'_>) -> Woken {
        let Some(url) = endpoint(&wake.endpoint.url, self.allows_private) else {
            return Woken::Unreachable("its address is not allowed");
        };
        let host = self.hosts.of(&url);
        if let Some(rest) = host.must_wait() {
            return Woken::NotNow(Some(rest));
        }
        let _place = host.place().await;
        let request = match self.request(&url, wake) {
            Ok(request) => request,
            Err(why) => return Woken::Unreachable(why),
        };
        let woken = match self.client.execute(request).await {
            Ok(answer) => judge(&answer),
            Err(error) if error.is_timeout() => Woken::Unreachable("it does not answer in time"),
            Err(error) if error.is_connect() => {
                Woken::Unreachable("no connection, or an address that is not allowed")
            }
            Err(_) => Woken::Unreachable("the connection broke"),
        };
        if let Woken::NotNow(Some(wait)) = woken {
            host.wait(wait);
        }
        woken
    }

    fn request(&self, url: &Url, wake: &Wake<'_>) -> Result<reqwest::Request, &'static str> {
        let (ttl, urgency) = match wake.urgency {
            Urgency::High => (CALL_TTL, "high"),
            Urgency::Normal => (MESSAGE_TTL, "normal"),
        };
        let text = text(wake);
        let mut request = self
            .client
            .post(url.clone())
            .header("TTL", ttl.as_secs())
            .header("Urgency", urgency);
        // A call must not be replaced by a message.
        if wake.urgency == Urgency::Normal {
            request = request.header("Topic", TOPIC);
        }
        request = match &wake.endpoint.wire {
            Wire::Encrypted { p256dh, auth } => {
                let body = sealed::seal(text.as_bytes(), p256dh, auth)
                    .ok_or("the subscription's keys are no keys")?;
                request
                    .header(CONTENT_TYPE, "application/octet-stream")
                    .header(CONTENT_ENCODING, "aes128gcm")
                    .body(body)
            }
            Wire::Plain => request.header(CONTENT_TYPE, "application/json").body(text),
        };
        let audience = url.origin().ascii_serialization();
        let signed = self
            .vapid
            .authorization(&audience)
            .ok_or("the server's own key cannot sign")?;
        let request = request.header(reqwest::header::AUTHORIZATION, signed).build();
        request.map_err(|_| "the request could not be made")
    }
}

impl PushNetwork for PushSender {
    fn wake<'a>(&'a self, wake: Wake<'a>) -> BoxFuture<'a, Woken> {
        Box::pin(async move {
            let sent = tokio::time::timeout(self.answer_within, self.send(&wake)).await;
            sent.unwrap_or(Woken::Unreachable("it does not answer in time"))
        })
    }
}

/// Whom push services can write to (RFC 8292 §2.1).
fn subject(config: &Config) -> String {
    let contact = &config.contact;
    let named = config.webpush.subject.clone();
    let told = || {
        let all = contact.admin.iter().chain(&contact.abuse).chain(&contact.support);
        all.map(|uri| uri.as_str().to_owned())
            .find(|address| address.starts_with("mailto:") || address.starts_with("https:"))
    };
    named
        .or_else(told)
        .unwrap_or_else(|| format!("https://{}", config.main_domain()))
}

/// An address at a push service that may be used: https, with a host, without a user, and not an IP address that is kept out.
pub fn endpoint(text: &str, allows_private: bool) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let host = url.host_str()?.trim_matches(['[', ']']);
    let literal = host.parse::<IpAddr>().ok();
    let is_allowed = allows_private || literal.is_none_or(is_public);
    (url.scheme() == "https" && is_plain && is_allowed).then_some(url)
}

/// Whether this is a public key that something can be encrypted for: a point on P-256.
pub fn is_public_key(key: &[u8; 65]) -> bool {
    sealed::seal(b"", key, &[0; 16]).is_some()
}

fn text(wake: &Wake<'_>) -> String {
    let nothing = Told::default();
    let told = wake.told.unwrap_or(&nothing);
    let kind = match wake.urgency {
        Urgency::High => "call",
        Urgency::Normal if told.requests.is_some() && told.messages.is_none() => "request",
        Urgency::Normal => "message",
    };
    let text = Text {
        kind,
        messages: told.messages,
        requests: told.requests,
        from: told.from.as_deref(),
        text: told.text.as_deref(),
    };
    serde_json::to_string(&text).unwrap_or_default()
}

fn judge(answer: &Response) -> Woken {
    let status = answer.status();
    let wait = answer
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(WAIT_MAX));
    let code = status.as_u16();
    match status {
        status if status.is_success() => Woken::Taken,
        // RFC 8030 §7.3: an expired subscription. RFC 8292 §4.2: one that is for another server.
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Woken::Over(code)
        }
        StatusCode::TOO_MANY_REQUESTS => Woken::NotNow(wait.or(Some(CROWDED))),
        status if status.is_server_error() => Woken::NotNow(wait),
        _ => Woken::Useless(code),
    }
}
