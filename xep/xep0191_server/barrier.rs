//! The block itself: nothing of the blocked comes in, and nothing goes out to them. A blocked account of this server can still
//! sign in, read, and leave; it reaches nobody.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::events::{Departure, Entering, Leaving};
use kim_core::hook::{Flow, On};
use kim_core::router::Destination;
use kim_core::stanza::{IqType, Kind, PresenceType, Stanza};

use super::rules::BlockRules;

/// What comes in from the blocked.
pub(super) struct KeepOut(pub Arc<BlockRules>);

impl On<Entering> for KeepOut {
    async fn on(&self, entering: &mut Entering, cx: &mut Cx) -> Result<Flow, Fault> {
        let Stanza { kind, from, to, .. } = &entering.stanza;
        let (Some(from), Some(to)) = (from, to) else {
            return Ok(Flow::Next);
        };
        let hit = match self.0.check(from, cx.router()).await? {
            None => self.0.check(to, cx.router()).await?,
            hit => hit,
        };
        let Some(hit) = hit else { return Ok(Flow::Next) };
        // Whoever was in a room before may leave it, and is put out by errors.
        let is_at_service = matches!(cx.router().destination(to.domain()), Destination::Service(_));
        if is_at_service && is_farewell(*kind) {
            return Ok(Flow::Next);
        }
        self.0.count(hit, *kind);
        match is_answered(*kind) {
            true => Err(Condition::ServiceUnavailable.into()),
            false => Ok(Flow::Done),
        }
    }
}

/// What goes out to the blocked, whoever sends it.
pub(super) struct KeepIn(pub Arc<BlockRules>);

impl On<Leaving> for KeepIn {
    async fn on(&self, leaving: &mut Leaving, cx: &mut Cx) -> Result<Flow, Fault> {
        let Stanza { kind, from, to, .. } = &leaving.stanza;
        let Some(to) = to.as_ref().filter(|_| !is_farewell(*kind)) else {
            return Ok(Flow::Next);
        };
        let Some(hit) = self.0.check(to, cx.router()).await? else {
            return Ok(Flow::Next);
        };
        self.0.count(hit, *kind);
        if !is_answered(*kind) {
            return Ok(Flow::Done);
        }
        let by_service = from
            .as_ref()
            .is_some_and(|from| matches!(cx.router().destination(from.domain()), Destination::Service(_)));
        // By these a room knows that an occupant cannot be reached any more, and puts them out.
        Err(match by_service || hit.is_domain {
            true => Condition::RemoteServerNotFound.into(),
            false => refusal(),
        })
    }
}

/// What a blocked account of this server sends, and what is sent to one.
pub(super) struct KeepStill(pub Arc<BlockRules>);

impl On<Departure> for KeepStill {
    async fn on(&self, departure: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let Departure { stanza, session } = departure;
        let is_own = match &stanza.to {
            None => true,
            Some(to) => to.bare_str() == session.account.as_str() || to.as_str() == session.account.domain(),
        };
        let is_broadcast = stanza.to.is_none() && matches!(stanza.kind, Kind::Presence(_));
        if is_farewell(stanza.kind) || (is_own && !is_broadcast) {
            return Ok(Flow::Next);
        }
        if let Some(hit) = self.0.check(&session.jid, cx.router()).await? {
            self.0.count(hit, stanza.kind);
            return match is_answered(stanza.kind) {
                true => Err(StanzaError::new(Condition::Forbidden)
                    .text("the administrators of this server have blocked this account")
                    .into()),
                false => Ok(Flow::Done),
            };
        }
        // What leaves this server is looked at there.
        let Some(to) = &stanza.to else {
            return Ok(Flow::Next);
        };
        if !cx.router().destination(to.domain()).is_served() {
            return Ok(Flow::Next);
        }
        let Some(hit) = self.0.check(to, cx.router()).await? else {
            return Ok(Flow::Next);
        };
        self.0.count(hit, stanza.kind);
        match is_answered(stanza.kind) {
            true => Err(refusal()),
            false => Ok(Flow::Done),
        }
    }
}

/// What a sender of this server gets (XEP-0191 §3.3 names the condition, for their own blocks).
fn refusal() -> Fault {
    StanzaError::new(Condition::NotAcceptable)
        .text("the administrators of this server have blocked this address")
        .into()
}

/// Somebody goes, or hears that something failed.
fn is_farewell(kind: Kind) -> bool {
    kind.is_error() || kind == Kind::Presence(PresenceType::Unavailable)
}

/// Whether a sender waits for an answer.
fn is_answered(kind: Kind) -> bool {
    match kind {
        Kind::Message(_) => !kind.is_error(),
        Kind::Iq(kind) => matches!(kind, IqType::Get | IqType::Set),
        Kind::Presence(_) => false,
    }
}
