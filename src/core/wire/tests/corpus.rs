//! The kept corpus of the fuzz target, replayed: what fuzzing once found stays found.

use std::path::Path;

#[path = "../../../../fuzz/check.rs"]
mod check;

#[test]
fn the_corpus_of_the_fuzzer_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/stream");
    let mut files: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 30, "the corpus is gone");
    for file in files {
        println!("{}", file.display());
        check::check(&std::fs::read(file).unwrap());
    }
}
