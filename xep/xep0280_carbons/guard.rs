//! A copy that was not made here is a forgery: many clients believed those that others sent them (§11).

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{Arrival, Verdict};
use kim_core::hook::{Flow, On};
use kim_core::jid::Jid;
use kim_core::stanza::Kind;

use super::eligible::is_wrapper;

/// Drops copies that arrive. Those made here are delivered without arriving anywhere, with one exception: a copy that its
/// session did not live to take looks for another way. It ends here too, for the message itself has gone its own way.
pub struct NoForgedCopies;

impl On<Arrival> for NoForgedCopies {
    async fn on(&self, event: &mut Arrival, _: &mut Cx) -> Result<Flow, Fault> {
        if !matches!(event.stanza.kind, Kind::Message(_))
            || !event.stanza.children().any(|child| is_wrapper(&child))
        {
            return Ok(Flow::Next);
        }
        if event
            .stanza
            .from
            .as_ref()
            .is_none_or(|from| from.bare_str() != event.account.as_str())
        {
            tracing::info!(event = "forged_carbon_dropped", from = ?event.stanza.from.as_ref().map(Jid::domain));
        }
        event.verdict = Verdict::Dropped;
        Ok(Flow::Done)
    }
}
