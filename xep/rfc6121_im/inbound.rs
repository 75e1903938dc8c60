//! Presence that arrives at an account (RFC 6121 §3, §4.3, §8.5.2.1.2, appendix A.3).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{Arrival, Verdict};
use kim_core::hook::{Flow, On};
use kim_core::router::{Destination, Router};
use kim_core::session::{Mark, Resource, Resources};
use kim_core::stanza::{Kind, PresenceType};
use smallvec::SmallVec;

use super::change::Edit;
use super::directed::Directed;
use super::rosters::Rosters;
use super::subscription::Act;
use super::{follow, kept, probe};

/// The largest request that is kept as it came. Of a larger one only who asked is kept.
const REQUEST_BYTES_MAX: usize = 4096;

/// Says who gets a presence that arrives.
pub struct IncomingPresence(pub Arc<Rosters>);

impl On<Arrival> for IncomingPresence {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let Kind::Presence(kind) = event.stanza.kind else {
            return Ok(Flow::Next);
        };
        if !matches!(event.verdict, Verdict::Open) {
            return Ok(Flow::Next);
        }
        let router = cx.router().clone();
        event.verdict = match (follow::act(kind), kind) {
            // Boxed, so that the future stays small for all that is no presence.
            (Some(act), _) => Box::pin(self.subscription(&router, event, act, cx)).await?,
            (None, PresenceType::Probe) => {
                Box::pin(probe::answer(&self.0, &router, event, cx)).await?;
                Verdict::Dropped
            }
            (None, PresenceType::Error) if is_to_bare(event) => self.unanswered(&router, event).await?,
            (None, _) => plain(&router, event).await,
        };
        Ok(Flow::Next)
    }
}

impl IncomingPresence {
    async fn subscription(
        &self,
        router: &Arc<Router>,
        event: &mut Arrival,
        act: Act,
        cx: &mut Cx,
    ) -> Result<Verdict, Fault> {
        let account = event.account.clone();
        let Some(contact) = event.stanza.from.as_ref().map(|from| from.bare()) else {
            return Ok(Verdict::Dropped);
        };
        if contact == account || router.destination(account.domain()) != Destination::Users {
            return Ok(Verdict::Dropped);
        }
        event.stanza.from = Some(contact.clone().into());
        event.stanza.to = Some(account.clone().into());
        let request = (act == Act::Subscribe && event.stanza.weight_bytes() <= REQUEST_BYTES_MAX)
            .then(|| kept::to_bytes(&event.stanza));
        let changed = match self
            .0
            .change(router, &account, &contact, Edit::Inbound(act, request))
            .await
        {
            Ok(changed) => changed,
            // Too many requests wait: what the sender could be told depends on what others sent.
            Err(Fault::Stanza(error)) => {
                tracing::info!(event = "subscription_request_refused", ?error);
                return Ok(Verdict::Dropped);
            }
            Err(fault) => return Err(fault),
        };
        follow::to_contact(router, &account, &contact, &changed.follow, cx).await;
        if !changed.follow.pass {
            return Ok(Verdict::Dropped);
        }
        // §3.1.3: a request goes to all available resources; everything else to those that asked for the roster.
        let wanted = |session: &Resource| match act {
            Act::Subscribe => session.priority().is_some(),
            _ => session.has(Mark::Roster),
        };
        Ok(chosen(
            router
                .sessions_of(&account)
                .await
                .into_iter()
                .filter(wanted)
                .collect(),
        ))
    }
}

impl IncomingPresence {
    /// An error to the bare JID is about what was sent from there: subscription stanzas (§3.1.2). If the account waits for this
    /// contact's answer, none will come: its available resources hear why, and the roster no longer says so. Others are dropped.
    async fn unanswered(&self, router: &Arc<Router>, event: &Arrival) -> Result<Verdict, Fault> {
        let account = &event.account;
        let Some(contact) = event.stanza.from.as_ref().map(|from| from.bare()) else {
            return Ok(Verdict::Dropped);
        };
        let item = match router.destination(account.domain()) {
            Destination::Users => self.0.item(router, account, &contact).await?,
            _ => None,
        };
        if item.is_none_or(|item| !item.state.is_asking()) {
            return Ok(Verdict::Dropped);
        }
        self.0
            .change(router, account, &contact, Edit::Unreachable)
            .await?;
        Ok(to_available(router, event).await)
    }
}

fn is_to_bare(event: &Arrival) -> bool {
    event.stanza.to.as_ref().is_some_and(|to| to.is_bare())
}

async fn to_available(router: &Router, event: &Arrival) -> Verdict {
    let sessions = router.sessions_of(&event.account).await;
    let available = sessions
        .into_iter()
        .filter(|session| session.priority().is_some());
    chosen(available.collect())
}

/// Presence: to the bare JID for every available resource, to a full JID for that one, and so are errors.
async fn plain(router: &Router, event: &Arrival) -> Verdict {
    let Some(to) = event.stanza.to.as_ref() else {
        return Verdict::Dropped;
    };
    if to.is_bare() {
        return to_available(router, event).await;
    }
    let sessions = router.sessions_of(&event.account).await;
    let Some(session) = sessions.into_iter().find(|session| session.jid == *to) else {
        return Verdict::Dropped;
    };
    if event.stanza.kind != Kind::Presence(PresenceType::Available)
        && let Some(from) = &event.stanza.from
        && let Some(session) = session.here()
    {
        Directed::remove(session, from);
    }
    Verdict::Chosen(SmallVec::from_iter([session]))
}

fn chosen(sessions: Resources) -> Verdict {
    if sessions.is_empty() {
        Verdict::Dropped
    } else {
        Verdict::Chosen(sessions)
    }
}
