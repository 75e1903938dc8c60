//! The way to push services on the internet: Web Push (RFC 8030) and UnifiedPush ([`webpush`]), Firebase ([`fcm`]) and Apple's
//! ([`apns`]). What is told and when is decided in `xep/` (XEP-0357, `push_service`); here it is put into each service's form
//! and sent.
//!
//! A push service that hangs has a few places of its own and takes nobody else's ([`hosts`]). What a push service can read says
//! how many messages wait, and never from whom or what they say.

mod addresses;
mod apns;
mod fcm;
mod hosts;
mod sealed;
mod vapid;
mod webpush;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kim_core::config::Config;
use kim_core::db::BoxFuture;
use kim_xep::push_service::api::{
    AppServer, Endpoint, PushNetwork, PushWish, Told, Urgency, Wake, Wire, Woken,
};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, ClientBuilder, Response, StatusCode, Url};
use serde::Serialize;
use tokio_rustls::rustls;
use zeroize::Zeroizing;

use self::apns::Apns;
use self::fcm::Fcm;
use self::hosts::PushHosts;
use self::vapid::Vapid;
use self::webpush::WebPush;
use crate::failure::Failure;
use crate::s2s::tls;

/// A device that is off that long hears of its messages when its user looks (RFC 8030 §5.2).
const MESSAGE_TTL: Duration = Duration::from_secs(3 * 86_400);
/// Nobody rings longer.
const CALL_TTL: Duration = Duration::from_secs(30);
/// What waits at the push service is replaced by what comes after it (RFC 8030 §5.4): one notification stands for all.
const TOPIC: &str = "messages";
/// The longest that a push service may ask to wait.
const WAIT_MAX: Duration = Duration::from_secs(86_400);
/// So long it is left alone if it has too many requests and does not say for how long.
const CROWDED: Duration = Duration::from_secs(60);
/// The longest file with a key.
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// Sends what is to wake somebody.
pub struct PushSender {
    web: WebPush,
    fcm: Option<Fcm>,
    apns: Option<Apns>,
    hosts: PushHosts,
    answer_within: Duration,
}

/// What a device is told, as far as it can be read on the way.
#[derive(Serialize)]
struct Counts {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<u32>,
}

impl Counts {
    fn of(wake: &Wake<'_>) -> Counts {
        let nothing = Told::default();
        let told = wake.told.unwrap_or(&nothing);
        let kind = match wake.urgency {
            Urgency::High => "call",
            Urgency::Low => "update",
            Urgency::Normal if told.requests.is_some() && told.messages.is_none() => "request",
            Urgency::Normal => "message",
        };
        Counts {
            kind,
            messages: told.messages,
            requests: told.requests,
        }
    }
}

/// How long a push service may keep a notification.
fn ttl(urgency: Urgency) -> Duration {
    match urgency {
        Urgency::High => CALL_TTL,
        Urgency::Normal | Urgency::Low => MESSAGE_TTL,
    }
}

/// What a client for push services has in any case: our TLS, no redirects, no waiting for ever.
fn client(answer_within: Duration) -> Result<ClientBuilder, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(tls::roots(None)?)
        .with_no_client_auth();
    Ok(Client::builder()
        .tls_backend_preconfigured(config)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(answer_within)
        .pool_max_idle_per_host(4)
        .user_agent(concat!("kIM/", env!("CARGO_PKG_VERSION"))))
}

/// Reads a file with a key. The error names the setting.
fn key_file(path: &Path, setting: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    use std::io::Read;
    let shown = path.display();
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?
            .take(KEY_BYTES_MAX)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read()
        .map(Zeroizing::new)
        .map_err(|error| format!("cannot read {shown} ({setting}): {error}"))
}

/// Where an operator says that a push service is.
fn service_url(text: &str, setting: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| url.scheme() == "https" && url.has_host())
        .ok_or_else(|| format!("{setting} must be an https address, not \"{text}\""))
}

impl PushSender {
    /// Ready to send. The error says what is wrong with the settings or the system.
    fn new(server: &AppServer, config: &Config, vapid: Vapid) -> Result<PushSender, String> {
        let answer_within = server.answer_within();
        let http = client(answer_within)?
            .build()
            .map_err(|error| error.to_string())?;
        Ok(PushSender {
            web: WebPush::new(vapid, server.allows_private_addresses(), answer_within)?,
            fcm: Fcm::open(&config.fcm, &http)?,
            apns: Apns::open(&config.apns, &http)?,
            hosts: PushHosts::default(),
            answer_within,
        })
    }

    /// Opens the way: with the server's key, which is made at the first start.
    pub async fn connect(server: &Arc<AppServer>, config: &Config) -> Result<(), Failure> {
        let broken = |why: String| Failure::Other(format!("push notifications: {why}"));
        let new = Vapid::make().ok_or_else(|| broken("a key cannot be made".to_owned()))?;
        let key = server.identity("vapid", &new).await;
        let key = Zeroizing::new(key.map_err(|fault| broken(fault.to_string()))?);
        let vapid = Vapid::read(&key, webpush::subject(config));
        let vapid = vapid.ok_or_else(|| broken("the stored key cannot be read".to_owned()))?;
        server.connect(Arc::new(PushSender::new(server, config, vapid).map_err(broken)?));
        Ok(())
    }

    async fn send(&self, wake: &Wake<'_>) -> Woken {
        let gone = Woken::Unreachable("this server does not serve its push service any more");
        let url = match &wake.endpoint.wire {
            Wire::Encrypted { .. } | Wire::Plain => self.web.url(&wake.endpoint.address),
            Wire::Fcm => self.fcm.as_ref().map(Fcm::url),
            Wire::Apns { .. } => self
                .apns
                .as_ref()
                .and_then(|apns| apns.url(&wake.endpoint.address)),
        };
        let Some(url) = url else {
            return gone;
        };
        let host = self.hosts.of(&url);
        if let Some(rest) = host.must_wait() {
            return Woken::NotNow(Some(rest));
        }
        let _place = host.place().await;
        let woken = match (&wake.endpoint.wire, &self.fcm, &self.apns) {
            (Wire::Encrypted { .. } | Wire::Plain, ..) => self.web.send(url, wake).await,
            (Wire::Fcm, Some(fcm), _) => fcm.send(url, wake).await,
            (Wire::Apns { topic }, _, Some(apns)) => apns.send(url, topic, wake).await,
            _ => gone,
        };
        if let Woken::NotNow(Some(wait)) = woken {
            host.wait(wait);
        }
        woken
    }
}

impl PushNetwork for PushSender {
    fn wake<'a>(&'a self, wake: Wake<'a>) -> BoxFuture<'a, Woken> {
        Box::pin(async move {
            let sent = tokio::time::timeout(self.answer_within, self.send(&wake)).await;
            sent.unwrap_or(Woken::Unreachable("it does not answer in time"))
        })
    }

    fn public_key(&self) -> String {
        self.web.public_key()
    }

    fn accept(&self, wish: &PushWish<'_>) -> Result<Endpoint, String> {
        match wish {
            PushWish::WebPush { .. } | PushWish::UnifiedPush { .. } => self.web.accept(wish),
            PushWish::Fcm { token } => match &self.fcm {
                Some(_) => fcm::accept(token),
                None => Err("this server does not send through FCM; use web push".to_owned()),
            },
            PushWish::Apns { token, topic } => match &self.apns {
                Some(apns) => apns.accept(token, topic),
                None => Err("this server does not send through APNs; use web push".to_owned()),
            },
        }
    }
}

/// What came of a request; an answer goes on to be judged.
fn answered(result: reqwest::Result<Response>) -> Result<Response, Woken> {
    result.map_err(|error| match error {
        error if error.is_timeout() => Woken::Unreachable("it does not answer in time"),
        error if error.is_connect() => Woken::Unreachable("no connection, or an address that is not allowed"),
        _ => Woken::Unreachable("the connection broke"),
    })
}

/// How long an answer asks to wait.
fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer
        .headers()
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

/// What a status means that means the same everywhere.
fn judge(status: StatusCode, wait: Option<Duration>) -> Woken {
    match status {
        status if status.is_success() => Woken::Taken,
        StatusCode::NOT_FOUND | StatusCode::GONE => Woken::Over(status.as_u16()),
        StatusCode::TOO_MANY_REQUESTS => Woken::NotNow(wait.or(Some(CROWDED))),
        status if status.is_server_error() => Woken::NotNow(wait),
        status => Woken::Useless(status.as_u16()),
    }
}
