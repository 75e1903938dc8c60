//! `kim modules`: what the server is made of, and who listens to what in which order.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What is told about a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleFacts {
    /// Its name, which is its folder's and its section's.
    pub name: &'static str,
    /// What it implements: `XEP-0313`, `RFC 6121`.
    pub spec: &'static str,
    /// Which version of that.
    pub version: &'static str,
    /// What it listens to: event and stage.
    pub hooks: Vec<(&'static str, &'static str)>,
    /// The IQ payloads it answers, by namespace.
    pub iqs: Vec<String>,
    /// What it advertises (XEP-0030).
    pub features: Vec<String>,
}

/// The stages in the order in which they run.
const STAGES: &[&str] = &["Admit", "Stamp", "Filter", "Store", "Deliver", "Copy", "Notify"];

/// The modules, and then the events with those who listen to them.
pub(super) fn render(modules: &[ModuleFacts]) -> String {
    let mut rows = vec![
        ["MODULE", "SPECIFICATION", "VERSION", "ANSWERS", "ADVERTISES"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for module in modules {
        let lines = module.iqs.len().max(module.features.len()).max(1);
        for line in 0..lines {
            let first = |text: &str| if line == 0 { text.to_owned() } else { String::new() };
            let nth = |list: &[String]| list.get(line).cloned().unwrap_or_default();
            rows.push(vec![
                first(module.name),
                first(module.spec),
                first(module.version),
                nth(&module.iqs),
                nth(&module.features),
            ]);
        }
    }
    let mut text = table(&rows);
    let order = order(modules);
    if !order.is_empty() {
        text.push('\n');
        let mut rows = vec![
            ["EVENT", "STAGE", "MODULES IN THIS ORDER"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for (event, stages) in order {
            for (line, (stage, names)) in stages.into_iter().enumerate() {
                let event = if line == 0 {
                    event.to_owned()
                } else {
                    String::new()
                };
                rows.push(vec![event, stage.to_owned(), names.join(", ")]);
            }
        }
        text.push_str(&table(&rows));
    }
    text
}

/// For each event the stages that somebody listens to, as they run; for each stage the modules in their order.
type Order<'a> = Vec<(&'a str, Vec<(&'a str, Vec<&'a str>)>)>;

fn order(modules: &[ModuleFacts]) -> Order<'_> {
    let place = |stage: &str| {
        STAGES
            .iter()
            .position(|known| *known == stage)
            .unwrap_or(STAGES.len())
    };
    let mut events: BTreeMap<&str, BTreeMap<(usize, &str), Vec<&str>>> = BTreeMap::new();
    for module in modules {
        for (event, stage) in &module.hooks {
            events
                .entry(event)
                .or_default()
                .entry((place(stage), stage))
                .or_default()
                .push(module.name);
        }
    }
    let mut order = Vec::new();
    for (event, by_stage) in events {
        order.push((
            event,
            by_stage
                .into_iter()
                .map(|((_, stage), names)| (stage, names))
                .collect(),
        ));
    }
    order
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
        let mam = ModuleFacts {
            name: "xep0313_mam",
            spec: "XEP-0313",
            version: "1.1.3",
            hooks: vec![("Departure", "Store"), ("Arrival", "Store"), ("Arrival", "Stamp")],
            iqs: vec!["urn:xmpp:mam:2".to_owned()],
            features: vec!["urn:xmpp:mam:2".to_owned(), "urn:xmpp:sid:0".to_owned()],
        };
        let blocking = ModuleFacts {
            name: "xep0191_blocking",
            spec: "XEP-0191",
            version: "1.3",
            hooks: vec![("Arrival", "Admit"), ("Arrival", "Store")],
            ..ModuleFacts::default()
        };
        assert_eq!(
            render(&[mam, blocking]),
            "MODULE            SPECIFICATION  VERSION  ANSWERS         ADVERTISES\n\
             xep0313_mam       XEP-0313       1.1.3    urn:xmpp:mam:2  urn:xmpp:mam:2\n\
             \u{20}                                                         urn:xmpp:sid:0\n\
             xep0191_blocking  XEP-0191       1.3\n\
             \n\
             EVENT      STAGE  MODULES IN THIS ORDER\n\
             Arrival    Admit  xep0191_blocking\n\
             \u{20}          Stamp  xep0313_mam\n\
             \u{20}          Store  xep0313_mam, xep0191_blocking\n\
             Departure  Store  xep0313_mam\n"
        );
    }
}
