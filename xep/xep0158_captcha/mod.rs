//! XEP-0158 CAPTCHA Forms 1.0.1 at open registration (§4), with the one challenge that asks nothing of people: the client has to
//! find a text with a given end of its SHA-256 hash (§6.2). It costs a newcomer about a second, and somebody who registers in
//! bulk as much for each account; the more accounts are made, the more each costs. Whoever is invited pays nothing.
//!
//! Two things differ from the letter of §6.2. The text has to begin with the `from` of the form, which is the server's domain
//! with a resource of this challenge: with the domain alone, texts could be found once and used for ever. And the label stands
//! for as many bits as it has without leading zeros, which is how §6.2 counts them.

use std::sync::Arc;

use kim_core::error::Fault;
use kim_core::hook::Stage;
use kim_core::module::{Coverage, Module, Registrar, Spec};
use kim_core::section;

use crate::xep0077_register::api::Admission;

pub mod api;
mod challenge;
mod gate;
#[cfg(test)]
mod tests;

section! {
    /// Work that a client does before it can register (XEP-0158), where registration is open. Browsers do it on the
    /// page /register, to which apps send people. Each bit doubles the work; 18 bits take a browser about a second.
    pub struct CaptchaConfig {
        /// Bits while few accounts are made.
        pub bits: u32 = 18, in 1..=28;
        /// Bits under attack. Not fewer than bits.
        pub bits_max: u32 = 22, in 1..=28;
        /// Accounts in an hour that are nothing unusual. Each time so many more are made, one bit is added; it goes again
        /// after an hour with none.
        pub calm_per_hour: u32 = 20, in 1..=100_000;
        /// Seconds in which a client has to be done.
        pub seconds: u32 = 900, in 30..=86_400;
        /// Whether apps get the challenge itself instead of the address of the page. Those that cannot solve it, which are
        /// nearly all, then show an error and not the page. The API always has it.
        pub form: bool = false;
    }
}

/// The module.
pub struct RegistrationChallenges;

impl Module for RegistrationChallenges {
    type Config = CaptchaConfig;
    const NAME: &'static str = "xep0158_captcha";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0158",
        title: "CAPTCHA Forms",
        version: "1.0.1",
        coverage: Coverage::Partial("SHA-256 challenges at in-band registration (§4, §6.2)"),
    }];
    const NEEDS: &'static [&'static str] = &["xep0077_register"];

    fn register(config: CaptchaConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        if !house.config.registration.open {
            return Ok(());
        }
        let page = house.config.public_url().map(|url| format!("{url}/register"));
        let gate = Arc::new(gate::Gate::new(config));
        house.provide(Arc::new(api::RegistrationGate::new(gate.clone())));
        house.on::<Admission>(Stage::Filter, gate::AskForWork::new(gate, page));
        Ok(())
    }
}
