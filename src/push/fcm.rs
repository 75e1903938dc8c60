//! Firebase Cloud Messaging, HTTP v1. Google can read what is sent, so it is counts and the kind: a data message, of which the
//! app makes what people see.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use kim_core::config::Fcm;
use kim_core::db::BoxFuture;
use kim_xep::push_service::api::{Endpoint, PushWish, Urgency, Wake, Wire, WishRefused, Woken};
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};

use super::client;
use super::google::ServiceAccount;
use super::hosts::Host;
use super::notifier::{Notifier, TOPIC, judge_status, kind, refused, retry_after, ttl, unreachable};

/// Requests that Firebase has at the same time.
const AT_ONCE: usize = 64;
/// The longest token of an app.
const TOKEN_BYTES_MAX: usize = 1_024;
/// Why nobody is woken while Google does not take this server's key.
const NO_ACCESS: &str = "Google does not accept the key of this server ([push.fcm] service_account)";

/// Sends to apps by Firebase.
pub(super) struct FcmSender {
    client: Client,
    url: Url,
    account: ServiceAccount,
    host: Host,
}

/// The body of a request.
#[derive(Serialize)]
struct FcmRequest<'a> {
    message: FcmMessage<'a>,
}

#[derive(Serialize)]
struct FcmMessage<'a> {
    token: &'a str,
    /// Texts alone.
    data: BTreeMap<&'static str, Cow<'static, str>>,
    android: AndroidConfig,
}

#[derive(Serialize)]
struct AndroidConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    collapse_key: Option<&'static str>,
    priority: &'static str,
    ttl: String,
}

/// The body of an error.
#[derive(Default, Deserialize)]
struct FcmAnswer {
    #[serde(default)]
    error: FcmError,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FcmError {
    status: String,
    message: String,
    details: Vec<FcmDetail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FcmDetail {
    #[serde(rename = "errorCode")]
    code: String,
    #[serde(rename = "fieldViolations")]
    violations: Vec<FcmViolation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FcmViolation {
    field: String,
}

impl FcmSender {
    /// Ready to send; `None` if it is not configured. The error is a line that names the setting.
    pub fn open(config: &Fcm, answer_within: Duration) -> Result<Option<FcmSender>, String> {
        let (Some(path), Some(url)) = (&config.service_account, &config.url) else {
            return Ok(None);
        };
        let shown = path.display();
        let account = ServiceAccount::open(path)
            .map_err(|why| format!("[push.fcm] service_account: {shown}: {why}"))?;
        let url = format!("{url}/v1/projects/{}/messages:send", account.project());
        let url = Url::parse(&url).map_err(|error| format!("[push.fcm] url: {error}"))?;
        let client = client::steady(answer_within, &[b"h2", b"http/1.1"])?;
        Ok(Some(FcmSender {
            client: client.build().map_err(|error| error.to_string())?,
            url,
            account,
            host: Host::new(AT_ONCE),
        }))
    }

    /// Whether Google takes the key. Tells the project.
    pub async fn try_out(&self) -> Result<&str, String> {
        self.account.token().await?;
        Ok(self.account.project())
    }

    /// One request with one token; `Err` if the token is not taken.
    async fn ask(&self, body: &str, token: &str) -> Result<Woken, Woken> {
        let request = self
            .client
            .post(self.url.clone())
            .bearer_auth(token)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body.to_owned());
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Ok(unreachable(&error)),
        };
        let (status, wait) = (answer.status(), retry_after(&answer));
        if status.is_success() {
            return Ok(Woken::Taken);
        }
        let read = serde_json::from_slice::<FcmAnswer>(&client::body(&mut answer).await);
        let error = read.unwrap_or_default().error;
        let woken = judge(status, &error, wait);
        tracing::debug!(
            event = "push_fcm_refused",
            status = status.as_u16(),
            reason = error.status
        );
        match status {
            StatusCode::UNAUTHORIZED => Err(woken),
            _ => Ok(woken),
        }
    }
}

impl Notifier for FcmSender {
    fn accept(&self, wish: &PushWish<'_>) -> Result<Endpoint, WishRefused> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte);
        let is_token =
            |token: &&str| (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(is_plain);
        match wish.token.filter(is_token) {
            Some(token) => Ok(Endpoint {
                address: token.to_owned(),
                wire: Wire::Fcm,
            }),
            None => refused(
                "token",
                "must be the registration token that Firebase gave the app",
            ),
        }
    }

    fn host(&self, _: &Endpoint) -> Option<String> {
        self.url.host_str().map(str::to_owned)
    }

    fn send<'a>(&'a self, wake: &'a Wake<'_>) -> BoxFuture<'a, Woken> {
        Box::pin(async move {
            let _place = match self.host.place().await {
                Ok(place) => place,
                Err(not_now) => return not_now,
            };
            let Ok(body) = serde_json::to_string(&request(wake)) else {
                return Woken::Unreachable("the request could not be made");
            };
            let token = match self.account.token().await {
                Ok(token) => token,
                Err(why) => {
                    tracing::warn!(event = "push_fcm_no_token", why);
                    return Woken::Unreachable("Google gave this server no access token");
                }
            };
            let woken = match self.ask(&body, token.as_str()).await {
                Ok(woken) => woken,
                Err(refused) => match self.account.after(&token).await {
                    Some(token) => self
                        .ask(&body, token.as_str())
                        .await
                        .unwrap_or_else(|woken| woken),
                    None => refused,
                },
            };
            if let Woken::NotNow(Some(wait)) = woken {
                self.host.wait(wait);
            }
            woken
        })
    }
}

fn request<'a>(wake: &'a Wake<'_>) -> FcmRequest<'a> {
    let mut data = BTreeMap::from([("kind", Cow::Borrowed(kind(wake)))]);
    if let Some(told) = wake.told {
        for (name, count) in [("messages", told.messages), ("requests", told.requests)] {
            if let Some(count) = count {
                data.insert(name, Cow::Owned(count.to_string()));
            }
        }
    }
    let is_call = wake.urgency == Urgency::High;
    FcmRequest {
        message: FcmMessage {
            token: &wake.endpoint.address,
            data,
            android: AndroidConfig {
                // A call must not be replaced by a message.
                collapse_key: (!is_call).then_some(TOPIC),
                // A phone that sleeps is woken for what its user wants to see, not to clear what was read elsewhere.
                priority: if wake.urgency == Urgency::Low {
                    "normal"
                } else {
                    "high"
                },
                ttl: format!("{}s", ttl(wake.urgency).as_secs()),
            },
        },
    }
}

fn judge(status: StatusCode, error: &FcmError, wait: Option<Duration>) -> Woken {
    let code = status.as_u16();
    let says = |wanted: &str| error.status == wanted || error.details.iter().any(|one| one.code == wanted);
    let is_about_token = || {
        let mut violations = error.details.iter().flat_map(|detail| &detail.violations);
        violations.any(|violation| violation.field == "message.token")
            || error.message.contains("registration token")
    };
    match status {
        // Another address that knows nothing of it is no reason to forget a subscription.
        StatusCode::NOT_FOUND if says("UNREGISTERED") || says("NOT_FOUND") => Woken::Over(code),
        StatusCode::NOT_FOUND => {
            Woken::Unreachable("the address does not answer as Firebase does ([push.fcm] url)")
        }
        StatusCode::BAD_REQUEST if says("INVALID_ARGUMENT") && is_about_token() => Woken::Over(code),
        // The token is for another project.
        StatusCode::FORBIDDEN if says("SENDER_ID_MISMATCH") => Woken::Over(code),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Woken::Unreachable(NO_ACCESS),
        status => judge_status(status, wait),
    }
}

#[cfg(test)]
mod tests;
