//! The last stretch: what has been settled reaches sessions' outboxes, and what a session could not take finds
//! another way.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::cx::{Outcome, Recipient};
use crate::error::{Condition, Fault, StanzaError};
use crate::events::{Delivery, MayWait, Waits};
use crate::hook::Flow;
use crate::jid::BareJid;
use crate::session::{Mark, Parcel, Resource, Session, SessionCard};
use crate::stanza::{IqType, Kind, MessageType, Stanza};

use super::Router;

/// Seconds from which on a message is late.
const LATE_SECONDS: u64 = 1;

/// Marks a stanza that is on its way for the second time because the session that was to get it ended first: it
/// is in the archive already.
pub struct Redelivered;

/// Beside [`Redelivered`]: the session that was to get it is gone. Others may have had it when it came ([`Session::took_at`]).
#[derive(Clone, Copy, Debug)]
pub struct Missed {
    /// When it was received first.
    pub received: Timestamp,
    /// The account's archive has it since then, so it is not lost, whatever becomes of this copy.
    pub is_archived: bool,
}

impl Router {
    /// Waits for the commits of an outcome and delivers. Nothing leaves if a commit failed: the sender is told
    /// instead. Either way the stanza has been dealt with then.
    pub async fn perform(&self, mut outcome: Outcome) {
        outcome.settled().await;
        let failure = outcome.failure();
        if let Some(error) = failure.clone() {
            tracing::error!(event = "commit_failed", %error);
            outcome.deliveries.clear();
            if let Some((asker, stanza)) = outcome.asked.take()
                && let Some(answer) = Fault::from(error).as_stanza_error().answer(&stanza)
            {
                outcome.deliver(asker, Arc::new(answer));
            }
        }
        let received = outcome.received.unwrap_or_else(|| self.clock.now());
        for (recipient, stanza) in outcome.deliveries {
            match recipient {
                Recipient::Session(session) => self.deliver(session, stanza, received).await,
                Recipient::Node(card) => self.deliver_elsewhere(&card, stanza, received).await,
                Recipient::Component(component, _) => self.hand_over(&component, stanza, received).await,
                Recipient::Remote(row, _) => self.send_away(stanza, received, row).await,
                Recipient::Away(account) => self.tell_waiting(account, None, stanza).await,
            }
        }
        if let Some(tally) = outcome.counted.as_ref().and_then(|session| session.tally()) {
            tally.count();
        }
        for afterwards in outcome.afterwards {
            afterwards(failure.clone().map_or(Ok(()), Err));
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
        if session.outbox.push(stanza.clone(), received).is_err() {
            self.reroute(&session, Parcel::of(stanza, received)).await;
        } else if session.is_parked() {
            let account = session.account.clone();
            self.tell_waiting(account, Some(session), stanza).await;
        } else if session.has(Mark::Push)
            && let Some(chain) = self.chain::<MayWait>()
            && let Some(mut cx) = self.cx()
        {
            let mut event = MayWait { session, stanza };
            self.log_fault("may_wait_unheard", chain.tell(&mut event, &mut cx).await.err());
            Box::pin(self.finish(cx)).await;
        }
    }

    async fn deliver_elsewhere(&self, card: &SessionCard, stanza: Arc<Stanza>, received: Timestamp) {
        if self.cluster.deliver(card, &stanza).is_err() {
            self.reroute(card, Parcel::of(stanza, received)).await;
        }
    }

    /// The one place that tells of stanzas that wait.
    async fn tell_waiting(&self, account: BareJid, session: Option<Arc<Session>>, stanza: Arc<Stanza>) {
        let Some(chain) = self.chain::<Waits>() else {
            return;
        };
        let Some(mut cx) = self.cx() else { return };
        let mut waits = Waits {
            account,
            session,
            stanza,
        };
        self.log_fault("waiting_unheard", chain.tell(&mut waits, &mut cx).await.err());
        Box::pin(self.finish(cx)).await;
    }

    /// What a session's client never took, or never confirmed. A request comes back; a message that was sent to the full JID
    /// was this session's alone; of one sent to the bare JID, other sessions have it if there are any.
    pub(super) async fn reroute(&self, session: &SessionCard, parcel: Parcel) {
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
                // What the account's own server told this client alone (an archive's page) means nothing to others.
                if stanza.from.as_ref().is_none_or(|from| *from == *session.account) {
                    return;
                }
                let only_here = stanza.to.as_ref().is_some_and(|to| !to.is_bare());
                if !only_here && self.others_have(session, parcel.received).await {
                    return;
                }
                let mut again = Stanza::clone(&stanza);
                stamp_late(session, &mut again, parcel.received, cx.received);
                // It keeps its place among those that wait.
                cx.received = parcel.received;
                cx.learn(Redelivered);
                cx.learn(Missed {
                    received: parcel.received,
                    is_archived: stanza.is_archived_by(&session.account),
                });
                cx.send(again);
            }
            _ => return,
        }
        Box::pin(self.finish(cx)).await;
    }

    /// Whether a message to the bare JID that a session did not take reached others of the account, those that were there
    /// when it came. The session itself may still be registered: it is closed, and its end not yet told.
    async fn others_have(&self, session: &SessionCard, received: Timestamp) -> bool {
        let has_it = |other: &Resource| {
            let takes = other.here().is_none_or(|here| !here.outbox.is_closed());
            other.id != session.id && takes && other.took_at(received)
        };
        self.sessions_of(&session.account).await.iter().any(has_it)
    }
}

/// A message that comes late says since when it waited (XEP-0203 §4), unless it says so already.
pub(super) fn stamp_late(
    session: &SessionCard,
    stanza: &mut Stanza,
    received: Timestamp,
    now: Timestamp,
) -> bool {
    now.seconds_since(received) >= LATE_SECONDS && stanza.say_delay(session.account.domain(), received)
}
