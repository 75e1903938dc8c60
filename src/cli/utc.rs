//! A time as the commands write it.

use kim_core::clock::Timestamp;

/// A time to the second, as `2026-11-22T21:30:12Z`.
pub(super) fn utc(microseconds: i64) -> String {
    let text = Timestamp(microseconds).to_string();
    format!("{}Z", text.split('.').next().unwrap_or(&text))
}
