//! The shape of the source: the files of a folder are layers, and a type's name is found once in its crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{files, is_test, none, shown};

/// The crates: their root file's folder, and what lies in it without belonging to it.
const CRATES: [(&str, &[&str]); 5] = [
    ("src", &["src/core", "src/omemo"]),
    ("src/core", &["src/core/wire"]),
    ("src/core/wire", &[]),
    ("src/omemo", &[]),
    ("xep", &[]),
];

/// Files that import each other in a circle although they should not. The list only ever gets shorter.
const CIRCLES: [(&str, &[&str]); 18] = [
    (
        "src/core",
        &[
            "cx", "error", "events", "hook", "module", "remote", "router", "stanza",
        ],
    ),
    ("src/core/accounts", &["store", "tokens"]),
    (
        "src/core/db",
        &["connect", "queue", "scrub", "ticket", "tx", "unit"],
    ),
    ("src/core/wire", &["el", "element", "header", "reader", "writer"]),
    ("src/core/wire/reader", &["build", "canon"]),
    ("src/http", &["client", "listener", "origin", "rest", "websocket"]),
    ("src/http/upload", &["bucket", "objects"]),
    ("src/omemo", &["keys", "store"]),
    (
        "src/s2s",
        &[
            "courier",
            "exchange",
            "hub",
            "incoming",
            "management",
            "reach",
            "status",
        ],
    ),
    (
        "xep/rfc6121_im",
        &[
            "api", "guard", "offline", "outbound", "presence", "probe", "roster", "rosters",
        ],
    ),
    ("xep/rfc6121_im/store", &["roster", "roster_change"]),
    ("xep/xep0077_register", &["api", "newcomer"]),
    (
        "xep/xep0115_caps",
        &["api", "elsewhere", "learn", "session", "shared", "verify"],
    ),
    ("xep/xep0313_mam", &["hooks", "prefs"]),
    ("xep/xep0352_csi", &["api", "held", "important", "state"]),
    ("xep/xep0401_invites", &["api", "links", "store"]),
    ("xep/xep0425_moderation", &["handle", "words"]),
    ("xep/xep0463_mav", &["log", "store"]),
];

/// Names that two types of a crate share, and why.
const SHARED_NAMES: [(&str, &str); 3] = [
    // One is counted by the committer, one by the router; nobody outside uses either.
    ("src/core", "Counters"),
    // What a setting holds, and what a query binds.
    ("src/core", "Value"),
    // Locks by node and locks by account.
    ("xep", "Locks"),
];

/// A crate's source: the text of each module by its path, without comments and tests.
struct Source {
    texts: BTreeMap<Vec<String>, String>,
    /// The modules whose file is a `mod.rs` or `lib.rs`.
    folders: BTreeSet<Vec<String>>,
}

impl Source {
    fn read(folder: &str, others: &[&str]) -> Source {
        let mut source = Source {
            texts: BTreeMap::new(),
            folders: BTreeSet::new(),
        };
        for path in files(folder, ".rs").into_iter().filter(|path| !is_test(path)) {
            let place = shown(&path);
            if others.iter().any(|other| place.starts_with(&format!("{other}/"))) {
                continue;
            }
            let inside = place[folder.len() + 1..].trim_end_matches(".rs");
            let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
            if ["mod", "lib", "main"].contains(&module.last().unwrap().as_str()) {
                module.pop();
                source.folders.insert(module.clone());
            }
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            source.texts.insert(module, lines.collect::<Vec<_>>().join("\n"));
        }
        source
    }

    /// What a `mod.rs` passes on under its own name: the name, and where it really is.
    fn passed_on(&self, module: &[String]) -> Vec<(String, Vec<String>)> {
        let mut found = Vec::new();
        for statement in self.texts[module].split(';') {
            let Some((before, tree)) = statement.split_once("use ") else {
                continue;
            };
            if !before.lines().last().unwrap_or("").starts_with("pub") {
                continue;
            }
            for path in leaves(tree) {
                let name = path.last().cloned().unwrap_or_default();
                let path = path.iter().skip(usize::from(path[0] == "self"));
                let mut at = module.to_vec();
                for segment in path {
                    at.push(segment.clone());
                    if !self.texts.contains_key(&at) {
                        at.pop();
                        break;
                    }
                }
                if at != module {
                    found.push((name, at));
                }
            }
        }
        found
    }

    /// Which module a path of another one leads to.
    fn find(&self, from: &[String], path: &[String]) -> Vec<String> {
        let mut at = from.to_vec();
        for segment in path {
            match segment.as_str() {
                "crate" => at.clear(),
                "super" => drop(at.pop()),
                "self" => {}
                _ => {
                    at.push(segment.clone());
                    if self.texts.contains_key(&at) {
                        continue;
                    }
                    at.pop();
                    while self.folders.contains(&at) {
                        let passed_on = self.passed_on(&at);
                        match passed_on.into_iter().find(|(name, _)| name == segment) {
                            Some((_, place)) => at = place,
                            None => break,
                        }
                    }
                    break;
                }
            }
        }
        at
    }

    /// For each folder, which of its files and folders import which others. A `mod.rs` connects the files of its folder, so
    /// it is not one of them.
    fn imports(&self) -> BTreeMap<Vec<String>, BTreeSet<(String, String)>> {
        let mut all: BTreeMap<Vec<String>, BTreeSet<(String, String)>> = BTreeMap::new();
        for (module, text) in &self.texts {
            for start in ["crate::", "super::", "self::"] {
                for (at, _) in text.match_indices(start) {
                    let before = text[..at].chars().next_back().unwrap_or(' ');
                    if before.is_alphanumeric() || before == '_' || before == ':' {
                        continue;
                    }
                    for path in leaves(&text[at..]) {
                        let target = self.find(module, &path);
                        let common = module
                            .iter()
                            .zip(&target)
                            .take_while(|(one, other)| one == other)
                            .count();
                        if let (Some(one), Some(other)) = (module.get(common), target.get(common)) {
                            let folder = module[..common].to_vec();
                            all.entry(folder)
                                .or_default()
                                .insert((one.clone(), other.clone()));
                        }
                    }
                }
            }
        }
        all
    }
}

/// The paths of a use tree, or the one path that a text begins with.
fn leaves(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim_start();
    let end = tree
        .find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .unwrap_or(tree.len());
    let head: Vec<String> = tree[..end]
        .split("::")
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    if !tree[end..].starts_with('{') {
        return if head.is_empty() { Vec::new() } else { vec![head] };
    }
    let (mut depth, mut begin, mut found) = (0, end + 1, Vec::new());
    for (at, c) in tree[end..].char_indices().map(|(at, c)| (at + end, c)) {
        let closes = c == '}' && depth == 1;
        if (c == ',' && depth == 1) || closes {
            for leaf in leaves(&tree[begin..at]) {
                found.push(head.iter().cloned().chain(leaf).collect());
            }
            begin = at + 1;
        }
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if closes {
            break;
        }
    }
    found
}

/// The files that import themselves by way of others.
fn circles(imports: &BTreeSet<(String, String)>) -> BTreeSet<String> {
    let reaches = |from: &str, to: &str| {
        let (mut open, mut seen) = (vec![from], BTreeSet::new());
        while let Some(at) = open.pop() {
            if at == to {
                return true;
            }
            if seen.insert(at) {
                let next = imports.iter().filter(|(one, _)| one == at);
                open.extend(next.map(|(_, other)| other.as_str()));
            }
        }
        false
    };
    let round = imports.iter().filter(|(one, other)| reaches(other, one));
    round.map(|(one, _)| one.clone()).collect()
}

#[test]
fn the_files_of_a_folder_are_layers() {
    let mut broken = Vec::new();
    for (folder, others) in CRATES {
        for (inside, imports) in Source::read(folder, others).imports() {
            let place = [&[folder.to_owned()], inside.as_slice()].concat().join("/");
            let found = circles(&imports);
            let known = CIRCLES.iter().find(|(known, _)| *known == place);
            let known: BTreeSet<String> = known
                .iter()
                .flat_map(|(_, files)| *files)
                .map(|file| (*file).to_owned())
                .collect();
            if found != known {
                broken.push(format!(
                    "{place}: {found:?} import each other, known are {known:?}"
                ));
            }
        }
    }
    none(broken);
}

#[test]
fn imports_are_read_as_the_compiler_reads_them() {
    let paths = |tree: &str| -> Vec<String> { leaves(tree).iter().map(|path| path.join("::")).collect() };
    assert_eq!(paths("super::a::B;"), ["super::a::B"]);
    assert_eq!(
        paths("crate::{a, b::{self, C}};"),
        ["crate::a", "crate::b::self", "crate::b::C"]
    );
    assert_eq!(paths("super::a::make(x, {y})"), ["super::a::make"]);
    let arrow = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    let layers = BTreeSet::from([arrow("a", "b"), arrow("b", "c"), arrow("a", "c")]);
    assert!(circles(&layers).is_empty());
    let circle = BTreeSet::from([arrow("a", "b"), arrow("b", "c"), arrow("c", "b"), arrow("c", "d")]);
    assert_eq!(circles(&circle), BTreeSet::from(["b".to_owned(), "c".to_owned()]));
}

#[test]
fn a_type_name_is_found_once_in_a_crate() {
    let mut broken = Vec::new();
    for (folder, others) in CRATES {
        let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (module, text) in Source::read(folder, others).texts {
            for line in text.lines().filter(|line| line.starts_with("pub")) {
                let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
                let kind = words
                    .iter()
                    .position(|word| ["struct", "enum", "trait", "type"].contains(word));
                if let Some(name) = kind.and_then(|kind| words.get(kind + 1)) {
                    named
                        .entry((*name).to_owned())
                        .or_default()
                        .push(module.join("::"));
                }
            }
        }
        let is_known = |name: &String| SHARED_NAMES.contains(&(folder, name.as_str()));
        for (name, places) in named
            .into_iter()
            .filter(|(name, places)| places.len() > 1 && !is_known(name))
        {
            broken.push(format!("{folder}: {name} is in {}", places.join(", ")));
        }
    }
    none(broken);
}
