//! What modules keep by key, each within a bound: locks ([`Locks`]), copies of database values ([`Shared`]) and token buckets
//! ([`Rates`]).
//!
//! Every [`Shared`] is registered by name in the [`Caches`] of its database, so that a copy can be dropped by name and key from
//! outside, or all copies at once. That is how the nodes of a cluster will tell each other what has changed.

mod caches;
mod locks;
mod rates;
mod shared;
#[cfg(test)]
mod tests;

pub use caches::Caches;
pub use locks::Locks;
pub use rates::{Bucket, Rate, Rates};
pub use shared::{CacheKey, Lookup, Pair, ReadMark, Shared};
