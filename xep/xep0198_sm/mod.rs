//! XEP-0198 Stream Management 1.6.3: both sides know what the other has, and a session outlives its connection.
//!
//! The counting itself is the core's: a session's tally says how many of the client's stanzas were dealt with and committed,
//! its outbox keeps what was written until the client has it. This module speaks the protocol ([`commands`], [`resume`]),
//! makes what it promises durable ([`managed`], [`store`]) and limits what waits. How a connection passes a session on
//! is in the door (`src/c2s/handover.rs`).

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::{Nonza, SessionEnded, SessionParked, SessionResumed, Unbound};
use kim_core::hook::Stage;
use kim_core::module::{Coverage, Module, Offer, Registrar, Spec};
use kim_core::section;

pub mod api;
mod commands;
mod managed;
mod resume;
mod store;
#[cfg(test)]
mod tests;
mod words;

const NS: &str = "urn:xmpp:sm:3";

section! {
    /// Stream management (XEP-0198): acknowledgements, and sessions that survive a lost connection.
    pub struct SmConfig {
        /// Seconds for which a session waits for its client to reconnect. 0 turns resumption off.
        pub resume_seconds_max: u32 = 600, in 0..=86_400;
        /// The same for clients that can be woken by a push notification (XEP-0357), until they are woken for the first time.
        /// Never less than resume_seconds_max.
        pub push_resume_seconds_max: u32 = 86_400, in 0..=604_800;
        /// The same, counted from that first notification.
        pub pushed_resume_seconds_max: u32 = 3_600, in 0..=604_800;
        /// Waiting sessions of one account. One more ends the oldest. (row 28)
        pub parked_sessions_max: usize = 10, in 1..=1_000;
        /// Unacknowledged stanzas of one client. Further ones are held back; a waiting session ends if it has more
        /// than this. (row 28)
        pub queue_stanzas_max: usize = 1_000, in 16..=1_000_000;
        /// Bytes of unacknowledged and unsent stanzas of one client. If there are more, the session ends, and they go
        /// to the archive or to offline storage. (row 28)
        pub queue_bytes_max: usize = 4_194_304, in 65_536..=1_073_741_824;
        /// Seconds after which a client that does not answer a request for acknowledgement counts as disconnected. 0:
        /// never.
        pub answer_seconds_max: u32 = 300, in 0..=86_400;
        /// Days for which a client that reconnects too late still learns which of its stanzas arrived.
        pub remember_days: u32 = 14, in 0..=3_650;
        /// Preferred address for reconnecting (XEP-0198 section 3). Default: not sent; clients use the address they
        /// know.
        pub location: Option<String> = None, example r#""node1.example.org:5222""#;
    }
}

/// The module.
pub struct StreamManagement;

impl Module for StreamManagement {
    type Config = SmConfig;
    const NAME: &'static str = "xep0198_sm";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0198",
        title: "Stream Management",
        version: "1.6.3",
        coverage: Coverage::Partial(
            "sessions do not survive a restart of the server; clients learn what arrived",
        ),
    }];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "xep0198_sm",
        name: "0001_sm",
        sql: include_str!("migrations/0001_sm.sql"),
    }];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(config: SmConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let config = Arc::new(config);
        let patience = Arc::new(api::Patience::of(&config));
        house.provide(patience.clone());
        let ledger = Arc::new(managed::Ledger {
            store: store::SmStore::new(house.db, config.remember_days),
            clock: house.clock.clone(),
        });
        let tidied = ledger.clone();
        house.tidies(move || {
            let ledger = tidied.clone();
            async move { ledger.store.tidy(ledger.clock.now()).await }
        });
        house.on::<Nonza>(
            Stage::Deliver,
            commands::SmCommands {
                config: config.clone(),
                ledger: ledger.clone(),
                patience,
                limits: house.limits.clone(),
            },
        );
        house.on::<Unbound>(Stage::Deliver, resume::Resume(ledger.clone()));
        // First of all: it may refuse.
        house.on::<SessionResumed>(Stage::Admit, resume::Resumed(ledger.clone()));
        house.hear::<SessionParked>(
            Stage::Deliver,
            resume::Crowd {
                parked_sessions_max: config.parked_sessions_max,
            },
        );
        house.hear::<SessionEnded>(Stage::Store, resume::Over(ledger));
        house.stream_feature(Offer::AfterLogin, |_, _| {
            Some("<sm xmlns='urn:xmpp:sm:3'/>".to_owned())
        });
        Ok(())
    }
}
