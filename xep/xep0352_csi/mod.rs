//! XEP-0352 Client State Indication 1.0.0: a client whose user does not look is not woken for what can wait. What can wait
//! stands in [`important`], how it waits in [`held`]. Nothing is lost and nobody is overtaken: whatever cannot wait takes
//! all that waited along, in front of it.
//!
//! Only sessions that once said `<inactive/>` are looked at; for all others a delivery costs a look at their facts.

pub mod api;
mod held;
mod important;
mod state;
#[cfg(test)]
mod tests;

use kim_core::error::Fault;
use kim_core::events::{Delivery, Nonza, SessionEnded, SessionResumed};
use kim_core::hook::Stage;
use kim_core::module::{Module, Offer, Registrar, Spec};
use kim_core::section;

const NS: &str = "urn:xmpp:csi:0";

section! {
    /// Client state indication (XEP-0352): what can wait is held back while a client is inactive. If either limit is
    /// exceeded, everything held is sent.
    pub struct CsiConfig {
        /// Stanzas held back for one client.
        pub held_stanzas_max: usize = 500, in 0..=100_000;
        /// Bytes of stanzas held back for one client. Never more than a quarter of outbox_bytes_max in [limits].
        pub held_bytes_max: usize = 131_072, in 0..=16_777_216;
    }
}

/// The module.
pub struct ClientStates;

impl Module for ClientStates {
    type Config = CsiConfig;
    const NAME: &'static str = "xep0352_csi";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0352", "Client State Indication", "1.0.0")];

    fn register(config: CsiConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let held = held::HeldLimits {
            stanzas_max: config.held_stanzas_max,
            bytes_max: config.held_bytes_max,
        };
        house.on::<Nonza>(Stage::Deliver, state::Indications);
        house.on::<Delivery>(Stage::Filter, state::HoldBack(held, house.limits.clone()));
        // Only once the resumption is certain.
        house.on::<SessionResumed>(Stage::Filter, state::Resumption);
        // Before others look at what the session leaves behind.
        house.hear::<SessionEnded>(Stage::Filter, state::GiveBack);
        house.on::<api::IsImportant>(Stage::Notify, important::Rules);
        house.stream_feature(Offer::AfterLogin, |_, _| Some(format!("<csi xmlns='{NS}'/>")));
        Ok(())
    }
}
