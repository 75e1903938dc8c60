//! The block itself: nothing passes between an account and those it has blocked, in either direction, and the
//! blocked see what strangers see (§3.3).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::events::{AccountErased, Arrival, Departure, Leaving, Verdict};
use kim_core::hook::{Flow, Hear, On};
use kim_core::router::Destination;
use kim_core::stanza::{IqType, Kind, MessageType, PresenceType};

use super::list::BlockLists;
use crate::rfc6121_im::api::Audience;

/// What an account sends to somebody it has blocked comes back; answers to them are dropped.
pub(super) struct BlockOutgoing(pub Arc<BlockLists>);

impl On<Departure> for BlockOutgoing {
    async fn on(&self, departure: &mut Departure, _: &mut Cx) -> Result<Flow, Fault> {
        let account = &departure.session.account;
        let Some(to) = departure
            .stanza
            .to
            .as_ref()
            .filter(|to| to.bare_str() != account.as_str())
        else {
            return Ok(Flow::Next);
        };
        if departure.session.guest || !self.0.of(account).await?.blocks(to) {
            return Ok(Flow::Next);
        }
        let error = StanzaError::new(Condition::NotAcceptable).kind(kim_core::error::ErrorType::Cancel);
        // The router drops it where an error may not be answered: results, errors, unavailable presence.
        Err(error.detail("blocked", "urn:xmpp:blocking:errors").into())
    }
}

/// Broadcasts and probes of an account leave out those it has blocked: they see it offline, and are not asked.
pub(super) struct Unseen(pub Arc<BlockLists>);

impl On<Audience> for Unseen {
    async fn on(&self, audience: &mut Audience, _: &mut Cx) -> Result<Flow, Fault> {
        let list = self.0.of(&audience.session.account).await?;
        audience.contacts.retain(|contact| !list.blocks(contact));
        Ok(Flow::Next)
    }
}

/// What the server sends out in an account's name, such as an event of one of its nodes, does not reach whom the account has
/// blocked. Going away is what they may see.
pub(super) struct Unheard(pub Arc<BlockLists>);

impl On<Leaving> for Unheard {
    async fn on(&self, leaving: &mut Leaving, cx: &mut Cx) -> Result<Flow, Fault> {
        let stanza = &leaving.stanza;
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else {
            return Ok(Flow::Next);
        };
        let tells = match stanza.kind {
            Kind::Presence(kind) => kind != PresenceType::Unavailable,
            // That nothing reaches the account is what the blocked are told (§3.3).
            Kind::Message(kind) => kind != MessageType::Error,
            Kind::Iq(_) => false,
        };
        let is_account =
            from.local().is_some() && cx.router().destination(from.domain()) == Destination::Users;
        if tells && is_account && self.0.of(&from.bare()).await?.blocks(to) {
            return Ok(Flow::Done);
        }
        Ok(Flow::Next)
    }
}

/// What the blocked send does not arrive; neither does what the server sends them in the account's name.
pub(super) struct BlockIncoming(pub Arc<BlockLists>);

impl On<Arrival> for BlockIncoming {
    async fn on(&self, arrival: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let stanza = &arrival.stanza;
        let Some(from) = stanza
            .from
            .as_ref()
            .filter(|from| from.bare_str() != arrival.account.as_str())
        else {
            return Ok(Flow::Next);
        };
        let is_user = |domain: &str| cx.router().destination(domain) == Destination::Users;
        if is_user(arrival.account.domain()) && self.0.of(&arrival.account).await?.blocks(from) {
            let is_elsewhere = !cx.router().destination(from.domain()).is_served();
            arrival.verdict = match stanza.kind {
                // As for an account that is away: headlines are never answered (RFC 6121 §8.5).
                Kind::Message(MessageType::Headline) => Verdict::Dropped,
                // An error would put the account out of a room elsewhere. Our own rooms know better, and learn by it of
                // sessions that are gone.
                Kind::Message(MessageType::Groupchat) if is_elsewhere => Verdict::Dropped,
                Kind::Message(_) | Kind::Iq(IqType::Get | IqType::Set) if !stanza.kind.is_error() => {
                    Verdict::Bounced(StanzaError::new(Condition::ServiceUnavailable))
                }
                _ => Verdict::Dropped,
            };
            // What a guest asks is answered by the router as for an account that does not exist.
            let by_guest = cx.router().destination(from.domain()) == Destination::Guests;
            if by_guest && matches!(stanza.kind, Kind::Iq(_)) {
                return Ok(Flow::Next);
            }
            return settle(arrival);
        }
        let hidden = match stanza.kind {
            // Going away is what the blocked may see of us.
            Kind::Presence(kind) => kind != PresenceType::Unavailable,
            _ => false,
        };
        if hidden && from.local().is_some() && is_user(from.domain()) {
            let to = stanza
                .to
                .clone()
                .unwrap_or_else(|| arrival.account.clone().into());
            if self.0.of(&from.bare()).await?.blocks(&to) {
                arrival.verdict = Verdict::Dropped;
                return settle(arrival);
            }
        }
        Ok(Flow::Next)
    }
}

/// Ends the chain with the verdict in force, so that no later stage stores or counts what was blocked.
fn settle(arrival: &mut Arrival) -> Result<Flow, Fault> {
    match std::mem::replace(&mut arrival.verdict, Verdict::Dropped) {
        Verdict::Bounced(error) => Err(error.into()),
        _ => Ok(Flow::Done),
    }
}

/// A removed account's list leaves the memory; its rows go with the account.
pub(super) struct ForgetBlockList(pub Arc<BlockLists>);

impl Hear<AccountErased> for ForgetBlockList {
    async fn hear(&self, removed: &mut AccountErased, _: &mut Cx) -> Result<(), Fault> {
        self.0.forget(&removed.account);
        Ok(())
    }
}
