//! Stanzas that cross the border of this server: what an external component sends comes in, and what no session, account or
//! service of this server is to get goes out.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::component::{AlreadyConnected, Component, Connected};
use crate::cx::{Cx, Origin, Outcome, Recipient};
use crate::error::{Condition, Fault, StanzaError, StreamCondition};
use crate::events::Leaving;
use crate::hook::Flow;
use crate::outbox::Parcel;
use crate::stanza::{Kind, PresenceType, Stanza};

use super::{Destination, Router};

impl Router {
    /// Connects a program for the component of that domain; nothing where the configuration has none.
    pub fn connect_component(&self, domain: &str) -> Option<Result<Connected, AlreadyConnected>> {
        let outbox_bytes_max = self.limits.now().component_outbox_bytes_max;
        Some(self.components.get(domain)?.connect(outbox_bytes_max))
    }

    /// A program is gone, or its connection is. What it never took comes back to those who sent it.
    pub async fn disconnect_component(&self, connected: Connected) {
        let component = connected.component().clone();
        let outbox = connected.outbox().clone();
        outbox.close(StreamCondition::ConnectionTimeout.into());
        drop(connected);
        let (unwritten, _) = outbox.take();
        for stanza in unwritten.into_iter().filter_map(|parcel: Parcel| parcel.stanza) {
            self.bounce(&component, &stanza).await;
        }
    }

    /// Takes a stanza that came in from outside, and says what may leave once the commits are done. It must have both
    /// addresses, and its `from` must belong to where it came from; otherwise the stream ends (RFC 6120 §4.9.3.7,
    /// §4.9.3.9; XEP-0114 §3).
    pub async fn receive(&self, component: &Arc<Component>, mut stanza: Stanza) -> Outcome {
        let Some(mut cx) = self.cx_from(Origin::Component(component.clone())) else {
            return Outcome::default();
        };
        let (Some(from), Some(_)) = (&stanza.from, &stanza.to) else {
            cx.outcome.closing = Some(StreamCondition::ImproperAddressing.into());
            return cx.outcome;
        };
        if !component.speaks_for(from) {
            cx.outcome.closing = Some(StreamCondition::InvalidFrom.into());
            return cx.outcome;
        }
        let asked = stanza.clone();
        if let Err(fault) = self.try_route(&mut stanza, &mut cx).await {
            cx.outcome.rows.clear();
            self.refuse(&stanza, fault, &mut cx).await;
        }
        self.settle(cx, Recipient::Component(component.clone()), asked)
            .await
    }

    /// Answers a component's stanza that could not even be read as one.
    pub fn reject_from(&self, component: &Arc<Component>, stanza: &Stanza, error: &StanzaError) -> Outcome {
        let mut outcome = Outcome::default();
        if let Some(answer) = error.answer(stanza) {
            outcome.deliver(Recipient::Component(component.clone()), Arc::new(answer));
        }
        outcome
    }

    /// Why a request to a domain cannot be answered now, if it cannot.
    pub fn unreachable(&self, domain: &str) -> Option<Condition> {
        match self.destination(domain) {
            Destination::Users | Destination::Guests | Destination::Service(_) => None,
            Destination::Component => match self.components.get(domain) {
                Some(component) if component.is_connected() => None,
                _ => Some(Condition::ServiceUnavailable),
            },
            Destination::Remote => Some(Condition::RemoteServerNotFound),
        }
    }

    /// Lets a stanza out, if nobody minds.
    pub(super) async fn let_out(&self, stanza: &Stanza, to: Destination, cx: &mut Cx) -> Result<(), Fault> {
        let mut leaving = Leaving {
            stanza: stanza.clone(),
            to,
        };
        if self.raise(&mut leaving, cx).await? == Flow::Done {
            return Ok(());
        }
        let stanza = leaving.stanza;
        let component = stanza.to.as_ref().and_then(|to| self.components.get(to.domain()));
        match component {
            None => Err(Condition::RemoteServerNotFound.into()),
            Some(component) if component.is_connected() => {
                let recipient = Recipient::Component(component.clone());
                cx.outcome.deliver(recipient, Arc::new(stanza));
                Ok(())
            }
            // Nobody waits for an answer to these: who subscribed hears of the component when it is back.
            Some(_) if is_news(stanza.kind) => Ok(()),
            Some(_) => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// What was let out reaches the program, or comes back.
    pub(super) async fn hand_over(&self, component: &Component, stanza: Arc<Stanza>, received: Timestamp) {
        if component.push(stanza.clone(), received).is_err() {
            self.bounce(component, &stanza).await;
        }
    }

    /// A program did not take a stanza. Its own come back to nobody.
    async fn bounce(&self, component: &Component, stanza: &Stanza) {
        let is_own = stanza
            .from
            .as_ref()
            .is_some_and(|from| component.speaks_for(from));
        if is_own || is_news(stanza.kind) {
            return;
        }
        let error = StanzaError::new(Condition::ServiceUnavailable);
        let (Some(answer), Some(mut cx)) = (error.answer(stanza), self.cx()) else {
            return;
        };
        cx.send(answer);
        Box::pin(self.finish(cx)).await;
    }
}

/// A presence that tells or asks how somebody is.
fn is_news(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Presence(PresenceType::Available | PresenceType::Unavailable | PresenceType::Probe)
    )
}
