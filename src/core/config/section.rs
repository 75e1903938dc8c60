//! One section of the file as a struct: its keys with documentation, default and bounds written once, in
//! [`section!`](crate::section). Reading, checking, hints and the sample file all come from there.

use std::ops::RangeInclusive;

use super::error::{ConfigError, SettingOrigin, nearest};
use super::later;
use super::raw::{Located, RawSection};
use super::value::{Value, Wrong};

/// A section of the file. Made by [`section!`](crate::section).
pub trait Section: Default + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// What the section is about, one line of text each.
    const DOCS: &'static [&'static str];
    /// Its keys, in the order of the sample.
    fn fields() -> Vec<Field>;
    /// What its keys are set to, as written in a file and in the order of [`Section::fields`].
    fn values(&self) -> Vec<Option<String>>;
    /// Takes its keys from what was written; what is wrong is noted in the reader and keeps its default.
    fn read(reader: &mut SectionReader<'_>) -> Self;
}

/// A section without keys, for a module that has nothing to set (it still has `enabled`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoSettings;

impl Section for NoSettings {
    const DOCS: &'static [&'static str] = &[];

    fn fields() -> Vec<Field> {
        Vec::new()
    }

    fn values(&self) -> Vec<Option<String>> {
        Vec::new()
    }

    fn read(_: &mut SectionReader<'_>) -> NoSettings {
        NoSettings
    }
}

/// One key of a section, as the sample and the hints need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// Its documentation, one line of text each.
    pub docs: &'static [&'static str],
    /// The default as written in the file; `None` if the key is absent by default.
    pub default: Option<String>,
    /// What could be written, for a key that is absent by default.
    pub example: Option<&'static str>,
    /// The allowed range of a number.
    pub range: Option<RangeInclusive<i64>>,
}

/// What is known about a section without its type: enough to check it and to write the sample.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The section's name.
    pub name: &'static str,
    /// What it is about.
    pub docs: &'static [&'static str],
    /// Title and number of the specification that its module implements; the sample shows them where `docs` is empty.
    pub title: Option<(&'static str, &'static str)>,
    /// Whether it belongs to a module, and so has the key `enabled`.
    pub is_module: bool,
    /// The modules that it needs.
    pub needs: &'static [&'static str],
    /// Whether it stands in double brackets, as often as there is something to say.
    pub is_repeated: bool,
    pub(super) fields: fn() -> Vec<Field>,
    pub(super) check: fn(&mut SectionReader<'_>),
    values: fn(&mut SectionReader<'_>) -> Vec<Option<String>>,
}

impl Schema {
    /// The section of a module: `T`'s keys and `enabled`.
    pub fn module<T: Section>(name: &'static str, needs: &'static [&'static str]) -> Schema {
        Schema {
            is_module: true,
            needs,
            ..Schema::core::<T>(name)
        }
    }

    /// The same with the title and number of the module's specification.
    pub fn titled(self, title: &'static str, id: &'static str) -> Schema {
        Schema {
            title: Some((title, id)),
            ..self
        }
    }

    /// A section in double brackets.
    pub(super) fn repeated<T: Section>(name: &'static str) -> Schema {
        Schema {
            is_repeated: true,
            ..Schema::core::<T>(name)
        }
    }

    pub(super) fn core<T: Section>(name: &'static str) -> Schema {
        let check = |reader: &mut SectionReader<'_>| {
            T::read(reader);
        };
        Schema {
            name,
            docs: T::DOCS,
            title: None,
            is_module: false,
            needs: &[],
            is_repeated: false,
            fields: T::fields,
            check,
            values: |reader| T::read(reader).values(),
        }
    }

    /// All keys, with the `enabled` of a module first.
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = (self.fields)();
        if self.is_module {
            fields.insert(0, enabled_field());
        }
        fields
    }

    /// What each key is set to by this section, as written in a file; defaults included.
    pub(super) fn values(&self, raw: &RawSection) -> Vec<(&'static str, Option<String>)> {
        let mut reader = SectionReader::new(self.name, raw);
        let mut values = Vec::new();
        if self.is_module {
            values.push((ENABLED, reader.take(ENABLED, true, None).toml()));
        }
        let names = (self.fields)().into_iter().map(|field| field.name);
        values.extend(names.zip((self.values)(&mut reader)));
        values
    }

    /// Every mistake in the section: unknown keys, then wrong values.
    pub(super) fn check(&self, raw: &RawSection, others: &[Schema]) -> Vec<ConfigError> {
        let mut reader = SectionReader::new(self.name, raw);
        let known = self.fields();
        for (key, value) in &raw.keys {
            if !known.iter().any(|field| field.name == key) {
                reader.errors.push(unknown_key(self, key, value, others));
            }
        }
        if self.is_module {
            reader.take(ENABLED, true, None);
        }
        (self.check)(&mut reader);
        reader.errors
    }
}

/// The key that switches a module off.
pub(super) const ENABLED: &str = "enabled";

fn enabled_field() -> Field {
    Field {
        name: ENABLED,
        docs: &["false turns this module off; none of its features are advertised."],
        default: Some("true".to_owned()),
        example: None,
        range: None,
    }
}

fn unknown_key(section: &Schema, key: &str, value: &Located, others: &[Schema]) -> ConfigError {
    let in_environment = matches!(value.origin, SettingOrigin::Environment(_));
    let name = |section: &str, key: &str| {
        if in_environment {
            super::sources::variable(section, key)
        } else {
            format!("\"{key}\"")
        }
    };
    let fields = section.fields();
    let elsewhere = || {
        others
            .iter()
            .find(|other| other.fields().iter().any(|field| field.name == key))
    };
    let hint = if later::is_planned(section.name, key) {
        "this version does not have it yet".to_owned()
    } else if let Some(near) = nearest(key, fields.iter().map(|field| field.name)) {
        format!("did you mean {}?", name(section.name, near))
    } else if let Some(other) = elsewhere() {
        format!("it belongs in [{}]", other.name)
    } else {
        let names: Vec<_> = fields.iter().map(|field| field.name).collect();
        format!("known keys are {}", names.join(", "))
    };
    ConfigError::new(
        value.origin.clone(),
        format!("unknown key \"{key}\" in [{}]; {hint}", section.name),
    )
}

/// Hands a section's written values to its struct and notes what is wrong with them.
pub struct SectionReader<'a> {
    name: &'a str,
    raw: &'a RawSection,
    pub(super) errors: Vec<ConfigError>,
}

impl<'a> SectionReader<'a> {
    pub(super) fn new(name: &'a str, raw: &'a RawSection) -> SectionReader<'a> {
        SectionReader {
            name,
            raw,
            errors: Vec::new(),
        }
    }

    /// The value of a key, or its default.
    pub fn take<T: Value>(&mut self, key: &'static str, default: T, range: Option<RangeInclusive<i64>>) -> T {
        let Some(located) = self.raw.keys.get(key) else {
            return default;
        };
        let wrong = match T::read(located) {
            Ok(value) => match (&range, value.number()) {
                (Some(range), Some(number)) if !range.contains(&number) => Wrong::found(number.to_string()),
                _ => return value,
            },
            Err(wrong) => wrong,
        };
        let bounds = range
            .map(|range| format!(" from {} to {}", range.start(), range.end()))
            .unwrap_or_default();
        let (of, expected) = match &wrong.item {
            Some(_) => ("each item of ", T::expects_as_item()),
            None => ("", T::expects()),
        };
        let problem = format!(
            "{of}\"{key}\" in [{}] must be {expected}{bounds}, not {}",
            self.name, wrong.found
        );
        self.errors.push(ConfigError::new(
            wrong.item.unwrap_or_else(|| located.origin.clone()),
            problem,
        ));
        default
    }
}

/// Declares a section of the configuration file: a struct with public fields, whose documentation, defaults and
/// bounds make the sample file, the checks and the messages.
///
/// ```
/// kim_core::section! {
///     /// Message archives (XEP-0313).
///     pub struct Archive {
///         /// Days until a message is erased; 0 keeps it for ever.
///         pub retention_days: u32 = 0, in 0..=36_500;
///         /// Where copies go. Absent: nowhere.
///         pub copies: Option<String> = None, example r#""/var/copies""#;
///     }
/// }
/// assert_eq!(Archive::default().retention_days, 0);
/// ```
///
/// After the default may follow `in MIN..=MAX` for a number, or `example TEXT` for a key that is absent by default.
/// Other checks belong to the field's type: implement [`Value`] for it.
#[macro_export]
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])*
        $visibility:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                pub $field:ident : $type:ty = $default:expr
                $(, in $min:literal ..= $max:literal)?
                $(, example $example:literal)?
                ;
            )*
        }
    ) => {
        $(#[doc = $section_doc])*
        #[derive(Clone, Debug, PartialEq)]
        $visibility struct $name {
            $(
                $(#[doc = $doc])*
                pub $field: $type,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::config::Section for $name {
            const DOCS: &'static [&'static str] = &[$($section_doc),*];

            fn fields() -> Vec<$crate::config::Field> {
                let default = Self::default();
                vec![$(
                    $crate::config::Field {
                        name: stringify!($field),
                        docs: &[$($doc),*],
                        default: $crate::config::Value::toml(&default.$field),
                        example: $crate::section!(@option $($example)?),
                        range: $crate::section!(@option $($min..=$max)?),
                    },
                )*]
            }

            fn values(&self) -> Vec<Option<String>> {
                vec![$($crate::config::Value::toml(&self.$field)),*]
            }

            fn read(reader: &mut $crate::config::SectionReader<'_>) -> Self {
                Self {
                    $(
                        $field: reader.take(
                            stringify!($field),
                            $default,
                            $crate::section!(@option $($min..=$max)?),
                        ),
                    )*
                }
            }
        }
    };
    (@option) => { None };
    (@option $value:expr) => { Some($value) };
}
