//! The core of kIM: no sockets, no extension numbers.
#![forbid(unsafe_code)]

pub mod config;
