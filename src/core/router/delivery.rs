//! The last stretch: what has been settled reaches sessions' outboxes, and what a session could not take finds
//! another way.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::cx::Outcome;
use crate::error::Fault;
use crate::events::Delivery;
use crate::hook::Flow;
use crate::session::Session;
use crate::stanza::{Kind, MessageType, Stanza};

use super::Router;

/// Marks a stanza that is on its way for the second time because the session that was to get it ended first: it
/// is in the archive already.
pub struct Redelivered;

impl Router {
    /// Waits for the commits of an outcome and delivers. Nothing leaves if a commit failed: the sender is told
    /// instead.
    pub async fn perform(&self, mut outcome: Outcome) {
        outcome.settled().await;
        if let Some(error) = outcome.failure() {
            tracing::error!(event = "commit_failed", %error);
            outcome.deliveries.clear();
            if let Some((session, stanza)) = outcome.asked
                && let Some(answer) = Fault::from(error).as_stanza_error().answer(&stanza)
            {
                outcome.deliveries.push((session, Arc::new(answer)));
            }
        }
        let received = outcome.received.unwrap_or_else(|| self.clock.now());
        for (session, stanza) in outcome.deliveries {
            self.deliver(session, stanza, received).await;
        }
    }

    async fn deliver(&self, session: Arc<Session>, stanza: Arc<Stanza>, received: Timestamp) {
        if let Some(chain) = self.chain::<Delivery>()
            && let Some(mut cx) = self.cx()
        {
            let mut delivery = Delivery {
                stanza: stanza.clone(),
                session: session.clone(),
            };
            let flow = chain.run(&mut delivery, &mut cx).await;
            Box::pin(self.finish(cx)).await;
            match flow {
                Ok(Flow::Next) => {}
                Ok(Flow::Done) => return,
                Err(fault) => return self.log_fault("delivery_failed", Some(fault)),
            }
        }
        let taken = if self.cluster.is_elsewhere(&session) {
            self.cluster.deliver(&session, &stanza)
        } else {
            session.outbox.push(stanza.clone(), received)
        };
        if taken.is_err() {
            self.reroute(&session, &stanza, received).await;
        }
    }

    /// A message that a session's socket never took. Sent to the full JID it was this session's alone; sent to the
    /// bare JID, other sessions have it if there are any. It keeps the time at which it was received, and with it its
    /// place among those that wait.
    pub(super) async fn reroute(&self, session: &Session, stanza: &Arc<Stanza>, received: Timestamp) {
        let Kind::Message(kind) = stanza.kind else { return };
        if matches!(
            kind,
            MessageType::Error | MessageType::Headline | MessageType::Groupchat
        ) {
            return;
        }
        let only_here = stanza.to.as_ref().is_some_and(|to| !to.is_bare());
        // The session itself may still be registered: it is closed, and its end not yet told.
        let has_it = |other: &Arc<Session>| {
            other.id != session.id
                && !other.outbox.is_closed()
                && other.priority().is_some_and(|priority| priority >= 0)
        };
        if !only_here && self.sessions_of(&session.account).await.iter().any(has_it) {
            return;
        }
        if let Some(mut cx) = self.cx() {
            cx.received = received;
            cx.learn(Redelivered);
            cx.send(Stanza::clone(stanza));
            Box::pin(self.finish(cx)).await;
        }
    }
}
