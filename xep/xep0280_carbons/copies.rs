//! To whom copies go (§7, §8), and what they look like. The forwarded message is written once; the sessions that get it
//! share it.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{Arrival, Bounce, Departure, Verdict};
use kim_core::hook::{Flow, On};
use kim_core::jid::BareJid;
use kim_core::router::Redelivered;
use kim_core::session::Session;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;
use smallvec::SmallVec;

use super::NS;
use super::eligible::{Eligible, Way, is_private_to_room, judge};
use super::recent::Recent;
use super::switch::is_on;
use crate::rfc6121_im::api::directed_at;
use crate::xep0359_ids::api::SentId;

/// The namespace of forwarded stanzas (XEP-0297).
pub const FORWARD: &str = "urn:xmpp:forward:0";

type Several = SmallVec<[Arc<Session>; 2]>;

/// Copies what a client sends to the account's other clients (§8), whether it gets copies itself or not.
pub struct Sent(pub Arc<Recent>);

impl On<Departure> for Sent {
    async fn on(&self, event: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let (stanza, sender) = (&event.stanza, &event.session);
        // What the account sends to itself arrives at all its clients anyway: see `Received`.
        let Some(to) = stanza
            .to
            .as_ref()
            .filter(|to| to.bare_str() != sender.account.as_str())
        else {
            return Ok(Flow::Next);
        };
        let eligible = judge(stanza, Way::Sent);
        if eligible == Eligible::No {
            return Ok(Flow::Next);
        }
        let mut others = cx.router().sessions_of(&sender.account).await;
        others.retain(|other| other.jid != sender.jid);
        if others.is_empty() || !self.0.settles(eligible, &sender.account, to.bare_str(), stanza) {
            return Ok(Flow::Next);
        }
        if is_private_to_room(stanza) {
            keep_those_in_room(&mut others, sender, to.bare_str());
        }
        let id = cx.fact::<SentId>().map(SentId::to_xml);
        copy(stanza, Way::Sent, &sender.account, others, id, cx);
        Ok(Flow::Next)
    }
}

/// §6.1: a private message to somebody in a room is for the clients that are there under the same nickname. If the room
/// does not know the sender itself, nobody can tell who that is.
fn keep_those_in_room(others: &mut Several, sender: &Session, room: &str) {
    let nicknames = directed_at(sender, room);
    if !nicknames.is_empty() {
        others.retain(|other| {
            directed_at(other, room)
                .iter()
                .any(|nickname| nicknames.contains(nickname))
        });
    }
}

/// Copies what arrives to those clients that do not get it by the rules of delivery (§7).
pub struct Received(pub Arc<Recent>);

impl On<Arrival> for Received {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let (stanza, account) = (&event.stanza, &event.account);
        let (Kind::Message(kind), Some(from)) = (stanza.kind, &stanza.from) else {
            return Ok(Flow::Next);
        };
        let have_it = |session: &Session| match &event.verdict {
            Verdict::Chosen(chosen) => chosen.iter().any(|one| one.id == session.id),
            // It waits for those that are just coming, and reaches them before anything live.
            Verdict::Nobody => session.priority().is_some_and(|priority| priority >= 0),
            _ => false,
        };
        let ends_here = match event.verdict {
            Verdict::Chosen(_) | Verdict::Nobody => false,
            // Errors for a client that has gone: the others know what they are about.
            Verdict::Dropped => kind != MessageType::Error,
            Verdict::Open | Verdict::Bounced(_) => true,
        };
        // On its second way a message was copied before.
        if ends_here || cx.fact::<Redelivered>().is_some() {
            return Ok(Flow::Next);
        }
        let own = from.bare_str() == account.as_str();
        let way = if own { Way::Sent } else { Way::Received };
        let eligible = judge(stanza, way);
        if eligible == Eligible::No {
            return Ok(Flow::Next);
        }
        let mut others = cx.router().sessions_of(account).await;
        if others.len() < 2 && matches!(event.verdict, Verdict::Chosen(_)) {
            return Ok(Flow::Next);
        }
        if !self.0.settles(eligible, account, from.bare_str(), stanza) {
            return Ok(Flow::Next);
        }
        others.retain(|other| !have_it(other) && other.jid != *from);
        copy(stanza, way, account, others, None, cx);
        Ok(Flow::Next)
    }
}

/// Copies the house's own errors, which do not arrive.
pub struct Returned(pub Arc<Recent>);

impl On<Bounce> for Returned {
    async fn on(&self, event: &mut Bounce, cx: &mut Cx) -> Result<Flow, Fault> {
        let (stanza, account) = (&event.stanza, &event.session.account);
        let Some(from) = &stanza.from else {
            return Ok(Flow::Next);
        };
        let eligible = judge(stanza, Way::Received);
        if eligible != Eligible::No && self.0.settles(eligible, account, from.bare_str(), stanza) {
            let mut others = cx.router().sessions_of(account).await;
            others.retain(|other| other.jid != event.session.jid);
            copy(stanza, Way::Received, account, others, None, cx);
        }
        Ok(Flow::Next)
    }
}

impl Recent {
    /// What the rules left open, and remembers a message that errors may be about.
    fn settles(&self, eligible: Eligible, account: &BareJid, peer: &str, stanza: &Stanza) -> bool {
        let id = stanza.id.as_deref();
        match eligible {
            Eligible::No => false,
            Eligible::LikeItsCause => self.has(account.as_str(), peer, id),
            Eligible::Yes => {
                self.add(account.as_str(), peer, id);
                true
            }
        }
    }
}

/// Sends the copies, to those of `others` that want them. `extra` is a child that only the copies have.
fn copy(
    message: &Stanza,
    way: Way,
    account: &BareJid,
    mut others: Several,
    extra: Option<String>,
    cx: &mut Cx,
) {
    others.retain(|other| is_on(other));
    if others.is_empty() {
        return;
    }
    let mut xml = Writer::new();
    xml.start(
        match way {
            Way::Sent => "sent",
            Way::Received => "received",
        },
        NS,
    )
    .start("forwarded", FORWARD);
    match extra {
        Some(extra) => {
            let mut message = message.clone();
            message.append(&extra);
            xml.raw(&message.to_xml());
        }
        None => {
            xml.raw(&message.to_xml());
        }
    }
    let wrapped = Stanza::new(message.kind, &xml.finish_string()).from(account.clone());
    for other in others {
        let copy = wrapped.clone().to(other.jid.clone());
        cx.deliver(&other, Arc::new(copy));
    }
}
