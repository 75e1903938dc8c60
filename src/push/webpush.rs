//! Web Push (RFC 8030) and UnifiedPush: encrypted for the subscriber ([`super::sealed`]), signed by this server
//! ([`super::vapid`]).
//!
//! The addresses come from users, so they are hostile: https only, no redirects, and only to addresses of the whole internet,
//! looked at after the name was resolved.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use kim_core::config::Config;
use kim_xep::push_service::api::{Endpoint, PushWish, Urgency, Wake, Wire, Woken};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Client, Request, StatusCode, Url};
use serde::Serialize;

use super::vapid::Vapid;
use super::{Counts, TOPIC, addresses, answered, client, judge, retry_after, sealed, ttl};
use crate::s2s::dns::is_public;

/// The longest address of a push service.
const ADDRESS_BYTES_MAX: usize = 2_048;

/// What a subscriber reads.
#[derive(Serialize)]
struct Text<'a> {
    #[serde(flatten)]
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// Sends to push services that users name.
pub(super) struct WebPush {
    client: Client,
    vapid: Vapid,
    allows_private: bool,
}

impl WebPush {
    pub fn new(vapid: Vapid, allows_private: bool, answer_within: Duration) -> Result<WebPush, String> {
        let client = client(answer_within)?
            .dns_resolver(addresses::Resolver { allows_private })
            .build()
            .map_err(|error| error.to_string())?;
        Ok(WebPush {
            client,
            vapid,
            allows_private,
        })
    }

    pub fn public_key(&self) -> String {
        self.vapid.public()
    }

    /// An address that may be used: https, with a host, without a user, and not an IP address that is kept out.
    pub fn url(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        let host = url.host_str()?.trim_matches(['[', ']']);
        let literal = host.parse::<IpAddr>().ok();
        let is_allowed = self.allows_private || literal.is_none_or(is_public);
        (url.scheme() == "https" && is_plain && is_allowed).then_some(url)
    }

    pub fn accept(&self, wish: &PushWish<'_>) -> Result<Endpoint, String> {
        let (endpoint, wire) = match wish {
            PushWish::WebPush {
                endpoint,
                p256dh,
                auth,
            } => {
                // RFC 8291 §3.1: a point that is not compressed.
                let p256dh =
                    bytes(p256dh).filter(|key: &[u8; 65]| sealed::seal(b"", key, &[0; 16]).is_some());
                let wire = Wire::Encrypted {
                    p256dh: p256dh
                        .ok_or("\"keys.p256dh\" must be a point on P-256: 65 bytes in base64url")?,
                    auth: bytes(auth).ok_or("\"keys.auth\" must be 16 bytes in base64url")?,
                };
                (endpoint, wire)
            }
            PushWish::UnifiedPush { endpoint } => (endpoint, Wire::Plain),
            PushWish::Fcm { .. } | PushWish::Apns { .. } => return Err("this is not web push".to_owned()),
        };
        let is_short = endpoint.len() <= ADDRESS_BYTES_MAX;
        let url = self.url(endpoint).filter(|_| is_short);
        let url = url.ok_or("\"endpoint\" must be an https address of a push service on the internet")?;
        Ok(Endpoint {
            address: url.into(),
            wire,
        })
    }

    pub async fn send(&self, url: Url, wake: &Wake<'_>) -> Woken {
        let request = match self.request(url, wake) {
            Ok(request) => request,
            Err(why) => return Woken::Unreachable(why),
        };
        match answered(self.client.execute(request).await) {
            // RFC 8292 §4.2: one that is for another server.
            Ok(answer) if matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Woken::Over(answer.status().as_u16())
            }
            Ok(answer) => judge(answer.status(), retry_after(&answer)),
            Err(woken) => woken,
        }
    }

    fn request(&self, url: Url, wake: &Wake<'_>) -> Result<Request, &'static str> {
        let audience = url.origin().ascii_serialization();
        let urgency = match wake.urgency {
            Urgency::High => "high",
            Urgency::Normal => "normal",
            Urgency::Low => "low",
        };
        let text = Text {
            counts: Counts::of(wake),
            from: wake.told.and_then(|told| told.from.as_deref()),
            text: wake.told.and_then(|told| told.text.as_deref()),
        };
        let text = serde_json::to_string(&text).map_err(|_| "the notification could not be written")?;
        let mut request = self
            .client
            .post(url)
            .header("TTL", ttl(wake.urgency).as_secs())
            .header("Urgency", urgency);
        // A call must not be replaced by a message.
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
        let signed = self
            .vapid
            .authorization(&audience)
            .ok_or("the server's own key cannot sign")?;
        let request = request.header(AUTHORIZATION, signed).build();
        request.map_err(|_| "the request could not be made")
    }
}

/// Whom push services can write to (RFC 8292 §2.1).
pub(super) fn subject(config: &Config) -> String {
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

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let decoded = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text));
    decoded.ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_whole_internet_are_taken() {
        let vapid = || Vapid::read(&Vapid::make().unwrap(), String::new()).unwrap();
        let within = Duration::from_secs(1);
        let web = WebPush::new(vapid(), false, within).unwrap();
        for good in [
            "https://push.example/a?b=c",
            "https://[2600::1]/x",
            "https://8.8.8.8:8443/",
        ] {
            assert!(web.url(good).is_some(), "{good}");
        }
        for bad in [
            "http://push.example/a",
            "https://user@push.example/a",
            "https://127.0.0.1/a",
            "https://[::1]/a",
            "https://10.0.0.8/a",
            "https://169.254.169.254/latest",
            "ftp://push.example/a",
            "push.example",
            "",
        ] {
            assert!(web.url(bad).is_none(), "{bad}");
        }
        let trusting = WebPush::new(vapid(), true, within).unwrap();
        assert!(trusting.url("https://127.0.0.1/a").is_some());
    }
}
