//! What this server says about its accounts: to those who ask, and in what the accounts send to people elsewhere.

use std::sync::Arc;

use kim_core::cx::{Cx, Origin};
use kim_core::error::{Condition, Fault};
use kim_core::events::{Departure, Leaving};
use kim_core::hook::{Flow, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::{At, HandleIq, Reply, Request};
use kim_core::router::{Destination, Router};
use kim_core::stanza::{Kind, MessageType, PresenceType, Stanza};

use super::NS;
use super::api::{self, of_account};
use crate::rfc6121_im::api::{Subscriptions, directed_at};

/// Answers the query (§4.2).
pub(super) struct AnswerQuery {
    pub subscriptions: Arc<Subscriptions>,
}

impl HandleIq for AnswerQuery {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        // A resource that is not there says the same at every account (RFC 6121 §8.5.3.2.3).
        if iq.is_to_full() {
            return Err(Condition::ServiceUnavailable.into());
        }
        let may_ask = match iq.at {
            At::Own => true,
            At::Account => self.may_ask(cx.router(), iq.account, iq.from).await?,
            // Nobody can tell an account that is not there from one that refuses.
            _ => false,
        };
        let what = match may_ask {
            true => of_account(cx.router(), iq.account).await?,
            false => None,
        };
        let what = what.ok_or(Condition::Forbidden)?;
        let public = iq.at != At::Own;
        Ok(Reply::Payload(api::write(&what, public, cx.received)))
    }
}

impl AnswerQuery {
    /// Who knows already that the account is there: its contacts, their servers, and this server's administrators.
    async fn may_ask(&self, router: &Router, account: &BareJid, from: &Jid) -> Result<bool, Fault> {
        let asker = from.bare();
        if router.config().server.admins.contains(&asker) {
            return Ok(true);
        }
        if asker.local().is_some() {
            return self.subscriptions.may_see(router, account, &asker).await;
        }
        if router.destination(asker.domain()) != Destination::Remote {
            return Ok(false);
        }
        let roster = self.subscriptions.roster(account).await?;
        let is_there = |contact: &BareJid| contact.domain() == asker.domain();
        Ok(roster.subscribers().any(is_there))
    }
}

/// Takes out what clients say about themselves (§7.2), and notes to whom a presence is directed.
pub(super) struct StripForged;

/// The presence on its way was sent to this address alone.
struct DirectedPresence(Jid);

impl On<Departure> for StripForged {
    async fn on(&self, event: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        if matches!(event.stanza.kind, Kind::Message(_) | Kind::Presence(_)) {
            event.stanza.remove(|child| child.is("info", NS));
        }
        if event.stanza.kind == Kind::Presence(PresenceType::Available)
            && let Some(to) = event.stanza.to.clone()
        {
            cx.learn(DirectedPresence(to));
        }
        Ok(Flow::Next)
    }
}

/// Says in what leaves to people who are not contacts who the sender is (§4.3, §5).
pub(super) struct EmbedInfo {
    pub subscriptions: Arc<Subscriptions>,
}

impl On<Leaving> for EmbedInfo {
    async fn on(&self, event: &mut Leaving, cx: &mut Cx) -> Result<Flow, Fault> {
        let stanza = &mut event.stanza;
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else {
            return Ok(Flow::Next);
        };
        let router = cx.router().clone();
        let is_account = from.local().is_some() && router.destination(from.domain()) == Destination::Users;
        if !is_account || !is_embedded_in(stanza, to, cx) {
            return Ok(Flow::Next);
        }
        let account = from.bare();
        let contact = self.subscriptions.item(&router, &account, &to.bare()).await?;
        if contact.is_some_and(|contact| contact.state.is_to()) {
            return Ok(Flow::Next);
        }
        if let Some(what) = of_account(&router, &account).await? {
            stanza.append(&api::write(&what, true, cx.received));
        }
        Ok(Flow::Next)
    }
}

/// Whether this is one of the stanzas that §6 names. A room was told when it was entered, and would pass on to everybody there
/// what it is told again with each message.
fn is_embedded_in(stanza: &Stanza, to: &Jid, cx: &Cx) -> bool {
    match stanza.kind {
        Kind::Message(MessageType::Error | MessageType::Groupchat) => false,
        Kind::Message(_) => match &cx.origin {
            Origin::Session(session) => directed_at(session, to.bare_str()).is_empty(),
            _ => true,
        },
        Kind::Presence(PresenceType::Subscribe) => true,
        Kind::Presence(PresenceType::Available) => cx
            .fact::<DirectedPresence>()
            .is_some_and(|directed| directed.0 == *to),
        _ => false,
    }
}
