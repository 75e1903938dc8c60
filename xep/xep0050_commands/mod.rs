//! XEP-0050 Ad-Hoc Commands 1.3.0: what other modules offer to be done by hand, with forms, in any client. Modules offer commands
//! through [`api::Commands`]; who may use one is asked again at every step.
//!
//! A command keeps nothing between steps: it is handed the forms that were filled in so far and says what comes next. So going
//! back (§2.4.2) is one form less, and all that is kept is in [`sessions`], bounded in number, size and time.

use std::sync::Arc;

use kim_core::error::Fault;
use kim_core::events::SessionEnded;
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::section;
use kim_core::stanza::IqType;

use crate::xep0030_disco::api::{InfoAsked, ItemsAsked};

pub mod api;
mod disco;
mod engine;
mod sessions;
#[cfg(test)]
mod tests;

use api::{Commands, NS};
use sessions::Sessions;

section! {
    /// Ad-hoc commands (XEP-0050).
    pub struct CommandsConfig {
        /// Command sessions that are open at the same time. A session stays open while somebody fills in a form.
        pub sessions_max: usize = 1_000, in 1..=1_000_000;
        /// Open command sessions of one account. One more ends the oldest.
        pub sessions_per_account_max: usize = 10, in 1..=10_000;
        /// Seconds after which an idle command session ends.
        pub session_idle_seconds_max: u64 = 1_800, in 10..=86_400;
    }
}

/// The module.
pub struct AdHocCommands;

impl Module for AdHocCommands {
    type Config = CommandsConfig;
    const NAME: &'static str = "xep0050_commands";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0050", "Ad-Hoc Commands", "1.3.0")];
    const NEEDS: &'static [&'static str] = &["xep0004_forms", "xep0030_disco"];

    fn register(config: CommandsConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let commands = Arc::new(Commands::new(house.config.server.admins.clone()));
        let sessions = Arc::new(Sessions::new(&config));
        house.provide(commands.clone());
        let engine = engine::CommandEngine {
            commands: commands.clone(),
            sessions: sessions.clone(),
        };
        house.iq(
            &[At::Server, At::Own, At::AnyService],
            IqType::Set,
            "command",
            NS,
            engine,
        );
        house.on::<InfoAsked>(Stage::Deliver, disco::TellCommands(commands.clone()));
        house.on::<ItemsAsked>(Stage::Deliver, disco::ListCommands(commands));
        house.hear::<SessionEnded>(Stage::Deliver, engine::ForgetSessions(sessions));
        Ok(())
    }
}
