//! The sections of modules: kept as written, because the core does not know their types, and read by each module.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::raw::{RawConfig, RawSection};
use super::section::{ENABLED, Schema, Section, SectionReader};

/// The modules' sections, with the lines they stand on.
#[derive(Clone, Debug, Default)]
pub struct ModuleSections {
    known: Vec<&'static str>,
    sections: BTreeMap<String, RawSection>,
}

impl ModuleSections {
    pub(super) fn new(modules: &[Schema], raw: &mut RawConfig) -> ModuleSections {
        let known: Vec<_> = modules.iter().map(|schema| schema.name).collect();
        let sections = known
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), raw.sections.remove(*name)?)))
            .collect();
        ModuleSections { known, sections }
    }

    /// A module's settings, or their first mistake. [`Config::load`](super::Config::load) was given the module's schema
    /// and has told all mistakes before.
    pub fn section<T: Section>(&self, name: &str) -> Result<T, ConfigError> {
        let empty = RawSection::default();
        let mut reader = SectionReader::new(name, self.sections.get(name).unwrap_or(&empty));
        let settings = T::read(&mut reader);
        reader.errors.into_iter().next().map_or(Ok(settings), Err)
    }

    /// Whether a module is to be there (`enabled = false` darkens it).
    pub fn is_enabled(&self, name: &str) -> bool {
        let empty = RawSection::default();
        SectionReader::new(name, self.sections.get(name).unwrap_or(&empty)).take(ENABLED, true, None)
    }

    /// The names of all modules that may have a section.
    pub fn known_module_names(&self) -> &[&'static str] {
        &self.known
    }
}
