//! Names that the operator's contract has promised but this version does not read. They are refused like any unknown
//! key; this list only keeps the hint honest (`acme` is not a slip for another key).

/// Sections and keys to come; a whole section has no key.
pub(super) const PLANNED: &[(&str, Option<&str>)] =
    &[("tls", Some("acme")), ("cluster", None), ("external", None)];

/// Whether a key is one of them.
pub(super) fn is_planned(section: &str, key: &str) -> bool {
    PLANNED.contains(&(section, Some(key)))
}

/// Whether a whole section is one of them.
pub(super) fn is_planned_section(section: &str) -> bool {
    PLANNED.contains(&(section, None))
}
