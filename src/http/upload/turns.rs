//! How many uploads may run at the same time, and how fast they must be. An upload needs memory while it lasts, so their
//! number is limited, for each account too. The fewer turns are left, the faster the running uploads must be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kim_core::jid::BareJid;

use crate::c2s::Origin;

/// Files that are taken at the same time; each holds a few megabytes at most.
const TURNS_MAX: usize = 128;
/// Those of one account. More files than this wait for each other.
const TURNS_EACH_MAX: usize = 4;

/// Whose a turn is. Guests have as many addresses here as they like, so theirs go by where they come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Account(BareJid),
    Guest(Origin),
}

/// All turns that are taken.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Holder, usize>>);

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// The holder has all that it may have.
    OfHolder,
    /// All are taken.
    OfAll,
}

/// One turn; free again when dropped.
pub(super) struct UploadTurn {
    turns: Arc<Turns>,
    holder: Holder,
}

impl Turns {
    /// Takes a turn.
    pub fn take(self: &Arc<Turns>, holder: Holder) -> Result<UploadTurn, NoTurn> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(&holder).copied().unwrap_or_default();
        match (own, all) {
            (TURNS_EACH_MAX.., _) => Err(NoTurn::OfHolder),
            (_, TURNS_MAX..) => Err(NoTurn::OfAll),
            _ => {
                taken.insert(holder.clone(), own + 1);
                Ok(UploadTurn {
                    turns: self.clone(),
                    holder,
                })
            }
        }
    }

    fn taken(&self) -> usize {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.values().sum()
    }
}

impl UploadTurn {
    /// How slow an upload may be now.
    pub fn pace(&self) -> Pace {
        Pace::at(self.turns.taken())
    }
}

impl Drop for UploadTurn {
    fn drop(&mut self) {
        let mut taken = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.holder) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.remove(&self.holder);
            }
        }
    }
}

/// The slowest that an upload may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    bytes_per_second: u64,
    /// It may be slower at first.
    free: Duration,
}

impl Pace {
    /// With so many turns taken: half of them are for everybody, the rest for those who are quick.
    fn at(taken: usize) -> Pace {
        let (bytes_per_second, seconds) = match taken * 8 / TURNS_MAX {
            0..=3 => (4_096, 60),
            4..=5 => (16_384, 30),
            6 => (65_536, 20),
            _ => (131_072, 10),
        };
        Pace {
            bytes_per_second,
            free: Duration::from_secs(seconds),
        }
    }

    /// By when so many bytes must have come, after the beginning.
    pub fn allowed(self, bytes: u64) -> Duration {
        self.free + Duration::from_millis(bytes.saturating_mul(1_000) / self.bytes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: usize) -> Holder {
        Holder::Account(BareJid::parse(&format!("a{number}@localhost")).unwrap())
    }

    #[test]
    fn an_account_has_four_turns_and_leaves_the_others_theirs() {
        let turns = Arc::new(Turns::default());
        let mut held: Vec<_> = (0..4).map(|_| turns.take(account(0)).ok().unwrap()).collect();
        assert_eq!(turns.take(account(0)).err(), Some(NoTurn::OfHolder));
        let other = turns.take(account(1));
        assert!(other.is_ok());
        held.pop();
        held.push(turns.take(account(0)).ok().unwrap());
        // All of them are taken by many.
        held.extend((2..).map_while(|number| turns.take(account(number)).ok()));
        assert_eq!(turns.taken(), TURNS_MAX);
        assert_eq!(turns.take(account(1)).err(), Some(NoTurn::OfAll));
        drop((held, other));
        assert!(turns.0.lock().unwrap().is_empty());
    }

    #[test]
    fn the_fewer_turns_are_left_the_faster_one_must_be() {
        let file = 10 * 1_048_576;
        let seconds = |taken| Pace::at(taken).allowed(file).as_secs();
        assert_eq!(seconds(1), 60 + 2_560);
        let all: Vec<u64> = (1..=TURNS_MAX).map(seconds).collect();
        assert!(all.is_sorted_by(|before, after| before >= after));
        assert!(seconds(TURNS_MAX) < 120);
        // A small file has some seconds in any case.
        assert!(Pace::at(TURNS_MAX).allowed(1) >= Duration::from_secs(10));
    }
}
