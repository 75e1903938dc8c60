//! How much one occupant may say (§14.6): buckets that fill again with time.

pub use kim_core::keyed::{Bucket, Rate};
