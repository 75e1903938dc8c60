//! The door for clients.

pub mod sasl;
