//! The kinds of values a setting can have: how each is read from what was written, and how it is written in the sample.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::error::SettingOrigin;
use super::raw::{Located, Raw, untyped_list};

/// What was found in place of the expected value.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    /// What was found, as the end of a sentence: `a string`, `"foo"`.
    pub found: String,
    /// Where, if it is an item of a list, which may go over several lines.
    pub item: Option<SettingOrigin>,
}

impl Wrong {
    /// Found something else.
    pub fn found(found: impl Into<String>) -> Wrong {
        Wrong {
            found: found.into(),
            item: None,
        }
    }

    /// Found a value of another kind; the value itself is told if it is short and no secret can be in it.
    pub fn kind(raw: &Raw) -> Wrong {
        Wrong::found(match raw {
            Raw::Bool(value) => value.to_string(),
            Raw::Number(Some(value)) => value.to_string(),
            Raw::Number(None) => "so large a number".to_owned(),
            Raw::Text(_) => "a string".to_owned(),
            Raw::Untyped(text) => written(text),
            Raw::List(_) => "a list".to_owned(),
            Raw::Other(what) => (*what).to_owned(),
        })
    }
}

/// A value quoted for a message, cut if it is long.
pub fn written(text: &str) -> String {
    if text.chars().count() <= 60 {
        format!("{text:?}")
    } else {
        format!("{:?}…", text.chars().take(60).collect::<String>())
    }
}

/// A type a setting can have. Implement it for a type of your own to use it in [`section!`](crate::section).
pub trait Value: Sized {
    /// What to write, as the end of "must be …".
    fn expects() -> String;
    /// What to write as an item, where this is a list.
    fn expects_as_item() -> String {
        Self::expects()
    }
    /// Reads what was written.
    fn read(located: &Located) -> Result<Self, Wrong>;
    /// As it stands in the file; `None` if the setting is absent.
    fn toml(&self) -> Option<String>;
    /// The number that the setting's bounds apply to.
    fn number(&self) -> Option<i64> {
        None
    }
}

/// A setting that is one of a few words.
pub trait Choice: Copy + 'static {
    /// All there are, in the order in which they are offered.
    const ALL: &'static [Self];
    /// The word.
    fn as_str(self) -> &'static str;
}

impl<T: Choice> Value for T {
    fn expects() -> String {
        let words: Vec<String> = T::ALL.iter().map(|one| format!("{:?}", one.as_str())).collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }

    fn read(located: &Located) -> Result<T, Wrong> {
        let text = read_text(located)?;
        let known = T::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| Wrong::found(written(text)))
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(self.as_str()))
    }
}

/// The text of a string setting.
pub fn read_text(located: &Located) -> Result<&str, Wrong> {
    match &located.raw {
        Raw::Text(text) | Raw::Untyped(text) => Ok(text),
        other => Err(Wrong::kind(other)),
    }
}

/// A string in TOML's quotes.
pub fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Value for bool {
    fn expects() -> String {
        "true or false".to_owned()
    }

    fn read(located: &Located) -> Result<bool, Wrong> {
        match &located.raw {
            Raw::Bool(value) => Ok(*value),
            Raw::Untyped(text) => text.trim().parse().map_err(|_| Wrong::kind(&located.raw)),
            other => Err(Wrong::kind(other)),
        }
    }

    fn toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn expects() -> String {
                "a whole number".to_owned()
            }

            fn read(located: &Located) -> Result<$number, Wrong> {
                let number = match &located.raw {
                    Raw::Number(number) => *number,
                    Raw::Untyped(text) => text.trim().replace('_', "").parse().ok(),
                    _ => None,
                };
                number.and_then(|number| <$number>::try_from(number).ok()).ok_or_else(|| Wrong::kind(&located.raw))
            }

            fn toml(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn number(&self) -> Option<i64> {
                i64::try_from(*self).ok()
            }
        }
    )*};
}
numbers!(u16, u32, u64, usize);

impl Value for String {
    fn expects() -> String {
        "a string".to_owned()
    }

    fn read(located: &Located) -> Result<String, Wrong> {
        read_text(located).map(str::to_owned)
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(self))
    }
}

impl Value for PathBuf {
    fn expects() -> String {
        "a path".to_owned()
    }

    fn read(located: &Located) -> Result<PathBuf, Wrong> {
        match read_text(located)? {
            "" => Err(Wrong::found("an empty string")),
            path => Ok(PathBuf::from(path)),
        }
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(&self.to_string_lossy()))
    }
}

impl Value for SocketAddr {
    fn expects() -> String {
        "an address with a port from 1 to 65535, such as \"[::]:5222\" or \"127.0.0.1:5222\"".to_owned()
    }

    fn read(located: &Located) -> Result<SocketAddr, Wrong> {
        let text = read_text(located)?;
        text.trim().parse().map_err(|_| Wrong::found(written(text)))
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(&self.to_string()))
    }
}

/// A setting that may be absent. Empty in the environment means absent: container tools set variables they have no value for.
impl<T: Value> Value for Option<T> {
    fn expects() -> String {
        T::expects()
    }

    fn expects_as_item() -> String {
        T::expects_as_item()
    }

    fn read(located: &Located) -> Result<Option<T>, Wrong> {
        match &located.raw {
            Raw::Untyped(text) if text.is_empty() => Ok(None),
            _ => T::read(located).map(Some),
        }
    }

    fn toml(&self) -> Option<String> {
        self.as_ref().and_then(T::toml)
    }

    fn number(&self) -> Option<i64> {
        self.as_ref().and_then(T::number)
    }
}

/// A list. In the environment: TOML's form, or items with commas between.
impl<T: Value> Value for Vec<T> {
    fn expects() -> String {
        format!("a list, each item {}", T::expects())
    }

    fn expects_as_item() -> String {
        T::expects()
    }

    fn read(located: &Located) -> Result<Vec<T>, Wrong> {
        let untyped;
        let items = match &located.raw {
            Raw::List(items) => items,
            Raw::Untyped(text) => {
                untyped = untyped_list(text, &located.origin).ok_or_else(|| Wrong::kind(&located.raw))?;
                &untyped
            }
            other => return Err(Wrong::kind(other)),
        };
        let read = |item: &Located| {
            T::read(item).map_err(|wrong| Wrong {
                item: wrong.item.or_else(|| Some(item.origin.clone())),
                ..wrong
            })
        };
        items.iter().map(read).collect()
    }

    fn toml(&self) -> Option<String> {
        Some(format!(
            "[{}]",
            self.iter().filter_map(T::toml).collect::<Vec<_>>().join(", ")
        ))
    }
}
