//! XEP-0359 Unique and Stable Stanza IDs 0.7.0: what only this server may say about a message, nobody else says: a
//! stanza-id by one of our addresses is taken out of everything that clients send, and so is a delay (XEP-0203) in our
//! name. With XEP-0334 Message Processing Hints 1.0.0, read in one place for all modules ([`api::hints`]).

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{Arrival, Departure};
use kim_core::hook::{Flow, On, Stage};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::ns;
use kim_core::router::{Redelivered, Router};
use kim_core::stanza::Kind;
use kim_core::wire::El;

pub mod api;
#[cfg(test)]
mod tests;

const NS: &str = "urn:xmpp:sid:0";

/// The module.
pub struct StanzaIds;

impl Module for StanzaIds {
    type Config = NoSettings;
    const NAME: &'static str = "xep0359_ids";
    const SPECS: &'static [Spec] = &[
        Spec::complete("XEP-0359", "Unique and Stable Stanza IDs", "0.7.0"),
        Spec::complete("XEP-0334", "Message Processing Hints", "1.0.0"),
    ];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        // §5: that these rules are kept.
        house.feature(&[At::Account], NS);
        house.on::<Departure>(Stage::Stamp, StripDeparting);
        house.on::<Arrival>(Stage::Stamp, StripArriving);
        Ok(())
    }
}

/// A client speaks for itself only.
struct StripDeparting;

impl On<Departure> for StripDeparting {
    async fn on(&self, event: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let (router, account) = (cx.router().clone(), event.session.account.clone());
        if matches!(event.stanza.kind, Kind::Message(_) | Kind::Presence(_)) {
            event.stanza.remove(|child| {
                // Since when it kept a stanza itself, a client may say.
                claims_id(child, |by| is_ours(&router, by))
                    || claims_delay(child, |from| is_ours(&router, from) && from.bare() != account)
            });
        }
        Ok(Flow::Next)
    }
}

/// What comes from elsewhere does not speak for us at all; and before the recipient's archive has spoken nobody speaks for
/// the recipient. Our own services may: they speak for themselves.
struct StripArriving;

impl On<Arrival> for StripArriving {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        // On its second way a message carries what was said on the first.
        let speaks = matches!(event.stanza.kind, Kind::Message(_) | Kind::Presence(_));
        if !speaks || cx.fact::<Redelivered>().is_some() {
            return Ok(Flow::Next);
        }
        let (router, account): (_, BareJid) = (cx.router().clone(), event.account.clone());
        let foreign = !event
            .stanza
            .from
            .as_ref()
            .is_some_and(|from| is_ours(&router, from));
        event.stanza.remove(|child| {
            claims_id(child, |by| {
                by.bare() == account || (foreign && is_ours(&router, by))
            }) || (foreign && claims_delay(child, |from| is_ours(&router, from)))
        });
        Ok(Flow::Next)
    }
}

/// Whether an address is on a domain that is served here.
fn is_ours(router: &Router, jid: &Jid) -> bool {
    router.destination(jid.domain()).is_served()
}

/// Whether this is a stanza-id that must not stand: by somebody whom the sender may not speak for, compared after
/// normalisation (§3, rules 2 and 7), or not well-formed (rules 5 and 6), so that nobody can say by whom it is.
fn claims_id(child: &El<'_>, is_forbidden: impl Fn(&Jid) -> bool) -> bool {
    if !child.is("stanza-id", NS) {
        return false;
    }
    let by = child.attr("by").and_then(|by| Jid::parse(&by).ok());
    child.attr("id").is_none() || by.is_none_or(|by| is_forbidden(&by))
}

/// Whether this is a delay in the name of somebody whom the sender may not speak for (XEP-0203 §5).
fn claims_delay(child: &El<'_>, is_forbidden: impl Fn(&Jid) -> bool) -> bool {
    child.is("delay", ns::DELAY)
        && child
            .attr("from")
            .and_then(|from| Jid::parse(&from).ok())
            .is_some_and(|from| is_forbidden(&from))
}
