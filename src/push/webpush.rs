//! Web Push (RFC 8030) and UnifiedPush: what is told is encrypted for the subscriber ([`super::sealed`]), signed
//! ([`super::vapid`]) and sent to the address that the subscriber gave.
//!
//! The addresses come from users, so they are hostile: https only, no redirects, and only to addresses of the whole internet,
//! looked at after the name was resolved.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use kim_core::config::Config;
use kim_core::db::BoxFuture;
use kim_xep::push_service::api::{
    AppServer, Endpoint, PushWish, Told, Urgency, Wake, Wire, WishRefused, Woken,
};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use zeroize::Zeroizing;

use super::addresses;
use super::client;
use super::hosts::PushHosts;
use super::notifier::{Notifier, TOPIC, judge_status, kind, refused, retry_after, ttl, unreachable};
use super::sealed;
use super::vapid::Vapid;
use crate::s2s::dns::is_public;

/// The longest address of a push service.
const ENDPOINT_BYTES_MAX: usize = 2_048;

/// Sends to browsers and UnifiedPush apps.
pub(super) struct WebPushSender {
    client: Client,
    vapid: Vapid,
    hosts: PushHosts,
    allows_private: bool,
}

/// The longest that a push service is left alone because of an answer to one subscription.
const HOST_WAIT_MAX: Duration = Duration::from_secs(60);

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

impl WebPushSender {
    /// Ready to send, with the server's key, which is made at the first start. The error says what is wrong with the settings or
    /// the system.
    pub async fn open(server: &AppServer, config: &Config) -> Result<WebPushSender, String> {
        let new = Vapid::make().ok_or("a key cannot be made")?;
        let key = server.identity("vapid", &new).await;
        let key = Zeroizing::new(key.map_err(|fault| fault.to_string())?);
        let vapid = Vapid::read(&key, subject(config)).ok_or("the stored key cannot be read")?;
        let allows_private = server.allows_private_addresses();
        Ok(WebPushSender {
            client: client::builder(server.answer_within(), &[])?
                .dns_resolver(addresses::Resolver { allows_private })
                .build()
                .map_err(|error| error.to_string())?,
            vapid,
            hosts: PushHosts::default(),
            allows_private,
        })
    }

    /// The key for which browsers subscribe.
    pub fn public_key(&self) -> String {
        self.vapid.public()
    }

    fn request(&self, url: &Url, wake: &Wake<'_>) -> Result<reqwest::Request, &'static str> {
        let urgency = match wake.urgency {
            Urgency::High => "high",
            Urgency::Normal => "normal",
            Urgency::Low => "low",
        };
        let text = text(wake);
        let mut request = self
            .client
            .post(url.clone())
            .header("TTL", ttl(wake.urgency).as_secs())
            .header("Urgency", urgency);
        // RFC 8030 §5.4
        if wake.urgency != Urgency::High {
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
            _ => request.header(CONTENT_TYPE, "application/json").body(text),
        };
        let audience = url.origin().ascii_serialization();
        let signed = self
            .vapid
            .authorization(&audience)
            .ok_or("the server's own key cannot sign")?;
        let request = request.header(reqwest::header::AUTHORIZATION, &*signed).build();
        request.map_err(|_| "the request could not be made")
    }
}

impl Notifier for WebPushSender {
    fn accept(&self, wish: &PushWish<'_>) -> Result<Endpoint, WishRefused> {
        let is_short = |text: &&str| text.len() <= ENDPOINT_BYTES_MAX;
        let url = wish.endpoint.filter(is_short);
        let Some(url) = url.and_then(|text| address(text, self.allows_private)) else {
            return refused(
                "endpoint",
                "must be an https address of a push service on the internet",
            );
        };
        let wire = match (wish.p256dh, wish.auth) {
            (None, None) if wish.kind == Some("webpush") => {
                return refused("p256dh", "is required for Web Push, and so is \"auth\"");
            }
            (None, None) => Wire::Plain,
            (p256dh, auth) => Wire::Encrypted {
                p256dh: match p256dh.and_then(bytes).filter(is_public_key) {
                    Some(p256dh) => p256dh,
                    None => return refused("p256dh", "must be a point on P-256: 65 bytes in base64url"),
                },
                auth: match auth.and_then(bytes) {
                    Some(auth) => auth,
                    None => return refused("auth", "must be 16 bytes in base64url"),
                },
            },
        };
        let address = url.into();
        Ok(Endpoint { address, wire })
    }

    fn host(&self, endpoint: &Endpoint) -> Option<String> {
        let url = address(&endpoint.address, true)?;
        url.host_str().map(str::to_owned)
    }

    fn send<'a>(&'a self, wake: &'a Wake<'_>) -> BoxFuture<'a, Woken> {
        Box::pin(async move {
            let Some(url) = address(&wake.endpoint.address, self.allows_private) else {
                return Woken::Unreachable("its address is not allowed");
            };
            let host = self.hosts.of(&url);
            let _place = match host.place().await {
                Ok(place) => place,
                Err(not_now) => return not_now,
            };
            let request = match self.request(&url, wake) {
                Ok(request) => request,
                Err(why) => return Woken::Unreachable(why),
            };
            let woken = match self.client.execute(request).await {
                Ok(answer) => judge(&answer),
                Err(error) => unreachable(&error),
            };
            if let Woken::NotNow(Some(wait)) = woken {
                // Others are woken through this service too, and it may have meant one subscription.
                host.wait(wait.min(HOST_WAIT_MAX));
            }
            woken
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
fn address(text: &str, allows_private: bool) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let host = url.host_str()?.trim_matches(['[', ']']);
    let literal = host.parse::<IpAddr>().ok();
    let is_allowed = allows_private || literal.is_none_or(is_public);
    (url.scheme() == "https" && is_plain && is_allowed).then_some(url)
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let decoded = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text));
    decoded.ok()?.try_into().ok()
}

/// RFC 8291 §3.1: whether something can be encrypted for it, a point that is not compressed.
fn is_public_key(key: &[u8; 65]) -> bool {
    sealed::seal(b"", key, &[0; 16]).is_some()
}

/// The text for a subscriber: if it is too long for a notification, the message is shortened, then who wrote it is left out.
fn text(wake: &Wake<'_>) -> String {
    let nothing = Told::default();
    let told = wake.told.unwrap_or(&nothing);
    let mut text = Text {
        kind: kind(wake),
        messages: told.messages,
        requests: told.requests,
        from: told.from.as_deref(),
        text: told.text.as_deref(),
    };
    loop {
        let written = serde_json::to_string(&text).unwrap_or_default();
        if written.len() <= sealed::TEXT_BYTES_MAX {
            return written;
        }
        match text.text {
            Some(long) => text.text = shortened(long),
            None => text.from = None,
        }
    }
}

/// Three quarters of a text; nothing of one that is short already.
fn shortened(text: &str) -> Option<&str> {
    let mut end = text.len() / 4 * 3;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).filter(|rest| !rest.is_empty())
}

fn judge(answer: &Response) -> Woken {
    let status = answer.status();
    match status {
        // RFC 8030 §7.3: an expired subscription. RFC 8292 §4.2: one that is for another server.
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Woken::Over(status.as_u16())
        }
        status => judge_status(status, retry_after(answer)),
    }
}

#[cfg(test)]
mod tests {
    use kim_xep::push_service::api::Urgency;

    use super::*;

    #[test]
    fn what_a_subscriber_reads_is_whole_however_long_the_message_is() {
        let endpoint = Endpoint {
            address: String::new(),
            wire: Wire::Plain,
        };
        for (from, said) in [
            ("bob@example.org", "é".repeat(3_000)),
            ("bob@example.org", "\u{1}\"".repeat(5_000)),
            ("bob@example.org", String::new()),
            (&"\"".repeat(3_000), "hello".repeat(1_000)),
        ] {
            let told = Told {
                messages: Some(1),
                from: Some(from.to_owned()),
                text: Some(said.clone()),
                ..Told::default()
            };
            let written = text(&Wake {
                endpoint: &endpoint,
                urgency: Urgency::Normal,
                told: Some(&told),
            });
            assert!(written.len() <= sealed::TEXT_BYTES_MAX);
            let read: serde_json::Value = serde_json::from_str(&written).unwrap();
            assert_eq!(read["messages"], 1);
            let is_long = from.len() > 1_000;
            assert_eq!(read["from"].as_str(), (!is_long).then_some(from));
            assert!(said.starts_with(read["text"].as_str().unwrap_or_default()));
        }
    }
}
