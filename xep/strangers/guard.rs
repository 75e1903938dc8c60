//! Where strangers' messages and subscription requests arrive, and what becomes of them.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::events::{Arrival, NoSuchAccount, Verdict};
use kim_core::hook::{Flow, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::router::{Destination, Redelivered, Router};
use kim_core::session::Resources;
use kim_core::stanza::{Kind, MessageType, PresenceType, Stanza};

use super::acquaintances::{Acquaintances, Relation};
use super::api::{Judgement, StrangerArrival};
use super::budgets::{Approach, Budgets, Finding, Origin};
use super::choices::StrangerChoices;
use super::content::{Sketcher, StrangerContent, inviter, is_for_people};
use super::counters::{Became, Counters, SentByStranger};
use super::requests::{Released, RequestBox, note_delay, stamp_delay};
use super::waves::Waves;
use super::{RequestText, StrangersConfig};
use crate::rfc6121_im::api::{Half, Subscriptions, choose};
use crate::xep0489_affiliation::api::Affiliations;

/// The namespace of invitations' tokens (XEP-0379).
const PREAUTH: &str = "urn:xmpp:pars:0";

/// What every rule needs.
pub(super) struct StrangersGuard {
    pub config: StrangersConfig,
    pub acquaintances: Arc<Acquaintances>,
    pub subscriptions: Arc<Subscriptions>,
    pub choices: Arc<StrangerChoices>,
    pub budgets: Arc<Budgets>,
    pub sketcher: Arc<Sketcher>,
    pub requests: Arc<RequestBox>,
    pub waves: Arc<Waves>,
    pub counters: Arc<Counters>,
}

/// A stranger, as far as it is known who that is.
struct Stranger {
    sender: BareJid,
    origin: Origin,
    /// Their own server says that it hardly knows them.
    is_hardly_known: bool,
}

/// Admits what arrives at accounts.
pub(super) struct Admit(pub Arc<StrangersGuard>);

impl On<Arrival> for Admit {
    async fn on(&self, arrival: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let guard = &self.0;
        let is_subject = match arrival.stanza.kind {
            Kind::Message(kind) => kind != MessageType::Error,
            Kind::Presence(kind) => kind == PresenceType::Subscribe,
            Kind::Iq(_) => false,
        };
        let Some(from) = arrival.stanza.from.as_ref().filter(|_| is_subject) else {
            return Ok(Flow::Next);
        };
        // The one look-up between people who know each other. What a room of this server says to its occupants needs none.
        let is_own = from.bare_str() == arrival.account.as_str();
        let is_said_in_room = arrival.stanza.kind == Kind::Message(MessageType::Groupchat)
            && cx.router().destination(from.domain()).is_served();
        if is_own || is_said_in_room || guard.is_known(&arrival.account, from.bare_str()) {
            return Ok(Flow::Next);
        }
        let router = cx.router().clone();
        if !matches!(arrival.verdict, Verdict::Open)
            || cx.fact::<Redelivered>().is_some()
            || router.destination(arrival.account.domain()) != Destination::Users
        {
            return Ok(Flow::Next);
        }
        let Some(sender) = sender(&router, &arrival.stanza) else {
            return Ok(Flow::Next);
        };
        if sender == arrival.account {
            return Ok(Flow::Next);
        }
        if Released::is(cx, &arrival.account, &sender) {
            note_delay(&mut arrival.stanza, &arrival.account, cx);
            return Ok(Flow::Next);
        }
        let relation = guard
            .acquaintances
            .relation(&router, &arrival.account, &sender)
            .await?;
        let is_with = |peer: &str| guard.acquaintances.is_with(&router, &arrival.account, peer);
        if relation.is_known()
            || arrival
                .stanza
                .from
                .as_ref()
                .is_some_and(|from| is_with(from.bare_str()))
        {
            return Ok(Flow::Next);
        }
        let stranger = guard.stranger(&router, &arrival.stanza, sender, cx).await?;
        match arrival.stanza.kind {
            // Boxed, so that the future of those who know each other, which is all but these, stays small.
            Kind::Message(kind) => Box::pin(guard.message(arrival, kind, stranger, &router, cx)).await,
            // Asking again costs nothing: the roster knows, and nobody is shown it twice (RFC 6121 §3.1.3).
            _ if relation == Relation::Asking => Ok(Flow::Next),
            _ => Box::pin(guard.subscription(arrival, stranger, &router, cx)).await,
        }
    }
}

/// Says since when a released message waited, once forged delays are gone.
pub(super) struct Stamp;

impl On<Arrival> for Stamp {
    async fn on(&self, arrival: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let sender = match &arrival.stanza {
            stanza if matches!(stanza.kind, Kind::Message(_)) => sender(cx.router(), stanza),
            _ => None,
        };
        if sender.is_some_and(|sender| Released::is(cx, &arrival.account, &sender)) {
            stamp_delay(&mut arrival.stanza, cx);
        }
        Ok(Flow::Next)
    }
}

/// What is sent to accounts that do not exist: the answer is the one of an account that is there, as far as it does not depend
/// on what that account chose.
pub(super) struct Nobody(pub Arc<StrangersGuard>);

impl On<NoSuchAccount> for Nobody {
    async fn on(&self, event: &mut NoSuchAccount, cx: &mut Cx) -> Result<Flow, Fault> {
        let router = cx.router().clone();
        let stanza = &event.stanza;
        let (Kind::Message(kind), Some(to)) = (stanza.kind, &stanza.to) else {
            return Ok(Flow::Next);
        };
        let is_answered = kind != MessageType::Error && reaches(kind, to, Resources::new());
        // People of this server are told of typos (RFC 6121 §8.5.1).
        let sender = sender(&router, stanza)
            .filter(|sender| router.destination(sender.domain()) != Destination::Users);
        let Some(sender) = sender.filter(|_| is_answered) else {
            return Ok(Flow::Next);
        };
        if !is_for_people(stanza) {
            return Ok(Flow::Next);
        }
        let guard = &self.0;
        let stranger = guard.stranger(&router, stanza, sender, cx).await?;
        let approach = guard.approach(stanza, &stranger.sender, &event.account, stranger.origin);
        if guard.take(&approach, cx.received) == Finding::TooMany {
            return Err(too_many());
        }
        match guard.general(stanza, &stranger) {
            Judgement::Refuse => Err(guard.refusal()),
            _ => Ok(Flow::Next),
        }
    }
}

/// Who sent something, if strangers' rules are for them. The server itself, its rooms, its other services, and the guests of
/// its rooms have rules of their own. An invitation that a room of this server passes on is its inviter's.
fn sender(router: &Router, stanza: &Stanza) -> Option<BareJid> {
    let from = stanza.from.as_ref()?;
    match router.destination(from.domain()) {
        Destination::Users | Destination::Component => from.local().map(|_| from.bare()),
        Destination::Guests => None,
        Destination::Service(_) => inviter(stanza).map(|inviter| inviter.bare()),
        Destination::Remote => Some(from.bare()),
    }
}

/// Whether a message reaches anybody: one that RFC 6121 §8.5 drops or sends back is judged by nobody, so that the answer is
/// the same for an account that does not exist.
fn reaches(kind: MessageType, to: &Jid, sessions: Resources) -> bool {
    matches!(choose(kind, to, sessions), Verdict::Chosen(_) | Verdict::Nobody)
}

fn too_many() -> Fault {
    StanzaError::new(Condition::PolicyViolation)
        .kind(ErrorType::Wait)
        .text("too many messages to people who do not know you; try again later")
        .into()
}

impl StrangersGuard {
    fn is_known(&self, account: &BareJid, peer: &str) -> bool {
        self.acquaintances
            .cached(account, peer)
            .is_some_and(Relation::is_known)
    }

    /// A guest of another server, or somebody who registered there a moment ago, is a stranger to that server too (XEP-0489):
    /// that people here know people there speaks for nobody.
    async fn stranger(
        &self,
        router: &Router,
        stanza: &Stanza,
        sender: BareJid,
        cx: &Cx,
    ) -> Result<Stranger, Fault> {
        let mut origin = self.acquaintances.origin(router, sender.domain()).await?;
        let mut is_hardly_known = false;
        if origin != Origin::Here
            && let Some(said) = Affiliations.of_sender(stanza, cx).await?
            && said.is_hardly_known(cx.received)
        {
            (origin, is_hardly_known) = (Origin::Unknown, true);
        }
        Ok(Stranger {
            sender,
            origin,
            is_hardly_known,
        })
    }

    fn approach<'a>(
        &self,
        stanza: &Stanza,
        sender: &'a BareJid,
        recipient: &'a BareJid,
        origin: Origin,
    ) -> Approach<'a> {
        let sketch = match origin {
            // Nobody compares them.
            Origin::Here => Default::default(),
            Origin::Known | Origin::Unknown => self.sketcher.sketch(stanza, sender, recipient),
        };
        Approach {
            sender,
            recipient,
            origin,
            sketch,
        }
    }

    /// The server's own policy for a message, whoever it is for.
    fn general(&self, stanza: &Stanza, stranger: &Stranger) -> Judgement {
        let mut judgement = self.config.messages;
        if stranger.is_hardly_known {
            judgement = judgement.max(self.config.hardly_known);
        }
        // Only where nobody is known it counts what is in it, and reading that is the dearest step of all.
        if stranger.origin != Origin::Unknown {
            return judgement;
        }
        let content = StrangerContent::of(stanza);
        if content.has_link {
            judgement = judgement.max(self.config.links);
        }
        if content.has_file {
            judgement = judgement.max(self.config.files);
        }
        judgement
    }

    /// Counts an approach. What accounts of this server send is bounded where they send it.
    fn take(&self, approach: &Approach<'_>, now: Timestamp) -> Finding {
        match approach.origin {
            Origin::Here => Finding::Plain,
            Origin::Known | Origin::Unknown => self.budgets.take(approach, now),
        }
    }

    /// What a sender is told who is refused. It says what to do, and nothing of the account.
    fn refusal(&self) -> Fault {
        let error = match self.config.messages {
            Judgement::Refuse => StanzaError::new(Condition::SubscriptionRequired)
                .text("messages are accepted only from contacts; send a contact request first"),
            _ => StanzaError::new(Condition::PolicyViolation)
                .text("this was not accepted from somebody unknown; send a plain message or a contact request first"),
        };
        error.into()
    }

    async fn message(
        &self,
        arrival: &mut Arrival,
        kind: MessageType,
        stranger: Stranger,
        router: &Arc<Router>,
        cx: &mut Cx,
    ) -> Result<Flow, Fault> {
        let (account, now) = (arrival.account.clone(), cx.received);
        let sessions = router.sessions_of(&account).await;
        if !arrival
            .stanza
            .to
            .as_ref()
            .is_some_and(|to| reaches(kind, to, sessions))
        {
            return Ok(Flow::Next);
        }
        let choice = self
            .choices
            .messages(&account)
            .await?
            .unwrap_or(Judgement::Accept);
        if !is_for_people(&arrival.stanza) || kind == MessageType::Groupchat {
            // There is nothing in it to wait for.
            let passes = self.config.messages.max(choice) == Judgement::Accept
                && self.budgets.signal(&stranger.sender, now);
            return Ok(self.signal(arrival, passes));
        }
        let approach = self.approach(&arrival.stanza, &stranger.sender, &account, stranger.origin);
        let finding = self.take(&approach, now);
        if finding == Finding::TooMany {
            self.counters.count(SentByStranger::Message, Became::Limited);
            return Err(too_many());
        }
        let general = self.general(&arrival.stanza, &stranger);
        let sender = stranger.sender;
        let mut own = general.max(choice);
        if finding == Finding::Repeated {
            own = own.max(Judgement::Hold);
        }
        let judged = self.raise(arrival, &sender, own, router, cx).await?;
        match judged {
            Judgement::Accept if finding == Finding::Wave => {
                self.delay(arrival, SentByStranger::Message, &sender, router, cx)
                    .await
            }
            Judgement::Accept => {
                self.counters.count(SentByStranger::Message, Became::Accepted);
                Ok(Flow::Next)
            }
            Judgement::Hold => {
                self.hold(arrival, SentByStranger::Message, &sender, None, cx)
                    .await
            }
            // What the account alone chose is not told: an account that does not exist says nothing either.
            Judgement::Refuse if own == Judgement::Refuse && general < Judgement::Refuse => {
                self.counters.count(SentByStranger::Message, Became::Dropped);
                Ok(drop(arrival))
            }
            Judgement::Refuse => {
                self.counters.count(SentByStranger::Message, Became::Refused);
                Err(self.refusal())
            }
        }
    }

    fn signal(&self, arrival: &mut Arrival, passes: bool) -> Flow {
        if passes {
            self.counters.count(SentByStranger::Signal, Became::Accepted);
            return Flow::Next;
        }
        self.counters.count(SentByStranger::Signal, Became::Dropped);
        drop(arrival)
    }

    /// A request that is not let through is dropped: that is what becomes of one to an account that does not exist (RFC 6121
    /// §8.5.1), and `unsubscribed` would be the account's own answer.
    async fn subscription(
        &self,
        arrival: &mut Arrival,
        stranger: Stranger,
        router: &Arc<Router>,
        cx: &mut Cx,
    ) -> Result<Flow, Fault> {
        let Stranger { sender, origin, .. } = stranger;
        let approach = Approach {
            sender: &sender,
            recipient: &arrival.account,
            origin,
            sketch: Default::default(),
        };
        let finding = self.take(&approach, cx.received);
        if finding == Finding::TooMany {
            self.counters.count(SentByStranger::Subscription, Became::Limited);
            return Ok(drop(arrival));
        }
        let roster = self.subscriptions.roster(&arrival.account).await?;
        let is_waiting = |half: Half| half == Half::Asked;
        let waiting = roster
            .all()
            .iter()
            .filter(|item| is_waiting(item.state.incoming))
            .count();
        if waiting >= self.config.subscriptions_waiting_max {
            self.counters.count(SentByStranger::Subscription, Became::Dropped);
            return Ok(drop(arrival));
        }
        let keeps_text = match self.config.request_text {
            RequestText::Accept => true,
            RequestText::Known => origin != Origin::Unknown,
            RequestText::Never => false,
        };
        if !keeps_text {
            // The token of an invitation is no text (XEP-0379 §3.4).
            arrival.stanza.remove(|child| !child.is("preauth", PREAUTH));
        }
        match self
            .raise(arrival, &sender, Judgement::Accept, router, cx)
            .await?
        {
            Judgement::Accept if finding == Finding::Wave => {
                self.delay(arrival, SentByStranger::Subscription, &sender, router, cx)
                    .await
            }
            Judgement::Accept => {
                self.counters
                    .count(SentByStranger::Subscription, Became::Accepted);
                Ok(Flow::Next)
            }
            Judgement::Hold => {
                self.hold(arrival, SentByStranger::Subscription, &sender, None, cx)
                    .await
            }
            Judgement::Refuse => {
                self.counters.count(SentByStranger::Subscription, Became::Refused);
                Ok(drop(arrival))
            }
        }
    }

    /// Asks the other modules.
    async fn raise(
        &self,
        arrival: &mut Arrival,
        sender: &BareJid,
        own: Judgement,
        router: &Arc<Router>,
        cx: &mut Cx,
    ) -> Result<Judgement, Fault> {
        let mut event = StrangerArrival {
            stanza: arrival.stanza.clone(),
            account: arrival.account.clone(),
            sender: sender.clone(),
            judgement: own,
        };
        router.raise(&mut event, cx).await?;
        arrival.stanza = event.stanza;
        Ok(event.judgement.max(own))
    }

    /// Puts something off until it is known whether it is part of the wave.
    async fn delay(
        &self,
        arrival: &mut Arrival,
        sent: SentByStranger,
        sender: &BareJid,
        router: &Arc<Router>,
        cx: &mut Cx,
    ) -> Result<Flow, Fault> {
        let wait = i64::from(self.config.delay_seconds) * 1_000_000;
        let due = Timestamp(cx.received.0 + wait);
        let waves = self.waves.clone();
        let router = Arc::downgrade(router);
        cx.afterwards(move |committed| {
            if let (Ok(()), Some(router)) = (committed, router.upgrade()) {
                waves.start(&router);
            }
        });
        self.hold(arrival, sent, sender, Some(due), cx).await
    }

    /// Puts something into the account's request box. Nothing else becomes of it.
    async fn hold(
        &self,
        arrival: &mut Arrival,
        sent: SentByStranger,
        sender: &BareJid,
        due: Option<Timestamp>,
        cx: &mut Cx,
    ) -> Result<Flow, Fault> {
        let is_held = self
            .requests
            .hold(&arrival.account, sender, &arrival.stanza, due, cx)
            .await?;
        let became = match (is_held, due) {
            (true, None) => Became::Held,
            (true, Some(_)) => Became::Delayed,
            (false, _) => Became::Limited,
        };
        self.counters.count(sent, became);
        match is_held || sent == SentByStranger::Subscription {
            true => Ok(drop(arrival)),
            false => Err(too_many()),
        }
    }
}

/// It ends here, in silence.
fn drop(arrival: &mut Arrival) -> Flow {
    arrival.verdict = Verdict::Dropped;
    Flow::Done
}
