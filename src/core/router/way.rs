//! The way of a stanza through the house: departure, routing by address, arrival.
//!
//! Nothing here recurses over what the network sends: stanzas that hooks request are taken from a queue, and a
//! stanza can cause only a bounded number of others ([`SENDS_MAX`]).

use std::sync::Arc;

use crate::cx::{Cx, Origin, Outcome, Recipient};
use crate::error::{Condition, Fault, StanzaError, StreamCondition};
use crate::events::{
    Answer, Arrival, Bounce, Departure, Keeping, NoSuchAccount, Nonza, ServiceArrival, Undelivered, Verdict,
};
use crate::hook::Flow;
use crate::jid::{BareJid, Jid};
use crate::module::{At, Reply, Request};
use crate::session::{Resource, Session};
use crate::stanza::{IqType, Kind, PresenceType, Stanza};
use crate::wire::Element;

use super::{Destination, Missed, Router};

/// The most stanzas that one stanza may cause. It bounds loops between modules; a presence broadcast to the largest
/// roster stays well below.
pub const SENDS_MAX: usize = 50_000;

impl Router {
    /// Takes a stanza that a session sent, runs it through the house, and says what may leave once the commits
    /// are done. The `from` is checked and stamped here, so no module ever sees a forged one (RFC 6120 §8.1.2.1): another
    /// account's address ends the stream; another resource of the same account is overwritten, because clients that
    /// resume a session under a new resource go on using the new one.
    pub async fn depart(&self, session: &Arc<Session>, mut stanza: Stanza) -> Outcome {
        let Some(mut cx) = self.cx_of(session) else {
            return Outcome::default();
        };
        cx.outcome = Outcome::of_stanza(session);
        self.departed.count(&stanza.kind);
        if !session.may_speak_as(stanza.from.as_ref()) {
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
                if let Err(fault) = self.try_route(&mut stanza, &mut cx).await {
                    cx.outcome.rows.clear();
                    self.refuse(&stanza, fault, &mut cx).await;
                }
            }
            Err(fault) => {
                cx.outcome.rows.clear();
                self.refuse(&departure.stanza, fault, &mut cx).await;
            }
        }
        self.settle(cx, Recipient::Session(session.clone()), asked).await
    }

    /// Routes what the hooks requested and starts the commits. Should they fail, `asker` hears of it instead of what the
    /// stanza would have caused.
    pub(super) async fn settle(&self, mut cx: Cx, asker: Recipient, asked: Stanza) -> Outcome {
        self.drain(&mut cx).await;
        cx.flush();
        if !cx.outcome.is_settled() {
            cx.outcome.asked = Some((asker, asked));
            cx.outcome.hurry();
        }
        cx.outcome
    }

    /// Takes a top-level element other than a stanza from a session's client, and asks the modules what it means.
    pub async fn nonza(&self, session: &Arc<Session>, element: Element) -> Outcome {
        let Some(mut cx) = self.cx_of(session) else {
            return Outcome::default();
        };
        let mut nonza = Nonza {
            element,
            session: session.clone(),
        };
        let closing = match self.raise(&mut nonza, &mut cx).await {
            Ok(Flow::Done) => None,
            Ok(Flow::Next) => Some(StreamCondition::UnsupportedStanzaType.into()),
            Err(Fault::Stream(error)) => Some(error),
            // The only possible answer is to end the stream.
            Err(fault) => {
                self.log_fault("nonza_failed", Some(fault));
                Some(StreamCondition::InternalServerError.into())
            }
        };
        cx.outcome.closing = closing;
        self.drain(&mut cx).await;
        if !cx.outcome.is_settled() {
            cx.outcome.hurry();
        }
        cx.outcome
    }

    /// Answers a stanza that could not even depart. A forged `from` ends the stream here too.
    pub fn reject(&self, session: &Arc<Session>, mut stanza: Stanza, error: &StanzaError) -> Outcome {
        let mut outcome = Outcome::of_stanza(session);
        if stanza.has_malformed_from() || !session.may_speak_as(stanza.from.as_ref()) {
            outcome.closing = Some(StreamCondition::InvalidFrom.into());
            return outcome;
        }
        if stanza.is_for_sender() {
            stanza.to = Some(session.account.clone().into());
        }
        stanza.from = Some(session.jid.clone());
        if let Some(answer) = error.answer(&stanza) {
            outcome.deliver(Recipient::Session(session.clone()), Arc::new(answer));
        }
        outcome
    }

    /// Routes what the hooks requested, waits for the commits and delivers. For everything that no connection
    /// waits for.
    pub async fn finish(&self, mut cx: Cx) {
        self.drain(&mut cx).await;
        cx.flush();
        self.perform(cx.outcome).await;
    }

    async fn drain(&self, cx: &mut Cx) {
        cx.outcome.received = Some(cx.received);
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
            self.refuse(&stanza, fault, cx).await;
        }
    }

    pub(super) async fn try_route(&self, stanza: &mut Stanza, cx: &mut Cx) -> Result<(), Fault> {
        let Some(to) = stanza.to.clone() else {
            return Ok(());
        };
        let account = to.bare();
        let destination = self.destination(to.domain());
        match destination {
            Destination::Users | Destination::Guests => {}
            Destination::Service(service) => return self.at_service(stanza, service, to, cx).await,
            Destination::Component | Destination::Remote => {
                return self.let_out(stanza, destination, cx).await;
            }
        }
        if to.local().is_none() {
            return self.at_server(stanza, &account, cx).await;
        }
        if !self.exists(destination, &account).await? {
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
                Kind::Iq(IqType::Get | IqType::Set) => self.serve(At::Nobody, stanza, &account, cx).await,
                Kind::Message(_) if destination == Destination::Users => {
                    self.to_nobody(stanza.clone(), account, cx).await
                }
                _ => Err(Condition::ServiceUnavailable.into()),
            };
        }
        self.at_account(stanza, account, cx).await
    }

    async fn to_nobody(&self, stanza: Stanza, account: BareJid, cx: &mut Cx) -> Result<(), Fault> {
        match self.raise(&mut NoSuchAccount { stanza, account }, cx).await? {
            Flow::Done => Ok(()),
            Flow::Next => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// Whether an account can be sent to. A guest exists as long as its session.
    async fn exists(&self, destination: Destination, account: &BareJid) -> Result<bool, Fault> {
        if !self.sessions.of(account).is_empty() {
            return Ok(true);
        }
        match destination {
            Destination::Guests => Ok(!self.sessions_of(account).await.is_empty()),
            Destination::Users => Ok(self.accounts.exists(account).await?),
            Destination::Service(_) | Destination::Component | Destination::Remote => Ok(false),
        }
    }

    async fn at_service(
        &self,
        stanza: &mut Stanza,
        service: &'static str,
        to: Jid,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let Some(from) = stanza.from.clone() else {
            return Ok(());
        };
        let mut arrival = ServiceArrival {
            stanza: stanza.clone(),
            service,
            from,
            to,
        };
        if self.raise(&mut arrival, cx).await? == Flow::Done {
            return Ok(());
        }
        let ServiceArrival { stanza, to, .. } = arrival;
        let is_request = matches!(stanza.kind, Kind::Iq(IqType::Get | IqType::Set));
        let address = to.bare();
        match stanza.kind {
            Kind::Iq(_) if to.local().is_none() && is_request => {
                self.serve(At::Service(service), &stanza, &address, cx).await
            }
            Kind::Iq(_) if to.is_bare() && is_request => {
                self.serve(At::Within(service), &stanza, &address, cx).await
            }
            Kind::Iq(_) if !is_request => self.answered(&stanza, cx).await,
            Kind::Presence(_) => Ok(()),
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }

    async fn at_server(&self, stanza: &Stanza, server: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        match stanza.kind {
            Kind::Iq(IqType::Get | IqType::Set) => self.serve(At::Server, stanza, server, cx).await,
            Kind::Iq(_) => self.answered(stanza, cx).await,
            Kind::Message(_) => Err(Condition::ServiceUnavailable.into()),
            Kind::Presence(_) => Ok(()),
        }
    }

    /// The answer to something that this server has asked: of one that waits for it, or of a module.
    async fn answered(&self, stanza: &Stanza, cx: &mut Cx) -> Result<(), Fault> {
        if self.asks.hear(stanza) {
            return Ok(());
        }
        let stanza = stanza.clone();
        self.raise(&mut Answer { stanza }, cx).await.map(|_| ())
    }

    async fn at_account(&self, stanza: &mut Stanza, account: BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let to_bare = stanza.to.as_ref().is_none_or(|to| to.is_bare());
        let own = stanza.from.as_ref().is_some_and(|from| from.bare() == account);
        if to_bare && let Kind::Iq(kind) = stanza.kind {
            if matches!(kind, IqType::Result | IqType::Error) {
                return self.answered(stanza, cx).await;
            }
            if own {
                return self.serve(At::Own, stanza, &account, cx).await;
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
                // An account that refuses guests is to them as one that does not exist.
                (Verdict::Bounced(_), true) if self.is_from_guest(&arrived) => {
                    self.serve(At::Nobody, &arrived, &account, cx).await
                }
                (Verdict::Bounced(error), _) => Err(error.into()),
                (Verdict::Dropped, _) => Ok(()),
                (_, true) => self.serve(At::Account, &arrived, &account, cx).await,
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

    fn is_from_guest(&self, stanza: &Stanza) -> bool {
        let from = stanza.from.as_ref();
        from.is_some_and(|from| self.destination(from.domain()) == Destination::Guests)
    }

    async fn undelivered(&self, stanza: Stanza, account: BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let mut event = Undelivered {
            stanza,
            account,
            keeping: Keeping::Nobody,
        };
        self.tell(&mut event, cx).await?;
        match event.keeping {
            Keeping::Nobody => Err(Condition::ServiceUnavailable.into()),
            Keeping::Stored => {
                let waiting = Recipient::Away(event.account);
                cx.outcome.deliver(waiting, Arc::new(event.stanza));
                Ok(())
            }
            Keeping::Settled => Ok(()),
        }
    }

    /// An iq to a full JID reaches that session or comes back (RFC 6121 §8.5.3).
    async fn to_full(&self, stanza: Stanza, kind: IqType, cx: &mut Cx) -> Result<(), Fault> {
        let Some(to) = &stanza.to else { return Ok(()) };
        let session = match self.sessions.get(to) {
            Some(session) => Some(Resource::Here(session)),
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
    async fn serve(&self, at: At, stanza: &Stanza, account: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let (Kind::Iq(kind), Some(payload), Some(from)) = (stanza.kind, stanza.payload(), &stanza.from)
        else {
            return Err(Condition::BadRequest.into());
        };
        let handler = at.and_wider().into_iter().find_map(|at| {
            self.tables
                .iqs
                .get(&(at, kind, payload.name(), payload.ns()))
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
            at,
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
    pub(super) async fn refuse(&self, stanza: &Stanza, fault: Fault, cx: &mut Cx) {
        if let Fault::Us(cause) = &fault {
            tracing::error!(event = "stanza_failed", kind = stanza.kind.name(), %cause);
        }
        // The archive has it, so it was received: its sender need not hear that another copy finds no place now.
        let is_received = cx.fact::<Missed>().is_some_and(|missed| missed.is_archived);
        let answer = fault.as_stanza_error().answer(stanza).filter(|_| !is_received);
        if let Fault::Stream(error) = fault {
            cx.outcome.closing.get_or_insert(error);
        } else if let Some(answer) = answer {
            if let (Kind::Message(_), Origin::Session(session)) = (answer.kind, cx.origin.clone())
                && answer.to.as_ref() == Some(&session.jid)
            {
                let mut bounce = Bounce {
                    stanza: answer.clone(),
                    session,
                };
                let told = self.tell(&mut bounce, cx).await;
                self.log_fault("bounce_failed", told.err());
            }
            self.answer(answer, cx);
        }
    }

    /// An answer goes straight to the session that asked: block lists are for what others send. What somebody
    /// else is to get, is routed.
    fn answer(&self, answer: Stanza, cx: &mut Cx) {
        match &cx.origin {
            Origin::Session(session) if answer.to.as_ref() == Some(&session.jid) => {
                cx.deliver(&session.clone(), Arc::new(answer));
            }
            _ => cx.send(answer),
        }
    }
}
