//! How often somebody may do something: so many times at once, then once in a while. Who has been quiet for long enough
//! takes no memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use kim_core::clock::Timestamp;

/// Keys that are remembered. With more of them active at the same time, some begin anew.
const KEYS_MAX: usize = 20_000;

/// A rate for each of many keys.
pub struct Pace<K> {
    /// Microseconds until another time is given back.
    interval_us: i64,
    /// Times at once.
    burst: i64,
    /// When each key will have everything back.
    whole_at: Mutex<HashMap<K, i64>>,
}

impl<K: Clone + Eq + Hash> Pace<K> {
    /// `burst` times at once, and another one after each `interval_seconds`.
    pub fn new(burst: u32, interval_seconds: u32) -> Pace<K> {
        Pace {
            interval_us: i64::from(interval_seconds) * 1_000_000,
            burst: i64::from(burst),
            whole_at: Mutex::default(),
        }
    }

    /// Takes one time; false if there is none left.
    pub fn take(&self, key: &K, now: Timestamp) -> bool {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = whole_at.get(key).map_or(now.0, |at| (*at).max(now.0));
        if at - now.0 > self.interval_us * (self.burst - 1) {
            return false;
        }
        if whole_at.len() >= KEYS_MAX && !whole_at.contains_key(key) {
            whole_at.retain(|_, at| *at > now.0);
            let any = whole_at.keys().next().cloned();
            if let Some(any) = any.filter(|_| whole_at.len() >= KEYS_MAX) {
                whole_at.remove(&any);
            }
        }
        whole_at.insert(key.clone(), at + self.interval_us);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_one_at_a_time() {
        let pace = Pace::new(3, 10);
        let at = |seconds: i64| Timestamp(1_700_000_000_000_000 + seconds * 1_000_000);
        let taken: Vec<bool> = (0..5).map(|_| pace.take(&"a", at(0))).collect();
        assert_eq!(taken, [true, true, true, false, false]);
        assert!(pace.take(&"b", at(0)));
        assert!(pace.take(&"a", at(10)));
        assert!(!pace.take(&"a", at(10)));
        let later: Vec<bool> = (0..4).map(|_| pace.take(&"a", at(1_000))).collect();
        assert_eq!(later, [true, true, true, false]);
    }

    #[test]
    fn it_never_remembers_more_than_it_may() {
        let pace = Pace::new(1, 1_000);
        for key in 0..KEYS_MAX + 100 {
            assert!(pace.take(&key, Timestamp(1)));
        }
        assert!(pace.whole_at.lock().unwrap().len() <= KEYS_MAX);
    }
}
