//! Accounts.

pub mod scram;
