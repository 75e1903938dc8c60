//! The last stretch: what has been settled reaches sessions' outboxes, and what a session could not take finds
//! another way.

use std::sync::Arc;

use crate::cx::Outcome;
use crate::error::{Condition, Fault, StanzaError};
use crate::events::Delivery;
use crate::hook::Flow;
use crate::ns;
use crate::session::{Parcel, Session};
use crate::stanza::{IqType, Kind, MessageType, Stanza, delay};

use super::Router;

/// Marks a stanza that is on its way for the second time because the session that was to get it ended first: it
/// is in the archive already.
pub struct Redelivered;

impl Router {
    /// Waits for the commits of an outcome and delivers. Nothing leaves if a commit failed: the sender is told
    /// instead. Either way the stanza has been dealt with then.
    pub async fn perform(&self, mut outcome: Outcome) {
        outcome.settled().await;
        let failure = outcome.failure();
        if let Some(error) = failure.clone() {
            tracing::error!(event = "commit_failed", %error);
            outcome.deliveries.clear();
            if let Some((session, stanza)) = outcome.asked
                && let Some(answer) = Fault::from(error).as_stanza_error().answer(&stanza)
            {
                outcome.deliveries.push((session, Arc::new(answer)));
            }
        }
        for (session, stanza) in outcome.deliveries {
            self.deliver(session, stanza).await;
        }
        if let Some(tally) = outcome.counted.as_ref().and_then(|session| session.tally()) {
            tally.count();
        }
        if let Some(afterwards) = outcome.afterwards {
            afterwards(failure.map_or(Ok(()), Err));
        }
    }

    async fn deliver(&self, session: Arc<Session>, stanza: Arc<Stanza>) {
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
            session.outbox.push(stanza.clone())
        };
        if taken.is_err() {
            self.reroute(&session, Parcel::of(stanza)).await;
        }
    }

    /// What a session's client never took, or never confirmed. A request comes back; a message that was sent to the full JID
    /// was this session's alone; of one sent to the bare JID, other sessions have it if there are any.
    pub(super) async fn reroute(&self, session: &Session, parcel: Parcel) {
        let Some(stanza) = parcel.stanza else { return };
        let Some(mut cx) = self.cx() else { return };
        match stanza.kind {
            Kind::Iq(IqType::Get | IqType::Set) => {
                // RFC 6121 §8.5.3.2.3
                let error = StanzaError::new(Condition::ServiceUnavailable);
                match error.answer(&stanza) {
                    Some(answer) => cx.send(answer),
                    None => return,
                }
            }
            Kind::Message(MessageType::Normal | MessageType::Chat) => {
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
                let mut again = Stanza::clone(&stanza);
                if let Some(since) = parcel.since {
                    // XEP-0203 §4; and wherever it waits now, it keeps its place by then.
                    cx.received = since;
                    if !again.has("delay", ns::DELAY) {
                        again.append(&delay(session.account.domain(), since));
                    }
                }
                cx.learn(Redelivered);
                cx.send(again);
            }
            _ => return,
        }
        Box::pin(self.finish(cx)).await;
    }
}
