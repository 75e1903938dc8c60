//! How much one occupant may say (§14.6): buckets that fill again with time.

use kim_core::clock::Timestamp;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// So many a second.
    pub per_second: f32,
    /// So many at once.
    pub burst: f32,
}

impl Rate {
    /// A share of it, in percent.
    pub fn percent(self, percent: u32) -> Rate {
        let share = percent as f32 / 100.0;
        Rate {
            per_second: self.per_second * share,
            burst: (self.burst * share).max(1.0),
        }
    }
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    spent: f32,
    at: i64,
}

impl Bucket {
    /// How much of it is used up.
    pub fn spent(&self, rate: Rate, now: Timestamp) -> f32 {
        let seconds = (now.0 - self.at).max(0) as f32 / 1_000_000.0;
        (self.spent - seconds * rate.per_second).max(0.0)
    }

    /// Whether there is one left.
    pub fn has(&self, rate: Rate, now: Timestamp) -> bool {
        self.spent(rate, now) + 1.0 <= rate.burst
    }

    /// Takes one; false if there is none.
    pub fn take(&mut self, rate: Rate, now: Timestamp) -> bool {
        self.spent = self.spent(rate, now);
        self.at = now.0;
        if self.spent + 1.0 > rate.burst {
            return false;
        }
        self.spent += 1.0;
        true
    }

    /// Whole seconds until there is one again.
    pub fn wait_seconds(&self, rate: Rate) -> u32 {
        let missing = (self.spent + 1.0 - rate.burst).max(0.0);
        (missing / rate.per_second).ceil() as u32
    }

    /// Whether nothing is taken from it any more.
    pub fn is_full(&self, rate: Rate, now: Timestamp) -> bool {
        let seconds = (now.0 - self.at).max(0) as f32 / 1_000_000.0;
        self.spent <= seconds * rate.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let rate = Rate {
            per_second: 2.0,
            burst: 3.0,
        };
        let mut bucket = Bucket::default();
        let at = |seconds: f64| Timestamp(1_700_000_000_000_000 + (seconds * 1e6) as i64);
        let taken: Vec<bool> = (0..5).map(|_| bucket.take(rate, at(0.0))).collect();
        assert_eq!(taken, [true, true, true, false, false]);
        assert!(bucket.take(rate, at(0.6)));
        assert!(!bucket.take(rate, at(0.6)));
        // A clock that goes back gives nothing.
        assert!(!bucket.take(rate, at(0.1)));
    }
}
