//! Which messages a client with copies has seen lately, as they are or as copies. Two things depend on that: an error is
//! for those who know what it is about, and does not say so itself (§6.1, RFC 6120 §8.3.1); and a message that goes its way
//! a second time, because the client it was for did not live to take it, is not for those who had a copy.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kim_core::stanza::Stanza;

/// Messages that one client is known to have seen.
const MESSAGES_MAX: usize = 128;

/// Their hashes, the newest last, with a key that nobody else knows.
#[derive(Default)]
pub struct Known {
    hasher: RandomState,
    seen: Mutex<VecDeque<u64>>,
}

impl Known {
    /// Remembers a message. One without an id cannot be referred to.
    pub fn add(&self, message: &Stanza) {
        if let Some(hash) = self.hash(message, false) {
            let mut seen = self.lock();
            if seen.len() >= MESSAGES_MAX {
                seen.pop_front();
            }
            seen.push_back(hash);
        }
    }

    /// Whether the message is remembered.
    pub fn has(&self, message: &Stanza) -> bool {
        self.hash(message, false)
            .is_some_and(|hash| self.lock().contains(&hash))
    }

    /// Whether the message is remembered that an error is about.
    pub fn has_cause(&self, error: &Stanza) -> bool {
        self.hash(error, true)
            .is_some_and(|hash| self.lock().contains(&hash))
    }

    /// Forgets all.
    pub fn clear(&self) {
        *self.lock() = VecDeque::new();
    }

    /// Of whose account it comes, for whose it is, and the sender's id for it; of an answer, those of what it answers.
    fn hash(&self, stanza: &Stanza, answered: bool) -> Option<u64> {
        let (mut from, mut to) = (stanza.from.as_ref()?, stanza.to.as_ref()?);
        if answered {
            (from, to) = (to, from);
        }
        Some(
            self.hasher
                .hash_one((from.bare_str(), to.bare_str(), stanza.id.as_deref()?)),
        )
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(attrs: &str) -> Stanza {
        Stanza::parse(&format!("<message {attrs}/>")).unwrap()
    }

    #[test]
    fn a_message_is_known_by_both_sides_and_its_id() {
        let known = Known::default();
        let first = message("from='a@x/1' to='b@x' id='1'");
        known.add(&first);
        assert!(known.has(&first) && known.has(&message("from='a@x/2' to='b@x/3' id='1'")));
        assert!(!known.has_cause(&first));
        assert!(known.has_cause(&message("from='b@x/3' to='a@x/1' id='1' type='error'")));
        for other in [
            "from='b@x' to='a@x/1' id='1'",
            "from='a@x/1' to='b@x' id='2'",
            "from='a@x/1' to='c@x' id='1'",
            "from='a@x/1' to='b@x'",
            "from='a@x/1' id='1'",
        ] {
            assert!(!known.has(&message(other)), "{other}");
        }
        known.add(&message("from='a@x/1' to='b@x'"));
        assert!(!known.has(&message("from='a@x/1' to='b@x'")));
        known.clear();
        assert!(!known.has(&first));
    }

    #[test]
    fn of_many_the_latest_are_known() {
        let known = Known::default();
        let nth = |at: usize| message(&format!("from='a@x/1' to='b@x' id='{at}'"));
        for at in 0..10_000 {
            known.add(&nth(at));
        }
        assert_eq!(known.lock().len(), MESSAGES_MAX);
        assert!(known.has(&nth(9_999)) && known.has(&nth(10_000 - MESSAGES_MAX)));
        assert!(!known.has(&nth(9_999 - MESSAGES_MAX)));
    }
}
