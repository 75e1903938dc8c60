//! kIM, the server.
#![forbid(unsafe_code)]

pub mod c2s;
