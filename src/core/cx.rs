//! What travels with a stanza: where it came from, when, what hooks learned on the way, and what they asked to be
//! sent. A hook never writes to a socket: it requests, and the router performs the requests in order once the
//! chain has run and the commits it waits for are done.

use std::any::{Any, TypeId};
use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::clock::Timestamp;
use crate::component::Component;
use crate::db::{DbError, Sink, SinkRow, Ticket, Unit};
use crate::error::StreamError;
use crate::jid::BareJid;
use crate::remote::RowId;
use crate::router::{LetOut, Router};
use crate::session::{Resource, Session, SessionCard};
use crate::stanza::Stanza;

/// Where a stanza entered the house.
#[derive(Clone)]
pub enum Origin {
    /// A local client's session.
    Session(Arc<Session>),
    /// An external component (XEP-0114).
    Component(Arc<Component>),
    /// Another server, for this domain.
    Remote(Arc<str>),
    /// The server itself: timers, operators, the end of a session.
    Server,
}

/// Where a stanza goes in the end. Only a session has an outbox with what its client may confirm: there is none for anybody
/// who is elsewhere.
#[derive(Clone, Debug)]
pub enum Recipient {
    /// A session of this node.
    Session(Arc<Session>),
    /// A session of another node.
    Node(Arc<SessionCard>),
    /// The program that is connected for a component.
    Component(Arc<Component>, LetOut),
    /// The server of the stanza's `to`, and the row that keeps the stanza until that server has it.
    Remote(Option<RowId>, LetOut),
    /// An account none of whose sessions is there. The stanza is stored; [`Waits`](crate::events::Waits) tells of it.
    Away(BareJid),
}

impl From<&Arc<Session>> for Recipient {
    fn from(session: &Arc<Session>) -> Recipient {
        Recipient::Session(session.clone())
    }
}

impl From<&Resource> for Recipient {
    fn from(resource: &Resource) -> Recipient {
        match resource {
            Resource::Here(session) => Recipient::Session(session.clone()),
            Resource::Elsewhere(card) => Recipient::Node(card.clone()),
        }
    }
}

/// The context of one chain and of everything it causes.
pub struct Cx {
    router: Arc<Router>,
    /// Where it began.
    pub origin: Origin,
    /// When the stanza was received; archive and delay stamps use this.
    pub received: Timestamp,
    facts: Vec<(TypeId, Box<dyn Any + Send + Sync>)>,
    sends: VecDeque<Stanza>,
    pub(crate) outcome: Outcome,
}

impl Cx {
    pub(crate) fn new(router: Arc<Router>, origin: Origin) -> Cx {
        let received = router.clock().now();
        Cx {
            router,
            origin,
            received,
            facts: Vec::new(),
            sends: VecDeque::new(),
            outcome: Outcome::default(),
        }
    }

    /// A context of its own for another part of the same work: of the same time, without facts, begun by the server.
    pub fn fresh(&self) -> Cx {
        Cx {
            router: self.router.clone(),
            origin: Origin::Server,
            received: self.received,
            facts: Vec::new(),
            sends: VecDeque::new(),
            outcome: Outcome::default(),
        }
    }

    /// The router: sessions, hosts, clock, other modules' facts.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// Leaves a fact for later hooks, by its type. One fact of a type; a second replaces the first.
    pub fn learn<T: Any + Send + Sync>(&mut self, fact: T) {
        let key = TypeId::of::<T>();
        self.facts.retain(|(id, _)| *id != key);
        self.facts.push((key, Box::new(fact)));
    }

    /// A fact that an earlier hook left.
    pub fn fact<T: Any + Send + Sync>(&self) -> Option<&T> {
        let key = TypeId::of::<T>();
        self.facts
            .iter()
            .find(|(id, _)| *id == key)
            .and_then(|(_, fact)| fact.downcast_ref())
    }

    /// Requests that a stanza be routed by its `to`, after the chain. It arrives like any other stanza; it does
    /// not depart, so the sender's modules do not see it again.
    pub fn send(&mut self, stanza: Stanza) {
        self.sends.push_back(stanza);
    }

    /// Requests that a session get a stanza as it is, after the chain (roster pushes).
    pub fn deliver(&mut self, session: impl Into<Recipient>, stanza: Arc<Stanza>) {
        self.outcome.deliver(session.into(), stanza);
    }

    /// Makes everything this chain causes wait for a commit.
    pub fn await_ticket(&mut self, ticket: Ticket) {
        self.outcome.tickets.push(ticket);
    }

    /// Requests that something be done once everything before this stanza, and this one, has been dealt with: after its
    /// deliveries. It is told whether the commits were done. Several are done in the order of their requests.
    pub fn afterwards(&mut self, then: impl FnOnce(Result<(), DbError>) + Send + Sync + 'static) {
        self.outcome.afterwards.push(Box::new(then));
    }

    /// Stores a row together with all else that this stanza leaves behind: in one transaction, or not at all. The
    /// rows are queued when the chain is over, and everything the chain causes waits for them. Nothing is stored for a
    /// stanza that its sender gets back as an error.
    pub fn store<R: SinkRow>(&mut self, sink: &Sink<R>, row: R) {
        self.outcome.rows.add(sink, row);
    }

    /// Queues the rows so far, for a hook under whose lock they must be in the queue. What is stored afterwards is
    /// stored by itself.
    pub fn flush(&mut self) {
        self.outcome.flush();
    }

    /// Queues the rows so far and waits until they are committed; what is requested afterwards, or was before, leaves when
    /// the chain is finished. For those who keep an order among several chains; nothing of a chain may leave whose
    /// commit failed.
    pub async fn committed(&mut self) -> Result<(), DbError> {
        self.outcome.flush();
        self.outcome.hurry();
        self.outcome.settled().await;
        self.outcome.failure().map_or(Ok(()), Err)
    }

    pub(crate) fn next_send(&mut self) -> Option<Stanza> {
        self.sends.pop_front()
    }
}

/// What is done last, told whether the commits were done.
pub(crate) type Afterwards = Box<dyn FnOnce(Result<(), DbError>) + Send + Sync>;

/// What a chain led to: deliveries that may leave once the tickets are done. The connection keeps outcomes in
/// order, so answers never overtake each other.
#[derive(Default)]
#[must_use = "an outcome does nothing until the router performs it"]
pub struct Outcome {
    /// Rows that are not queued yet.
    pub(crate) rows: Unit,
    tickets: SmallVec<[Ticket; 2]>,
    failure: Option<DbError>,
    pub(crate) deliveries: Vec<(Recipient, Arc<Stanza>)>,
    /// When what began it was received; nothing for an answer without a chain.
    pub(crate) received: Option<Timestamp>,
    /// The stanza that began it, to be answered with an error should its commit fail.
    pub(crate) asked: Option<(Recipient, Stanza)>,
    /// The session that counts this stanza as one of its client's once it has been dealt with.
    pub(crate) counted: Option<Arc<Session>>,
    /// What is left to do then, in order.
    pub(crate) afterwards: Vec<Afterwards>,
    /// The stream of the origin ends with this.
    pub closing: Option<StreamError>,
}

impl Outcome {
    /// An answer to a session that needs neither chain nor commit, in its place among the others.
    pub fn answer(session: &Arc<Session>, answer: Stanza) -> Outcome {
        let mut outcome = Outcome::of_stanza(session);
        outcome.deliver(Recipient::Session(session.clone()), Arc::new(answer));
        outcome
    }

    pub(crate) fn deliver(&mut self, to: Recipient, stanza: Arc<Stanza>) {
        self.deliveries.push((to, stanza));
    }

    /// The outcome of a stanza that a session's client has just sent. Whether it counts is decided now: what came before the
    /// counting began does not.
    pub(crate) fn of_stanza(session: &Arc<Session>) -> Outcome {
        Outcome {
            counted: session.tally().is_some().then(|| session.clone()),
            ..Outcome::default()
        }
    }

    /// Whether nothing needs to be waited for.
    pub fn is_settled(&self) -> bool {
        self.tickets.is_empty()
    }

    pub(crate) fn flush(&mut self) {
        self.tickets.extend(self.rows.put());
    }

    /// Starts the commits without waiting, so that those of stanzas in a row share one.
    pub(crate) fn hurry(&self) {
        self.tickets.iter().for_each(Ticket::hurry);
    }

    /// Waits for the commits; may be dropped and called again.
    pub async fn settled(&mut self) {
        while let Some(ticket) = self.tickets.last_mut() {
            if let Err(error) = ticket.await {
                self.failure = Some(error);
            }
            self.tickets.pop();
        }
    }

    /// Why nothing of this may leave.
    pub(crate) fn failure(&mut self) -> Option<DbError> {
        self.failure.take()
    }
}
