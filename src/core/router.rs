//! The way of a stanza through the house: departure, routing by address, arrival, and, once what must be stored is
//! stored, delivery. `docs/architecture.md` walks one message through it.
//!
//! Nothing here recurses over what the network sends: stanzas that hooks request are taken from a queue, and a
//! stanza can cause only a bounded number of others ([`SENDS_MAX`]).

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use smallvec::SmallVec;

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::config::{Config, Limits};
use crate::cx::{Cx, Origin, Outcome};
use crate::db::Db;
use crate::error::{Condition, Fault, StanzaError, StreamCondition};
use crate::events::{
    AccountRemoved, Answer, Arrival, BeforeLogin, Delivery, Departure, SessionEnded, SessionStarted,
    Undelivered, Verdict,
};
use crate::hook::{Chain, Event, Flow};
use crate::jid::BareJid;
use crate::module::{At, Entry, Identity, Offer, Registrar, Reply, Request, Roll, Startup, Tables};
use crate::session::{Parcel, Session, Sessions, TooManyResources};
use crate::stanza::{IqType, Kind, MessageType, PresenceType, Stanza};

/// The most stanzas that one stanza may cause. It bounds loops between rooms; a presence broadcast to the largest
/// roster stays well below.
pub const SENDS_MAX: usize = 50_000;

/// What a domain served here is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Accounts live there.
    Users,
    /// Anonymous guests live there (XEP-0175).
    Guests,
}

/// The house at work. One for each process; everyone holds it in an `Arc`.
pub struct Router {
    me: Weak<Router>,
    tables: Tables,
    hosts: HashMap<String, Host>,
    sessions: Sessions,
    accounts: Accounts,
    cluster: Box<dyn Cluster>,
    clock: Clock,
    config: Arc<Config>,
    limits: Limits,
}

/// What a router is made of.
pub struct Parts {
    /// The configuration as loaded.
    pub config: Arc<Config>,
    /// An open, migrated database.
    pub db: Db,
    /// The accounts in it.
    pub accounts: Accounts,
    /// Where stamps come from.
    pub clock: Clock,
    /// The other nodes.
    pub cluster: Box<dyn Cluster>,
}

/// Marks a stanza that is on its way for the second time because the session that was to get it ended first: it
/// is in the archive already.
pub struct Redelivered;

impl Router {
    /// Puts the house together.
    pub fn new(parts: Parts, modules: &[Entry]) -> Result<Arc<Router>, Startup> {
        let mut tables = Tables::default();
        Registrar::new(&parts.db, &parts.clock, &parts.config, &mut tables).register_all(modules)?;
        let mut hosts = HashMap::new();
        for domain in &parts.config.server.domains {
            hosts.insert(domain.to_string(), Host::Users);
            if parts.config.registration.guests {
                hosts.insert(format!("guest.{domain}"), Host::Guests);
            }
        }
        let limits = parts.config.limits.effective();
        Ok(Arc::new_cyclic(|me| Router {
            me: me.clone(),
            tables,
            hosts,
            sessions: Sessions::default(),
            accounts: parts.accounts,
            cluster: parts.cluster,
            clock: parts.clock,
            config: parts.config,
            limits,
        }))
    }

    /// The sessions of this node.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The accounts.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What a domain is for, if it is served here.
    pub fn host(&self, domain: &str) -> Option<Host> {
        self.hosts.get(domain).copied()
    }

    /// The features advertised at an address.
    pub fn features(&self, at: At) -> impl Iterator<Item = &'static str> + '_ {
        self.tables.features.get(&at).into_iter().flatten().copied()
    }

    /// The identities advertised at an address.
    pub fn identities(&self, at: At) -> impl Iterator<Item = Identity> + '_ {
        self.tables.identities.get(&at).into_iter().flatten().copied()
    }

    /// The extension forms advertised at an address, canonical XML.
    pub fn forms(&self, at: At) -> &[String] {
        self.tables.forms.get(&at).map_or(&[], Vec::as_slice)
    }

    /// The XML of the stream features that rooms offer on a stream to `domain`.
    pub fn stream_features(&self, offer: Offer, domain: &str) -> String {
        self.tables
            .stream_features
            .iter()
            .filter(|(when, _)| *when == offer)
            .filter_map(|(_, feature)| feature(self, domain))
            .collect()
    }

    /// What a room provided.
    pub fn fact<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.tables
            .facts
            .get(&TypeId::of::<T>())
            .and_then(|fact| fact.clone().downcast().ok())
    }

    /// What every module registered, in order.
    pub fn roll(&self) -> &[Roll] {
        &self.tables.roll
    }

    /// A context for something the server does by itself; hand it to [`Router::finish`] afterwards.
    pub fn cx(&self) -> Option<Cx> {
        self.me.upgrade().map(|me| Cx::new(me, Origin::Server))
    }

    fn cx_of(&self, session: &Arc<Session>) -> Option<Cx> {
        self.me
            .upgrade()
            .map(|me| Cx::new(me, Origin::Session(session.clone())))
    }

    /// Tells everyone who listens to an event, and gives their verdict.
    pub async fn raise<E: Event>(&self, event: &mut E, cx: &mut Cx) -> Result<Flow, Fault> {
        match self.chain::<E>() {
            Some(chain) => chain.run(event, cx).await,
            None => Ok(Flow::Next),
        }
    }

    fn chain<E: Event>(&self) -> Option<&Chain<E>> {
        self.tables
            .chains
            .get(&TypeId::of::<E>())
            .and_then(|chain| chain.downcast_ref())
    }

    // ——— sessions ———

    /// Registers a session under its full JID and tells the rooms. A session of the same full JID is ended with
    /// `conflict` (RFC 6120 §7.7.2.2).
    pub async fn start(&self, session: &Arc<Session>) -> Result<(), TooManyResources> {
        let resources_max = self.limits.resources_per_account_max;
        if let Some(replaced) = self.sessions.add(session, resources_max)? {
            replaced.close(StreamCondition::Conflict);
            self.tell_ended(&replaced).await;
        }
        self.cluster.announce(session);
        if let Some(mut cx) = self.cx_of(session) {
            let started = self
                .raise(
                    &mut SessionStarted {
                        session: session.clone(),
                    },
                    &mut cx,
                )
                .await;
            self.log_fault("session_start_failed", started.err());
            self.finish(cx).await;
        }
        Ok(())
    }

    /// Ends a session: the rooms are told, and messages it never wrote find another way where nobody else got
    /// them.
    pub async fn end(&self, session: &Arc<Session>, unwritten: impl IntoIterator<Item = Parcel>) {
        self.leave(session).await;
        for parcel in unwritten {
            self.reroute(session, &parcel.stanza).await;
        }
    }

    /// Takes a session out of the house, once.
    async fn leave(&self, session: &Arc<Session>) {
        if self.sessions.remove(session) {
            self.cluster.withdraw(session);
            self.tell_ended(session).await;
        }
    }

    async fn tell_ended(&self, session: &Arc<Session>) {
        let Some(mut cx) = self.cx_of(session) else { return };
        let ended = self
            .raise(
                &mut SessionEnded {
                    session: session.clone(),
                },
                &mut cx,
            )
            .await;
        self.log_fault("session_end_failed", ended.err());
        self.finish(cx).await;
    }

    /// A message that a session's socket never took. Sent to the full JID it was this session's alone; sent to the
    /// bare JID, other sessions have it if there are any.
    async fn reroute(&self, session: &Session, stanza: &Arc<Stanza>) {
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
            cx.learn(Redelivered);
            cx.send(Stanza::clone(stanza));
            Box::pin(self.finish(cx)).await;
        }
    }

    /// Whether this node is the only one, so that what it keeps in memory is not changed elsewhere.
    pub fn is_alone(&self) -> bool {
        self.cluster.is_alone()
    }

    /// Tells the cluster that a session's presence or facts have changed.
    pub fn announce(&self, session: &Arc<Session>) {
        self.cluster.announce(session);
    }

    /// The sessions of an account on all nodes.
    pub async fn sessions_of(&self, account: &BareJid) -> SmallVec<[Arc<Session>; 2]> {
        let mut all = self.sessions.of(account);
        if !self.cluster.is_alone() {
            all.extend(self.cluster.elsewhere(account).await);
        }
        all
    }

    // ——— the way of a stanza ———

    /// Takes a stanza that a session sent, runs it through the house, and says what may leave once the commits
    /// are done. The `from` is checked and stamped here, so no room ever sees a forged one (RFC 6120 §8.1.2.1).
    pub async fn depart(&self, session: &Arc<Session>, mut stanza: Stanza) -> Outcome {
        let Some(mut cx) = self.cx_of(session) else {
            return Outcome::default();
        };
        let honest = stanza
            .from
            .as_ref()
            .is_none_or(|from| *from == session.jid || *from == *session.account);
        if !honest {
            cx.outcome.closing = Some(StreamCondition::InvalidFrom.into());
            return cx.outcome;
        }
        stanza.from = Some(session.jid.clone());
        let asked = stanza.clone();
        let mut departure = Departure {
            stanza,
            session: session.clone(),
        };
        match self.raise(&mut departure, &mut cx).await {
            Ok(Flow::Done) => {}
            Ok(Flow::Next) => {
                let mut stanza = departure.stanza;
                if stanza.to.is_none() {
                    stanza.to = Some(session.account.clone().into());
                }
                self.route(stanza, &mut cx).await;
            }
            Err(fault) => self.refuse(&departure.stanza, fault, &mut cx),
        }
        self.drain(&mut cx).await;
        if !cx.outcome.is_settled() {
            cx.outcome.asked = Some((session.clone(), asked));
        }
        cx.outcome
    }

    /// Answers a stanza that could not even depart.
    pub fn reject(&self, session: &Arc<Session>, mut stanza: Stanza, error: &StanzaError) -> Outcome {
        let mut outcome = Outcome::default();
        if stanza.to.is_none() {
            stanza.to = Some(session.account.clone().into());
        }
        stanza.from = Some(session.jid.clone());
        if let Some(answer) = error.answer(&stanza) {
            outcome.deliveries.push((session.clone(), Arc::new(answer)));
        }
        outcome
    }

    /// Routes what the hooks requested, waits for the commits and delivers. For everything that no connection
    /// waits for.
    pub async fn finish(&self, mut cx: Cx) {
        self.drain(&mut cx).await;
        self.perform(cx.outcome).await;
    }

    async fn drain(&self, cx: &mut Cx) {
        let mut sends = 0;
        while let Some(stanza) = cx.next_send() {
            sends += 1;
            if sends > SENDS_MAX {
                tracing::error!(event = "sends_limit", from = ?stanza.from, "one stanza caused too many others");
                return;
            }
            self.route(stanza, cx).await;
        }
    }

    async fn route(&self, mut stanza: Stanza, cx: &mut Cx) {
        if let Err(fault) = self.try_route(&mut stanza, cx).await {
            self.refuse(&stanza, fault, cx);
        }
    }

    async fn try_route(&self, stanza: &mut Stanza, cx: &mut Cx) -> Result<(), Fault> {
        let Some(to) = stanza.to.clone() else {
            return Ok(());
        };
        let Some(host) = self.host(to.domain()) else {
            return Err(Condition::RemoteServerNotFound.into());
        };
        let account = to.bare();
        if to.local().is_none() {
            return self.at_server(stanza, &account, cx).await;
        }
        if !self.exists(host, &account).await? {
            // The same answer as for an account that is there and away, or that sees a stranger (RFC 6121 §8.5.1, §4.3.2).
            return match stanza.kind {
                Kind::Presence(PresenceType::Probe) => {
                    if let Some(from) = &stanza.from {
                        let kind = Kind::Presence(PresenceType::Unsubscribed);
                        cx.send(Stanza::new(kind, "").from(account).to(from.bare()));
                    }
                    Ok(())
                }
                Kind::Presence(_) => Ok(()),
                Kind::Iq(IqType::Get | IqType::Set) => self.serve(&[At::Nobody], stanza, &account, cx).await,
                _ => Err(Condition::ServiceUnavailable.into()),
            };
        }
        self.at_account(stanza, account, cx).await
    }

    /// Whether an account can be sent to. A guest exists as long as its session.
    async fn exists(&self, host: Host, account: &BareJid) -> Result<bool, Fault> {
        if !self.sessions.of(account).is_empty() {
            return Ok(true);
        }
        match host {
            Host::Guests => Ok(!self.sessions_of(account).await.is_empty()),
            Host::Users => Ok(self.accounts.exists(account).await?),
        }
    }

    async fn at_server(&self, stanza: &Stanza, server: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        match stanza.kind {
            Kind::Iq(IqType::Get | IqType::Set) => self.serve(&[At::Server], stanza, server, cx).await,
            Kind::Iq(_) => self
                .raise(
                    &mut Answer {
                        stanza: stanza.clone(),
                    },
                    cx,
                )
                .await
                .map(|_| ()),
            Kind::Message(_) => Err(Condition::ServiceUnavailable.into()),
            Kind::Presence(_) => Ok(()),
        }
    }

    async fn at_account(&self, stanza: &mut Stanza, account: BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let to_bare = stanza.to.as_ref().is_none_or(|to| to.is_bare());
        let own = stanza.from.as_ref().is_some_and(|from| from.bare() == account);
        if to_bare && let Kind::Iq(kind) = stanza.kind {
            if matches!(kind, IqType::Result | IqType::Error) {
                return self
                    .raise(
                        &mut Answer {
                            stanza: stanza.clone(),
                        },
                        cx,
                    )
                    .await
                    .map(|_| ());
            }
            if own {
                return self.serve(&[At::Own, At::Account], stanza, &account, cx).await;
            }
        }
        let mut arrival = Arrival {
            stanza: stanza.clone(),
            account,
            verdict: Verdict::Open,
        };
        let flow = self.raise(&mut arrival, cx).await?;
        let Arrival {
            stanza: arrived,
            account,
            verdict,
        } = arrival;
        if flow == Flow::Done {
            return Ok(());
        }
        if let Kind::Iq(kind) = arrived.kind {
            return match (verdict, to_bare) {
                (Verdict::Bounced(error), _) => Err(error.into()),
                (Verdict::Dropped, _) => Ok(()),
                (_, true) => self.serve(&[At::Account], &arrived, &account, cx).await,
                (_, false) => self.to_full(arrived, kind, cx).await,
            };
        }
        match verdict {
            Verdict::Chosen(sessions) => {
                let shared = Arc::new(arrived);
                for session in &sessions {
                    cx.deliver(session, shared.clone());
                }
                Ok(())
            }
            Verdict::Nobody => self.undelivered(arrived, account, cx).await,
            Verdict::Dropped => Ok(()),
            Verdict::Bounced(error) => Err(error.into()),
            Verdict::Open if matches!(arrived.kind, Kind::Presence(_)) => Ok(()),
            Verdict::Open => Err(Condition::ServiceUnavailable.into()),
        }
    }

    async fn undelivered(&self, stanza: Stanza, account: BareJid, cx: &mut Cx) -> Result<(), Fault> {
        match self.raise(&mut Undelivered { stanza, account }, cx).await? {
            Flow::Done => Ok(()),
            Flow::Next => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// An iq to a full JID reaches that session or comes back (RFC 6121 §8.5.3).
    async fn to_full(&self, stanza: Stanza, kind: IqType, cx: &mut Cx) -> Result<(), Fault> {
        let Some(to) = &stanza.to else { return Ok(()) };
        let session = match self.sessions.get(to) {
            Some(session) => Some(session),
            None => self
                .sessions_of(&to.bare())
                .await
                .into_iter()
                .find(|session| session.jid == *to),
        };
        match session {
            Some(session) => {
                cx.deliver(&session, Arc::new(stanza));
                Ok(())
            }
            None if matches!(kind, IqType::Get | IqType::Set) => Err(Condition::ServiceUnavailable.into()),
            None => Ok(()),
        }
    }

    /// Finds the handler of an iq request; nobody's request is `service-unavailable`, at once and never silent
    /// (RFC 6120 §8.2.3).
    async fn serve(&self, at: &[At], stanza: &Stanza, account: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let (Kind::Iq(kind), Some(payload), Some(from)) = (stanza.kind, stanza.payload(), &stanza.from)
        else {
            return Err(Condition::BadRequest.into());
        };
        let handler = at.iter().find_map(|at| {
            self.tables
                .iqs
                .get(&(*at, kind, payload.name(), payload.ns()))
                .cloned()
        });
        let Some(handler) = handler else {
            return Err(Condition::ServiceUnavailable.into());
        };
        let request = Request {
            stanza,
            payload,
            from,
            account,
            kind,
        };
        let result = Kind::Iq(IqType::Result);
        match handler.call(&request, cx).await? {
            Reply::Silent => {}
            Reply::Empty => self.answer(stanza.reply(result, ""), cx),
            Reply::Payload(xml) => self.answer(stanza.reply(result, &xml), cx),
        }
        Ok(())
    }

    /// Turns a fault into what its sender gets. The one place where a failing chain becomes a stanza.
    fn refuse(&self, stanza: &Stanza, fault: Fault, cx: &mut Cx) {
        if let Fault::Us(cause) = &fault {
            tracing::error!(event = "stanza_failed", kind = stanza.kind.name(), %cause);
        }
        let answer = fault.as_stanza_error().answer(stanza);
        if let Fault::Stream(error) = fault {
            cx.outcome.closing.get_or_insert(error);
        } else if let Some(answer) = answer {
            self.answer(answer, cx);
        }
    }

    /// An answer goes straight to the session that asked: block lists are for what others send. What somebody
    /// else is to get, is routed.
    fn answer(&self, answer: Stanza, cx: &mut Cx) {
        if let Origin::Session(session) = cx.origin.clone()
            && answer.to.as_ref() == Some(&session.jid)
        {
            cx.deliver(&session, Arc::new(answer));
        } else {
            cx.send(answer);
        }
    }

    // ——— delivery ———

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
        for (session, stanza) in outcome.deliveries {
            self.deliver(session, stanza).await;
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
            self.reroute(&session, &stanza).await;
        }
    }

    // ——— before login, and the end of an account ———

    /// Lets a room answer an iq on a secured stream before login. `None`: nobody may ask that yet.
    pub async fn before_login(&self, mut event: BeforeLogin) -> Option<Stanza> {
        let mut cx = self.cx()?;
        let answer = match self.raise(&mut event, &mut cx).await {
            Ok(_) => event.reply,
            Err(fault) => fault.as_stanza_error().answer(&event.stanza),
        };
        self.finish(cx).await;
        answer
    }

    /// Erases an account: its contacts are told, its sessions leave the house, its rows go in one transaction. The
    /// sessions are handed back for the caller to close; nothing they still send is heard.
    pub async fn erase_account(&self, account: &BareJid) -> Result<Vec<Arc<Session>>, Fault> {
        let Some(mut cx) = self.cx() else { return Ok(Vec::new()) };
        self.raise(&mut AccountRemoved { account: account.clone() }, &mut cx).await?;
        self.finish(cx).await;
        let sessions = self.sessions.of(account).to_vec();
        for session in &sessions {
            self.leave(session).await;
        }
        self.accounts.delete(account, &self.tables.erasers).await?;
        Ok(sessions)
    }

    fn log_fault(&self, event: &'static str, fault: Option<Fault>) {
        if let Some(fault) = fault {
            tracing::error!(event, ?fault);
        }
    }
}
