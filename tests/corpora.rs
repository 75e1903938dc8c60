//! What is kept of fuzzing (`fuzz/corpus`), replayed by the ordinary tests: what was found once stays found.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/targets/mod.rs"]
mod targets;

/// More than that, and nobody knows what the files are for.
const FILES_MIN: usize = 5;
const FILES_MAX: usize = 100;
/// The longest input that the fuzzer makes (`tests/support/fuzz.sh`).
const FILE_BYTES_MAX: usize = 4_096;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let folders: BTreeSet<String> = entries(&corpora())
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let targets: BTreeSet<String> = targets::TARGETS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(folders, targets);
    for target in targets {
        let files = entries(&corpora().join(&target));
        assert!(
            (FILES_MIN..=FILES_MAX).contains(&files.len()),
            "{target} has {} files",
            files.len()
        );
        for file in files {
            let bytes = fs::metadata(&file).unwrap().len();
            assert!(
                bytes <= FILE_BYTES_MAX as u64,
                "{} has {bytes} bytes",
                file.display()
            );
        }
    }
}

#[test]
fn what_is_kept_holds() {
    for (target, check) in targets::TARGETS {
        for file in entries(&corpora().join(target)) {
            println!("{}", file.display());
            check(&fs::read(file).unwrap());
        }
    }
}
