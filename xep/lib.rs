//! The rooms: one folder for each specification, and the list of them. Adding one takes its folder, a `pub mod` line
//! and a line in [`MODULES`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use kim_core::module::Entry;

pub mod rfc6121_im;
pub mod xep0199_ping;

/// Every module, in the order in which hooks of one stage run. A module stands behind those it needs.
pub const MODULES: &[Entry] = &[Entry::of::<rfc6121_im::Im>(), Entry::of::<xep0199_ping::Ping>()];

#[cfg(test)]
mod dialogues;
