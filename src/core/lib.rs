//! The core of kIM: what every module and door stands on. No sockets, no XEP numbers.
//!
//! A stanza's way: [`wire`] reads it, [`stanza`] types it, the [`router`] runs it past the modules' hooks ([`hook`],
//! [`events`]) with a context ([`cx`]) and delivers it to [`session`]s. Modules register through [`module`] and keep
//! their rows in [`db`].
#![forbid(unsafe_code)]

pub mod accounts;
pub mod clock;
pub mod cluster;
pub mod component;
pub mod config;
pub mod cx;
pub mod db;
pub mod error;
pub mod events;
pub mod facts;
pub mod hook;
pub mod jid;
pub mod module;
pub mod ns;
mod outbox;
pub mod random;
pub mod router;
pub mod seal;
pub mod session;
pub mod stanza;
pub mod testing;

pub use kim_wire as wire;

#[cfg(test)]
mod tests;
