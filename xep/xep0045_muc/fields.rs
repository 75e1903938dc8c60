//! The configuration of a room: which settings there are, what they may be, and what each advertises. Every part of
//! the room declares its own [`Field`] beside the code that goes by it; here is only what all fields have in common.

use std::sync::{Arc, PoisonError, RwLock};

use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::wire::{El, Writer};

use crate::xep0004_forms::api::{Form, FormKind, Sheet};

/// The FORM_TYPE of the configuration form (§15.5.3).
pub const ROOMCONFIG: &str = "http://jabber.org/protocol/muc#roomconfig";

/// What a setting may be.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Yes or no.
    Boolean,
    /// One line of at most so many characters.
    Line(usize),
    /// A text of at most so many characters. Clients that send it line by line are understood.
    Text(usize),
    /// A password.
    Secret(usize),
    /// A number up to this one.
    Number(u32),
    /// The most there may be of something, up to this; 0 for no limit. Offered as a list, because clients that go by the
    /// registry (§15.5.3) drop a form that has it otherwise.
    Most(u32),
    /// One of these; each with its label.
    Choice(&'static [(&'static str, &'static str)]),
    /// Any of these.
    Several(&'static [(&'static str, &'static str)]),
}

/// A setting of a room.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in forms and in the database.
    pub var: &'static str,
    /// Other names under which clients submit it.
    pub aliases: &'static [&'static str],
    /// What a human reads.
    pub label: &'static str,
    /// What it may be.
    pub shape: Shape,
    /// What it is in a new room, which is a public one.
    pub default: &'static [&'static str],
    /// What it becomes in a private group unless its owner says something else; `None`: the same.
    pub private: Option<&'static [&'static str]>,
    /// Other words that clients use for values.
    pub words: &'static [(&'static str, &'static str)],
    /// The feature that stands for a value in disco#info (§15.3.1).
    pub feature: fn(&[Box<str>]) -> Option<&'static str>,
    /// Whether it stands in the form of disco#info too (§6.4).
    pub is_told: bool,
}

impl Field {
    /// A field that advertises nothing, with everything else left to the declaration.
    pub const fn new(
        var: &'static str,
        label: &'static str,
        shape: Shape,
        default: &'static [&'static str],
    ) -> Field {
        Field {
            var,
            aliases: &[],
            label,
            shape,
            default,
            private: None,
            words: &[],
            feature: |_| None,
            is_told: false,
        }
    }

    /// Whether values of this field are set in words that are its own; what they come to is given back.
    fn read(&self, values: &[String]) -> Result<Vec<Box<str>>, StanzaError> {
        let wrong = |why: String| StanzaError::new(Condition::NotAcceptable).text(why);
        let word = |value: &str| -> String {
            let value = value.trim();
            let known = self.words.iter().find(|(from, _)| *from == value);
            known.map_or(value, |(_, to)| to).to_owned()
        };
        let first = || values.first().map(|value| word(value)).unwrap_or_default();
        let one = |text: String| -> Vec<Box<str>> {
            if text.is_empty() {
                Vec::new()
            } else {
                vec![text.into()]
            }
        };
        match self.shape {
            Shape::Boolean => match first().as_str() {
                "1" | "true" => Ok(one("1".into())),
                "0" | "false" | "" => Ok(one("0".into())),
                _ => Err(wrong(format!("{} must be 1 or 0", self.var))),
            },
            Shape::Line(max) | Shape::Secret(max) | Shape::Text(max) => {
                let text = match self.shape {
                    Shape::Text(_) => values.join("\n"),
                    _ => values.first().cloned().unwrap_or_default(),
                };
                if text.chars().count() > max {
                    return Err(wrong(format!("{} must have at most {max} characters", self.var)));
                }
                Ok(one(text))
            }
            Shape::Number(max) | Shape::Most(max) => {
                let text = first();
                match text.parse::<u32>() {
                    Ok(number) => Ok(one(number.min(max).to_string())),
                    Err(_) if text.is_empty() => Ok(Vec::new()),
                    Err(_) => Err(wrong(format!("{} must be a number", self.var))),
                }
            }
            Shape::Choice(options) => {
                let value = first();
                if options.iter().any(|(known, _)| *known == value) {
                    Ok(one(value))
                } else {
                    Err(wrong(format!("{} must be one of the listed options", self.var)))
                }
            }
            Shape::Several(options) => {
                // A value that this room does not know takes nothing from those that it does.
                let known = |value: &String| options.iter().any(|(option, _)| option == value);
                Ok(values
                    .iter()
                    .map(|value| word(value))
                    .filter(known)
                    .map(String::into_boxed_str)
                    .collect())
            }
        }
    }

    /// The type that the field has in forms (XEP-0004 §3.3).
    pub fn kind(&self) -> &'static str {
        match self.shape {
            Shape::Boolean => "boolean",
            Shape::Line(_) | Shape::Text(_) | Shape::Number(_) => "text-single",
            Shape::Secret(_) => "text-private",
            Shape::Most(_) | Shape::Choice(_) => "list-single",
            Shape::Several(_) => "list-multi",
        }
    }

    fn write(&self, sheet: Sheet, values: &[Box<str>]) -> Sheet {
        let values: Vec<&str> = values.iter().map(|value| &**value).collect();
        let first = values.first().copied().unwrap_or_default();
        match self.shape {
            Shape::Boolean => sheet.boolean(self.var, self.label, first == "1"),
            Shape::Line(_) | Shape::Text(_) => sheet.line(self.var, self.label, first),
            Shape::Number(max) => sheet.integer(self.var, self.label, first, max),
            Shape::Most(max) => write_most(sheet, self.var, self.label, first, max),
            Shape::Secret(_) => sheet.field(self.var, "text-private", self.label, &[first]),
            Shape::Choice(options) => sheet.choice(self.var, self.label, first, options),
            Shape::Several(options) => sheet.several(self.var, self.label, &values, options),
        }
    }
}

/// What a list offers beside the value in force.
const OFFERED: [u32; 9] = [10, 20, 30, 50, 100, 200, 500, 1_000, 5_000];

fn write_most(sheet: Sheet, var: &str, label: &str, value: &str, max: u32) -> Sheet {
    let own = value.parse::<u32>().ok().filter(|own| *own > 0);
    let mut offered: Vec<u32> = OFFERED.into_iter().chain(own).filter(|one| *one <= max).collect();
    offered.sort_unstable();
    offered.dedup();
    let offered: Vec<String> = offered.iter().map(u32::to_string).collect();
    let mut options: Vec<(&str, &str)> = offered.iter().map(|one| (&**one, &**one)).collect();
    options.push(("none", "No limit"));
    let own = own.map_or("none".to_owned(), |own| own.to_string());
    sheet.choice(var, label, &own, &options)
}

/// Every setting there is: this room's own, and what other modules add while the house is put together.
#[derive(Clone, Default)]
pub struct Fields(Arc<RwLock<Vec<Field>>>);

impl Fields {
    /// Adds a setting.
    pub fn add(&self, field: Field) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(field);
    }

    /// All of them, in the order of the form.
    pub fn all(&self) -> Vec<Field> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The settings of one room. What is as in a new room takes no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomConfig {
    values: Vec<(&'static str, Vec<Box<str>>)>,
}

impl RoomConfig {
    /// The values of a setting; `None` where it is as in a new room.
    fn own(&self, field: &Field) -> Option<&[Box<str>]> {
        let found = self.values.iter().find(|(var, _)| *var == field.var);
        found.map(|(_, values)| values.as_slice())
    }

    /// All values of a setting.
    pub fn values(&self, field: &Field) -> Vec<Box<str>> {
        match self.own(field) {
            Some(values) => values.to_vec(),
            None => field.default.iter().map(|value| Box::from(*value)).collect(),
        }
    }

    /// The first value; empty if there is none.
    pub fn text<'a>(&'a self, field: &Field) -> &'a str {
        match self.own(field) {
            Some(values) => values.first().map_or("", |value| value),
            None => field.default.first().copied().unwrap_or_default(),
        }
    }

    /// Whether a yes-or-no setting is on.
    pub fn is(&self, field: &Field) -> bool {
        self.text(field) == "1"
    }

    /// A number; 0 if there is none.
    pub fn number(&self, field: &Field) -> usize {
        self.text(field).parse().unwrap_or(0)
    }

    /// Whether a value is among those of a setting.
    pub fn has(&self, field: &Field, value: &str) -> bool {
        match self.own(field) {
            Some(values) => values.iter().any(|own| **own == *value),
            None => field.default.contains(&value),
        }
    }

    /// Changes a setting.
    pub fn set(&mut self, field: &Field, values: Vec<Box<str>>) {
        self.values.retain(|(var, _)| *var != field.var);
        let is_default = values.len() == field.default.len()
            && values
                .iter()
                .zip(field.default)
                .all(|(own, default)| **own == **default);
        if !is_default {
            self.values.push((field.var, values));
            self.values.shrink_to_fit();
        }
    }

    /// Takes what a form says; what it does not mention stays (XEP-0004 §3.2). Tells which settings changed.
    pub fn submit(&mut self, fields: &[Field], form: &Form) -> Result<Vec<&'static str>, Fault> {
        let mut changed = Vec::new();
        for field in fields {
            let names = std::iter::once(&field.var).chain(field.aliases);
            let Some(values) = names.filter_map(|name| form.values(name)).next() else {
                continue;
            };
            let values = field.read(values)?;
            if values != self.values(field) {
                self.set(field, values);
                changed.push(field.var);
            }
        }
        Ok(changed)
    }

    /// Gives what a form left open the values of a private group.
    pub fn make_private(&mut self, fields: &[Field], form: &Form) {
        for field in fields {
            let mentioned = std::iter::once(&field.var)
                .chain(field.aliases)
                .any(|name| form.values(name).is_some());
            if let Some(private) = field.private.filter(|_| !mentioned) {
                self.set(field, private.iter().map(|value| Box::from(*value)).collect());
            }
        }
    }

    /// Adds the settings to a form.
    pub fn write(&self, fields: &[Field], mut sheet: Sheet) -> Sheet {
        for field in fields {
            sheet = field.write(sheet, &self.values(field));
        }
        sheet
    }

    /// The settings as they are stored: a submitted form of what is not as in a new room.
    pub fn to_xml(&self) -> String {
        let sheet = Sheet::new(FormKind::Submit, ROOMCONFIG);
        self.values
            .iter()
            .fold(sheet, |sheet, (var, values)| {
                let values: Vec<&str> = values.iter().map(|value| &**value).collect();
                sheet.field(var, "", "", &values)
            })
            .xml()
    }

    /// Reads what [`RoomConfig::to_xml`] wrote. A setting that is not there any more is forgotten.
    pub fn stored(fields: &[Field], x: El<'_>) -> RoomConfig {
        let mut config = RoomConfig::default();
        if let Ok(form) = Form::read(x) {
            for field in fields {
                if let Some(values) = form.values(field.var) {
                    config.set(
                        field,
                        values.iter().map(|value| Box::from(value.as_str())).collect(),
                    );
                }
            }
        }
        config
    }
}

/// Writes an element with a text, unless that is empty.
pub fn write_text(xml: &mut Writer, name: &str, ns: &str, text: &str) {
    if !text.is_empty() {
        xml.start(name, ns).text(text).end();
    }
}
