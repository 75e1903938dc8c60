//! XEP-0280 Message Carbons 1.0.1: every client of an account sees both sides of its conversations. Which messages are
//! copied stands in [`eligible`], to whom in [`copies`]; the copies of others are kept out by [`guard`].
//!
//! An account with one session pays for none of this but a look at its sessions.

pub mod api;
mod copies;
mod eligible;
mod guard;
mod known;
mod switch;
#[cfg(test)]
mod tests;

use kim_core::config::NoSettings;
use kim_core::error::{Condition, Fault};
use kim_core::events::{Arrival, Bounce, Departure};
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::stanza::IqType;

const NS: &str = "urn:xmpp:carbons:2";

/// §6.2: that the rules of §6.1 hold as they stand there.
const RULES: &str = "urn:xmpp:carbons:rules:0";

/// The module.
pub struct Carbons;

impl Module for Carbons {
    type Config = NoSettings;
    const NAME: &'static str = "xep0280_carbons";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0280", "Message Carbons", "1.0.1")];
    const NEEDS: &'static [&'static str] = &["rfc6121_im"];
    const USES: &'static [&'static str] = &["xep0359_ids"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        for (name, on) in [("enable", true), ("disable", false)] {
            house.iq(&[At::Own], IqType::Set, name, NS, switch::Switch(on));
            // §4.1, §5.1: nobody switches for somebody else.
            house.refuse_others(IqType::Set, name, NS, Condition::NotAllowed);
        }
        house.feature(&[At::Server], NS);
        house.feature(&[At::Server], RULES);

        house.on::<Arrival>(Stage::Admit, guard::NoForgedCopies);
        house.on::<Arrival>(Stage::Deliver, copies::Once);
        house.on::<Departure>(Stage::Copy, copies::Sent);
        house.on::<Arrival>(Stage::Copy, copies::Received);
        house.hear::<Bounce>(Stage::Copy, copies::Returned);
        Ok(())
    }
}
