//! Subscription stanzas that leave (RFC 6121 §3, appendix A.2): the roster changes and is pushed, then the stanza goes on.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::jid::BareJid;
use kim_core::keyed::{Rate, Rates};
use kim_core::router::Router;
use kim_core::session::Session;
use kim_core::stanza::Stanza;

use super::change::Edit;
use super::follow;
use super::presence::OutgoingPresence;
use super::subscription::Act;

/// Requests of an account to one contact: each of them is shown to somebody.
const TO_ONE: Rate = Rate {
    per_second: 1.0 / 300.0,
    burst: 5.0,
};
/// All requests of an account.
const TO_ALL: Rate = Rate {
    per_second: 1.0 / 60.0,
    burst: 100.0,
};
/// Accounts, and pairs of them, whose rate is remembered.
const RATED_MAX: usize = 20_000;

/// How often accounts may ask for others' presence.
pub struct SubscriptionRequests {
    to_one: Rates<(BareJid, BareJid)>,
    to_all: Rates<BareJid>,
}

impl SubscriptionRequests {
    /// Nobody has asked yet.
    pub fn new() -> SubscriptionRequests {
        SubscriptionRequests {
            to_one: Rates::new(RATED_MAX),
            to_all: Rates::new(RATED_MAX),
        }
    }

    fn take(&self, account: &BareJid, contact: &BareJid, now: Timestamp) -> Result<(), Fault> {
        let pair = (account.clone(), contact.clone());
        if self.to_one.take(&pair, TO_ONE, now) && self.to_all.take(account, TO_ALL, now) {
            return Ok(());
        }
        Err(StanzaError::new(Condition::PolicyViolation)
            .kind(ErrorType::Wait)
            .text("you are sending subscription requests too quickly; try again in a few minutes")
            .into())
    }
}

impl OutgoingPresence {
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
        if act == Act::Subscribe {
            if let Some(condition) = router.unreachable(contact.domain()) {
                // Nobody can answer: the roster must not say that an answer is awaited.
                self.rosters
                    .change(router, account, contact, Edit::Unreachable)
                    .await?;
                return Err(condition.into());
            }
            self.requests.take(account, contact, cx.received)?;
        }
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
