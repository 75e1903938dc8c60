//! What others may not say to an account's clients, whatever they send.

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::events::{Arrival, Verdict};
use kim_core::hook::{Flow, On};
use kim_core::jid::Jid;
use kim_core::ns;
use kim_core::router::Router;
use kim_core::stanza::{IqType, Kind};
use kim_core::wire::El;

use super::roster;

/// Roster pushes and results come from the account itself (RFC 6121 §2.1.6): those that anybody else sends to a client
/// are refused, because some clients believe them.
pub struct NoForeignRosters;

impl On<Arrival> for NoForeignRosters {
    async fn on(&self, event: &mut Arrival, _: &mut Cx) -> Result<Flow, Fault> {
        let Kind::Iq(kind) = event.stanza.kind else {
            return Ok(Flow::Next);
        };
        // An error may repeat what was asked, and is no claim about a roster.
        let claims = kind != IqType::Error && roster::speaks_of_rosters(&event.stanza);
        if !claims || event.stanza.to.as_ref().is_some_and(|to| to.is_bare()) {
            return Ok(Flow::Next);
        }
        tracing::info!(event = "forged_roster_refused", from = ?event.stanza.from.as_ref().map(Jid::domain));
        event.verdict = match kind {
            IqType::Get | IqType::Set => Verdict::Bounced(StanzaError::new(Condition::ServiceUnavailable)),
            _ => Verdict::Dropped,
        };
        Ok(Flow::Next)
    }
}

/// Whether this is a delay in the name of a domain served here.
pub fn is_our_delay(router: &Router, child: &El<'_>) -> bool {
    child.is("delay", ns::DELAY)
        && child
            .attr("from")
            .and_then(|from| Jid::parse(&from).ok())
            .is_some_and(|from| from.is_domain() && router.destination(from.domain()).is_served())
}
