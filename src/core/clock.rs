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
    /// The earliest and the latest stamp that can be written again.
    fn edges() -> (i64, i64) {
        (YEAR_0, jiff::Timestamp::MAX.as_second() * 1_000_000)
    }

    /// Reads the XEP-0082 DateTime profile. What is finer than a microsecond is cut off; a leap second is the second behind
    /// it; what lies beyond the years that can be written is the nearest that can. So whatever is read can be written and
    /// read again.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let (date, time) = text.split_once('T')?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let zone_at = time.find(['Z', '+', '-'])?;
        let (time, zone) = time.split_at_checked(zone_at)?;
        let (time, fraction) = time
            .split_once('.')
            .map_or((time, None), |(time, rest)| (time, Some(rest)));
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        let date = jiff::civil::Date::new(
            year.try_into().ok()?,
            month.try_into().ok()?,
            day.try_into().ok()?,
        )
        .ok()?;
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let days = date.duration_since(jiff::civil::date(1970, 1, 1)).as_hours() / 24;
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset_seconds(zone)?;
        let micros = match fraction {
            Some(digits) => micros_of(digits)?,
            None => 0,
        };
        let (first, last) = Timestamp::edges();
        Some(Timestamp((seconds * 1_000_000 + micros).clamp(first, last)))
    }

    /// Whole seconds from `earlier` to `self`, never negative.
    pub fn seconds_since(self, earlier: Timestamp) -> u64 {
        u64::try_from((self.0 - earlier.0) / 1_000_000).unwrap_or(0)
    }
}

/// Numbers of so many digits with a separator between them.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut found = [0; 3];
    for (place, length) in found.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == length)?;
        *place = digits_of(part)?;
    }
    parts.next().is_none().then_some(found)
}

fn digits_of(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// The microseconds of a fraction of a second, however many digits it has.
fn micros_of(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits_of(&format!("{:0<6.6}", digits))
}

/// How far a zone is before UTC: `Z`, `+01:00`; without the colon, or without minutes, it is understood too.
fn offset_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone.get(1..)?;
    let hours = digits_of(digits.get(..2)?)?;
    let rest = digits.get(2..)?;
    let minutes = match rest.strip_prefix(':').unwrap_or(rest) {
        "" if rest.is_empty() => 0,
        minutes if minutes.len() == 2 => digits_of(minutes)?,
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

impl std::fmt::Display for Timestamp {
    /// The XEP-0082 DateTime profile in UTC: `2026-01-31T12:00:00.000001Z`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, last) = Timestamp::edges();
        match jiff::Timestamp::from_microsecond(self.0.clamp(first, last)) {
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
            "2026-01-31T12:00:00.00000000000000000000000000000000000000000000009Z",
            "2026-01-30T23:30:00-12:30",
            "2026-01-31T11:59:60Z",
        ] {
            assert_eq!(Timestamp::parse(text), noon, "{text}");
        }
        let wrong = [
            "",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-13-31T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "2026-01-31T24:00:01Z",
            "2026-01-31T12:60:00Z",
            "2026-01-31T12:00:61Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00.1.1Z",
            "2026-01-31T12:00:00+",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:00+01:",
            "2026-01-31T12:00:00ZZ",
            "-026-01-31T12:00:00Z",
            "2026-01-31T+1:00:00Z",
            "1769860800",
        ];
        for text in wrong {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_lies_beyond_the_edge_is_the_edge() {
        let read = |text| Timestamp::parse(text).unwrap();
        let last = read("9999-12-31T23:59:59Z");
        assert_eq!(last, read("9999-12-31T23:59:60.999999999-23:59"));
        assert_eq!(last.to_string(), "9999-12-30T22:00:00.000000Z");
        assert_eq!(Timestamp(i64::MAX).to_string(), last.to_string());
        let first = read("0000-01-01T00:00:00Z");
        assert_eq!(first.to_string(), "0000-01-01T00:00:00.000000Z");
        assert_eq!(read("0000-01-01T00:00:00+12:00"), first);
        assert_eq!(Timestamp(YEAR_0 - 1).to_string(), first.to_string());
        assert_eq!(read("1969-12-31T23:59:59.5Z"), Timestamp(-500_000));
        assert_eq!(
            read("2024-02-29T12:00:00.25Z").to_string(),
            "2024-02-29T12:00:00.250000Z"
        );
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
