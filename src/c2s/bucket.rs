//! Token buckets: so much at once, so much per second in the long run. One for each connection's rate of reading, and
//! one for each address that fails to log in.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::places::Origin;

/// A rate and how much of it may come at once.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Tokens that come back in a second.
    pub per_second: f32,
    /// Tokens of a full bucket.
    pub burst: f32,
}

impl Rate {
    /// The same at so many percent.
    pub fn percent(self, percent: u32) -> Rate {
        let share = percent as f32 / 100.0;
        Rate {
            per_second: (self.per_second * share).max(0.01),
            burst: (self.burst * share).max(1.0),
        }
    }
}

/// What is left. May go below nothing: what has been read has been read, and is paid for by waiting.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    level: f32,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn full(rate: Rate, now: Instant) -> Bucket {
        Bucket {
            level: rate.burst,
            at: now,
        }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f32();
        self.level = (self.level + seconds * rate.per_second).min(rate.burst);
        self.at = now;
    }

    /// Takes tokens out.
    pub fn take(&mut self, tokens: f32, rate: Rate, now: Instant) {
        self.refill(rate, now);
        self.level -= tokens;
    }

    /// Whether nothing is missing.
    pub fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        self.level >= rate.burst
    }

    /// How long to wait until there is something in it again; `None` if there is.
    pub fn wait(&mut self, rate: Rate, now: Instant) -> Option<Duration> {
        self.refill(rate, now);
        (self.level < 0.0).then(|| Duration::from_secs_f32((-self.level / rate.per_second).min(3_600.0)))
    }
}

/// Failed logins, by origin (docs/security.md, row 10). An origin without failures takes no memory.
pub struct Failures {
    rate: RwLock<Rate>,
    buckets: Mutex<HashMap<Origin, Bucket>>,
}

fn rate_of(burst: u32, refill_seconds: u64) -> Rate {
    Rate {
        per_second: 1.0 / refill_seconds.max(1) as f32,
        burst: burst as f32,
    }
}

/// Origins remembered; beyond that, those that are good again are forgotten at once.
const ORIGINS_MAX: usize = 100_000;

impl Failures {
    /// `burst` failures are free; one more after each `refill_seconds`.
    pub fn new(burst: u32, refill_seconds: u64) -> Failures {
        Failures {
            rate: RwLock::new(rate_of(burst, refill_seconds)),
            buckets: Mutex::default(),
        }
    }

    /// From now on so many.
    pub fn resize(&self, burst: u32, refill_seconds: u64) {
        *self.rate.write().unwrap_or_else(PoisonError::into_inner) = rate_of(burst, refill_seconds);
    }

    fn rate(&self) -> Rate {
        *self.rate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an origin may try.
    pub fn allows(&self, origin: Origin, now: Instant) -> bool {
        let rate = self.rate();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = buckets.get_mut(&origin) else {
            return true;
        };
        bucket.refill(rate, now);
        bucket.level >= 1.0
    }

    /// An origin has failed.
    pub fn failed(&self, origin: Origin, now: Instant) {
        let rate = self.rate();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ORIGINS_MAX && !buckets.contains_key(&origin) {
            drop(buckets);
            self.forget(now);
            buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            if buckets.len() >= ORIGINS_MAX {
                // So many hostile addresses at once: better to forget all than to grow.
                buckets.clear();
            }
        }
        buckets
            .entry(origin)
            .or_insert_with(|| Bucket::full(rate, now))
            .take(1.0, rate, now);
    }

    /// So many failures of an origin were its own mistakes: they are as if they had not been.
    pub fn give_back(&self, origin: Origin, failures: u32) {
        let rate = self.rate();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&origin) {
            bucket.level = (bucket.level + failures as f32).min(rate.burst);
        }
    }

    /// Forgets the origins whose buckets are full again.
    pub fn forget(&self, now: Instant) {
        let rate = self.rate();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|_, bucket| {
            bucket.refill(rate, now);
            bucket.level < rate.burst
        });
        buckets.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_are_free_and_then_one_in_ten_seconds() {
        let failures = Failures::new(10, 10);
        let origin = Origin::of("192.0.2.1".parse().unwrap());
        let start = Instant::now();
        for _ in 0..10 {
            assert!(failures.allows(origin, start));
            failures.failed(origin, start);
        }
        assert!(!failures.allows(origin, start));
        assert!(
            failures.allows(Origin::of("192.0.2.2".parse().unwrap()), start),
            "others are not concerned"
        );
        let later = start + Duration::from_secs(11);
        assert!(failures.allows(origin, later));
        failures.failed(origin, later);
        assert!(!failures.allows(origin, later));
        failures.forget(later);
        assert!(!failures.allows(origin, later), "not forgotten too early");
        failures.forget(start + Duration::from_secs(1_000));
        assert!(failures.buckets.lock().unwrap().is_empty());
    }

    #[test]
    fn what_is_given_back_is_free_again_and_never_more_than_all() {
        let failures = Failures::new(2, 3_600);
        let origin = Origin::of("192.0.2.1".parse().unwrap());
        let start = Instant::now();
        failures.give_back(origin, 5);
        for _ in 0..2 {
            assert!(failures.allows(origin, start));
            failures.failed(origin, start);
        }
        assert!(!failures.allows(origin, start));
        failures.give_back(origin, 1);
        assert!(failures.allows(origin, start));
        failures.failed(origin, start);
        failures.give_back(origin, 100);
        for _ in 0..2 {
            assert!(failures.allows(origin, start));
            failures.failed(origin, start);
        }
        assert!(!failures.allows(origin, start));
    }

    #[test]
    fn what_was_taken_too_much_is_waited_for() {
        let rate = Rate {
            per_second: 100.0,
            burst: 200.0,
        };
        let start = Instant::now();
        let mut bucket = Bucket::full(rate, start);
        bucket.take(150.0, rate, start);
        assert_eq!(bucket.wait(rate, start), None);
        bucket.take(150.0, rate, start);
        assert_eq!(bucket.wait(rate, start), Some(Duration::from_secs(1)));
        assert_eq!(bucket.wait(rate, start + Duration::from_secs(2)), None);
    }
}
