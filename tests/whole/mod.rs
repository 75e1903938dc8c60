//! The whole server as its users have it: the built binary as a process of its own ([`process`]), connections to it with
//! the certificate verified ([`line`]), and people who chat over them ([`person`]).
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod line;
pub mod person;
pub mod process;
pub mod theatre;
