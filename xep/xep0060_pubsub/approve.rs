//! Approving subscriptions at nodes with the access model `authorize` (§8.6): the owners get a form, and one of them sends
//! it back.

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::events::{Departure, ServiceArrival};
use kim_core::hook::{Flow, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::ns::DATA;
use kim_core::stanza::{Kind, MessageType, Stanza};
use std::sync::Arc;

use super::engine::Engine;
use super::home::{Node, Subscription, SubscriptionState};
use super::names::SERVICE;
use super::{errors, notify};
use crate::xep0004_forms::api::{Form, FormKind, Sheet};

/// The form's type.
const AUTHORIZATION: &str = "http://jabber.org/protocol/pubsub#subscribe_authorization";

impl Engine {
    /// Asks the owners of a node to approve a subscription.
    pub(super) fn ask_owners(&self, owner: &BareJid, node: &Node, wanted: &Subscription, cx: &mut Cx) {
        let form = Sheet::new(FormKind::Form, AUTHORIZATION)
            .title("Subscription request")
            .instructions("Allow this address to subscribe to the node?")
            .field("pubsub#subid", "hidden", "", &[&wanted.subid])
            .line("pubsub#node", "Node", &node.name)
            .field(
                "pubsub#subscriber_jid",
                "jid-single",
                "Subscriber",
                &[wanted.jid.as_str()],
            )
            .boolean("pubsub#allow", "Allow", false)
            .xml();
        let question = Stanza::new(Kind::Message(MessageType::Normal), &form);
        let question = question.from(owner.clone()).id(&*wanted.subid);
        for to in Engine::owners(owner, node) {
            cx.send(question.clone().to(to));
        }
    }

    /// Takes an owner's decision. Nothing is said to somebody who is none.
    async fn decide(
        &self,
        owner: &BareJid,
        from: &Jid,
        message: &Stanza,
        cx: &mut Cx,
    ) -> Result<bool, Fault> {
        let Some(x) = message.child("x", DATA).filter(|_| !message.kind.is_error()) else {
            return Ok(false);
        };
        let Ok(form) = Form::read(x) else { return Ok(false) };
        if form.value("FORM_TYPE") != Some(AUTHORIZATION) || form.kind == FormKind::Form {
            return Ok(false);
        }
        if form.kind == FormKind::Cancel {
            return Ok(true);
        }
        let name = form.value("pubsub#node").ok_or_else(errors::node_required)?;
        let jid = form
            .value("pubsub#subscriber_jid")
            .and_then(|jid| Jid::parse(jid).ok());
        let jid = jid.ok_or_else(errors::invalid_jid)?;
        let allow = form.boolean("pubsub#allow")?.ok_or(Condition::BadRequest)?;
        let node = self.owned(cx.router(), owner, name, from).await?;
        let Some(wanted) = node
            .subscription(&jid)
            .filter(|wanted| wanted.state == SubscriptionState::Pending)
        else {
            return Err(errors::no_subscriber().into());
        };
        let state = allow.then_some(SubscriptionState::Subscribed);
        let node = self
            .set_subscriptions(owner, name, &[(wanted.clone(), state)])
            .await?;
        cx.send(notify::of_subscription(
            owner,
            &node,
            &jid,
            state.map_or("none", SubscriptionState::as_str),
        ));
        Ok(true)
    }
}

/// Hears decisions about nodes of the service.
pub struct AtService(pub Arc<Engine>);

impl On<ServiceArrival> for AtService {
    async fn on(&self, arrival: &mut ServiceArrival, cx: &mut Cx) -> Result<Flow, Fault> {
        if arrival.service != SERVICE || !matches!(arrival.stanza.kind, Kind::Message(_)) {
            return Ok(Flow::Next);
        }
        if arrival.stanza.kind.is_error() {
            // A notification that somebody could not take.
            return Ok(Flow::Done);
        }
        if arrival.to.local().is_some() {
            return Ok(Flow::Next);
        }
        let (owner, from) = (arrival.to.bare(), arrival.from.clone());
        let decided = self.0.decide(&owner, &from, &arrival.stanza, cx).await?;
        Ok(if decided { Flow::Done } else { Flow::Next })
    }
}

/// Hears decisions about nodes of an account, which its owner sends to the own bare JID.
pub struct AtAccount(pub Arc<Engine>);

impl On<Departure> for AtAccount {
    async fn on(&self, departure: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let (session, stanza) = (&departure.session, &departure.stanza);
        let to_own = stanza
            .to
            .as_ref()
            .is_some_and(|to| to.is_bare() && to.as_str() == session.account.as_str());
        if session.guest || !to_own || !matches!(stanza.kind, Kind::Message(_)) || !stanza.has("x", DATA) {
            return Ok(Flow::Next);
        }
        let (owner, from) = (session.account.clone(), session.jid.clone());
        let decided = self.0.decide(&owner, &from, stanza, cx).await?;
        Ok(if decided { Flow::Done } else { Flow::Next })
    }
}
