//! `kim modules`: the modules, and the order in which they handle events.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use kim_core::cluster::Solo;
use kim_core::config::Config;
use kim_core::hook::Stage;
use kim_core::module::Roll;

use super::App;
use crate::failure::Failure;
use crate::house::{House, IN_MEMORY};

/// What is told about a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFacts {
    /// Its name, which is its folder's and its section's.
    pub name: &'static str,
    /// What it implements, with the version that was read: `XEP-0313 1.1.3`, `RFC 6121`.
    pub specs: Vec<String>,
    /// What it listens to: event and stage.
    pub hooks: Vec<(&'static str, Stage)>,
    /// The requests it answers.
    pub iqs: Vec<String>,
    /// What it advertises (XEP-0030).
    pub features: Vec<String>,
}

impl From<&Roll> for ModuleFacts {
    fn from(roll: &Roll) -> ModuleFacts {
        let specs = roll
            .specs
            .iter()
            .map(|spec| format!("{} {}", spec.id, spec.version).trim_end().to_owned());
        ModuleFacts {
            name: roll.name,
            specs: specs.collect(),
            hooks: roll.hooks.clone(),
            iqs: roll.iqs.clone(),
            features: roll
                .features
                .iter()
                .map(|feature| (*feature).to_owned())
                .collect(),
        }
    }
}

/// Starts the modules on a database in memory, and shows what they registered and which are switched off.
pub(super) async fn show(app: &App, config: Config) -> Result<String, Failure> {
    let config = Arc::new(config);
    let house = House::at(IN_MEMORY, config.clone(), app.modules, Box::new(Solo)).await?;
    let facts: Vec<_> = house.router.roll().iter().map(ModuleFacts::from).collect();
    let mut text = render(&facts);
    for entry in app
        .modules
        .iter()
        .filter(|entry| !config.modules.is_enabled(entry.name))
    {
        let _ = writeln!(text, "\n{} is switched off", entry.name);
    }
    house.db.close().await;
    Ok(text)
}

/// The modules, then the events with the modules that handle them.
fn render(modules: &[ModuleFacts]) -> String {
    let mut rows = vec![
        ["MODULE", "IMPLEMENTS", "ANSWERS", "ADVERTISES"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for module in modules {
        let lines = module
            .specs
            .len()
            .max(module.iqs.len())
            .max(module.features.len())
            .max(1);
        for line in 0..lines {
            let name = if line == 0 { module.name } else { "" };
            let nth = |list: &[String]| list.get(line).cloned().unwrap_or_default();
            rows.push(vec![
                name.to_owned(),
                nth(&module.specs),
                nth(&module.iqs),
                nth(&module.features),
            ]);
        }
    }
    let mut text = table(&rows);
    let mut rows = vec![
        ["EVENT", "STAGE", "MODULES IN THIS ORDER"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (event, stages) in order(modules) {
        for (line, (stage, names)) in stages.into_iter().enumerate() {
            let event = if line == 0 { event } else { "" };
            rows.push(vec![event.to_owned(), format!("{stage:?}"), names.join(", ")]);
        }
    }
    if rows.len() > 1 {
        text.push('\n');
        text.push_str(&table(&rows));
    }
    text
}

/// For each event the stages that somebody listens to, as they run; for each stage the modules in their order.
fn order(modules: &[ModuleFacts]) -> BTreeMap<&str, BTreeMap<Stage, Vec<&str>>> {
    let mut events: BTreeMap<&str, BTreeMap<Stage, Vec<&str>>> = BTreeMap::new();
    for module in modules {
        for (event, stage) in &module.hooks {
            let names = events.entry(event).or_default().entry(*stage).or_default();
            if !names.contains(&module.name) {
                names.push(module.name);
            }
        }
    }
    events
}

/// Columns as wide as their widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_shown_with_the_order_in_which_they_listen() {
        let texts = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        let mam = ModuleFacts {
            name: "xep0313_mam",
            specs: texts(&["XEP-0313 1.1.3", "XEP-0441 0.2.0"]),
            hooks: vec![
                ("Departure", Stage::Store),
                ("Arrival", Stage::Store),
                ("Arrival", Stage::Stamp),
            ],
            iqs: texts(&["set {urn:xmpp:mam:2}query at Own"]),
            features: texts(&["urn:xmpp:mam:2", "urn:xmpp:sid:0"]),
        };
        let im = ModuleFacts {
            name: "rfc6121_im",
            specs: texts(&["RFC 6121"]),
            hooks: vec![
                ("Arrival", Stage::Admit),
                ("Arrival", Stage::Store),
                ("Arrival", Stage::Store),
            ],
            iqs: Vec::new(),
            features: Vec::new(),
        };
        assert_eq!(
            render(&[mam, im]),
            "MODULE       IMPLEMENTS      ANSWERS                           ADVERTISES\n\
             xep0313_mam  XEP-0313 1.1.3  set {urn:xmpp:mam:2}query at Own  urn:xmpp:mam:2\n\
             \u{20}            XEP-0441 0.2.0                                    urn:xmpp:sid:0\n\
             rfc6121_im   RFC 6121\n\
             \n\
             EVENT      STAGE  MODULES IN THIS ORDER\n\
             Arrival    Admit  rfc6121_im\n\
             \u{20}          Stamp  xep0313_mam\n\
             \u{20}          Store  xep0313_mam, rfc6121_im\n\
             Departure  Store  xep0313_mam\n"
        );
    }
}
