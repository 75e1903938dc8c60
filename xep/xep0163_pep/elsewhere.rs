//! Contacts on other servers: their clients are noticed by the presence that an account gets of them, asked what they want to
//! hear of (XEP-0163 §4.2), and sent the last items once that is known (§4.3.4). Only contacts are: a stranger's presence
//! costs nothing.

use kim_core::cx::Cx;
use kim_core::error::{Fault, STANZA_ERRORS};
use kim_core::events::Arrival;
use kim_core::hook::{Flow, Hear, On};
use kim_core::ns;
use kim_core::router::Destination;
use kim_core::stanza::{Kind, MessageType, PresenceType, Stanza};

use super::Means;
use crate::xep0115_caps::api::ClientKnown;

/// Errors that say that a client is not there any more.
const GONE: &[&str] = &[
    "gone",
    "item-not-found",
    "recipient-unavailable",
    "remote-server-not-found",
    "remote-server-timeout",
    "service-unavailable",
];

/// Notices the presence of contacts elsewhere. What is blocked does not come this far.
pub(super) struct Watch(pub Means);

impl On<Arrival> for Watch {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let Some(from) = &event.stanza.from else {
            return Ok(Flow::Next);
        };
        let is_looked_at = matches!(
            event.stanza.kind,
            Kind::Presence(_) | Kind::Message(MessageType::Error)
        );
        let (caps, account) = (&self.0.caps, &event.account);
        let at = |domain| cx.router().destination(domain);
        if !is_looked_at
            || at(from.domain()) != Destination::Remote
            || at(account.domain()) != Destination::Users
        {
            return Ok(Flow::Next);
        }
        let router = cx.router().clone();
        match event.stanza.kind {
            Kind::Presence(PresenceType::Available) => {
                let item = self.0.subscriptions.item(&router, account, &from.bare()).await?;
                if item.is_some_and(|item| item.state.is_from() || item.state.is_to()) {
                    caps.notice_elsewhere(account, &event.stanza, cx).await?;
                }
            }
            Kind::Presence(PresenceType::Unavailable | PresenceType::Error) => {
                caps.forget_elsewhere(account, from);
            }
            Kind::Message(MessageType::Error) if says_gone(&event.stanza) => {
                caps.forget_elsewhere(account, from)
            }
            _ => {}
        }
        Ok(Flow::Next)
    }
}

fn says_gone(stanza: &Stanza) -> bool {
    let error = stanza.child("error", ns::CLIENT);
    error.is_some_and(|error| {
        let mut conditions = error.children().filter(|child| child.ns() == STANZA_ERRORS);
        conditions.any(|child| GONE.contains(&child.name()))
    })
}

/// It has become known what such a client wants.
pub(super) struct OnClient(pub Means);

impl Hear<ClientKnown> for OnClient {
    async fn hear(&self, known: &mut ClientKnown, cx: &mut Cx) -> Result<(), Fault> {
        let router = cx.router().clone();
        let contact = known.client.bare();
        let item = self.0.subscriptions.item(&router, &known.owner, &contact).await?;
        if !item.is_some_and(|item| item.state.is_from()) {
            return Ok(());
        }
        let before = known.before.as_ref();
        let is_new = |node: &&str| before.is_none_or(|before| !before.wants(node));
        let wanted: Vec<&str> = known.now.wanted().filter(is_new).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        self.0.send_last(&known.client, &known.owner, &wanted, cx).await
    }
}
