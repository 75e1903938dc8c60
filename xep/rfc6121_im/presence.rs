//! Presence that leaves: initial presence, broadcasts, the end (RFC 6121 §4.2, §4.4, §4.5).

use std::collections::HashSet;
use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::events::{Departure, SessionEnded};
use kim_core::hook::{Flow, Hear, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::router::{Destination, Router};
use kim_core::session::{Presence, Session};
use kim_core::stanza::{Kind, PresenceType, Stanza};

use super::api::{Audience, PresenceChanged};
use super::directed::Directed;
use super::item::Roster;
use super::offline::Offline;
use super::outbound::SubscriptionRequests;
use super::rosters::Rosters;
use super::{follow, kept, probe};

/// The largest presence: it is kept for every session, and sent to all subscribers.
const PRESENCE_BYTES_MAX: usize = 16_384;

/// Hears every presence that a client sends.
#[derive(Clone)]
pub struct OutgoingPresence {
    /// The rosters.
    pub rosters: Arc<Rosters>,
    /// Messages that wait.
    pub offline: Arc<Offline>,
    /// How often accounts may ask for others' presence.
    pub requests: Arc<SubscriptionRequests>,
}

impl OutgoingPresence {
    /// Nobody has asked for presence yet.
    pub fn new(rosters: Arc<Rosters>, offline: Arc<Offline>) -> OutgoingPresence {
        OutgoingPresence {
            rosters,
            offline,
            requests: Arc::new(SubscriptionRequests::new()),
        }
    }
}

impl On<Departure> for OutgoingPresence {
    async fn on(&self, event: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        match event.stanza.kind {
            // Boxed, so that the future stays small for all that is no presence.
            Kind::Presence(kind) => Box::pin(self.presence(kind, event, cx)).await,
            Kind::Message(_) | Kind::Iq(_) => Ok(Flow::Next),
        }
    }
}

impl OutgoingPresence {
    async fn presence(&self, kind: PresenceType, event: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let session = event.session.clone();
        let router = cx.router().clone();
        if let Some(act) = follow::act(kind) {
            let to = event.stanza.to.clone().ok_or(Condition::BadRequest)?;
            self.subscription(&router, &session, &event.stanza, &to.bare(), act, cx)
                .await?;
            return Ok(Flow::Done);
        }
        match (kind, event.stanza.to.clone()) {
            (PresenceType::Available, None) => {
                self.available(&router, &session, event.stanza.clone(), cx)
                    .await?;
                Ok(Flow::Done)
            }
            (PresenceType::Available, Some(to)) => {
                limit_size(&event.stanza)?;
                Directed::add(&session, &to, router.limits().directed_presences_max)?;
                Ok(Flow::Next)
            }
            (PresenceType::Unavailable, None) => {
                self.unavailable(&router, &session, event.stanza.clone(), cx)
                    .await?;
                Ok(Flow::Done)
            }
            (PresenceType::Unavailable, Some(to)) => {
                Directed::remove(&session, &to);
                Ok(Flow::Next)
            }
            (PresenceType::Probe, Some(to)) if probe::is_allowed(&self.rosters, &session, &to).await? => {
                Ok(Flow::Next)
            }
            (PresenceType::Error, Some(_)) => Ok(Flow::Next),
            // A probe of a stranger or of nobody, an error for nobody: there is nothing to say to that.
            _ => Ok(Flow::Done),
        }
    }
}

impl Hear<SessionEnded> for OutgoingPresence {
    async fn hear(&self, event: &mut SessionEnded, cx: &mut Cx) -> Result<(), Fault> {
        let router = cx.router().clone();
        let gone = follow::unavailable(&event.session);
        self.unavailable(&router, &event.session, gone, cx).await?;
        Ok(())
    }
}

impl OutgoingPresence {
    async fn available(
        &self,
        router: &Arc<Router>,
        session: &Arc<Session>,
        stanza: Stanza,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        limit_size(&stanza)?;
        let priority = priority(&stanza)?;
        let roster = self.roster(session).await?;
        let stanza = Arc::new(stanza);
        let presence = Presence {
            priority,
            stanza: stanza.clone(),
        };
        let was = session.priority();
        let initial = was.is_none();
        if priority >= 0 && was.is_none_or(|was| was < 0) && !session.guest {
            self.offline.arrive(router, session, presence).await;
        } else {
            session.set_presence(Some(presence), router.clock().now());
        }
        router.announce(session);
        let shared = Arc::new(Stanza::clone(&stanza).to(session.account.clone()));
        for other in follow::available(router, &session.account).await {
            // §4.2.2: to all available resources, that which sent it included.
            cx.deliver(&other, shared.clone());
            if initial
                && other.id != session.id
                && let Some(theirs) = other.presence()
            {
                let theirs = Stanza::clone(&theirs.stanza).to(session.jid.clone());
                cx.deliver(session, Arc::new(theirs));
            }
        }
        for contact in audience(router, session, roster.subscribers(), cx).await? {
            cx.send(Stanza::clone(&stanza).to(contact));
        }
        if initial {
            self.greet(router, &roster, session, cx).await?;
        }
        raise(router, session, stanza, initial, cx).await
    }

    /// What only the initial presence brings: probes to those whose presence the account sees (§4.2.2, §4.3.1), and
    /// the requests that wait for an answer (§3.1.3).
    async fn greet(
        &self,
        router: &Arc<Router>,
        roster: &Roster,
        session: &Arc<Session>,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let probe = Stanza::new(Kind::Presence(PresenceType::Probe), "").from(session.jid.clone());
        let seen = roster
            .all()
            .iter()
            .filter(|item| item.state.is_to())
            .map(|item| &item.contact);
        let mut probed = Audience::new(session, seen);
        router.raise(&mut probed, cx).await?;
        for contact in probed.contacts {
            cx.send(probe.clone().to(contact));
        }
        if !roster.has_requests() {
            return Ok(());
        }
        for (contact, request) in self.rosters.store().requests(&session.account).await? {
            let request = request
                .and_then(|bytes| kept::from_bytes(&session.account, &bytes))
                .unwrap_or_else(|| Stanza::new(Kind::Presence(PresenceType::Subscribe), ""));
            cx.deliver(
                session,
                Arc::new(request.from(contact).to(session.account.clone())),
            );
        }
        Ok(())
    }

    /// The session is no longer available: everyone who heard of it hears of that, once (§4.5.2, §4.6.4).
    async fn unavailable(
        &self,
        router: &Arc<Router>,
        session: &Arc<Session>,
        stanza: Stanza,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let was = session.set_presence(None, router.clock().now());
        let stanza = Arc::new(stanza);
        let mut told: HashSet<BareJid> = HashSet::new();
        let targets = Directed::take(session);
        if was.is_some() {
            router.announce(session);
            let shared = Arc::new(Stanza::clone(&stanza).to(session.account.clone()));
            for other in follow::available(router, &session.account).await {
                cx.deliver(&other, shared.clone());
            }
            let roster = self.roster(session).await.unwrap_or_else(|fault| {
                tracing::error!(
                    event = "roster_unread",
                    ?fault,
                    "contacts are not told that a session ended"
                );
                Arc::default()
            });
            if !targets.is_empty() {
                told.extend(roster.subscribers().cloned());
                told.insert(session.account.clone());
            }
            for contact in audience(router, session, roster.subscribers(), cx).await? {
                cx.send(Stanza::clone(&stanza).to(contact));
            }
        }
        for target in targets {
            if !told.contains(target.bare_str()) {
                cx.send(Stanza::clone(&stanza).to(target));
            }
        }
        if was.is_some() {
            raise(router, session, stanza, false, cx).await?;
        }
        Ok(())
    }

    /// The session's roster; a guest has none.
    async fn roster(&self, session: &Session) -> Result<Arc<Roster>, Fault> {
        if session.guest {
            return Ok(Arc::default());
        }
        self.rosters.of(&session.account).await
    }
}

/// The contacts that a broadcast goes to: those that other modules do not keep back, without those of this server who are
/// away and would hear nothing.
async fn audience<'a>(
    router: &Arc<Router>,
    session: &Arc<Session>,
    subscribers: impl Iterator<Item = &'a BareJid>,
    cx: &mut Cx,
) -> Result<Vec<BareJid>, Fault> {
    let mut present = Vec::new();
    for contact in subscribers {
        let is_user = router.destination(contact.domain()) == Destination::Users;
        if !is_user || !router.sessions_of(contact).await.is_empty() {
            present.push(contact);
        }
    }
    let mut audience = Audience::new(session, present.into_iter());
    router.raise(&mut audience, cx).await?;
    Ok(audience.contacts)
}

async fn raise(
    router: &Arc<Router>,
    session: &Arc<Session>,
    presence: Arc<Stanza>,
    initial: bool,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let mut event = PresenceChanged {
        session: session.clone(),
        presence,
        initial,
    };
    router.tell(&mut event, cx).await.map(drop)
}

fn limit_size(stanza: &Stanza) -> Result<(), Fault> {
    if stanza.weight_bytes() > PRESENCE_BYTES_MAX {
        return Err(StanzaError::new(Condition::PolicyViolation)
            .text("this presence is too large")
            .into());
    }
    Ok(())
}

/// §4.7.2.3: a number from −128 to 127, 0 if there is none.
fn priority(stanza: &Stanza) -> Result<i8, Fault> {
    let Some(priority) = stanza.child("priority", ns::CLIENT) else {
        return Ok(0);
    };
    priority
        .text()
        .trim()
        .parse()
        .map_err(|_| Condition::BadRequest.into())
}

/// Whether an address is the session's own account, in whatever form.
pub fn is_own(session: &Session, jid: &Jid) -> bool {
    jid.bare_str() == session.account.as_str()
}
