//! Settings for benches that leave modules out.

/// Switches modules off, with all that need them.
pub fn without(modules: &[&'static str]) -> String {
    let mut off = modules.to_vec();
    // In this list a module stands behind those that it needs.
    for entry in kim_xep::MODULES {
        if entry.needs.iter().any(|needed| off.contains(needed)) {
            off.push(entry.name);
        }
    }
    off.sort_unstable();
    off.dedup();
    off.iter()
        .map(|name| format!("[{name}]\nenabled = false\n"))
        .collect()
}
