//! How fast an account may ask: as fast as one of its clients may send.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use kim_core::config::LimitsInForce;
use kim_core::jid::BareJid;

use super::problem::Problem;
use crate::c2s::{Bucket, Rates};

/// Accounts remembered; beyond that, those that may do anything again are forgotten.
const ACCOUNTS_MAX: usize = 10_000;

/// What accounts have left.
pub(crate) struct Paces {
    limits: LimitsInForce,
    accounts: Mutex<HashMap<BareJid, [Bucket; 2]>>,
}

impl Paces {
    pub fn new(limits: LimitsInForce) -> Paces {
        Paces {
            limits,
            accounts: Mutex::default(),
        }
    }

    /// Takes a request with so many bytes, if the account may make one now.
    pub(super) fn take(&self, account: &BareJid, bytes: usize, now: Instant) -> Result<(), Problem> {
        let rates = Rates::of(&self.limits.now(), false);
        let rates = [rates.stanzas, rates.bytes];
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= ACCOUNTS_MAX && !accounts.contains_key(account) {
            accounts.retain(|_, buckets| {
                let mut of_account = buckets.iter_mut().zip(rates);
                of_account.any(|(bucket, rate)| !bucket.is_full(rate, now))
            });
            if accounts.len() >= ACCOUNTS_MAX {
                return Err(Problem::too_many("the server is busy; try again"));
            }
        }
        let buckets = accounts
            .entry(account.clone())
            .or_insert_with(|| rates.map(|rate| Bucket::full(rate, now)));
        let mut all = buckets.iter_mut().zip(rates);
        if all.any(|(bucket, rate)| bucket.wait(rate, now).is_some()) {
            return Err(Problem::too_many("that is too fast; try again"));
        }
        for ((bucket, rate), tokens) in buckets.iter_mut().zip(rates).zip([1.0, bytes as f32]) {
            bucket.take(tokens, rate, now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kim_core::config::Limits;

    use super::*;

    #[test]
    fn who_is_too_fast_waits_and_others_do_not() {
        let limits = Limits {
            stanzas_per_second: 1,
            stanzas_burst: 2,
            ..Limits::default()
        };
        let (paces, start) = (Paces::new(LimitsInForce::new(&limits)), Instant::now());
        let [alice, bob] = ["alice@localhost", "bob@localhost"].map(|jid| BareJid::parse(jid).unwrap());
        for _ in 0..3 {
            assert!(paces.take(&alice, 10, start).is_ok());
        }
        assert!(paces.take(&alice, 10, start).is_err());
        assert!(paces.take(&bob, 10, start).is_ok());
        let later = start + std::time::Duration::from_secs(2);
        assert!(paces.take(&alice, 10, later).is_ok());
    }
}
