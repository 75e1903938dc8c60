//! kIM, an XMPP server: the doors, the wiring and the commands around the core (kim-core) and its modules (kim-xep).
#![forbid(unsafe_code)]
// An optimized build works out the layout of futures through all that they await, from a connection to the last module.
#![recursion_limit = "256"]
#![warn(missing_docs)]

pub mod c2s;
pub mod cli;
pub mod component;
pub mod control;
mod exposed;
pub mod failure;
pub mod house;
pub mod http;
mod panics;
mod probe;
pub mod push;
pub mod s2s;
pub mod server;
pub mod tls;
