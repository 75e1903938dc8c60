//! Subscription requests with a token (XEP-0379 §3.4, §3.5): the server says yes in the inviter's name, who may be offline, and
//! asks back. A token that is none is as if it were not there (§4.1).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{Arrival, Verdict};
use kim_core::hook::{Flow, On};
use kim_core::jid::BareJid;
use kim_core::router::Destination;
use kim_core::stanza::{Kind, PresenceType};

use super::PARS;
use super::api::Invites;
use super::token;

/// Whose request to whom came with a good token.
struct Welcome {
    account: BareJid,
    contact: BareJid,
}

/// Redeems the token before the request is dealt with: the answer is yes.
pub(super) struct Redeem(pub Arc<Invites>);

impl On<Arrival> for Redeem {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        if event.stanza.kind != Kind::Presence(PresenceType::Subscribe)
            || !matches!(event.verdict, Verdict::Open)
        {
            return Ok(Flow::Next);
        }
        let Some(preauth) = event.stanza.child("preauth", PARS) else {
            return Ok(Flow::Next);
        };
        let token = preauth.attr("token").unwrap_or_default();
        let (Some(hash), Some(from)) = (token::hash(&token), &event.stanza.from) else {
            return Ok(Flow::Next);
        };
        let (router, contact) = (cx.router().clone(), from.bare());
        if router.destination(event.account.domain()) != Destination::Users || contact == event.account {
            return Ok(Flow::Next);
        }
        // An existing contact needs no invitation, and uses none up.
        let known = self.0.subscriptions.item(&router, &event.account, &contact);
        if known.await?.is_some_and(|item| item.state.is_from()) {
            return Ok(Flow::Next);
        }
        let invites = &self.0;
        if invites
            .store
            .redeem_as_contact(hash, &event.account, cx.received)
            .await?
        {
            // A roster that is full leaves it to the inviter.
            if let Err(fault) = invites
                .subscriptions
                .approve(&router, &event.account, &contact)
                .await
            {
                tracing::warn!(event = "invited_without_contact", account = %event.account, ?fault);
            } else {
                cx.learn(Welcome {
                    account: event.account.clone(),
                    contact,
                });
            }
        }
        Ok(Flow::Next)
    }
}

/// Asks for the other half once the request has been answered.
pub(super) struct AskBack(pub Arc<Invites>);

impl On<Arrival> for AskBack {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        if event.stanza.kind != Kind::Presence(PresenceType::Subscribe) {
            return Ok(Flow::Next);
        }
        // What this request causes passes here too, with the same context.
        let from = event.stanza.from.as_ref().map(|from| from.bare());
        let welcome = cx
            .fact::<Welcome>()
            .filter(|welcome| welcome.account == event.account && Some(&welcome.contact) == from.as_ref());
        let Some(contact) = welcome.map(|welcome| welcome.contact.clone()) else {
            return Ok(Flow::Next);
        };
        let router = cx.router().clone();
        let subscriptions = &self.0.subscriptions;
        let item = subscriptions.item(&router, &event.account, &contact).await?;
        if item.is_some_and(|item| !item.state.is_asking() && !item.state.is_to()) {
            subscriptions
                .request(&router, &event.account, &contact, cx)
                .await?;
        }
        Ok(Flow::Next)
    }
}
