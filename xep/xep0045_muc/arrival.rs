//! What is sent to the service, to its rooms and to those in them, and whose business it is.

use std::sync::Arc;

use kim_core::cx::{Cx, Origin};
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::events::ServiceArrival;
use kim_core::hook::{Flow, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use kim_core::wire::Writer;

use super::names::{MUC, SERVICE};
use super::news::News;
use super::rooms::Registry;
use super::turn::RoomTurn;
use super::{
    enter, farewell, ghosts, invitations, leave, message, nick, private, registration, relay, voice,
};

/// Hears all of it.
pub struct Arrivals(pub Arc<Registry>);

impl On<ServiceArrival> for Arrivals {
    async fn on(&self, event: &mut ServiceArrival, cx: &mut Cx) -> Result<Flow, Fault> {
        if event.service != SERVICE || event.to.local().is_none() {
            return Ok(Flow::Next);
        }
        match event.stanza.kind {
            Kind::Presence(kind) => self.presence(kind, event, cx).await?,
            Kind::Message(kind) => self.message(kind, event, cx).await?,
            Kind::Iq(_) if event.to.is_bare() => return Ok(Flow::Next),
            Kind::Iq(_) => relay::pass(&self.0, &event.from, &event.to, &event.stanza, cx).await?,
        }
        Ok(Flow::Done)
    }
}

/// Errors that say that nothing reaches somebody any more (§18.1.2).
const GHOSTLY: &[&str] = &[
    "gone",
    "item-not-found",
    "recipient-unavailable",
    "redirect",
    "remote-server-not-found",
    "remote-server-timeout",
];

fn is_ghostly(stanza: &Stanza) -> bool {
    says(stanza, GHOSTLY)
}

/// Whether an error is one of these.
fn says(stanza: &Stanza, conditions: &[&str]) -> bool {
    let Some(error) = stanza.child("error", kim_core::ns::CLIENT) else {
        return false;
    };
    error
        .children()
        .any(|child| child.ns() == kim_core::error::STANZA_ERRORS && conditions.contains(&child.name()))
}

/// Those who are refused get the `<x/>` back beside the error, as all examples of §7.2 have it: clients know by it what it is
/// about.
fn refuse(stanza: &Stanza, error: &StanzaError, cx: &mut Cx) {
    let mut xml = Writer::new();
    xml.start("x", MUC).end();
    error.write(&mut xml);
    let refusal = stanza.reply(Kind::Presence(PresenceType::Error), &xml.finish_string());
    match cx.origin.clone() {
        Origin::Session(session) if refusal.to.as_ref() == Some(&session.jid) => {
            cx.deliver(&session, Arc::new(refusal));
        }
        _ => cx.send(refusal),
    }
}

impl Arrivals {
    async fn presence(&self, kind: PresenceType, event: &ServiceArrival, cx: &mut Cx) -> Result<(), Fault> {
        let ServiceArrival { stanza, from, to, .. } = event;
        match kind {
            PresenceType::Available if stanza.has("x", MUC) => {
                match enter::enter(&self.0, from, to, stanza, cx).await {
                    Err(Fault::Stanza(error)) => {
                        refuse(stanza, &error, cx);
                        Ok(())
                    }
                    other => other,
                }
            }
            PresenceType::Available => self.update(from, to, stanza, cx).await,
            PresenceType::Unavailable if farewell::is_stopping(cx) => Ok(()),
            PresenceType::Unavailable => {
                leave::leave(&self.0, &to.bare(), from, Some(stanza), News::default(), cx).await
            }
            PresenceType::Error if is_ghostly(stanza) => self.ghost(from, to, cx).await,
            // §17.3: a presence of another type neither enters nor leaves.
            _ => Ok(()),
        }
    }

    async fn update(&self, from: &Jid, to: &Jid, stanza: &Stanza, cx: &mut Cx) -> Result<(), Fault> {
        let Some(wanted) = to.resource() else {
            return Err(Condition::JidMalformed.into());
        };
        let held = self.0.hold(&to.bare(), cx.router()).await?;
        let Some(held) = held.filter(|held| held.at(from).is_some()) else {
            enter::lost(from, to, stanza, cx);
            return Ok(());
        };
        let mut turn = RoomTurn::new(&self.0, held, cx);
        let is_same = turn.held.at(from).is_some_and(|one| one.nick() == wanted);
        if is_same {
            nick::update(&mut turn, from, stanza).await?;
        } else {
            nick::change_nickname(&mut turn, from, wanted, stanza).await?;
        }
        turn.close(cx);
        Ok(())
    }

    async fn message(&self, kind: MessageType, event: &ServiceArrival, cx: &mut Cx) -> Result<(), Fault> {
        let ServiceArrival { stanza, from, to, .. } = event;
        let room = to.bare();
        if kind == MessageType::Error {
            return self.error(event, &room, cx).await;
        }
        if !to.is_bare() {
            return private::write(&self.0, from, to, stanza, cx).await;
        }
        match kind {
            MessageType::Groupchat => message::speak(&self.0, from, &room, stanza, cx).await,
            _ if invitations::is_one(stanza) => invitations::handle(&self.0, from, &room, stanza, cx).await,
            _ => {
                if let Some(form) = voice::form(stanza) {
                    return voice::handle(&self.0, from, &room, &form, cx).await;
                }
                if let Some(form) = registration::approval(stanza) {
                    return registration::approve(&self.0, from, &room, &form, cx).await;
                }
                // §17.2
                self.0.held(&room, cx.router()).await?;
                Err(Condition::BadRequest.into())
            }
        }
    }

    /// Something the room sent comes back. Only the author of a private message hears of it: the author of a message to all
    /// cannot help it, and must not learn of a block (XEP-0191 §3.3).
    async fn error(&self, event: &ServiceArrival, room: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let ServiceArrival { stanza, from, to, .. } = event;
        if ghosts::hear(&self.0, room, from, cx).await? {
            return Ok(());
        }
        if is_ghostly(stanza) {
            return self.ghost(from, to, cx).await;
        }
        let is_private = private::come_back(&self.0, from, to, stanza, cx).await?;
        // That is how another server answers a message to all for a session that it does not have (RFC 6121 §8.5.3.2.1).
        let is_elsewhere = !cx.router().destination(from.domain()).is_served();
        if !is_private && is_elsewhere && says(stanza, &["service-unavailable"]) {
            return self.ghost(from, to, cx).await;
        }
        Ok(())
    }

    /// §18.1.2: nothing reaches this session any more.
    async fn ghost(&self, from: &Jid, to: &Jid, cx: &mut Cx) -> Result<(), Fault> {
        leave::leave(&self.0, &to.bare(), from, None, News::codes(&[333]), cx).await
    }
}
