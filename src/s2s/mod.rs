//! Federation: streams to and from other servers (RFC 6120, XEP-0220).
//!
//! What leaves is pushed to the queue of its [`pair`] of domains. A [`courier`] finds the way ([`dns`]), judges what the
//! other server shows ([`identity`], [`dane`]) and proves our domain to it; `incoming` lets other servers in. Once a stream
//! is encrypted, [`exchange`] lives it. [`Federation`] is what all of them share.

mod courier;
pub mod dane;
pub mod dialback;
pub mod dns;
mod exchange;
mod hub;
pub mod identity;
mod incoming;
pub mod key;
mod ledger;
mod life;
mod listener;
mod management;
mod pair;
mod policy;
mod reach;
pub mod status;
mod talk;
#[cfg(test)]
mod tests;
pub mod tls;
mod upkeep;

pub use self::hub::{Federation, Phase};
pub use self::ledger::Ledger;
pub use self::listener::S2sListener;
