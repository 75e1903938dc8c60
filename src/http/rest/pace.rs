//! How fast an account may ask: as fast as one of its clients may send.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use kim_core::config::LimitsInForce;
use kim_core::jid::BareJid;

use super::problem::Problem;
use crate::c2s::{Bucket, Rate, Rates};

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

    /// Of requests, and of bytes.
    fn rates(&self) -> [Rate; 2] {
        let rates = Rates::of(&self.limits.now(), false);
        [rates.stanzas, rates.bytes]
    }

    /// Takes a request, if the account may make one now.
    pub(super) fn take(&self, account: &BareJid, now: Instant) -> Result<(), Problem> {
        let rates = self.rates();
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= ACCOUNTS_MAX && !accounts.contains_key(account) {
            accounts.retain(|_, buckets| {
                let mut of_account = buckets.iter_mut().zip(rates);
                of_account.any(|(bucket, rate)| !bucket.is_full(rate, now))
            });
            if accounts.len() >= ACCOUNTS_MAX {
                return Err(Problem::too_many("the server is busy; wait and try again"));
            }
        }
        let buckets = accounts
            .entry(account.clone())
            .or_insert_with(|| rates.map(|rate| Bucket::full(rate, now)));
        let mut all = buckets.iter_mut().zip(rates);
        if all.any(|(bucket, rate)| bucket.wait(rate, now).is_some()) {
            return Err(Problem::too_many("too many requests; wait and try again"));
        }
        let [requests, _] = buckets;
        let [rate, _] = rates;
        requests.take(1.0, rate, now);
        Ok(())
    }

    /// Takes bytes that came with a request which was taken.
    pub(super) fn pay(&self, account: &BareJid, bytes: usize, now: Instant) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some([_, bucket]) = accounts.get_mut(account) {
            let [_, rate] = self.rates();
            bucket.take(bytes as f32, rate, now);
        }
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
            assert!(paces.take(&alice, start).is_ok());
        }
        assert!(paces.take(&alice, start).is_err());
        assert!(paces.take(&bob, start).is_ok());
        let later = start + std::time::Duration::from_secs(2);
        assert!(paces.take(&alice, later).is_ok());
        paces.pay(&bob, 1 << 30, start);
        assert!(paces.take(&bob, later).is_err(), "he said very much");
    }
}
