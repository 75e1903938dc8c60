//! The house rules, kept by a test so that nobody has to remember them. Each test reads the source tree and names
//! the file and line that breaks its rule.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kim_core::module::Coverage;
use kim_xep::MODULES;

#[path = "tidy/layers.rs"]
mod layers;

/// A file longer than this no longer fits in the head: split it by thing.
const FILE_LINES_MAX: usize = 600;
/// Longer lines do not fit beside each other on a screen.
const LINE_CHARS_MAX: usize = 130;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file with this ending below `folder`, sorted; folders of build results are passed over.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.')
                    && !["target", "node_modules", "corpus", "data"].contains(&name.as_str())
                {
                    open.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn is_test(path: &Path) -> bool {
    let shown = shown(path);
    [
        "tests/",
        "/tests",
        "/testing/",
        "benches/",
        "fuzz/",
        "src/cli/sample.rs",
    ]
    .iter()
    .any(|part| shown.contains(part))
}

/// The lines of a source file that are code reachable in a build, up to its test module; comments are left out.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn none(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for_and_fits_in_the_head() {
    let mut broken = Vec::new();
    for path in ["src", "xep", "tests", "fuzz"]
        .iter()
        .flat_map(|folder| files(folder, ".rs"))
    {
        let text = fs::read_to_string(&path).unwrap();
        let first = text
            .lines()
            .find(|line| !line.starts_with("#!") && !line.trim().is_empty())
            .unwrap_or("");
        if !first.starts_with("//!") {
            broken.push(format!("{}: does not open with what it is for", shown(&path)));
        }
        if text.lines().count() > FILE_LINES_MAX {
            broken.push(format!("{}: {} lines", shown(&path), text.lines().count()));
        }
        for (at, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !is_test(&path) && line.chars().count() > LINE_CHARS_MAX)
        {
            broken.push(format!(
                "{}:{}: {} characters",
                shown(&path),
                at + 1,
                line.chars().count()
            ));
        }
    }
    none(broken);
}

#[test]
fn nothing_the_network_reaches_can_panic_by_design() {
    let banned = [
        ".unwrap()",
        ".expect(",
        "panic!(",
        "todo!(",
        "unimplemented!(",
        "dbg!(",
        "unreachable!(",
    ];
    let mut broken = Vec::new();
    for path in ["src", "xep"]
        .iter()
        .flat_map(|folder| files(folder, ".rs"))
        .filter(|path| !is_test(path))
    {
        let text = fs::read_to_string(&path).unwrap();
        for (at, line) in code(&text) {
            if let Some(call) = banned.iter().find(|call| line.contains(**call)) {
                broken.push(format!("{}:{at}: {call}", shown(&path)));
            }
        }
    }
    none(broken);
}

#[test]
fn every_crate_forbids_unsafe_code() {
    for crate_root in [
        "src/lib.rs",
        "src/main.rs",
        "src/core/lib.rs",
        "src/core/wire/lib.rs",
        "src/omemo/lib.rs",
        "src/omemo/main.rs",
        "xep/lib.rs",
    ] {
        let text = fs::read_to_string(root().join(crate_root)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{crate_root}");
    }
}

#[test]
fn every_module_is_listed_and_has_a_door_and_tests() {
    let list = fs::read_to_string(root().join("xep/lib.rs")).unwrap();
    let listed: BTreeSet<&str> = MODULES.iter().map(|entry| entry.name).collect();
    let mut modules = BTreeSet::new();
    for entry in fs::read_dir(root().join("xep"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Stories of several modules together.
        if name == "tests" {
            continue;
        }
        let module = entry.path();
        assert!(module.join("mod.rs").is_file(), "{name} has no mod.rs");
        assert!(
            list.contains(&format!("pub mod {name};")),
            "{name} is not in xep/lib.rs"
        );
        assert!(listed.contains(name.as_str()), "{name} is not in MODULES");
        let has_tests = module.join("tests.rs").is_file() || module.join("tests").is_dir();
        assert!(
            has_tests || module.join("dialogues").is_dir(),
            "{name} has neither tests nor dialogues"
        );
        modules.insert(name);
    }
    assert_eq!(
        modules.len(),
        MODULES.len(),
        "MODULES names a module that has no folder"
    );
}

#[test]
fn a_module_uses_another_only_through_its_api_and_says_so() {
    let mut broken = Vec::new();
    for entry in MODULES {
        for path in files(&format!("xep/{}", entry.name), ".rs") {
            let text = fs::read_to_string(&path).unwrap();
            for (at, line) in code(&text) {
                for other in MODULES.iter().filter(|other| other.name != entry.name) {
                    if !line.contains(&format!("crate::{}", other.name)) {
                        continue;
                    }
                    let through_api = line.contains(&format!("crate::{}::api", other.name));
                    let says_so = entry.needs.contains(&other.name) || entry.uses.contains(&other.name);
                    let allowed = is_test(&path) || (through_api && says_so);
                    if !allowed {
                        broken.push(format!("{}:{at}: reaches into {}", shown(&path), other.name));
                    }
                }
            }
        }
    }
    none(broken);
}

#[test]
fn needs_come_first() {
    for (at, entry) in MODULES.iter().enumerate() {
        for need in entry.needs.iter().chain(entry.uses) {
            assert!(
                MODULES[..at].iter().any(|earlier| earlier.name == *need),
                "{} needs {need}",
                entry.name
            );
        }
    }
}

#[test]
fn sql_stands_only_in_stores() {
    let verbs = [
        "\"SELECT ",
        "\"INSERT ",
        "\"UPDATE ",
        "\"DELETE ",
        "\"CREATE ",
        "\"WITH ",
        "\"ALTER ",
        "\"DROP ",
    ];
    let mut broken = Vec::new();
    for path in ["src", "xep"]
        .iter()
        .flat_map(|folder| files(folder, ".rs"))
        .filter(|path| !is_test(path))
    {
        let place = shown(&path);
        if place.ends_with("store.rs") || place.contains("/store/") || place.starts_with("src/core/db/") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (at, line) in code(&text).filter(|(_, line)| verbs.iter().any(|verb| line.contains(verb))) {
            broken.push(format!("{place}:{at}: {}", line.trim()));
        }
    }
    none(broken);
}

#[test]
fn the_core_names_no_module_and_modules_no_socket() {
    let mut broken = Vec::new();
    for path in files("src/core", ".rs").into_iter().filter(|path| !is_test(path)) {
        let text = fs::read_to_string(&path).unwrap();
        for (at, _) in code(&text).filter(|(_, line)| line.contains("kim_xep") || line.contains("tokio::net"))
        {
            broken.push(format!("{}:{at}", shown(&path)));
        }
    }
    for path in files("xep", ".rs").into_iter().filter(|path| !is_test(path)) {
        let text = fs::read_to_string(&path).unwrap();
        for (at, _) in
            code(&text).filter(|(_, line)| line.contains("tokio::net") || line.contains("std::net::Tcp"))
        {
            broken.push(format!("{}:{at}", shown(&path)));
        }
    }
    none(broken);
}

#[test]
fn dialogues_name_what_they_show() {
    let dialogues = files("xep", ".dialogue");
    assert!(!dialogues.is_empty());
    for path in dialogues {
        let text = fs::read_to_string(&path).unwrap();
        let script = kim_core::testing::dialogue::parse(&text);
        assert!(
            script.is_ok_and(|script| !script.steps.is_empty()),
            "{}",
            shown(&path)
        );
        let title = text.lines().next().unwrap_or("");
        assert!(
            title.contains('§'),
            "{}: the first line names no section",
            shown(&path)
        );
    }
}

#[test]
fn no_path_of_a_machine_stands_anywhere() {
    let mut broken = Vec::new();
    for ending in [".rs", ".toml", ".md", ".py", ".sh", ".yml", ".sql", ".dialogue"] {
        for path in files("", ending)
            .into_iter()
            .filter(|path| !path.ends_with("tests/tidy.rs"))
        {
            let text = fs::read_to_string(&path).unwrap_or_default();
            for (at, line) in text.lines().enumerate() {
                if line.contains("/work/") || line.contains("/root/") {
                    broken.push(format!("{}:{}: {}", shown(&path), at + 1, line.trim()));
                }
            }
        }
    }
    none(broken);
}

/// The table of specifications on `docs/specifications.md`, as it has to be.
fn specifications() -> String {
    let mut rows: Vec<String> = Vec::new();
    for entry in MODULES {
        for spec in entry.specs {
            let note = match spec.coverage {
                Coverage::Complete => "complete",
                Coverage::Partial(missing) => missing,
            };
            let version = if spec.version.is_empty() {
                "–"
            } else {
                spec.version
            };
            rows.push(format!(
                "| {} | {} | {version} | {note} | `{}` |",
                spec.id, spec.title, entry.name
            ));
        }
    }
    rows.sort();
    rows.join("\n")
}

/// `KIM_WRITE_SAMPLE=1 cargo test --test tidy documents` writes the table anew.
#[test]
fn the_documents_list_the_specifications_that_the_code_implements() {
    let path = root().join("docs/specifications.md");
    let page = fs::read_to_string(&path).unwrap();
    let begin = "| specification | title | version | coverage | module |\n|---|---|---|---|---|\n";
    let (before, rest) = page.split_once(begin).expect("the head of the table");
    let (table, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let wanted = specifications();
    if std::env::var_os("KIM_WRITE_SAMPLE").is_some() {
        fs::write(&path, format!("{before}{begin}{wanted}\n\n{after}")).unwrap();
        return;
    }
    assert_eq!(
        table.trim_end(),
        wanted,
        "docs/specifications.md is out of date; KIM_WRITE_SAMPLE=1 cargo test --test tidy documents"
    );
}

/// The text files that people read or edit, with their contents.
fn texts() -> Vec<(PathBuf, String)> {
    [".rs", ".toml", ".md", ".py", ".mjs", ".sql", ".sh"]
        .iter()
        .flat_map(|ending| files("", ending))
        .filter(|path| !path.ends_with("tests/tidy.rs"))
        .filter_map(|path| {
            let text = fs::read_to_string(&path).ok()?;
            Some((path, text))
        })
        .collect()
}

/// The number at the beginning of a text.
fn number(text: &str) -> Option<u32> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    text[..digits].parse().ok()
}

/// The rows of the table of threats that a line names: "row 8", "rows 5 and 7", "Rows 1–7".
fn named_rows(line: &str) -> Vec<u32> {
    let mut named = Vec::new();
    for word in ["row ", "rows ", "Row ", "Rows "] {
        for (at, _) in line.match_indices(word) {
            let is_whole = line[..at]
                .chars()
                .next_back()
                .is_none_or(|c| !c.is_alphanumeric());
            let mut rest = &line[at + word.len()..];
            while let Some(row) = number(rest).filter(|_| is_whole) {
                named.push(row);
                rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                let joined = [" and ", ", ", "–"]
                    .iter()
                    .find_map(|joint| rest.strip_prefix(joint));
                rest = joined.unwrap_or("");
            }
        }
    }
    named
}

#[test]
fn rows_are_read_from_a_line() {
    assert_eq!(named_rows("(row 8) 1 to 600."), [8]);
    assert_eq!(named_rows("Rows 1–7 and row 35, §3"), [35, 1, 7]);
    assert_eq!(named_rows("(rows 5 and 7) 10000"), [5, 7]);
    assert_eq!(named_rows("arrow 8, 128 rows at a time"), [0; 0]);
}

/// Sources and settings name threats by the row that describes them.
#[test]
fn every_threat_that_is_named_has_its_row() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let (_, table) = page.split_once("\n## Threats").expect("the table of threats");
    let rows: BTreeSet<u32> = table
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| number(line.strip_prefix("| ")?))
        .collect();
    let (mut broken, mut named) = (Vec::new(), 0);
    for (path, text) in texts() {
        for (at, line) in text.lines().enumerate() {
            for row in named_rows(line) {
                named += 1;
                if !rows.contains(&row) {
                    broken.push(format!("{}:{}: there is no row {row}", shown(&path), at + 1));
                }
            }
        }
    }
    assert!(named > 30, "{named} references were found");
    none(broken);
}

/// "decision 12" and links to pages and files lead somewhere.
#[test]
fn every_decision_and_page_that_is_named_is_there() {
    let mut decisions = BTreeSet::new();
    for path in files("docs/decisions", ".md") {
        decisions.extend(path.file_name().and_then(|name| number(&name.to_string_lossy())));
    }
    let last = decisions.last().copied().unwrap_or(0);
    let mut broken: Vec<String> = (1..=last)
        .filter(|decision| !decisions.contains(decision))
        .map(|decision| format!("docs/decisions: there is no decision {decision}"))
        .collect();
    for (path, text) in texts() {
        for (at, line) in text.lines().enumerate() {
            let place = format!("{}:{}", shown(&path), at + 1);
            for word in ["decision ", "Decision ", "docs/decisions/"] {
                for decision in line.split(word).skip(1).filter_map(number) {
                    if !decisions.contains(&decision) {
                        broken.push(format!("{place}: there is no decision {decision}"));
                    }
                }
            }
            if path.extension().is_some_and(|ending| ending == "md") {
                let folder = path.parent().unwrap_or(root());
                for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                    let file = link.split('#').next().unwrap_or("");
                    if !file.is_empty() && !file.contains("://") && !folder.join(file).exists() {
                        broken.push(format!("{place}: {link} leads nowhere"));
                    }
                }
            }
            for page in line
                .split("docs/")
                .skip(1)
                .filter_map(|rest| rest.split(".md").next())
            {
                let is_name = page
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-/".contains(c));
                let names_page = line.contains(&format!("docs/{page}.md"));
                if is_name && names_page && !root().join(format!("docs/{page}.md")).exists() {
                    broken.push(format!("{place}: docs/{page}.md is not there"));
                }
            }
        }
    }
    none(broken);
}

#[test]
fn the_readme_lists_every_exit_code() {
    let failures = fs::read_to_string(root().join("src/failure.rs")).unwrap();
    let mut codes: BTreeSet<u32> = failures
        .lines()
        .filter(|line| line.trim_start().starts_with("Failure::"))
        .filter_map(|line| number(line.split("=> ").nth(1)?))
        .collect();
    assert!(codes.len() > 5, "{codes:?}");
    // Success, and what clap answers to a command line that it does not understand.
    codes.extend([0, 2]);
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, table) = readme.split_once("| exit code | meaning |\n").expect("the table");
    let listed: BTreeSet<u32> = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| number(line.strip_prefix("| ")?))
        .collect();
    assert_eq!(listed, codes);
}
