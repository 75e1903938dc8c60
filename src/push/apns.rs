//! Apple's push notification service, over HTTP/2 with token authentication. Apple can read what is sent, so it is counts and the
//! kind; the app may put more into the notification once it is there (`mutable-content`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kim_core::config::Apns;
use kim_core::db::BoxFuture;
use kim_xep::push_service::api::{Endpoint, PushWish, Urgency, Wake, Wire, WishRefused, Woken};
use reqwest::{Client, StatusCode, Version};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::client;
use super::hosts::Host;
use super::jwt::{self, JwtHeader};
use super::notifier::{Notifier, TOPIC, judge_status, kind, refused, retry_after, ttl, unreachable};
use crate::exposed::unreadable;

/// Requests that Apple has at the same time.
const AT_ONCE: usize = 64;
/// Apple takes no token older than an hour, and no new one within 20 minutes.
const TOKEN_USED_FOR: Duration = Duration::from_secs(40 * 60);
const TOKEN_USED_AT_LEAST: Duration = Duration::from_secs(20 * 60);
/// The longest token of a device.
const DEVICE_BYTES_MAX: usize = 200;
/// The longest bundle id.
const APP_BYTES_MAX: usize = 255;
/// What the topic of PushKit ends with: the app is woken by calls alone.
const VOIP: &str = ".voip";
/// Why nobody is woken while Apple does not take this server's key.
const NO_ACCESS: &str = "Apple does not accept the key of this server ([push.apns] key, key_id, team_id)";

/// Sends to apps on Apple's devices.
pub(super) struct ApnsSender {
    client: Client,
    url: String,
    host_name: String,
    topics: Vec<String>,
    signer: Signer,
    host: Host,
}

/// Makes the tokens that show Apple whose requests these are.
struct Signer {
    pair: EcdsaKeyPair,
    key_id: String,
    team_id: String,
    last: Mutex<Option<ProviderToken>>,
}

#[derive(Clone)]
struct ProviderToken {
    text: Arc<str>,
    made_at: SystemTime,
}

#[derive(Serialize)]
struct ProviderClaims<'a> {
    iss: &'a str,
    iat: u64,
}

/// The body of a request.
#[derive(Serialize)]
struct Payload {
    aps: Aps,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<u32>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Aps {
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<Alert>,
    #[serde(skip_serializing_if = "Option::is_none")]
    badge: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sound: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mutable_content: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_available: Option<u8>,
}

#[derive(Serialize)]
struct Alert {
    body: &'static str,
}

/// A request without what shows whose it is.
struct ApnsRequest {
    id: String,
    push_type: &'static str,
    priority: &'static str,
    expiration: u64,
    collapse_id: Option<&'static str>,
    body: String,
}

/// The body of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ApnsError {
    reason: String,
}

impl Signer {
    fn read(pem: &[u8], key_id: &str, team_id: &str) -> Result<Signer, String> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem)
            .map_err(|_| "is no private key in PEM (\"BEGIN PRIVATE KEY\")")?;
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            key.secret_pkcs8_der(),
            &SystemRandom::new(),
        );
        Ok(Signer {
            pair: pair.map_err(|_| "is not a key on the curve P-256 with its public half")?,
            key_id: key_id.to_owned(),
            team_id: team_id.to_owned(),
            last: Mutex::new(None),
        })
    }

    /// The token of the hour. After one that is refused the next one is made, if that one is old enough.
    fn token(&self, refused: Option<&ProviderToken>, now: SystemTime) -> Option<ProviderToken> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = &*last {
            // With a clock that was set back nothing is known of its age.
            let age = now.duration_since(token.made_at).unwrap_or(TOKEN_USED_FOR);
            let is_refused = refused.is_some_and(|refused| refused.text == token.text);
            if is_refused && age < TOKEN_USED_AT_LEAST {
                return None;
            }
            if !is_refused && age < TOKEN_USED_FOR {
                return Some(token.clone());
            }
        }
        let claims = ProviderClaims {
            iss: &self.team_id,
            iat: now.duration_since(UNIX_EPOCH).ok()?.as_secs(),
        };
        let header = JwtHeader {
            alg: "ES256",
            typ: None,
            kid: Some(&self.key_id),
        };
        let token = ProviderToken {
            text: jwt::signed(&self.pair, &header, &claims)?.into(),
            made_at: now,
        };
        *last = Some(token.clone());
        Some(token)
    }
}

impl ApnsSender {
    /// Ready to send; `None` if it is not configured. The error is a line that names the setting.
    pub fn open(config: &Apns, answer_within: Duration) -> Result<Option<ApnsSender>, String> {
        let (Some(path), Some(url)) = (&config.key, &config.url) else {
            return Ok(None);
        };
        let (Some(key_id), Some(team_id)) = (&config.key_id, &config.team_id) else {
            return Err("[push.apns] key needs \"key_id\" and \"team_id\" beside it".to_owned());
        };
        let broken = |why: String| format!("[push.apns] key: {}: {why}", path.display());
        let pem = std::fs::read(path).map_err(|error| broken(unreadable(&error)))?;
        let signer = Signer::read(&Zeroizing::new(pem), key_id, team_id).map_err(broken)?;
        let client = client::steady(answer_within, &[b"h2"])?.http2_prior_knowledge();
        let host_name =
            reqwest::Url::parse(url.as_str()).map_err(|error| format!("[push.apns] url: {error}"))?;
        Ok(Some(ApnsSender {
            client: client.build().map_err(|error| error.to_string())?,
            url: url.to_string(),
            host_name: host_name.host_str().unwrap_or_default().to_owned(),
            topics: config.topics.clone(),
            signer,
            host: Host::new(AT_ONCE),
        }))
    }

    /// Whether Apple is reached over HTTP/2 and takes the key, shown by a notification for a device that there is none of. The
    /// error says what is wrong.
    pub async fn try_out(&self) -> Result<(), String> {
        let token = self.signer.token(None, SystemTime::now());
        let token = token.ok_or("the key cannot sign")?;
        let nobody = "0".repeat(64);
        let request = ApnsRequest {
            id: id().ok_or("no random number can be made")?,
            push_type: "background",
            priority: "5",
            expiration: 0,
            collapse_id: None,
            body: r#"{"aps":{"content-available":1}}"#.to_owned(),
        };
        let topic = self.topics.first().map_or("", String::as_str);
        let answer = self.post(&nobody, topic, &request, &token).await;
        let mut answer = answer.map_err(|error| match unreachable(&error) {
            Woken::Unreachable(why) => format!("{} cannot be reached: {why}", self.url),
            _ => format!("{} cannot be reached", self.url),
        })?;
        if answer.version() != Version::HTTP_2 {
            return Err(format!("{} does not speak HTTP/2", self.url));
        }
        let reason = reason(&mut answer).await;
        match (answer.status(), reason.as_str()) {
            (StatusCode::FORBIDDEN, _) | (_, "TopicDisallowed") => {
                Err(format!("{} does not accept the key: {reason}", self.url))
            }
            _ => Ok(()),
        }
    }

    async fn post(
        &self,
        device: &str,
        topic: &str,
        request: &ApnsRequest,
        token: &ProviderToken,
    ) -> Result<reqwest::Response, reqwest::Error> {
        let mut post = self
            .client
            .post(format!("{}/3/device/{device}", self.url))
            // In small letters, as Apple writes it.
            .header(reqwest::header::AUTHORIZATION, format!("bearer {}", token.text))
            .header("apns-id", &request.id)
            .header("apns-topic", topic)
            .header("apns-push-type", request.push_type)
            .header("apns-priority", request.priority)
            .header("apns-expiration", request.expiration);
        if let Some(collapse_id) = request.collapse_id {
            post = post.header("apns-collapse-id", collapse_id);
        }
        post.body(request.body.clone()).send().await
    }

    async fn ask(&self, wake: &Wake<'_>, topic: &str) -> Result<Woken, &'static str> {
        let now = SystemTime::now();
        let request = request(wake, topic, now).ok_or("the request could not be made")?;
        let mut token = self
            .signer
            .token(None, now)
            .ok_or("the server's own key cannot sign")?;
        loop {
            let answer = self.post(&wake.endpoint.address, topic, &request, &token).await;
            let mut answer = match answer {
                Ok(answer) => answer,
                Err(error) => return Ok(unreachable(&error)),
            };
            let (status, wait) = (answer.status(), retry_after(&answer));
            let reason = match status.is_success() {
                true => String::new(),
                false => reason(&mut answer).await,
            };
            if reason == "ExpiredProviderToken"
                && let Some(next) = self.signer.token(Some(&token), SystemTime::now())
            {
                // It is too young to be refused for its age: this ends.
                token = next;
                continue;
            }
            if status.is_server_error()
                && let Some(wait) = wait
            {
                self.host.wait(wait);
            }
            return Ok(judge(status, &reason, wait));
        }
    }
}

impl Notifier for ApnsSender {
    fn accept(&self, wish: &PushWish<'_>) -> Result<Endpoint, WishRefused> {
        let is_token = |token: &&str| {
            token.len() <= DEVICE_BYTES_MAX
                && token.len() >= 2
                && token.len().is_multiple_of(2)
                && token.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let Some(token) = wish.token.filter(is_token) else {
            return refused(
                "token",
                "must be the device token that Apple gave the app, in hexadecimal",
            );
        };
        let is_served = |topic: &str| {
            let app = topic.strip_suffix(VOIP).unwrap_or(topic);
            self.topics.iter().any(|served| served == topic || served == app)
        };
        let topic = match (wish.topic, &self.topics[..]) {
            (Some(topic), _) if topic.len() <= APP_BYTES_MAX && is_served(topic) => topic,
            (None, [only]) => only,
            _ => {
                let served = self.topics.join(", ");
                let why = format!("must be the bundle id of an app that this server serves: {served}");
                return refused("topic", &why);
            }
        };
        Ok(Endpoint {
            address: token.to_ascii_lowercase(),
            wire: Wire::Apns {
                topic: topic.to_owned(),
            },
        })
    }

    fn host(&self, _: &Endpoint) -> Option<String> {
        Some(self.host_name.clone())
    }

    fn send<'a>(&'a self, wake: &'a Wake<'_>) -> BoxFuture<'a, Woken> {
        Box::pin(async move {
            let Wire::Apns { topic } = &wake.endpoint.wire else {
                return Woken::Unreachable("it is no device of Apple's");
            };
            // Apple ends apps that are woken so and show no call.
            if topic.ends_with(VOIP) && wake.urgency != Urgency::High {
                return Woken::Taken;
            }
            let _place = match self.host.place().await {
                Ok(place) => place,
                Err(not_now) => return not_now,
            };
            let woken = self.ask(wake, topic).await;
            woken.unwrap_or_else(Woken::Unreachable)
        })
    }
}

async fn reason(answer: &mut reqwest::Response) -> String {
    let body = client::body(answer).await;
    let error = serde_json::from_slice::<ApnsError>(&body).unwrap_or_default();
    // It is shown: as short as Apple's words are, and nothing but a word.
    let word = error.reason.chars().filter(char::is_ascii_alphanumeric);
    word.take(64).collect()
}

/// A UUID of random numbers.
fn id() -> Option<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    let number = u128::from_be_bytes(bytes);
    // RFC 9562 §5.4: version 4, variant 10.
    let number = number & !(0xf << 76) | (0x4 << 76);
    let number = number & !(0b11 << 62) | (0b10 << 62);
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to);
    Some(
        [
            part(0, 8)?,
            part(8, 12)?,
            part(12, 16)?,
            part(16, 20)?,
            part(20, 32)?,
        ]
        .join("-"),
    )
}

fn request(wake: &Wake<'_>, topic: &str, now: SystemTime) -> Option<ApnsRequest> {
    let kind = kind(wake);
    let told = wake.told.cloned().unwrap_or_default();
    let alert = |body| Aps {
        alert: Some(Alert { body }),
        badge: told.messages,
        sound: Some("default"),
        mutable_content: Some(1),
        content_available: None,
    };
    let (push_type, priority, aps) = match (wake.urgency, kind) {
        (Urgency::High, _) if topic.ends_with(VOIP) => ("voip", "10", Aps::default()),
        (Urgency::High, _) => ("alert", "10", alert("Call")),
        (Urgency::Normal, "request") => ("alert", "10", alert("Contact request")),
        (Urgency::Normal, _) => ("alert", "10", alert("New message")),
        // Nothing is shown: the number on the icon goes, and the app may take back what it shows.
        (Urgency::Low, _) => {
            let aps = Aps {
                badge: Some(told.messages.unwrap_or(0)),
                content_available: Some(1),
                ..Aps::default()
            };
            ("background", "5", aps)
        }
    };
    let payload = Payload {
        aps,
        kind,
        messages: told.messages,
        requests: told.requests,
    };
    let expires = now.checked_add(ttl(wake.urgency))?;
    Some(ApnsRequest {
        id: id()?,
        push_type,
        priority,
        expiration: expires.duration_since(UNIX_EPOCH).ok()?.as_secs(),
        // A call must not be replaced by a message.
        collapse_id: (wake.urgency != Urgency::High).then_some(TOPIC),
        body: serde_json::to_string(&payload).ok()?,
    })
}

fn judge(status: StatusCode, reason: &str, wait: Option<Duration>) -> Woken {
    let code = status.as_u16();
    match (status, reason) {
        (StatusCode::GONE, _) | (StatusCode::BAD_REQUEST, "BadDeviceToken" | "DeviceTokenNotForTopic") => {
            Woken::Over(code)
        }
        (StatusCode::FORBIDDEN, _) | (_, "MissingProviderToken" | "InvalidProviderToken") => {
            Woken::Unreachable(NO_ACCESS)
        }
        (_, "TopicDisallowed") => {
            Woken::Unreachable("Apple does not let this server's key wake the app ([push.apns] topics)")
        }
        // Too many are too many for this device: others are not kept waiting.
        (status, _) => judge_status(status, wait),
    }
}

#[cfg(test)]
mod tests;
