//! Firebase Cloud Messaging, HTTP v1: data messages to Android apps of the operator's own. Google can read them, so they say how
//! many messages wait, and nothing else.

use std::sync::Arc;

use gcp_auth::{CustomServiceAccount, TokenProvider};
use kim_core::config;
use kim_xep::push_service::api::{Endpoint, Urgency, Wake, Wire, Woken};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Map, Value, json};

use super::{Counts, TOPIC, answered, judge, key_file, retry_after, service_url, ttl};

/// What a token may be used for.
const SCOPES: &[&str] = &["https://www.googleapis.com/auth/firebase.messaging"];
/// The longest registration token.
const TOKEN_BYTES_MAX: usize = 4_096;
/// What is read of an error.
const ERROR_BYTES_MAX: usize = 16 * 1024;

/// Sends to one Firebase project.
pub(super) struct Fcm {
    client: Client,
    account: Arc<dyn TokenProvider>,
    url: Url,
}

impl Fcm {
    /// With the settings of `[push.fcm]`; `None` if there are none.
    pub fn open(settings: &config::Fcm, client: &Client) -> Result<Option<Fcm>, String> {
        let setting = "service_account in [push.fcm]";
        let Some(path) = &settings.service_account else {
            return Ok(None);
        };
        let shown = path.display();
        let json = key_file(path, setting)?;
        let json = std::str::from_utf8(&json).map_err(|_| format!("{shown} ({setting}) must be JSON"))?;
        let account = CustomServiceAccount::from_json(json).map_err(|_| {
            format!("{shown} ({setting}) must be the JSON key of a service account, as the Firebase console gives it out")
        })?;
        let project = account
            .project_id()
            .ok_or_else(|| format!("{shown} ({setting}) must have a \"project_id\""))?;
        let mut url = service_url(&settings.url, "url in [push.fcm]")?;
        url.set_path(&format!("/v1/projects/{project}/messages:send"));
        Ok(Some(Fcm {
            client: client.clone(),
            account: Arc::new(account),
            url,
        }))
    }

    pub fn url(&self) -> Url {
        self.url.clone()
    }

    pub async fn send(&self, url: Url, wake: &Wake<'_>) -> Woken {
        let Ok(token) = self.account.token(SCOPES).await else {
            return Woken::Unreachable("no access token for FCM; see service_account in [push.fcm]");
        };
        let body = message(wake).to_string();
        let request = self
            .client
            .post(url)
            .bearer_auth(token.as_str())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body);
        match answered(request.send().await) {
            Ok(answer) => judged(answer).await,
            Err(woken) => woken,
        }
    }
}

/// A registration token, as far as one can tell.
pub(super) fn accept(token: &str) -> Result<Endpoint, String> {
    let is_token = !token.is_empty()
        && token.len() <= TOKEN_BYTES_MAX
        && token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    match is_token {
        true => Ok(Endpoint {
            address: token.to_owned(),
            wire: Wire::Fcm,
        }),
        false => Err("\"token\" must be the registration token that Firebase gave the app".to_owned()),
    }
}

fn message(wake: &Wake<'_>) -> Value {
    let counts = Counts::of(wake);
    // Values of data are text.
    let mut data = Map::new();
    data.insert("kind".to_owned(), counts.kind.into());
    for (name, count) in [("messages", counts.messages), ("requests", counts.requests)] {
        if let Some(count) = count {
            data.insert(name.to_owned(), count.to_string().into());
        }
    }
    let priority = match wake.urgency {
        Urgency::High | Urgency::Normal => "HIGH",
        Urgency::Low => "NORMAL",
    };
    let mut android = json!({ "priority": priority, "ttl": format!("{}s", ttl(wake.urgency).as_secs()) });
    // A call must not be replaced by a message.
    if wake.urgency != Urgency::High
        && let Some(android) = android.as_object_mut()
    {
        android.insert("collapse_key".to_owned(), TOPIC.into());
    }
    json!({ "message": { "token": wake.endpoint.address, "data": data, "android": android } })
}

async fn judged(mut answer: Response) -> Woken {
    let (status, wait) = (answer.status(), retry_after(&answer));
    if status.is_success() {
        return Woken::Taken;
    }
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ERROR_BYTES_MAX {
            break;
        }
    }
    verdict(status, wait, &body)
}

/// What an error means. Firebase names it in the details.
fn verdict(status: StatusCode, wait: Option<std::time::Duration>, body: &[u8]) -> Woken {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let details = error.pointer("/error/details").and_then(Value::as_array);
    let mut codes = details
        .into_iter()
        .flatten()
        .filter_map(|detail| detail.get("errorCode")?.as_str());
    match codes.next() {
        // The app is gone from the device, or its token is another project's.
        Some("UNREGISTERED" | "SENDER_ID_MISMATCH") => Woken::Over(status.as_u16()),
        Some("QUOTA_EXCEEDED") => judge(StatusCode::TOO_MANY_REQUESTS, wait),
        Some("UNAVAILABLE" | "INTERNAL") => Woken::NotNow(wait),
        _ => match status {
            // The project, not the token: the next attempt may have better settings.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Woken::Unreachable("FCM does not accept this server's service account")
            }
            status => judge(status, wait),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kim_xep::push_service::api::Told;

    use super::*;

    fn told(urgency: Urgency) -> Value {
        let endpoint = accept("a:b-c_d").unwrap();
        let told = Told {
            messages: Some(3),
            requests: None,
            from: Some("bob@localhost".to_owned()),
            text: Some("secret".to_owned()),
        };
        message(&Wake {
            endpoint: &endpoint,
            urgency,
            told: Some(&told),
        })
    }

    #[test]
    fn google_learns_how_many_messages_wait_and_nothing_else() {
        assert_eq!(
            told(Urgency::Normal),
            json!({ "message": {
                "token": "a:b-c_d",
                "data": { "kind": "message", "messages": "3" },
                "android": { "priority": "HIGH", "ttl": "259200s", "collapse_key": "messages" },
            } })
        );
        let call = told(Urgency::High);
        assert_eq!(
            call["message"]["android"],
            json!({ "priority": "HIGH", "ttl": "30s" })
        );
        assert_eq!(told(Urgency::Low)["message"]["android"]["priority"], "NORMAL");
    }

    #[test]
    fn errors_are_judged_by_their_names() {
        let named = |status: u16, code: &str| {
            let body = json!({ "error": { "code": status, "details": [
                { "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code }
            ] } });
            let status = StatusCode::from_u16(status).unwrap();
            verdict(status, Some(Duration::from_secs(7)), body.to_string().as_bytes())
        };
        assert_eq!(named(404, "UNREGISTERED"), Woken::Over(404));
        assert_eq!(named(403, "SENDER_ID_MISMATCH"), Woken::Over(403));
        assert_eq!(
            named(429, "QUOTA_EXCEEDED"),
            Woken::NotNow(Some(Duration::from_secs(7)))
        );
        assert_eq!(
            named(503, "UNAVAILABLE"),
            Woken::NotNow(Some(Duration::from_secs(7)))
        );
        assert_eq!(named(400, "INVALID_ARGUMENT"), Woken::Useless(400));
        assert_eq!(verdict(StatusCode::NOT_FOUND, None, b"<html>"), Woken::Over(404));
        assert!(matches!(
            verdict(StatusCode::UNAUTHORIZED, None, b""),
            Woken::Unreachable(_)
        ));
    }

    #[test]
    fn a_token_has_no_blanks_and_an_end() {
        for bad in ["", "a b", "a\"b", &"a".repeat(5_000)] {
            assert!(accept(bad).unwrap_err().starts_with("\"token\""), "{bad}");
        }
    }
}
