//! Since when an account is away (§3), and who may not ask its clients (§4).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::events::Arrival;
use kim_core::hook::{Flow, Hear, On};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::ns;
use kim_core::stanza::{IqType, Kind, PresenceType};

use super::NS;
use super::store::Seen;
use crate::rfc6121_im::api::{PresenceChanged, Subscriptions};

/// Bytes of a status that are kept.
const STATUS_BYTES_MAX: usize = 1_024;

/// Tells those who may know when an account left, at its bare JID.
pub(super) struct TellLast {
    pub seen: Arc<Seen>,
    pub subscriptions: Arc<Subscriptions>,
}

impl HandleIq for TellLast {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let router = cx.router().clone();
        let asker = iq.from.bare();
        if !self.subscriptions.may_see(&router, iq.account, &asker).await? {
            // §3. Where there is no account the answer is the same, at a resource too.
            return Err(Condition::Forbidden.into());
        }
        let sessions = router.sessions_of(iq.account).await;
        // Who is connected without having said so is not shown to others: §3 leaves that to the server's policy.
        let is_own = asker == *iq.account;
        if is_own || sessions.iter().any(|session| session.priority().is_some()) {
            return Ok(super::write(0, ""));
        }
        let (left, status) = self.seen.get(iq.account).await?.ok_or(Condition::ItemNotFound)?;
        Ok(super::write(router.clock().now().seconds_since(left), &status))
    }
}

/// §4: a request to a full JID reaches the client only if its sender may see the presence.
pub(super) struct Guard {
    pub subscriptions: Arc<Subscriptions>,
}

impl On<Arrival> for Guard {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let stanza = &event.stanza;
        let to_full = stanza.to.as_ref().is_some_and(|to| !to.is_bare());
        if stanza.kind != Kind::Iq(IqType::Get) || !to_full || !stanza.has("query", NS) {
            return Ok(Flow::Next);
        }
        let Some(asker) = stanza.from.as_ref().map(|from| from.bare()) else {
            return Ok(Flow::Next);
        };
        let router = cx.router().clone();
        if self
            .subscriptions
            .may_see(&router, &event.account, &asker)
            .await?
        {
            return Ok(Flow::Next);
        }
        Err(Condition::Forbidden.into())
    }
}

/// Notes when a session becomes unavailable, whether it says so or just ends.
pub(super) struct Note(pub Arc<Seen>);

impl Hear<PresenceChanged> for Note {
    async fn hear(&self, event: &mut PresenceChanged, cx: &mut Cx) -> Result<(), Fault> {
        if event.presence.kind == Kind::Presence(PresenceType::Unavailable) && !event.session.guest {
            let status = event
                .presence
                .child("status", ns::CLIENT)
                .map(|status| status.text().into_owned());
            let mut status = status.unwrap_or_default();
            status.truncate(status.floor_char_boundary(STATUS_BYTES_MAX));
            let left = cx.router().clock().now();
            let ticket = self.0.put(&event.session.account, left, &status).await?;
            cx.await_ticket(ticket);
        }
        Ok(())
    }
}
