//! XEP-0380 Explicit Message Encryption 0.4.0, on the server: tells encrypted messages from readable ones, and can ask of
//! this host's people that they write encrypted only. What is asked is announced in the server's disco#info; a readable
//! body comes back with `policy-violation`.
//!
//! It guards against a mistake, not against somebody who wants to be read: whoever means to can put an empty `<encrypted/>`
//! beside the words.

use std::sync::Arc;

use kim_core::config::Choice;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::events::Departure;
use kim_core::hook::{Flow, On, Stage};
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::section;

use crate::xep0004_forms::api::{FormKind, Sheet};

pub mod api;
mod message;
#[cfg(test)]
mod tests;

use api::Tally;
use message::{Place, Text};

/// The namespace.
pub const NS: &str = "urn:xmpp:eme:0";

/// The form that announces what is asked. No specification has one; its fields are those of the section.
pub const FORM: &str = "kim:e2ee-policy:0";

/// What is asked of those who write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncryptionPolicy {
    /// Nothing.
    #[default]
    Off,
    /// Announced as wanted; readable messages are counted and pass.
    Prefer,
    /// Readable messages come back.
    Require,
}

impl Choice for EncryptionPolicy {
    const ALL: &'static [EncryptionPolicy] = &[
        EncryptionPolicy::Off,
        EncryptionPolicy::Prefer,
        EncryptionPolicy::Require,
    ];

    fn as_str(self) -> &'static str {
        match self {
            EncryptionPolicy::Off => "off",
            EncryptionPolicy::Prefer => "prefer",
            EncryptionPolicy::Require => "require",
        }
    }
}

section! {
    /// Policy on end-to-end encryption (XEP-0380).
    pub struct EmeConfig {
        /// Messages between people: "off", "prefer" (announce it and count unencrypted messages) or "require" (refuse
        /// unencrypted messages).
        pub policy: EncryptionPolicy = EncryptionPolicy::Off;
        /// The same for rooms. Public rooms are exempt, because guests cannot encrypt.
        pub rooms_policy: EncryptionPolicy = EncryptionPolicy::Off;
    }
}

/// The module.
pub struct MessageEncryption;

impl Module for MessageEncryption {
    type Config = EmeConfig;
    const NAME: &'static str = "xep0380_eme";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0380", "Explicit Message Encryption", "0.4.0")];
    const USES: &'static [&'static str] = &["xep0004_forms"];

    fn register(config: EmeConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let tally = Arc::new(Tally::default());
        house.provide(tally.clone());
        if config.policy != EncryptionPolicy::Off || config.rooms_policy != EncryptionPolicy::Off {
            house.feature(&[At::Server], NS);
            let form = Sheet::new(FormKind::Result, FORM)
                .field("policy", "list-single", "", &[config.policy.as_str()])
                .field("rooms_policy", "list-single", "", &[config.rooms_policy.as_str()]);
            house.form(At::Server, form.xml());
        }
        house.on::<Departure>(Stage::Admit, Guard { config, tally });
        Ok(())
    }
}

/// Looks at what people here send.
struct Guard {
    config: EmeConfig,
    tally: Arc<Tally>,
}

impl On<Departure> for Guard {
    async fn on(&self, departure: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let Some((place, text)) = message::read(&departure.stanza) else {
            return Ok(Flow::Next);
        };
        // What somebody tells the server itself is read by it in any case.
        if departure
            .stanza
            .to
            .as_ref()
            .is_some_and(|to| to.local().is_none() && cx.router().destination(to.domain()).is_served())
        {
            return Ok(Flow::Next);
        }
        let policy = match place {
            Place::Chat => self.config.policy,
            Place::Room => self.config.rooms_policy,
        };
        match (text, policy) {
            (Text::Encrypted, _) => self.tally.count_encrypted(),
            (Text::Readable, EncryptionPolicy::Require) => {
                self.tally.count_refused();
                tracing::info!(event = "plaintext_refused", account = %departure.session.account, ?place);
                let error = StanzaError::new(Condition::PolicyViolation);
                return Err(error
                    .text("This server accepts only encrypted messages. Turn on OMEMO for this conversation.")
                    .into());
            }
            (Text::Readable, _) => self.tally.count_readable(),
        }
        Ok(Flow::Next)
    }
}
