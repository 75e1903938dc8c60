//! The core of kIM: no sockets, no XEP numbers.
#![forbid(unsafe_code)]

pub use kim_wire as wire;

pub mod accounts;
pub mod config;
pub mod db;
pub mod jid;
pub mod random;
pub mod testing;
