//! The sample configuration file, written from the sections' documentation and defaults. `kim.toml` at the top of the
//! repository is this text; a test of the program keeps them equal.

use std::fmt::Write;

use super::section::{ENABLED, Field, Schema};
use super::{core_schemas, sources};

/// Columns of the sample's comments.
const COLUMNS: usize = 110;

/// The sample for the given modules.
pub fn sample(modules: &[Schema]) -> String {
    let mut text = String::new();
    comment(
        &mut text,
        "The configuration of kIM. Every setting is shown with its default; the server also starts without this file.",
    );
    comment(
        &mut text,
        &format!(
            "Each setting can also come from the environment, for example {}=… for the data_dir of [server].",
            sources::variable("server", "data_dir")
        ),
    );
    for schema in core_schemas().iter().chain(modules) {
        text.push('\n');
        match (schema.docs, schema.title) {
            ([], Some((title, id))) => comment(&mut text, &format!("{title} ({id}).")),
            ([], None) => {}
            (docs, _) => comment(&mut text, &joined(docs)),
        }
        let _ = match schema.is_repeated {
            true => writeln!(text, "# [[{}]]", schema.name),
            false => writeln!(text, "[{}]", schema.name),
        };
        let needed_by = modules
            .iter()
            .filter(|module| module.needs.contains(&schema.name));
        let needed_by: Vec<_> = needed_by.map(|module| module.name).collect();
        for field in schema.fields() {
            let is_switch = schema.is_module && field.name == ENABLED;
            let note = match needed_by.as_slice() {
                users @ [_, ..] if is_switch => format!("Needed by {}.", users.join(", ")),
                _ => String::new(),
            };
            write_field(&mut text, &field, &note);
        }
    }
    text
}

/// Writes a key, and behind its documentation what else is to be said of it.
fn write_field(text: &mut String, field: &Field, note: &str) {
    let mut docs = joined(field.docs);
    if let Some(range) = &field.range {
        let _ = write!(docs, " Allowed: {} to {}.", range.start(), range.end());
    }
    if !note.is_empty() {
        let _ = write!(docs, " {note}");
    }
    comment(text, &docs);
    let _ = match (&field.default, field.example) {
        (Some(default), _) => writeln!(text, "{} = {default}", field.name),
        (None, example) => writeln!(text, "# {} = {}", field.name, example.unwrap_or("…")),
    };
}

/// The lines of a documentation comment as one text.
fn joined(docs: &[&str]) -> String {
    docs.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// A comment, broken into lines.
fn comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            let _ = writeln!(text, "{line}");
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}
