//! `[[component]]`: the programs outside that answer for a domain of this server (XEP-0114).

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::error::ConfigError;
use super::raw::{Located, RawSection};
use super::section::{Section, SectionReader};
use super::types::Domain;
use super::value::{Value, Wrong, read_text, toml_text};
use crate::section;

section! {
    /// An external component: a program that serves a domain of its own, such as a gateway to IRC (XEP-0114). It
    /// connects to the address in [listen] component. Repeat the section for each component.
    pub struct ComponentSection {
        /// Domain of the component. It must not be a domain that this server serves itself.
        pub jid: Option<Domain> = None, example r#""irc.example.org""#;
        /// Shared secret with which the component authenticates. Anybody who knows it can speak for the domain.
        pub secret: Option<Secret> = None, example r#""A LONG RANDOM TEXT""#;
    }
}

/// An external component as configured.
#[derive(Clone, Debug)]
pub struct ComponentSettings {
    /// The domain it answers for.
    pub jid: Domain,
    /// What it must prove to know.
    pub secret: Secret,
}

impl ComponentSettings {
    /// Reads one section. Wrong values have been told before; what is missing is told here.
    pub(super) fn read(raw: &RawSection, errors: &mut Vec<ConfigError>) -> Option<ComponentSettings> {
        let section = ComponentSection::read(&mut SectionReader::new("component", raw));
        for key in ["jid", "secret"] {
            if let (false, Some(origin)) = (raw.keys.contains_key(key), &raw.origin) {
                let problem = format!("[[component]] needs \"{key}\"");
                errors.push(ConfigError::new(origin.clone(), problem));
            }
        }
        Some(ComponentSettings {
            jid: section.jid?,
            secret: section.secret?,
        })
    }
}

/// A secret from the configuration. It is erased from memory when it is dropped, and `Debug` never shows it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Value for Secret {
    fn expects() -> String {
        "a text that is not empty".to_owned()
    }

    fn read(located: &Located) -> Result<Secret, Wrong> {
        // What was written is not repeated in the message.
        let text = read_text(located).map_err(|_| Wrong::found("what is written there"))?;
        if text.is_empty() {
            return Err(Wrong::found("an empty one"));
        }
        Ok(Secret(Zeroizing::new(text.to_owned())))
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(&self.0))
    }
}
