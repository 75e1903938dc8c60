//! What was written, before anybody knows what it means: sections of keys with their values, each with the place
//! it comes from. The file, the environment and the flags are laid over one another here.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, SettingOrigin};

/// Syntax errors told at most; one wrong quote can make a hundred more.
const SYNTAX_ERRORS_MAX: usize = 10;

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number; `None` if it does not fit 64 bits.
    Number(Option<i64>),
    /// A string in quotes.
    Text(String),
    /// A list.
    List(Vec<Located>),
    /// Text without a type: an environment variable, a flag, or an item of a list written with commas.
    Untyped(String),
    /// Something no setting is made of; the word tells what.
    Other(&'static str),
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// The value.
    pub raw: Raw,
    /// The place.
    pub origin: SettingOrigin,
}

impl Located {
    /// A value from the environment or a flag.
    pub fn untyped(text: impl Into<String>, origin: SettingOrigin) -> Located {
        Located {
            raw: Raw::Untyped(text.into()),
            origin,
        }
    }
}

/// One section as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawSection {
    /// Its keys. Where a key was written twice in different sources, the last source won.
    pub keys: BTreeMap<String, Located>,
    /// Where its heading (or first key) was.
    pub origin: Option<SettingOrigin>,
}

/// Everything that was written, by section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawConfig {
    /// The sections by name.
    pub sections: BTreeMap<String, RawSection>,
    /// Sections in double brackets, which may stand several times.
    pub repeated: BTreeMap<String, Vec<RawSection>>,
    /// Keys that stand before the first section.
    pub loose: BTreeMap<String, Located>,
}

impl RawConfig {
    /// Lays a value over what is there.
    pub fn set(&mut self, section: &str, key: &str, value: Located) {
        let section = self.sections.entry(section.to_owned()).or_default();
        if section.origin.is_none() {
            section.origin = Some(value.origin.clone());
        }
        section.keys.insert(key.to_owned(), value);
    }

    /// Reads a TOML text. Errors of syntax (and keys written twice) go to `errors`.
    pub fn parse(text: &str, path: &Arc<str>, errors: &mut Vec<ConfigError>) -> RawConfig {
        let places = Places { text, path };
        let (table, syntax) = DeTable::parse_recoverable(text);
        let mut told_line = 0;
        for error in syntax.iter().take(SYNTAX_ERRORS_MAX) {
            let span = error.span().unwrap_or(0..0);
            let line = places.line(span.start);
            if line == told_line {
                continue; // what follows on the same line is the first mistake's echo
            }
            told_line = line;
            let written = text.get(span).unwrap_or_default().trim();
            let problem = match error.message() {
                "duplicate key" if !written.is_empty() => format!("duplicate key {}", quoted(written)),
                message => format!("not TOML: {}", message.lines().collect::<Vec<_>>().join(" ")),
            };
            errors.push(ConfigError::new(places.origin(line), problem));
        }
        let mut config = RawConfig::default();
        for (name, value) in table.into_inner() {
            let origin = places.at(&name);
            match value.into_inner() {
                DeValue::Table(table) => config.add_sections(&places, name.get_ref(), table, origin),
                DeValue::Array(items) if is_sections(&items) => {
                    let sections = items.into_iter().filter_map(|item| {
                        let origin = places.at(&item);
                        match item.into_inner() {
                            DeValue::Table(table) => Some(places.section(table, origin)),
                            _ => None,
                        }
                    });
                    config
                        .repeated
                        .insert(name.into_inner().into_owned(), sections.collect());
                }
                other => {
                    let located = places.located(&name, Spanned::new(name.span(), other));
                    config.loose.insert(name.into_inner().into_owned(), located);
                }
            }
        }
        config
    }
}

impl RawConfig {
    /// A section, and those inside it: `[push.webpush]` is one of its own. `[push]` above it counts only if it stands there.
    fn add_sections(&mut self, places: &Places<'_>, name: &str, table: DeTable<'_>, origin: SettingOrigin) {
        let (inner, keys): (Vec<_>, Vec<_>) = table
            .into_iter()
            .partition(|(_, value)| matches!(value.get_ref(), DeValue::Table(_)));
        let is_outer_only = keys.is_empty() && !inner.is_empty();
        for (key, value) in inner {
            let origin = places.at(&key);
            if let DeValue::Table(table) = value.into_inner() {
                let section = places.section(table, origin);
                self.sections.insert(format!("{name}.{}", key.get_ref()), section);
            }
        }
        if !is_outer_only {
            let section = places.section(keys.into_iter().collect(), origin);
            self.sections.insert(name.to_owned(), section);
        }
    }
}

/// Whether a list is made of sections in double brackets.
fn is_sections(items: &[Spanned<DeValue<'_>>]) -> bool {
    !items.is_empty()
        && items
            .iter()
            .all(|item| matches!(item.get_ref(), DeValue::Table(_)))
}

/// `"name"`, unless the quotes are already there.
fn quoted(written: &str) -> String {
    if written.starts_with(['"', '\'']) {
        written.to_owned()
    } else {
        format!("\"{written}\"")
    }
}

/// Turns byte offsets into lines.
struct Places<'a> {
    text: &'a str,
    path: &'a Arc<str>,
}

impl Places<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn origin(&self, line: usize) -> SettingOrigin {
        SettingOrigin::File {
            path: self.path.clone(),
            line,
        }
    }

    fn at<T>(&self, spanned: &Spanned<T>) -> SettingOrigin {
        self.origin(self.line(spanned.span().start))
    }

    fn section(&self, table: DeTable<'_>, origin: SettingOrigin) -> RawSection {
        let keys = table.into_iter();
        RawSection {
            keys: keys
                .map(|(key, value)| (key.get_ref().to_string(), self.located(&key, value)))
                .collect(),
            origin: Some(origin),
        }
    }

    /// A value with its place: the key's for the value itself, its own for each item of a list.
    fn located<T>(&self, key: &Spanned<T>, value: Spanned<DeValue<'_>>) -> Located {
        Located {
            raw: self.raw(value.into_inner()),
            origin: self.at(key),
        }
    }

    fn raw(&self, value: DeValue<'_>) -> Raw {
        match value {
            DeValue::Boolean(value) => Raw::Bool(value),
            DeValue::Integer(value) => Raw::Number(i64::from_str_radix(value.as_str(), value.radix()).ok()),
            DeValue::String(value) => Raw::Text(value.into_owned()),
            DeValue::Array(items) => Raw::List(
                items
                    .into_iter()
                    .map(|item| {
                        let origin = self.at(&item);
                        // Settings have no lists of lists; so nothing here goes deeper than one level.
                        let raw = match item.into_inner() {
                            DeValue::Array(_) => Raw::Other("a list"),
                            item => self.raw(item),
                        };
                        Located { raw, origin }
                    })
                    .collect(),
            ),
            DeValue::Float(_) => Raw::Other("a fraction"),
            DeValue::Datetime(_) => Raw::Other("a date"),
            DeValue::Table(_) => Raw::Other("a table"),
        }
    }
}

/// The items of a list written in an environment variable: TOML's `["a", "b"]`, or `a, b`.
pub(super) fn untyped_list(text: &str, origin: &SettingOrigin) -> Option<Vec<Located>> {
    let text = text.trim();
    if text.starts_with('[') && text.ends_with(']') {
        let path: Arc<str> = Arc::from("");
        let value = DeValue::parse(text).ok()?;
        return match (Places { text, path: &path }).raw(value.into_inner()) {
            Raw::List(items) => Some(
                items
                    .into_iter()
                    .map(|item| Located {
                        origin: origin.clone(),
                        ..item
                    })
                    .collect(),
            ),
            _ => None,
        };
    }
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Some(items.map(|item| Located::untyped(item, origin.clone())).collect())
}
