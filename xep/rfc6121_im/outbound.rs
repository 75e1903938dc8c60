//! Subscription stanzas that leave (RFC 6121 §3, appendix A.2): the roster changes and is pushed, then the stanza goes on.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_core::session::Session;
use kim_core::stanza::Stanza;

use super::change::Edit;
use super::follow;
use super::presence::Outgoing;
use super::subscription::Act;

impl Outgoing {
    /// Both addresses are made bare (§3.1.2). Nobody can subscribe to himself, and a guest to nobody.
    pub(super) async fn subscription(
        &self,
        router: &Arc<Router>,
        session: &Session,
        stanza: &Stanza,
        contact: &BareJid,
        act: Act,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        if session.guest || *contact == session.account {
            return Err(StanzaError::new(Condition::NotAllowed).into());
        }
        let account = &session.account;
        let changed = self
            .rosters
            .change(router, account, contact, Edit::Outbound(act))
            .await?;
        let passed = changed
            .follow
            .pass
            .then(|| stanza.clone().from(account.clone()).to(contact.clone()));
        follow::pass_to_contact(router, account, contact, &changed.follow, passed, cx).await;
        Ok(())
    }
}
