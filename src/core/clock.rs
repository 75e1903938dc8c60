//! Time, as a value that tests can set. Stamps are microseconds since 1970 in UTC; they order archives, so the
//! clock never hands out the same stamp twice and never goes back, whatever the machine's clock does
//! (XEP-0082 for the text form).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// 0000-01-01T00:00:00Z. The profile has four digits for a year and no sign (XEP-0082 §3.1).
const YEAR_0: i64 = -62_167_219_200_000_000;

impl Timestamp {
    /// Reads the XEP-0082 DateTime profile. What is finer than a microsecond is cut off, and what a zone moves before the
    /// year 0000 is its beginning: whatever is read can be written and read again.
    pub fn parse(text: &str) -> Option<Timestamp> {
        // The reader takes more forms than the profile has.
        let profile = |byte: u8| byte.is_ascii_digit() || b"-:.+TZ".contains(&byte);
        if !text.bytes().all(profile) || text.as_bytes().get(10) != Some(&b'T') {
            return None;
        }
        let stamp: jiff::Timestamp = text.parse().ok()?;
        Some(Timestamp(stamp.as_microsecond().max(YEAR_0)))
    }

    /// Whole seconds from `earlier` to `self`, never negative.
    pub fn seconds_since(self, earlier: Timestamp) -> u64 {
        u64::try_from((self.0 - earlier.0) / 1_000_000).unwrap_or(0)
    }
}

impl std::fmt::Display for Timestamp {
    /// The XEP-0082 DateTime profile in UTC: `2026-01-31T12:00:00.000001Z`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0.max(YEAR_0)) {
            Ok(stamp) => write!(f, "{stamp:.6}"),
            Err(_) => f.write_str("1970-01-01T00:00:00.000000Z"),
        }
    }
}

/// Where stamps come from. Cheap to clone; clones share the same last stamp.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
struct Source {
    /// The last stamp given out; the next is at least one microsecond later.
    last: AtomicI64,
    /// A test's clock stands still until it is moved.
    manual: bool,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock(Arc::new(Source {
            last: AtomicI64::new(0),
            manual: false,
        }))
    }

    /// A clock for tests: starts at `start` and moves only by [`Clock::advance`] and by the microsecond that
    /// keeps stamps distinct.
    pub fn manual(start: Timestamp) -> Clock {
        Clock(Arc::new(Source {
            last: AtomicI64::new(start.0),
            manual: true,
        }))
    }

    /// A stamp later than every stamp given before.
    pub fn now(&self) -> Timestamp {
        let wall = if self.0.manual { i64::MIN } else { wall_micros() };
        let previous = self
            .0
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(wall.max(last.saturating_add(1)))
            })
            .unwrap_or_else(|last| last);
        Timestamp(wall.max(previous.saturating_add(1)))
    }

    /// Moves a test's clock forward; the machine's clock takes no notice.
    pub fn advance(&self, seconds: u64) {
        if self.0.manual {
            let micros = i64::try_from(seconds)
                .unwrap_or(i64::MAX / 2)
                .saturating_mul(1_000_000);
            self.0.last.fetch_add(micros, Ordering::Relaxed);
        }
    }
}

fn wall_micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_as_xep_0082_says() {
        let noon = Some(Timestamp(1_769_860_800_000_000));
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00.000Z",
            "2026-01-31T13:00:00+01:00",
            "2026-01-31T12:00:00.0000001Z",
        ] {
            assert_eq!(Timestamp::parse(text), noon, "{text}");
        }
        let wrong = [
            "",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-13-31T12:00:00Z",
            "1769860800",
        ];
        for text in wrong {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn years_have_four_digits() {
        let first = "0000-01-01T00:00:00.000000Z";
        let moved = Timestamp::parse("0000-01-01T00:00:00+12:00").map(|stamp| stamp.to_string());
        assert_eq!(moved.as_deref(), Some(first));
        assert_eq!(
            Timestamp::parse(first).map(|stamp| stamp.to_string()).as_deref(),
            Some(first)
        );
        assert_eq!(Timestamp(YEAR_0 - 1).to_string(), first);
    }

    #[test]
    fn stamps_never_repeat_and_read_as_xep_0082_says() {
        let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
        let (first, second) = (clock.now(), clock.now());
        assert!(second > first);
        assert_eq!(first.to_string(), "2023-11-14T22:13:20.000001Z");
        clock.advance(60);
        assert_eq!(clock.now().seconds_since(first), 60);
        let system = Clock::system();
        assert!(
            (0..1000)
                .map(|_| system.now())
                .collect::<Vec<_>>()
                .windows(2)
                .all(|w| w[0] < w[1])
        );
    }
}
