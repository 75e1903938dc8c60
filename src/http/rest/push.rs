//! Push notifications for browsers (Web Push, RFC 8291) and apps (UnifiedPush, Firebase, Apple): subscribe, list, end. What is
//! told, and when, is that of XEP-0357; this server is the app server.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::error::{Condition, Fault};
use kim_core::jid::Jid;
use kim_xep::push_service::api::{AppServer, PushNetwork, PushSubscription, PushWish, Wire, WishRefused};
use kim_xep::xep0357_push::api::PushContent;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Given, Segment};
use super::guard::{Manage, May, Read};
use super::problem::{Problem, written};
use crate::http::Web;

/// What a browser's PushSubscription says (`toJSON()`), or the token of an app, and for which client it is.
#[derive(Deserialize)]
pub(super) struct Subscription {
    kind: Option<String>,
    endpoint: Option<String>,
    keys: Option<Keys>,
    token: Option<String>,
    topic: Option<String>,
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

impl Subscription {
    fn wish(&self) -> PushWish<'_> {
        PushWish {
            kind: self.kind.as_deref(),
            endpoint: self.endpoint.as_deref(),
            p256dh: self.keys.as_ref().map(|keys| keys.p256dh.as_str()),
            auth: self.keys.as_ref().map(|keys| keys.auth.as_str()),
            token: self.token.as_deref(),
            topic: self.topic.as_deref(),
        }
    }
}

fn app_server(web: &Web) -> Result<(Arc<AppServer>, Arc<dyn PushNetwork>), Problem> {
    let server = web.router().fact::<AppServer>();
    let both = server.and_then(|server| Some((server.clone(), server.network()?.clone())));
    both.ok_or_else(|| Problem::off("push notifications"))
}

/// The field as this API calls it, and what is required of it.
fn refused(WishRefused { field, why }: WishRefused) -> Problem {
    let path = match field {
        "p256dh" | "auth" => format!("keys.{field}"),
        field => field.to_owned(),
    };
    Problem::bad(format!("\"{path}\" {why}"))
}

/// `POST /api/push/subscribe`
pub(super) async fn subscribe(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Given(wanted): Given<Subscription>,
) -> Result<Response, Problem> {
    let (server, network) = app_server(&web)?;
    let endpoint = network.accept(&wanted.wish()).map_err(refused)?;
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
            let message = "this account has too many devices that are woken; end one of them first";
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
        "public_key": network.public_key(),
    });
    Ok(written(StatusCode::OK, &told))
}

/// `GET /api/push/subscribe`: oldest first.
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
) -> Result<Response, Problem> {
    let (server, network) = app_server(&web)?;
    let subscriptions = server.subscriptions(&caller.account).await?;
    let subscriptions: Vec<Value> = subscriptions.iter().map(|one| told(one, &*network)).collect();
    let told = json!({ "public_key": network.public_key(), "subscriptions": subscriptions });
    Ok(written(StatusCode::OK, &told))
}

/// `DELETE /api/push/subscribe/{id}`
pub(super) async fn unsubscribe(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Segment(id): Segment<String>,
) -> Result<Response, Problem> {
    let (server, _) = app_server(&web)?;
    if !server.unsubscribe(&caller.account, &id, web.router()).await? {
        let message = format!("you have no push subscription with the id \"{id}\"");
        return Err(Problem::not_found(message));
    }
    tracing::info!(event = "push_unsubscribed", account = %caller.account);
    Ok(written(StatusCode::OK, &json!({})))
}

/// A subscription for its owner. Of the address only the host is shown: the rest is a secret of the browser or app.
fn told(subscription: &PushSubscription, network: &dyn PushNetwork) -> Value {
    let kind = match subscription.endpoint.wire {
        Wire::Encrypted { .. } => "webpush",
        Wire::Plain => "unifiedpush",
        Wire::Fcm => "fcm",
        Wire::Apns { .. } => "apns",
    };
    let failure = subscription.failed.as_ref();
    json!({
        "id": subscription.tag.to_string(),
        "kind": kind,
        "host": network.host(&subscription.endpoint),
        "resource": subscription.resource,
        "since": subscription.since.to_string(),
        "last_success_at": subscription.taken_at.map(|at| at.to_string()),
        "last_failure": failure.map(|(at, why)| json!({ "at": at.to_string(), "reason": why })),
    })
}
