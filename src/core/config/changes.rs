//! Which settings differ between the configuration at the start and the one that was read last: those that a running server
//! does not take up are told to the operator.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use super::raw::{RawConfig, RawSection};
use super::section::Schema;

/// Of one process, so two configurations can be compared and nothing of a secret is kept.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// What every key is set to, as hashes, by section and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<(&'static str, &'static str), u64>);

impl Settings {
    pub fn of(raw: &RawConfig, schemas: &[Schema]) -> Settings {
        let mut settings = BTreeMap::new();
        let empty = RawSection::default();
        for schema in schemas {
            if schema.is_repeated {
                // Told as a whole: which of them is which is not known.
                let all = raw.repeated.get(schema.name).into_iter().flatten();
                let values: Vec<_> = all.map(|section| schema.values(section)).collect();
                settings.insert((schema.name, ""), HASHER.hash_one(values));
                continue;
            }
            let section = raw.sections.get(schema.name).unwrap_or(&empty);
            for (key, value) in schema.values(section) {
                settings.insert((schema.name, key), HASHER.hash_one(value));
            }
        }
        Settings(settings)
    }

    /// The settings that are not what they were: `[listen] https`, `[[component]]`. `is_live` names those to leave out.
    pub fn changed(&self, newer: &Settings, is_live: impl Fn(&str, &str) -> bool) -> Vec<String> {
        let is_other = |(place, value): &(&(&str, &str), &u64)| self.0.get(*place) != Some(*value);
        let all = newer.0.iter().filter(is_other).map(|(place, _)| *place);
        all.filter(|(section, key)| !is_live(section, key))
            .map(|(section, key)| match key {
                "" => format!("[[{section}]]"),
                key => format!("[{section}] {key}"),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, NoSettings, Schema, Sources};

    #[test]
    fn what_needs_a_restart_is_named_and_what_is_as_it_was_is_not() {
        let load = |toml: &str| {
            let schemas = [Schema::module::<NoSettings>("xep9999_one", &[])];
            Config::load(&Sources::none().text("kim.toml", toml), &schemas).unwrap()
        };
        let start = load(
            "[listen]\nhttp = [\"127.0.0.1:5280\"]\n[[component]]\njid = \"a.example\"\nsecret = \"one\"\n",
        );
        // Written otherwise, or the default written out: the same.
        let same = "[listen]\nhttp = [\"127.0.0.1:5280\"]\n[server]\ndomains = [\"localhost\"]\n[c2s]\nplain = false\n\
                    [xep9999_one]\nenabled = true\n[[component]]\nsecret = \"one\"\njid = \"a.example\"\n";
        assert_eq!(start.needs_restart(&load(same)), Vec::<String>::new());
        let other = "[listen]\nhttp = []\n[limits]\nstanza_bytes_max = 20000\nenabled = false\n[c2s]\nplain = true\n\
                     [s2s]\ndeny = [\"b.example\"]\n\
                     [xep9999_one]\nenabled = false\n[[component]]\njid = \"a.example\"\nsecret = \"two\"\n";
        assert_eq!(
            start.needs_restart(&load(other)),
            [
                "[c2s] plain",
                "[[component]]",
                "[limits] enabled",
                "[listen] http",
                "[xep9999_one] enabled"
            ]
        );
    }

    #[test]
    fn an_optional_file_may_come_later() {
        let path = std::env::temp_dir().join(format!("kim-{}.toml", crate::random::token()));
        let sources = Sources::none().optional_file(&path);
        let before = Config::load(&sources, &[]).unwrap();
        assert_eq!((&before.file, before.main_domain()), (&None, "localhost"));
        std::fs::write(&path, "[server]\ndomains = [\"example.org\"]\n").unwrap();
        let after = Config::load(&sources, &[]).unwrap();
        assert_eq!(after.main_domain(), "example.org");
        assert_eq!(after.file, Some(path.clone()));
        std::fs::remove_file(&path).unwrap();
        // One that was named must be there.
        assert!(Config::load(&Sources::none().file(&path), &[]).is_err());
    }
}
