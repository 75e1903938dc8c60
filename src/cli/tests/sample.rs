//! The sample configuration file at the top of the repository is generated; this test keeps it as it should be.

use std::path::Path;

/// `KIM_WRITE_SAMPLE=1 cargo test -p kim sample` writes it anew.
const WRITE_VARIABLE: &str = "KIM_WRITE_SAMPLE";

#[test]
fn the_sample_file_is_what_the_structs_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("kim.toml");
    let sample = kim_core::config::sample(&crate::server::app().schemas());
    if std::env::var_os(WRITE_VARIABLE).is_some() {
        std::fs::write(&path, &sample).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == sample,
        "kim.toml has drifted; {WRITE_VARIABLE}=1 cargo test -p kim sample writes it anew"
    );
}
