//! The Apple Push Notification service over HTTP/2, with tokens signed by the operator's key. Apple can read what it carries, so
//! that says how many messages wait, and nothing else.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kim_core::config;
use kim_core::random;
use kim_xep::push_service::api::{Endpoint, Urgency, Wake, Wire, Woken};
use reqwest::{Client, Response, StatusCode, Url, Version};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Counts, TOPIC, answered, judge, key_file, retry_after, service_url, ttl};

/// Apple refuses tokens that are older than an hour, and more than one in 20 minutes.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(40 * 60);
/// Device tokens are hexadecimal, and of no fixed length.
const DEVICE_DIGITS_MAX: usize = 200;
/// A topic that ends so takes calls alone.
const VOIP: &str = ".voip";
/// What is read of an error.
const ERROR_BYTES_MAX: usize = 4 * 1024;

/// Sends for one developer team.
pub(super) struct Apns {
    client: Client,
    key: ProviderKey,
    topics: Vec<String>,
    url: Url,
}

/// The key that shows whose requests these are.
struct ProviderKey {
    pair: EcdsaKeyPair,
    key_id: String,
    team_id: String,
    token: Mutex<Option<(Instant, String)>>,
}

impl ProviderKey {
    /// The token of now. With `is_refused` the last one is not used again.
    fn token(&self, is_refused: bool) -> Option<String> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, text)) = token.as_ref()
            && since.elapsed() < TOKEN_AGE_MAX
            && !is_refused
        {
            return Some(text.clone());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(&json!({ "alg": "ES256", "kid": self.key_id }));
        let claims = part(&json!({ "iss": self.team_id, "iat": now }));
        let signed = format!("{head}.{claims}");
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        let fresh = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        *token = Some((Instant::now(), fresh.clone()));
        Some(fresh)
    }
}

/// The bytes between the lines of a PEM file.
fn pkcs8(pem: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(pem).ok()?;
    let body = text
        .split("-----BEGIN PRIVATE KEY-----")
        .nth(1)?
        .split("-----END")
        .next()?;
    let joined: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    STANDARD.decode(joined.as_bytes()).ok().map(Zeroizing::new)
}

impl Apns {
    /// With the settings of `[push.apns]`; `None` if there are none.
    pub fn open(settings: &config::Apns, client: &Client) -> Result<Option<Apns>, String> {
        let Some(path) = &settings.key else {
            return Ok(None);
        };
        let needed = |value: &Option<String>, name: &str| {
            let value = value.clone().filter(|value| !value.is_empty());
            value.ok_or_else(|| format!("key in [push.apns] needs \"{name}\" beside it"))
        };
        let (key_id, team_id) = (
            needed(&settings.key_id, "key_id")?,
            needed(&settings.team_id, "team_id")?,
        );
        if settings.topics.is_empty() {
            return Err("key in [push.apns] needs \"topics\" beside it: the apps' bundle ids".to_owned());
        }
        let pem = key_file(path, "key in [push.apns]")?;
        let random = SystemRandom::new();
        let pair = pkcs8(&pem)
            .and_then(|der| EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).ok());
        let pair = pair.ok_or_else(|| {
            format!(
                "{} (key in [push.apns]) must be a private key on P-256 in PEM, as Apple gives it out (.p8)",
                path.display()
            )
        })?;
        Ok(Some(Apns {
            client: client.clone(),
            key: ProviderKey {
                pair,
                key_id,
                team_id,
                token: Mutex::default(),
            },
            topics: settings.topics.clone(),
            url: service_url(&settings.url, "url in [push.apns]")?,
        }))
    }

    /// Where a device is written to.
    pub fn url(&self, device: &str) -> Option<Url> {
        self.url.join(&format!("/3/device/{device}")).ok()
    }

    pub fn accept(&self, token: &str, topic: &str) -> Result<Endpoint, String> {
        let is_token = !token.is_empty()
            && token.len() <= DEVICE_DIGITS_MAX
            && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_token {
            return Err("\"token\" must be the device token of APNs in hexadecimal digits".to_owned());
        }
        if !self.topics.iter().any(|known| known == topic) {
            return Err(format!("\"topic\" must be one of {}", self.topics.join(", ")));
        }
        Ok(Endpoint {
            address: token.to_ascii_lowercase(),
            wire: Wire::Apns {
                topic: topic.to_owned(),
            },
        })
    }

    pub async fn send(&self, url: Url, topic: &str, wake: &Wake<'_>) -> Woken {
        if topic.ends_with(VOIP) && wake.urgency != Urgency::High {
            // Apple ends apps that are told of something else there and do not ring. Their other topic is told.
            return Woken::Taken;
        }
        // The same id in a further attempt: what arrived twice is one notification.
        let id = uuid();
        let mut is_refused = false;
        loop {
            let Some(token) = self.key.token(is_refused) else {
                return Woken::Unreachable("the key of [push.apns] cannot sign");
            };
            let push = Push::of(topic, wake);
            let request = self
                .client
                .post(url.clone())
                .version(Version::HTTP_2)
                .bearer_auth(token)
                .header("apns-id", &id)
                .header("apns-topic", topic)
                .header("apns-push-type", push.kind)
                .header("apns-priority", push.priority)
                .header("apns-expiration", expiration(wake.urgency));
            let request = match push.collapses {
                true => request.header("apns-collapse-id", TOPIC),
                false => request,
            };
            let answer = match answered(request.body(push.payload.to_string()).send().await) {
                Ok(answer) => answer,
                Err(woken) => return woken,
            };
            let (status, wait) = (answer.status(), retry_after(&answer));
            if status.is_success() {
                return Woken::Taken;
            }
            let reason = reason(answer).await;
            if reason == "ExpiredProviderToken" && !is_refused {
                is_refused = true;
                continue;
            }
            return verdict(status, &reason, wait);
        }
    }
}

/// What a notification is for Apple.
struct Push {
    kind: &'static str,
    priority: &'static str,
    collapses: bool,
    payload: Value,
}

impl Push {
    fn of(topic: &str, wake: &Wake<'_>) -> Push {
        let counts = Counts::of(wake);
        let badge = counts.messages;
        let of = |kind, priority, collapses, aps: Value| Push {
            kind,
            priority,
            collapses,
            payload: json!({ "aps": aps, "kind": counts.kind }),
        };
        match (wake.urgency, badge) {
            (Urgency::High, _) if topic.ends_with(VOIP) => of("voip", "10", false, json!({})),
            // The app's extension finds out who it is, and puts that in its place.
            (Urgency::High, _) => {
                let alert = json!({ "title": "Incoming call" });
                let aps = json!({ "alert": alert, "sound": "default", "mutable-content": 1,
                                  "interruption-level": "time-sensitive" });
                of("alert", "10", false, aps)
            }
            (Urgency::Normal, badge) => {
                let mut aps =
                    json!({ "alert": { "title": "New message" }, "sound": "default", "mutable-content": 1 });
                if let (Some(badge), Some(aps)) = (badge, aps.as_object_mut()) {
                    aps.insert("badge".to_owned(), badge.into());
                }
                of("alert", "10", true, aps)
            }
            // A badge alone is shown without a sound.
            (Urgency::Low, Some(badge)) => of("alert", "5", true, json!({ "badge": badge })),
            (Urgency::Low, None) => of("background", "5", true, json!({ "content-available": 1 })),
        }
    }
}

/// Until when Apple keeps it, in seconds since 1970.
fn expiration(urgency: Urgency) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now + ttl(urgency)).as_secs()
}

/// A random UUID (RFC 9562 §5.4).
fn uuid() -> String {
    let mut bytes = random::bytes::<16>();
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// What Apple says is wrong: one word.
async fn reason(mut answer: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ERROR_BYTES_MAX {
            break;
        }
    }
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    told.get("reason")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn verdict(status: StatusCode, reason: &str, wait: Option<Duration>) -> Woken {
    match reason {
        // The app is gone from the device, or the token is of another app or another environment.
        "BadDeviceToken" | "Unregistered" | "DeviceTokenNotForTopic" | "ExpiredToken" => {
            Woken::Over(status.as_u16())
        }
        "TooManyRequests" | "TooManyProviderTokenUpdates" => judge(StatusCode::TOO_MANY_REQUESTS, wait),
        "ExpiredProviderToken" | "InvalidProviderToken" | "MissingProviderToken" | "Forbidden" => {
            Woken::Unreachable("APNs does not accept the key of [push.apns]")
        }
        _ => judge(status, wait),
    }
}

#[cfg(test)]
mod tests {
    use kim_xep::push_service::api::Told;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair, UnparsedPublicKey};

    use super::*;

    fn push(topic: &str, urgency: Urgency, messages: Option<u32>) -> Push {
        let endpoint = Endpoint {
            address: "00ff".to_owned(),
            wire: Wire::Apns {
                topic: topic.to_owned(),
            },
        };
        let told = Told {
            messages,
            from: Some("bob@localhost".to_owned()),
            text: Some("secret".to_owned()),
            ..Told::default()
        };
        Push::of(
            topic,
            &Wake {
                endpoint: &endpoint,
                urgency,
                told: Some(&told),
            },
        )
    }

    #[test]
    fn apple_learns_how_many_messages_wait_and_nothing_else() {
        let message = push("org.example", Urgency::Normal, Some(3));
        assert_eq!(
            (message.kind, message.priority, message.collapses),
            ("alert", "10", true)
        );
        assert_eq!(
            message.payload,
            json!({ "kind": "message", "aps": {
                "alert": { "title": "New message" }, "sound": "default", "mutable-content": 1, "badge": 3
            } })
        );
        let call = push("org.example.voip", Urgency::High, None);
        assert_eq!((call.kind, call.priority, call.collapses), ("voip", "10", false));
        let call = push("org.example", Urgency::High, None);
        assert_eq!((call.kind, call.collapses), ("alert", false));
        let read = push("org.example", Urgency::Low, Some(0));
        assert_eq!((read.kind, read.priority), ("alert", "5"));
        assert_eq!(read.payload["aps"], json!({ "badge": 0 }));
        assert_eq!(push("org.example", Urgency::Low, None).kind, "background");
    }

    #[test]
    fn a_token_is_signed_and_used_again() {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(made.as_ref())
        );
        let der = pkcs8(pem.as_bytes()).unwrap();
        let key = ProviderKey {
            pair: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).unwrap(),
            key_id: "KEY".to_owned(),
            team_id: "TEAM".to_owned(),
            token: Mutex::default(),
        };
        let token = key.token(false).unwrap();
        assert_eq!(key.token(false).unwrap(), token);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).unwrap();
        assert_ne!(
            key.token(true).unwrap(),
            token,
            "one that was refused is replaced"
        );
        assert!(pkcs8(b"-----BEGIN EC PRIVATE KEY-----\nAA==\n").is_none());
    }

    #[test]
    fn errors_are_judged_by_their_reasons() {
        let judged = |status: u16, reason| verdict(StatusCode::from_u16(status).unwrap(), reason, None);
        for over in ["BadDeviceToken", "DeviceTokenNotForTopic"] {
            assert_eq!(judged(400, over), Woken::Over(400));
        }
        assert_eq!(judged(410, "Unregistered"), Woken::Over(410));
        assert_eq!(judged(400, "PayloadEmpty"), Woken::Useless(400));
        assert!(matches!(judged(429, "TooManyRequests"), Woken::NotNow(Some(_))));
        assert!(matches!(judged(503, "Shutdown"), Woken::NotNow(None)));
        assert!(matches!(
            judged(403, "InvalidProviderToken"),
            Woken::Unreachable(_)
        ));
    }

    #[test]
    fn ids_are_uuids() {
        let id = uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
        assert_ne!(id, uuid());
    }
}
