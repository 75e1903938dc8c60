//! The fuzzer: one program for all targets, `KIM_FUZZ_TARGET` says which. `tests/support/fuzz.sh` builds and runs it.
#![no_main]

mod targets;

use std::sync::OnceLock;

static CHECK: OnceLock<targets::Check> = OnceLock::new();

libfuzzer_sys::fuzz_target!(init: {
    let wanted = std::env::var("KIM_FUZZ_TARGET").unwrap_or_default();
    let Some((_, check)) = targets::TARGETS.iter().find(|(name, _)| *name == wanted) else {
        let names: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("KIM_FUZZ_TARGET must be one of {}", names.join(", "));
        std::process::exit(2);
    };
    let _ = CHECK.set(*check);
}, |data: &[u8]| {
    if let Some(check) = CHECK.get() {
        check(data);
    }
});
