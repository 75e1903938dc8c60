//! What tests of all crates share. Not used by the server itself.

pub mod db;

pub use db::{TestDb, databases, migrated_databases};
