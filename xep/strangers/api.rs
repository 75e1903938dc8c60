//! What other modules may hear, ask and do: judge what strangers send, look through an account's request box, read the counts.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::Event;
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_core::stanza::Stanza;

pub use super::counters::{Became, Counters, SentByStranger};
pub use super::judgement::Judgement;
use super::requests::RequestBox;
pub use super::requests::{Decision, WaitingRequest};
use super::waves::Waves;

/// A message or a subscription request of a stranger arrives at an account, within the rates for strangers. It is raised once
/// for each, after this module has judged it and before anything is stored. A hook may tighten the judgement; what is milder
/// than this module's own counts for nothing. A hook that fails with a stanza error refuses a message with that error.
///
/// What clients send by themselves (typing notifications, markers, events) is not raised, and neither is what waited and is
/// released.
pub struct StrangerArrival {
    /// What came. Hooks may take something out of it.
    pub stanza: Stanza,
    /// The account it is for.
    pub account: BareJid,
    /// Who sent it. For an invitation that a room of this server passes on, this is the inviter.
    pub sender: BareJid,
    /// What becomes of it.
    pub judgement: Judgement,
}

impl StrangerArrival {
    /// Makes the judgement at least this strict.
    pub fn tighten(&mut self, judgement: Judgement) {
        self.judgement = self.judgement.max(judgement);
    }
}

impl Event for StrangerArrival {
    const NAME: &'static str = "stranger-arrival";
}

/// What strangers sent and accounts have not decided about. A fact of the house.
pub struct Requests {
    pub(super) requests: Arc<RequestBox>,
    pub(super) waves: Arc<Waves>,
}

impl Requests {
    /// What waits for an account, oldest first.
    pub async fn waiting(&self, account: &BareJid) -> Result<Vec<WaitingRequest>, Fault> {
        self.requests.waiting(account).await
    }

    /// Does what an account decided. False if there is no such request.
    pub async fn decide(
        &self,
        account: &BareJid,
        id: i64,
        decision: Decision,
        cx: &mut Cx,
    ) -> Result<bool, Fault> {
        self.requests.decide(account, id, decision, cx).await
    }

    /// Judges again what waits for the end of a wave and is due. The server does this by itself; tests that set the clock do
    /// it themselves.
    pub async fn sweep(&self, router: &Arc<Router>) -> Result<(), Fault> {
        self.waves.sweep(router).await
    }
}
