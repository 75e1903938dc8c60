//! Stream management on streams that other servers opened (XEP-0198): switching it on, and going on where one was cut.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kim_core::error::StreamCondition;
use kim_core::random;
use kim_core::wire::{Element, escape_value};

use super::hub::{Federation, RESUMABLE};
use super::life::{Counting, How, Life, PeerEnd};
use super::pair::{Carrier, put_back};
use super::talk::SM;

/// Streams that can be resumed, at most.
const PARKED_MAX: usize = 10_000;
/// How long a stream that seems to live has to end once another one takes its place.
const HANDOVER: Duration = Duration::from_secs(5);

/// A stream that can be resumed.
pub enum Parked {
    /// It still lives, as far as we know.
    Living(Arc<Life>),
    /// It was cut.
    Cut(Box<Cut>),
}

/// What is left of it.
pub struct Cut {
    counting: Counting,
    /// Who had been proved on it: nobody else may go on with it.
    proved: Vec<(Arc<str>, How)>,
    until: Instant,
}

impl Parked {
    pub(super) fn new(counting: Counting, proved: Vec<(Arc<str>, How)>, until: Instant) -> Parked {
        Parked::Cut(Box::new(Cut {
            counting,
            proved,
            until,
        }))
    }
}

impl Federation {
    fn lock_parked(&self) -> MutexGuard<'_, std::collections::HashMap<String, Parked>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream was cut and waits for another that goes on.
    pub(super) fn park(&self, id: String, parked: Parked) {
        self.lock_parked().insert(id, parked);
    }

    pub(super) fn forget_parked(&self, id: &str) {
        self.lock_parked().remove(id);
    }

    /// Forgets streams that nobody went on with; what they had not delivered waits for another one.
    pub(super) fn forget_old(&self, now: Instant) {
        let mut old = Vec::new();
        self.lock_parked().retain(|_, parked| match parked {
            Parked::Cut(cut) if cut.until <= now => {
                old.append(&mut cut.counting.unconfirmed.drain(..).collect());
                false
            }
            _ => true,
        });
        let pairs: Vec<_> = old.iter().map(|(pair, _)| Arc::clone(pair)).collect();
        put_back(old);
        for pair in pairs {
            if pair.needs_courier() {
                self.send_courier(&pair);
            }
        }
    }

    /// `<enable/>` and `<resume/>`, once somebody has been proved.
    pub(super) async fn manage(&self, life: &Arc<Life>, element: &Element) -> Result<(), PeerEnd> {
        let (is_proved, is_on) = {
            let state = life.state();
            (!state.proved.is_empty(), state.counting.is_some())
        };
        let failed = |condition: &str| {
            life.say(&format!(
                "<failed xmlns='{SM}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
            ));
        };
        if !is_proved || is_on {
            failed("unexpected-request");
            return Ok(());
        }
        if element.name() == "resume" {
            if !self.resume(life, element).await? {
                failed("item-not-found");
            }
            return Ok(());
        }
        let wants = matches!(element.attr("resume").as_deref(), Some("true" | "1"));
        let id = (wants && self.lock_parked().len() < PARKED_MAX).then(random::token);
        let answer = match &id {
            Some(id) => {
                self.park(id.clone(), Parked::Living(life.clone()));
                let seconds = RESUMABLE.as_secs();
                format!("<enabled xmlns='{SM}' id='{id}' resume='true' max='{seconds}'/>")
            }
            None => format!("<enabled xmlns='{SM}'/>"),
        };
        life.state().counting = Some(Counting::new(id));
        life.say(&answer);
        Ok(())
    }

    /// Goes on with a stream that was cut, if it is there and theirs.
    async fn resume(&self, life: &Arc<Life>, element: &Element) -> Result<bool, PeerEnd> {
        let id = element
            .attr("previd")
            .ok_or(StreamCondition::BadFormat)?
            .into_owned();
        let h: u32 = element
            .attr("h")
            .and_then(|h| h.parse().ok())
            .ok_or(StreamCondition::BadFormat)?;
        let living = match self.lock_parked().get(&id) {
            Some(Parked::Living(other)) if is_theirs(life, &other.state().proved) => Some(other.clone()),
            _ => None,
        };
        if let Some(other) = living {
            // It has a new connection, so the old one is dead, whatever the kernel says.
            other.end(PeerEnd::Lost);
            let _ = tokio::time::timeout(HANDOVER, other.over()).await;
        }
        let cut = {
            let mut all = self.lock_parked();
            let is_it = matches!(all.get(&id), Some(Parked::Cut(cut)) if is_theirs(life, &cut.proved));
            match is_it.then(|| all.remove(&id)).flatten() {
                Some(Parked::Cut(cut)) => cut,
                _ => return Ok(false),
            }
        };
        let mut counting = cut.counting;
        let delivered = counting.confirm(h)?;
        delivered
            .iter()
            .for_each(|(_, outbound)| self.delivered(outbound));
        let mut words = format!("<resumed xmlns='{SM}' h='{}' previd='", counting.handled);
        escape_value(&mut words, &id);
        words.push_str("'/>");
        words.extend(
            counting
                .unconfirmed
                .iter()
                .map(|(_, outbound)| outbound.stanza.to_xml()),
        );
        counting.ask_again();
        if counting.must_ask() {
            words.push_str(&format!("<r xmlns='{SM}'/>"));
        }
        {
            let mut state = life.state();
            state.words.push_str(&words);
            for (domain, how) in cut.proved {
                if !state.proved.iter().any(|(known, _)| *known == domain) {
                    state.proved.push((domain, how));
                }
            }
            for (pair, _) in &counting.unconfirmed {
                let carrier = Carrier {
                    id: life.id,
                    ready: life.ready.clone(),
                };
                if pair.attach(carrier) {
                    state.pairs.push(pair.clone());
                }
            }
            state.counting = Some(counting);
        }
        self.park(id, Parked::Living(life.clone()));
        life.ready.notify_one();
        Ok(true)
    }
}

/// Whether the one who was proved first on a stream that was cut has been proved on this one.
fn is_theirs(life: &Life, proved: &[(Arc<str>, How)]) -> bool {
    proved
        .first()
        .is_some_and(|(domain, _)| life.proved(domain).is_some())
}
