//! Stanzas that cross the border of this server: what an external component or another server sends comes in, and what no
//! session, account or service of this server is to get goes out.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::component::{AlreadyConnected, Component, Connected};
use crate::cx::{Cx, Origin, Outcome, Recipient};
use crate::error::{Condition, Fault, StanzaError, StreamCondition, StreamError};
use crate::events::{Entering, Leaving};
use crate::hook::Flow;
use crate::jid::Jid;
use crate::ns;
use crate::outbox::Parcel;
use crate::remote::{MayRepeat, Outbound, OutboundQueue, Outside, RowId};
use crate::stanza::{Kind, NotAStanza, PresenceType, Stanza};
use crate::wire::Element;

use super::{Destination, Router};

/// Permission to leave this server, which a [`Recipient`] elsewhere requires. Only this file can give it: to a stanza for which
/// [`Leaving`] has been raised, and to an error that goes back over the stream on which its cause came in.
#[derive(Clone, Debug)]
pub struct LetOut(());

/// Who sent what just came in, for an error about it. No hook has anything to decide there: the error shows its recipient
/// nothing but its own stanza.
fn back_to(outside: &Outside) -> Recipient {
    match outside {
        Outside::Component(component) => Recipient::Component(component.clone(), LetOut(())),
        Outside::Remote { .. } => Recipient::Remote(None, LetOut(())),
    }
}

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
            self.bounce_from(&component, &stanza).await;
        }
    }

    /// Takes a stanza that came in from outside, and says what may leave once the commits are done. It must have both
    /// addresses, and its `from` must belong to where it came from; otherwise the stream ends (RFC 6120 §4.9.3.7,
    /// §4.9.3.9; XEP-0114 §3). Another server reaches only what this server answers for: nothing is relayed.
    pub async fn receive(&self, outside: &Outside, stanza: Stanza) -> Outcome {
        let Some(mut cx) = self.cx_from(outside.origin()) else {
            return Outcome::default();
        };
        if let Err(condition) = self.may_enter(outside, &stanza) {
            cx.outcome.closing = Some(condition.into());
            return cx.outcome;
        }
        // One that waited is one that may have been tried.
        if let Outside::Remote { may_repeat, .. } = outside
            && (*may_repeat || stanza.has("delay", ns::DELAY))
        {
            cx.learn(MayRepeat);
        }
        let asked = stanza.clone();
        let mut entering = Entering { stanza };
        let routed = match self.raise(&mut entering, &mut cx).await {
            Ok(Flow::Done) => Ok(()),
            Ok(Flow::Next) => self.try_route(&mut entering.stanza, &mut cx).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = routed {
            cx.outcome.rows.clear();
            self.refuse(&entering.stanza, fault, &mut cx).await;
        }
        self.settle(cx, back_to(outside), asked).await
    }

    /// The same for an element on the first level of a stream from outside. An error ends the stream.
    pub async fn receive_element(&self, outside: &Outside, element: Element) -> Result<Outcome, StreamError> {
        match Stanza::from_element(element) {
            Ok(stanza) => Ok(self.receive(outside, stanza).await),
            Err(NotAStanza::Unsupported(_)) => Err(StreamCondition::UnsupportedStanzaType.into()),
            Err(NotAStanza::Refused(stanza, error)) => {
                self.may_enter(outside, &stanza)?;
                let mut outcome = Outcome::default();
                if let Some(answer) = error.answer(&stanza) {
                    outcome.deliver(back_to(outside), Arc::new(answer));
                }
                Ok(outcome)
            }
        }
    }

    fn may_enter(&self, outside: &Outside, stanza: &Stanza) -> Result<(), StreamCondition> {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else {
            return Err(StreamCondition::ImproperAddressing);
        };
        let is_forged = !outside.speaks_for(from);
        match outside {
            _ if is_forged => Err(StreamCondition::InvalidFrom),
            Outside::Component(_) => Ok(()),
            // A server of that name cannot be another one.
            Outside::Remote { domain, .. } if self.destination(domain) != Destination::Remote => {
                Err(StreamCondition::InvalidFrom)
            }
            Outside::Remote { .. } if self.destination(to.domain()) == Destination::Remote => {
                Err(StreamCondition::HostUnknown)
            }
            Outside::Remote { .. } => Ok(()),
        }
    }

    /// Why a request to a domain cannot be answered now, if it cannot.
    pub fn unreachable(&self, domain: &str) -> Option<Condition> {
        match self.destination(domain) {
            Destination::Users | Destination::Guests | Destination::Service(_) => None,
            Destination::Component => match self.components.get(domain) {
                Some(component) if component.is_connected() => None,
                _ => Some(Condition::ServiceUnavailable),
            },
            Destination::Remote => match self.remotes.get() {
                Some(remotes) => remotes.refusal(domain),
                None => Some(Condition::RemoteServerNotFound),
            },
        }
    }

    /// Lets a stanza out, if nobody minds.
    pub(super) async fn let_out(&self, stanza: &Stanza, to: Destination, cx: &mut Cx) -> Result<(), Fault> {
        let Some(domain) = stanza.to.as_ref().map(Jid::domain) else {
            return Ok(());
        };
        // What another server sends ends here, unless it is for a component of this one.
        if to == Destination::Remote && matches!(cx.origin, Origin::Remote(_)) && !self.is_own(stanza) {
            return Ok(());
        }
        if let Some(condition) = self.unreachable(domain) {
            // Nobody waits for an answer to these: who subscribed hears of the component when it is back.
            let is_silent = to == Destination::Component && is_news(stanza.kind);
            return if is_silent { Ok(()) } else { Err(condition.into()) };
        }
        let mut leaving = Leaving {
            stanza: stanza.clone(),
            to,
        };
        if self.raise(&mut leaving, cx).await? == Flow::Done {
            return Ok(());
        }
        let recipient = match self.components.get(domain) {
            Some(component) => Recipient::Component(component.clone(), LetOut(())),
            // Once all hooks have agreed.
            None => {
                let row = self.outbound.keep(&leaving.stanza, cx).await?;
                Recipient::Remote(row, LetOut(()))
            }
        };
        cx.outcome.deliver(recipient, Arc::new(leaving.stanza));
        Ok(())
    }

    /// Whether a stanza is from an address that this server answers for.
    fn is_own(&self, stanza: &Stanza) -> bool {
        let from = stanza.from.as_ref();
        from.is_none_or(|from| self.destination(from.domain()) != Destination::Remote)
    }

    /// What was let out reaches the program, or comes back.
    pub(super) async fn hand_over(&self, component: &Component, stanza: Arc<Stanza>, received: Timestamp) {
        if component.push(stanza.clone(), received).is_err() {
            self.bounce_from(component, &stanza).await;
        }
    }

    /// What was let out is on its way to another server, or comes back.
    pub(super) async fn send_away(&self, stanza: Arc<Stanza>, received: Timestamp, row: Option<RowId>) {
        let Some(remotes) = self.remotes.get() else { return };
        if self.outbound.is_lost(row) {
            return;
        }
        let outbound = Outbound {
            stanza,
            received,
            row,
        };
        if let Err(condition) = remotes.push(outbound.clone()) {
            self.outbound.failed(&outbound, condition).await;
        }
    }

    /// The messages that wait for other servers.
    pub fn outbound(&self) -> &OutboundQueue {
        &self.outbound
    }

    /// A program did not take a stanza. Its own come back to nobody.
    async fn bounce_from(&self, component: &Component, stanza: &Stanza) {
        let from = stanza.from.as_ref();
        if !from.is_some_and(|from| component.speaks_for(from)) {
            self.bounce(stanza, Condition::ServiceUnavailable).await;
        }
    }

    /// A stanza that was let out comes back to its sender. Presence that tells how somebody is, answers and errors do not.
    pub async fn bounce(&self, stanza: &Stanza, condition: Condition) {
        if is_news(stanza.kind) {
            return;
        }
        let (Some(answer), Some(mut cx)) = (StanzaError::new(condition).answer(stanza), self.cx()) else {
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
