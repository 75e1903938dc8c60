//! Push notifications for browsers (Web Push, RFC 8291) and UnifiedPush apps: subscribe, list, end. What is told, and when, is
//! that of XEP-0357; this server is the app server.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use kim_core::error::{Condition, Fault};
use kim_core::jid::Jid;
use kim_xep::push_service::api::{AppServer, Endpoint, PushSubscription, Wire};
use kim_xep::xep0357_push::api::PushContent;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Given, Segment};
use super::guard::{Manage, May, Read};
use super::problem::{Problem, written};
use crate::http::Web;
use crate::push;

/// The longest address of a push service.
const ENDPOINT_BYTES_MAX: usize = 2_048;

/// What a browser's PushSubscription says (`toJSON()`), and for which client it is.
#[derive(Deserialize)]
pub(super) struct Subscription {
    endpoint: String,
    keys: Option<Keys>,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    content: Content,
}

#[derive(Deserialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

/// What notifications tell, if the server's policy allows it.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Content {
    #[default]
    Count,
    Sender,
    Body,
}

fn app_server(web: &Web) -> Result<(Arc<AppServer>, String), Problem> {
    let server = web.router().fact::<AppServer>();
    let public = web.parts.vapid.as_ref().map(|vapid| vapid.public());
    server
        .zip(public)
        .ok_or_else(|| Problem::off("push notifications"))
}

/// `POST /api/push/subscribe`
pub(super) async fn subscribe(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Given(wanted): Given<Subscription>,
) -> Result<Response, Problem> {
    let (server, public_key) = app_server(&web)?;
    let endpoint = endpoint(&wanted, &server)?;
    let session = format!("{}/{}", caller.account, wanted.resource);
    if !wanted.resource.is_empty() && Jid::parse(&session).is_err() {
        return Err(Problem::bad("\"resource\" must be the resource of a session"));
    }
    let content = PushContent {
        sender: matches!(wanted.content, Content::Sender | Content::Body),
        body: matches!(wanted.content, Content::Body),
    };
    let account = &caller.account;
    let subscribed = server
        .subscribe(account, &endpoint, &wanted.resource, content, web.router())
        .await;
    let id = match subscribed {
        Err(Fault::Stanza(error)) if error.condition() == Condition::ResourceConstraint => {
            let message = "this account has too many push subscriptions; delete one of them first";
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "resource-constraint",
                message,
            ));
        }
        subscribed => subscribed?,
    };
    tracing::info!(event = "push_subscribed", %account);
    let told = json!({
        "id": id.to_string(),
        "service": server.service_of(account)?.as_str(),
        "node": id.to_string(),
        "public_key": public_key,
    });
    Ok(written(StatusCode::OK, &told))
}

/// `GET /api/push/subscribe`: oldest first.
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
) -> Result<Response, Problem> {
    let (server, public_key) = app_server(&web)?;
    let subscriptions = server.subscriptions(&caller.account).await?;
    let subscriptions: Vec<Value> = subscriptions.iter().map(told).collect();
    let told = json!({ "public_key": public_key, "subscriptions": subscriptions });
    Ok(written(StatusCode::OK, &told))
}

/// `DELETE /api/push/subscribe/{id}`
pub(super) async fn unsubscribe(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Segment(id): Segment<String>,
) -> Result<Response, Problem> {
    let (server, _) = app_server(&web)?;
    let is_there = match id.parse() {
        Ok(tag) => server.unsubscribe(&caller.account, tag, web.router()).await?,
        Err(_) => false,
    };
    if !is_there {
        let message = format!("you have no push subscription with the id \"{id}\"");
        return Err(Problem::not_found(message));
    }
    tracing::info!(event = "push_unsubscribed", account = %caller.account);
    Ok(written(StatusCode::OK, &json!({})))
}

/// A subscription for its owner. Of the address only the host is shown: the rest is a secret of the browser.
fn told(subscription: &PushSubscription) -> Value {
    let kind = match subscription.endpoint.wire {
        Wire::Encrypted { .. } => "webpush",
        Wire::Plain => "plain",
    };
    let host = push::endpoint(&subscription.endpoint.url, true);
    let host = host.and_then(|url| url.host_str().map(str::to_owned));
    let failure = subscription.failed.as_ref();
    json!({
        "id": subscription.tag.to_string(),
        "kind": kind,
        "host": host,
        "resource": subscription.resource,
        "since": subscription.since.to_string(),
        "last_success_at": subscription.taken_at.map(|at| at.to_string()),
        "last_failure": failure.map(|(at, why)| json!({ "at": at.to_string(), "reason": why })),
    })
}

fn endpoint(wanted: &Subscription, server: &AppServer) -> Result<Endpoint, Problem> {
    let is_short = wanted.endpoint.len() <= ENDPOINT_BYTES_MAX;
    let url = push::endpoint(&wanted.endpoint, server.allows_private_addresses()).filter(|_| is_short);
    let url = url.ok_or_else(|| {
        let message = "\"endpoint\" must be an https address of a push service on the internet";
        Problem::bad(message)
    })?;
    let wire = match &wanted.keys {
        None => Wire::Plain,
        Some(keys) => Wire::Encrypted {
            // RFC 8291 §3.1: a point that is not compressed.
            p256dh: bytes(&keys.p256dh)
                .filter(|key: &[u8; 65]| push::is_public_key(key))
                .ok_or_else(|| {
                    Problem::bad("\"keys.p256dh\" must be a point on P-256: 65 bytes in base64url")
                })?,
            auth: bytes(&keys.auth)
                .ok_or_else(|| Problem::bad("\"keys.auth\" must be 16 bytes in base64url"))?,
        },
    };
    Ok(Endpoint {
        url: url.into(),
        wire,
    })
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let decoded = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text));
    decoded.ok()?.try_into().ok()
}
