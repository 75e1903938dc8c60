//! The measurement behind `docs/decisions/0004-group-commit.md`; not run by default.
