//! Rules on strangers: people who are neither contacts of an account nor somebody it has written to. They may write, so that
//! people can meet, within rates that a person does not notice; links and files of theirs, texts that go to many, and whatever
//! an operator or an account does not want to see at once, wait in a request box. While a wave of messages from unknown domains
//! runs, what comes from such domains waits a minute before it is judged.
//!
//! [`acquaintances`] knows who is a stranger, [`content`] what is in a message, [`budgets`] how much there was of it. [`guard`]
//! puts these together for what arrives, [`speaking`] remembers whom an account writes to. What waits is in [`requests`];
//! [`waves`] judges again what waits for the end of a wave. Other modules take part by [`api::StrangerArrival`].
//!
//! The server itself, its rooms and its other services are no strangers, and neither is a room that a session of the account is
//! in. Errors, and what an account sends to itself, are never judged. Signals that clients send by themselves (typing
//! notifications, markers, events) pass at a rate of their own.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kim_core::accounts::Eraser;
use kim_core::config::Choice;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::{AccountErased, Arrival, Departure, NoSuchAccount, SessionStarted};
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::section;

use crate::rfc6121_im::api::RosterChanged;
use crate::xep0050_commands::api::{Commands, MayUse};
use crate::xep0191_blocking::api::Blocks;

mod acquaintances;
pub mod api;
mod budgets;
mod choices;
mod commands;
mod content;
mod counters;
mod guard;
mod judgement;
mod requests;
mod speaking;
mod store;
#[cfg(test)]
mod tests;
mod waves;

use api::Judgement;

/// Which strangers' subscription requests keep the text that comes with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestText {
    /// All.
    Accept,
    /// Those from domains where somebody of this server knows somebody.
    Known,
    /// None.
    Never,
}

impl Choice for RequestText {
    const ALL: &'static [RequestText] = &[RequestText::Accept, RequestText::Known, RequestText::Never];

    fn as_str(self) -> &'static str {
        match self {
            RequestText::Accept => "accept",
            RequestText::Known => "known",
            RequestText::Never => "never",
        }
    }
}

/// When what comes from unknown domains waits before it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayUnknown {
    /// While a wave runs.
    Wave,
    /// Always, so that even the first stanzas of a wave are judged by those behind them.
    Always,
    /// Never.
    Never,
}

impl Choice for DelayUnknown {
    const ALL: &'static [DelayUnknown] = &[DelayUnknown::Wave, DelayUnknown::Always, DelayUnknown::Never];

    fn as_str(self) -> &'static str {
        match self {
            DelayUnknown::Wave => "wave",
            DelayUnknown::Always => "always",
            DelayUnknown::Never => "never",
        }
    }
}

section! {
    /// Messages and contact requests from strangers: people who are not among an account's contacts and to whom it has never
    /// written. For people of this server only `messages` holds. With [limits] enabled = false there are no rates here
    /// either.
    pub struct StrangersConfig {
        /// What becomes of their messages: "accept" delivers them, "hold" keeps them as message requests until the recipient
        /// decides, "refuse" sends them back. Users may choose something stricter for themselves.
        pub messages: Judgement = Judgement::Accept;
        /// The same for messages with links in them from domains where nobody of this server knows anybody. Invitations to
        /// rooms are not links.
        pub links: Judgement = Judgement::Hold;
        /// The same for messages with files from such domains.
        pub files: Judgement = Judgement::Hold;
        /// The same for messages of guests of other servers, and of accounts that were registered there within the last two
        /// days, where that server says so (XEP-0489). For everything else they count as from a domain where nobody knows
        /// anybody.
        pub hardly_known: Judgement = Judgement::Hold;
        /// Which contact requests keep the text that comes with them: "accept" all, "known" those from domains where somebody
        /// of this server knows somebody, "never" none.
        pub request_text: RequestText = RequestText::Known;
        /// Contact requests that can wait at one account.
        pub subscriptions_waiting_max: usize = 50, in 1..=100_000;
        /// Messages that one sender may send to strangers within an hour.
        pub sender_messages_per_hour: u32 = 200, in 1..=1_000_000;
        /// Strangers whom one sender may approach within an hour, by a message or a contact request.
        pub sender_recipients_per_hour: u32 = 10, in 1..=1_000_000;
        /// First contacts within an hour from one domain elsewhere where somebody of this server knows somebody.
        pub domain_contacts_per_hour: u32 = 200, in 1..=1_000_000;
        /// The same from a domain where nobody knows anybody.
        pub unknown_domain_contacts_per_hour: u32 = 20, in 1..=1_000_000;
        /// Strangers who may approach one account within an hour.
        pub recipient_senders_per_hour: u32 = 30, in 1..=1_000_000;
        /// Accounts that get the same text from strangers within an hour, from which on it is held.
        pub repeats_per_hour: u32 = 3, in 2..=1_000_000;
        /// When what comes from unknown domains waits before it is judged by what else came from there: "wave" while a wave of
        /// spam is thought to run, "always", or "never".
        pub delay_unknown: DelayUnknown = DelayUnknown::Wave;
        /// First contacts from unknown domains within ten minutes, at all accounts together, above which a wave is thought to
        /// run.
        pub wave_contacts: u32 = 2, in 1..=1_000_000;
        /// Seconds that they wait.
        pub delay_seconds: u32 = 60, in 1..=86_400;
        /// Message requests that one account can have.
        pub requests_max: usize = 100, in 1..=100_000;
        /// Bytes of them.
        pub request_bytes_max: usize = 1_048_576, in 1_024..=1_073_741_824;
        /// Days after which message requests are deleted.
        pub request_days: u32 = 30, in 1..=3_650;
    }
}

/// The module.
pub struct Strangers;

impl Module for Strangers {
    type Config = StrangersConfig;
    const NAME: &'static str = "strangers";
    const SPECS: &'static [Spec] = &[];
    const NEEDS: &'static [&'static str] = &["rfc6121_im", "xep0004_forms", "xep0050_commands"];
    const USES: &'static [&'static str] = &["xep0191_blocking", "xep0489_affiliation"];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "strangers",
        name: "0001_strangers",
        sql: include_str!("migrations/0001_strangers.sql"),
    }];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(config: StrangersConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let store = Arc::new(store::Store::new(house.db));
        let counters = Arc::new(counters::Counters::default());
        let subscriptions: Arc<crate::rfc6121_im::api::Subscriptions> = house.needed()?;
        let acquaintances = Arc::new(acquaintances::Acquaintances::new(
            house.db,
            house.seals,
            store.clone(),
            subscriptions.clone(),
        ));
        let choices = Arc::new(choices::StrangerChoices::new(house.db, store.clone()));
        let limits = house.limits.clone();
        let budgets = Arc::new(budgets::Budgets::new(&config, move || limits.now().enabled));
        let sketcher = Arc::new(content::Sketcher::new());
        let parts = requests::RequestBoxParts {
            store: store.clone(),
            seals: house.seals.clone(),
            acquaintances: acquaintances.clone(),
            choices: choices.clone(),
            counters: counters.clone(),
            blocks: Blocks::of(house),
        };
        let requests = Arc::new(requests::RequestBox::new(&config, parts));
        let waves = Arc::new(waves::Waves {
            store: store.clone(),
            requests: requests.clone(),
            budgets: budgets.clone(),
            sketcher: sketcher.clone(),
            counters: counters.clone(),
            sweeping: tokio::sync::Mutex::new(false),
            is_running: AtomicBool::new(false),
            is_resumed: AtomicBool::new(false),
        });
        let messages = config.messages;
        let days = i64::from(config.request_days);
        let guard = Arc::new(guard::StrangersGuard {
            config,
            acquaintances: acquaintances.clone(),
            subscriptions,
            choices: choices.clone(),
            budgets,
            sketcher,
            requests: requests.clone(),
            waves: waves.clone(),
            counters: counters.clone(),
        });
        house.on::<Arrival>(Stage::Admit, guard::Admit(guard.clone()));
        house.on::<Arrival>(Stage::Stamp, guard::Stamp);
        house.on::<NoSuchAccount>(Stage::Admit, guard::Nobody(guard));
        let speaking = || speaking::Speaking {
            acquaintances: acquaintances.clone(),
            requests: requests.clone(),
        };
        house.on::<Departure>(Stage::Store, speaking());
        house.hear::<RosterChanged>(Stage::Store, speaking());
        house.hear::<AccountErased>(
            Stage::Deliver,
            speaking::ForgetAcquaintances {
                acquaintances: acquaintances.clone(),
                choices: choices.clone(),
            },
        );
        house.hear::<SessionStarted>(Stage::Notify, speaking::ResumeWaves(waves.clone()));

        let requests = Arc::new(api::Requests { requests, waves });
        let offered: Arc<Commands> = house.needed()?;
        offered.add(
            At::Own,
            commands::REQUESTS,
            "Message Requests",
            MayUse::Accounts,
            commands::LookThrough(requests.clone()),
        );
        offered.add(
            At::Own,
            commands::SETTINGS,
            "Messages from Strangers",
            MayUse::Accounts,
            commands::Settings { choices, messages },
        );
        house.provide(requests);
        house.provide(counters);
        let clock = house.clock.clone();
        house.tidies(move || {
            let (store, before) = (
                store.clone(),
                kim_core::clock::Timestamp(clock.now().0 - days * 86_400_000_000),
            );
            async move { store.expire(before).await }
        });
        Ok(())
    }
}
