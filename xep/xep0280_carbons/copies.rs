//! To whom copies go (§7, §8), and what they look like. The forwarded message is written once; the sessions that get it
//! share it.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{Arrival, Bounce, Departure, Verdict};
use kim_core::hook::{Flow, Hear, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::router::{Missed, Redelivered};
use kim_core::session::{Resource, Session};
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::NS;
use super::eligible::{Eligible, Way, is_private_to_room, judge};
use super::switch::CarbonsWish;
use crate::rfc6121_im::api::directed_at;
use crate::xep0359_ids::api::SentId;

/// The namespace of forwarded stanzas (XEP-0297).
const FORWARD: &str = "urn:xmpp:forward:0";

/// Copies what a client sends to the account's other clients (§8), whether it gets copies itself or not.
pub struct Sent;

impl On<Departure> for Sent {
    async fn on(&self, event: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let (stanza, sender) = (&event.stanza, &event.session);
        // What the account sends to itself arrives at all its clients anyway: see `Received`.
        let to_others = |to: &&Jid| to.bare_str() != sender.account.as_str();
        let Some(to) = stanza.to.as_ref().filter(to_others) else {
            return Ok(Flow::Next);
        };
        let eligible = judge(stanza, Way::Sent);
        // What its client sent before was copied before.
        if eligible == Eligible::No || cx.fact::<Redelivered>().is_some() {
            return Ok(Flow::Next);
        }
        let sessions = cx.router().sessions().of(&sender.account);
        // The sender may be none of them: a request of the REST API is a session for itself.
        if sessions.iter().all(|other| other.jid == sender.jid) {
            return Ok(Flow::Next);
        }
        let room = is_private_to_room(stanza).then(|| Room::of(sender, to.bare_str()));
        let mut targets = Vec::new();
        for other in sessions {
            let Some(wish) = wish_for(&other, eligible, stanza) else {
                continue;
            };
            if other.jid == sender.jid || room.as_ref().is_none_or(|room| room.has(&other)) {
                wish.known.add(stanza);
                targets.push(other);
            }
        }
        targets.retain(|other| other.jid != sender.jid);
        let id = cx.fact::<SentId>().map(SentId::to_xml);
        copy(stanza, Way::Sent, &sender.account, targets, id, cx);
        Ok(Flow::Next)
    }
}

/// What a session wants of a message that the rules allow, or left open until now: an error is for those who know its
/// cause.
fn wish_for(session: &Session, eligible: Eligible, message: &Stanza) -> Option<Arc<CarbonsWish>> {
    CarbonsWish::of(session).filter(|wish| match eligible {
        Eligible::No => false,
        Eligible::Yes => true,
        Eligible::LikeItsCause => wish.known.has_cause(message),
    })
}

/// A room that a private message is for. Copies are for the clients that are there under the sender's nickname (§6.1). If
/// the sender itself is not known to be there, nobody can tell who that is.
struct Room<'a> {
    bare: &'a str,
    nicknames: Vec<Jid>,
}

impl<'a> Room<'a> {
    fn of(sender: &Session, bare: &'a str) -> Room<'a> {
        Room {
            bare,
            nicknames: directed_at(sender, bare),
        }
    }

    fn has(&self, other: &Session) -> bool {
        let is_senders = |nickname| self.nicknames.contains(nickname);
        self.nicknames.is_empty() || directed_at(other, self.bare).iter().any(is_senders)
    }
}

/// Copies what arrives to those clients that do not get it by the rules of delivery (§7).
pub struct Received;

impl On<Arrival> for Received {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let (stanza, account) = (&event.stanza, &event.account);
        let (Kind::Message(kind), Some(from)) = (stanza.kind, &stanza.from) else {
            return Ok(Flow::Next);
        };
        let ends_here = match event.verdict {
            Verdict::Chosen(_) | Verdict::Nobody => false,
            // Errors for a client that has gone: the others know what they are about.
            Verdict::Dropped => kind != MessageType::Error,
            Verdict::Open | Verdict::Bounced(_) => true,
        };
        // On its second way a message was copied before.
        if cx.fact::<Redelivered>().is_some() {
            if let Some(missed) = cx.fact::<Missed>() {
                spare(event, *missed);
            }
            return Ok(Flow::Next);
        }
        if ends_here {
            return Ok(Flow::Next);
        }
        let own = from.bare_str() == account.as_str();
        let way = if own { Way::Sent } else { Way::Received };
        let eligible = judge(stanza, way);
        if eligible == Eligible::No {
            return Ok(Flow::Next);
        }
        let sessions = cx.router().sessions().of(account);
        if sessions.len() < 2 && matches!(event.verdict, Verdict::Chosen(_)) {
            return Ok(Flow::Next);
        }
        let mut targets = Vec::new();
        for session in sessions {
            // It waits for those that are just coming, and reaches them before anything live.
            let waits =
                matches!(event.verdict, Verdict::Nobody) && session.priority().is_some_and(|p| p >= 0);
            if let Some(wish) = wish_for(&session, eligible, stanza).filter(|_| !waits) {
                wish.known.add(stanza);
                targets.push(session);
            }
        }
        let is_chosen = |session: &Session| match &event.verdict {
            Verdict::Chosen(chosen) => chosen.iter().any(|one| one.id == session.id),
            _ => false,
        };
        targets.retain(|session| !is_chosen(session) && session.jid != *from);
        copy(stanza, way, account, targets, None, cx);
        Ok(Flow::Next)
    }
}

/// A message to one client that did not live to take it goes to the others now (RFC 6121 §8.5.3.2.1), but not to those
/// that had a copy when it came.
fn spare(event: &mut Arrival, missed: Missed) {
    let Verdict::Chosen(chosen) = &mut event.verdict else {
        return;
    };
    let to_full = event.stanza.to.as_ref().is_some_and(|to| !to.is_bare());
    if !to_full || judge(&event.stanza, Way::Received) != Eligible::Yes {
        return;
    }
    let has_copies = |session: &Resource| session.here().is_some_and(|here| CarbonsWish::of(here).is_some());
    chosen.retain(|session| !has_copies(session) || !session.took_at(missed.received));
    if chosen.is_empty() {
        event.verdict = Verdict::Dropped;
    }
}

/// Copies the house's own errors, which do not arrive.
pub struct Returned;

impl Hear<Bounce> for Returned {
    async fn hear(&self, event: &mut Bounce, cx: &mut Cx) -> Result<(), Fault> {
        let (stanza, account) = (&event.stanza, &event.session.account);
        let eligible = judge(stanza, Way::Received);
        if eligible != Eligible::No {
            let mut targets = cx.router().sessions().of(account).to_vec();
            targets.retain(|other| {
                other.jid != event.session.jid && wish_for(other, eligible, stanza).is_some()
            });
            copy(stanza, Way::Received, account, targets, None, cx);
        }
        Ok(())
    }
}

/// Keeps a message on its second way from those who had a copy of it on the first.
pub struct Once;

impl On<Arrival> for Once {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        if cx.fact::<Redelivered>().is_some()
            && let Verdict::Chosen(chosen) = &mut event.verdict
        {
            let had_it = |session: &Session| {
                CarbonsWish::of(session).is_some_and(|wish| wish.known.has(&event.stanza))
            };
            chosen.retain(|session| !session.here().is_some_and(|here| had_it(here)));
            if chosen.is_empty() {
                event.verdict = Verdict::Dropped;
            }
        }
        Ok(Flow::Next)
    }
}

/// Sends the copies. `extra` is a child that only the copies have.
fn copy(
    message: &Stanza,
    way: Way,
    account: &BareJid,
    targets: Vec<Arc<Session>>,
    extra: Option<String>,
    cx: &mut Cx,
) {
    if targets.is_empty() {
        return;
    }
    let name = match way {
        Way::Sent => "sent",
        Way::Received => "received",
    };
    let forwarded = match extra {
        Some(extra) => {
            let mut message = message.clone();
            message.append(&extra);
            message.to_xml()
        }
        None => message.to_xml(),
    };
    let mut xml = Writer::new();
    xml.start(name, NS).start("forwarded", FORWARD).raw(&forwarded);
    let wrapped = Stanza::new(message.kind, &xml.finish_string()).from(account.clone());
    for target in targets {
        let copy = wrapped.clone().to(target.jid.clone());
        cx.deliver(&target, Arc::new(copy));
    }
}
