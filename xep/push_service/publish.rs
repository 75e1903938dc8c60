//! What an account's server publishes for one of its clients (XEP-0357 §7), carried to the client's push service. The answer
//! comes when the push service has answered, so that whoever publishes knows whether to try again (§7.1).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::jid::BareJid;
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::ns;
use kim_core::router::{Destination, Router};
use kim_core::stanza::{IqType, Kind};
use kim_core::wire::El;

use super::api::{AppServer, Told, Urgency, Wake, Wire, Woken};
use super::{NS, PUBSUB};
use crate::xep0004_forms::api::Form;
use crate::xep0357_push::api::PRIORITY;

pub(super) struct Publish(pub Arc<AppServer>);

impl HandleIq for Publish {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        // Only servers write in an account's own name, and only this one wakes for its accounts.
        if !iq.from.is_bare() || cx.router().destination(iq.from.domain()) != Destination::Users {
            let text = "this service takes push notifications only from this server";
            return Err(StanzaError::new(Condition::Forbidden).text(text).into());
        }
        let publish = iq.payload.child("publish", PUBSUB);
        let publish = publish.ok_or(Condition::FeatureNotImplemented)?;
        let notification = publish
            .child("item", PUBSUB)
            .and_then(|item| item.child("notification", NS));
        let (Some(node), Some(notification)) = (publish.attr("node"), notification) else {
            let text = "a node and a notification are required";
            return Err(StanzaError::new(Condition::BadRequest).text(text).into());
        };
        let account = iq.from.bare();
        let Ok(tag) = node.parse() else {
            return Err(Condition::ItemNotFound.into());
        };
        let Ok(place) = self.0.underway.clone().try_acquire_owned() else {
            let text = "too many notifications are on their way; try again later";
            return Err(later(Condition::ResourceConstraint, text).into());
        };
        let priority = notification
            .child("priority", PRIORITY)
            .map(|priority| priority.text());
        let urgency = match priority.as_deref() {
            Some("high") => Urgency::High,
            Some("low") => Urgency::Low,
            _ => Urgency::Normal,
        };
        let news = News {
            account,
            tag,
            urgency,
            told: told(notification)?,
        };
        let (server, router, request) = (self.0.clone(), cx.router().clone(), iq.stanza.clone());
        // Whoever wrote the message does not wait for a push service.
        tokio::spawn(async move {
            let answer = match carry(&server, &news, &router).await {
                Ok(None) => Some(request.reply(Kind::Iq(IqType::Result), "")),
                Ok(Some(error)) => error.answer(&request),
                Err(fault) => {
                    tracing::error!(event = "push_not_carried", %fault);
                    later(Condition::InternalServerError, "try again later").answer(&request)
                }
            };
            drop(place);
            let (Some(answer), Some(mut cx)) = (answer, router.cx()) else {
                return;
            };
            cx.send(answer);
            router.finish(cx).await;
        });
        Ok(Reply::Silent)
    }
}

/// A notification for one subscription.
struct News {
    account: BareJid,
    tag: i64,
    urgency: Urgency,
    told: Told,
}

/// What the summary says (XEP-0357 §7).
fn told(notification: El<'_>) -> Result<Told, Fault> {
    let Some(x) = notification.child("x", ns::DATA) else {
        return Ok(Told::default());
    };
    let form = Form::read(x)?;
    let count = |field| form.value(field).and_then(|text| text.parse().ok());
    let text = |field| form.value(field).map(str::to_owned);
    Ok(Told {
        messages: count("message-count"),
        requests: count("pending-subscription-count"),
        from: text("last-message-sender"),
        text: text("last-message-body"),
    })
}

fn later(condition: Condition, text: &'static str) -> StanzaError {
    StanzaError::new(condition).kind(ErrorType::Wait).text(text)
}

/// `None`: the push service took it.
async fn carry(server: &AppServer, news: &News, router: &Router) -> Result<Option<StanzaError>, Fault> {
    let (account, tag) = (&news.account, news.tag);
    let Some(subscription) = server.subscriptions.get(account, tag).await? else {
        return Ok(Some(StanzaError::new(Condition::ItemNotFound)));
    };
    let Some(network) = server.network() else {
        return Ok(Some(StanzaError::new(Condition::ServiceUnavailable)));
    };
    // What is not encrypted for the subscriber says little to those that Google and Apple carry it for, and nothing to others.
    let told = match subscription.endpoint.wire {
        Wire::Encrypted { .. } => Some(news.told.clone()),
        Wire::Fcm | Wire::Apns { .. } => Some(news.told.counts()),
        Wire::Plain => None,
    };
    let woken = network
        .wake(Wake {
            endpoint: &subscription.endpoint,
            urgency: news.urgency,
            told: told.as_ref(),
        })
        .await;
    let now = router.clock().now();
    let store = &server.subscriptions.store;
    match (&woken, woken.failure()) {
        (Woken::Over(_), Some(why)) => {
            tracing::info!(event = "push_subscription_ended", %account, why);
            store.remove(account, tag).await?;
        }
        (_, Some(why)) => store.failed(account, tag, now, &why).await?,
        (_, None) => store.taken(account, tag, now).await?,
    }
    Ok(match woken {
        Woken::Taken => None,
        Woken::Over(_) => Some(StanzaError::new(Condition::ItemNotFound)),
        Woken::Useless(_) => Some(StanzaError::new(Condition::NotAcceptable)),
        Woken::NotNow(..) => Some(later(
            Condition::ResourceConstraint,
            "the push service asked to wait",
        )),
        Woken::Unreachable(why) => Some(later(Condition::RemoteServerTimeout, why)),
    })
}
