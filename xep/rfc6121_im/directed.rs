//! Directed presence (RFC 6121 §4.6): whom a session told of its presence apart from its subscribers, so that they hear
//! when it goes.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::Jid;
use kim_core::session::Session;

/// The addresses a session sent available presence to.
#[derive(Default)]
pub struct Directed(Mutex<HashSet<Jid>>);

impl Directed {
    fn lock(&self) -> MutexGuard<'_, HashSet<Jid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a target; above the limit the client has to leave somebody first.
    pub fn add(session: &Session, target: &Jid, targets_max: usize) -> Result<(), Fault> {
        let directed = session.fact::<Directed>();
        let mut targets = directed.lock();
        if targets.len() >= targets_max && !targets.contains(target) {
            let error = StanzaError::new(Condition::ResourceConstraint);
            return Err(error
                .text("directed presence was sent to too many addresses")
                .into());
        }
        targets.insert(target.clone());
        Ok(())
    }

    /// Forgets a target: it was told that the session is gone, or said itself that it is.
    pub fn remove(session: &Session, target: &Jid) {
        if let Some(directed) = session.known_fact::<Directed>() {
            directed.lock().remove(target);
        }
    }

    /// Whether the session sent its presence to that address.
    pub fn contains(session: &Session, target: &Jid) -> bool {
        session
            .known_fact::<Directed>()
            .is_some_and(|directed| directed.lock().contains(target))
    }

    /// The targets at one bare JID.
    pub fn at(session: &Session, bare: &str) -> Vec<Jid> {
        session
            .known_fact::<Directed>()
            .map_or_else(Vec::new, |directed| {
                let targets = directed.lock();
                targets
                    .iter()
                    .filter(|target| target.bare_str() == bare)
                    .cloned()
                    .collect()
            })
    }

    /// All targets, forgotten.
    pub fn take(session: &Session) -> HashSet<Jid> {
        session
            .known_fact::<Directed>()
            .map(|directed| std::mem::take(&mut *directed.lock()))
            .unwrap_or_default()
    }
}
