//! How fast accounts may ask for slots: as many at once as somebody sends who shares a folder of pictures, and then one by one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kim_core::clock::Timestamp;
use kim_core::jid::BareJid;

const MINUTE_MICROS: i64 = 60 * 1_000_000;
/// Accounts remembered; before there are more, those that may ask as ever are forgotten.
const ACCOUNTS_MAX: usize = 10_000;

/// When accounts have all of their slots again (a leaky bucket of one number each).
pub(super) struct SlotPace {
    per_minute: u32,
    due: Mutex<HashMap<BareJid, i64>>,
}

impl SlotPace {
    /// So many in a minute, and as many at once.
    pub fn new(per_minute: u32) -> SlotPace {
        SlotPace {
            per_minute: per_minute.max(1),
            due: Mutex::default(),
        }
    }

    /// Takes a slot, or says when there is one again.
    pub fn take(&self, account: &BareJid, now: Timestamp) -> Result<(), Timestamp> {
        let each = MINUTE_MICROS / i64::from(self.per_minute);
        let mut all = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ACCOUNTS_MAX && !all.contains_key(account) {
            all.retain(|_, due| *due > now.0);
            if all.len() >= ACCOUNTS_MAX {
                return Err(Timestamp(now.0 + each));
            }
        }
        let due = all.get(account).copied().unwrap_or(now.0).max(now.0);
        // The last slot of a minute may be taken while the others are still to come back.
        let late = due - now.0 - (MINUTE_MICROS - each);
        if late > 0 {
            return Err(Timestamp(now.0 + late));
        }
        all.insert(account.clone(), due + each);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_slots_may_come_at_once_and_then_one_by_one() {
        let pace = SlotPace::new(3);
        let [alice, bob] = ["alice@localhost", "bob@localhost"].map(|jid| BareJid::parse(jid).unwrap());
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        for _ in 0..3 {
            assert_eq!(pace.take(&alice, at(100)), Ok(()));
        }
        assert_eq!(pace.take(&alice, at(100)), Err(at(120)));
        assert_eq!(pace.take(&alice, at(119)), Err(at(120)), "asking costs nothing");
        assert_eq!(pace.take(&bob, at(100)), Ok(()));
        assert_eq!(pace.take(&alice, at(120)), Ok(()));
        assert_eq!(pace.take(&alice, at(120)), Err(at(140)));
        // After a quiet minute it is as at first.
        for _ in 0..3 {
            assert_eq!(pace.take(&alice, at(300)), Ok(()));
        }
        assert!(pace.take(&alice, at(300)).is_err());
    }

    #[test]
    fn accounts_are_forgotten_when_they_may_ask_as_ever() {
        let pace = SlotPace::new(60);
        let account = |number: usize| BareJid::parse(&format!("a{number}@localhost")).unwrap();
        for number in 0..ACCOUNTS_MAX {
            assert!(pace.take(&account(number), Timestamp(0)).is_ok());
        }
        assert!(pace.take(&account(ACCOUNTS_MAX), Timestamp(0)).is_err());
        assert!(pace.take(&account(ACCOUNTS_MAX), Timestamp(2_000_000)).is_ok());
        assert_eq!(pace.due.lock().unwrap().len(), 1);
    }
}
