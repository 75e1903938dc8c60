//! The gate: who registers shows work that was done for it, and each piece of work is good for one account.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::hook::{Flow, On};
use kim_core::keyed::{Bucket, Rate};

use super::CaptchaConfig;
use super::challenge::{BadAnswer, Challenge, ChallengeKey, Nonce, Recipient};
use crate::xep0077_register::api::{Admission, AnswersChallenges, Demand, Toll, network};

/// Challenges that were used and are not over yet. Beyond it nobody registers until some of them are.
const USED_MAX: usize = 20_000;

/// The state of the gate.
pub(super) struct Gate {
    config: CaptchaConfig,
    key: ChallengeKey,
    /// The challenges that were used, and when they are over.
    used: Mutex<HashMap<Nonce, i64>>,
    /// Fills with every account that is made, and drains as fast as accounts are made when nothing is unusual.
    made: Mutex<Bucket>,
    passed: AtomicU64,
    refused: AtomicU64,
}

impl Gate {
    pub fn new(config: CaptchaConfig) -> Gate {
        Gate {
            config,
            key: ChallengeKey::new(),
            used: Mutex::default(),
            made: Mutex::default(),
            passed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub fn passed(&self) -> u64 {
        self.passed.load(Relaxed)
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    fn used(&self) -> MutexGuard<'_, HashMap<Nonce, i64>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bucket holds what adds as many bits as there may be, and no more: calm returns within as many hours.
    fn rate(&self) -> Rate {
        let (calm, added_max) = (
            self.config.calm_per_hour as f32,
            self.bits_max() - self.config.bits,
        );
        Rate {
            per_second: calm / 3_600.0,
            burst: calm * (added_max + 1) as f32,
        }
    }

    fn bits_max(&self) -> u32 {
        self.config.bits_max.max(self.config.bits)
    }

    /// The bits of a challenge that is given out now.
    pub fn bits(&self, now: Timestamp) -> u32 {
        let made = *self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // As many as are nothing unusual add none.
        let added = made.spent(self.rate(), now) / self.config.calm_per_hour as f32 - 1.0;
        self.config.bits.saturating_add(added as u32).min(self.bits_max())
    }

    /// An account was made.
    fn made(&self, now: Timestamp) {
        self.passed.fetch_add(1, Relaxed);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.take(self.rate(), now);
    }

    /// Marks a challenge as used.
    fn take(&self, challenge: &Challenge, now: Timestamp) -> Result<(), Refused> {
        let mut used = self.used();
        if used.contains_key(&challenge.nonce) {
            return Err(Refused::Void);
        }
        if used.len() >= USED_MAX {
            used.retain(|_, expires| *expires > now.0);
        }
        if used.len() >= USED_MAX {
            return Err(Refused::Full);
        }
        used.insert(challenge.nonce, challenge.expires);
        Ok(())
    }
}

/// Why somebody does not pass.
#[derive(Clone, Copy)]
enum Refused {
    /// Nothing was sent.
    Missing,
    /// Not what was asked for.
    Wrong,
    /// Over, used, too easy by now, or never given to them.
    Void,
    /// Too many have passed.
    Full,
}

impl From<BadAnswer> for Refused {
    fn from(flaw: BadAnswer) -> Refused {
        match flaw {
            BadAnswer::Void => Refused::Void,
            BadAnswer::Wrong => Refused::Wrong,
        }
    }
}

/// Shows newcomers their challenge, and checks what they bring.
pub(super) struct AskForWork {
    gate: Arc<Gate>,
    /// Where a browser registers.
    page: Option<String>,
}

impl AskForWork {
    pub fn new(gate: Arc<Gate>, page: Option<String>) -> AskForWork {
        AskForWork { gate, page }
    }

    /// The fields to fill in.
    fn demand(&self, event: &Admission, recipient: Recipient<'_>, now: Timestamp) -> Option<Demand> {
        let gate = &self.gate;
        let seconds = i64::from(gate.config.seconds);
        let expires = Timestamp(now.0.saturating_add(seconds * 1_000_000));
        let challenge = Challenge::new(gate.bits(now), expires);
        Some(Demand {
            id: challenge.token(&gate.key, recipient)?,
            from: challenge.from(recipient.domain),
            label: challenge.label(),
            page: self.page.clone(),
            // Apps that cannot answer offer the page only where there is nothing else (XEP-0077 §5).
            is_shown: gate.config.form
                || self.page.is_none()
                || event.facts.known::<AnswersChallenges>().is_some(),
        })
    }

    /// Takes the challenge that was solved; it is given back if no account is made by it.
    fn check(&self, event: &Admission, recipient: Recipient<'_>, now: Timestamp) -> Result<Toll, Refused> {
        let gate = &self.gate;
        let (Some(id), Some(answer)) = (event.filled("challenge"), event.filled("SHA-256")) else {
            return Err(Refused::Missing);
        };
        let challenge = Challenge::of_token(id, &gate.key, recipient, now)?;
        // Nobody collects easy challenges for harder times. One bit is allowed for those who were just solving one.
        if challenge.bits() + 1 < gate.bits(now) {
            return Err(Refused::Void);
        }
        challenge.check(recipient.domain, answer)?;
        gate.take(&challenge, now)?;
        let nonce = challenge.nonce;
        let (keep, give_back) = (gate.clone(), gate.clone());
        Ok(Toll::new(
            move || keep.made(now),
            move || {
                give_back.used().remove(&nonce);
            },
        ))
    }

    fn refuse(&self, why: Refused) -> Fault {
        self.gate.refused.fetch_add(1, Relaxed);
        let elsewhere = match &self.page {
            Some(page) => format!("register in a browser at {page}"),
            None => "use an app that supports XEP-0158, or ask for an invitation".to_owned(),
        };
        // §3.1.4
        let error = |condition, text: String| StanzaError::new(condition).kind(ErrorType::Cancel).text(text);
        match why {
            Refused::Missing => error(
                Condition::NotAcceptable,
                format!(
                    "this server asks for a proof of work from everybody who registers, and your app has sent none; {elsewhere}"
                ),
            ),
            Refused::Wrong => error(
                Condition::NotAcceptable,
                format!("the answer to the challenge is wrong; ask for a new one, or {elsewhere}"),
            ),
            Refused::Void => error(
                Condition::ServiceUnavailable,
                "the challenge has expired, was used already, or has become too easy; ask for a new one".to_owned(),
            ),
            Refused::Full => error(
                Condition::ResourceConstraint,
                "too many accounts were registered here; try again later".to_owned(),
            )
            .kind(ErrorType::Wait),
        }
        .into()
    }
}

impl On<Admission> for AskForWork {
    async fn on(&self, event: &mut Admission, cx: &mut Cx) -> Result<Flow, Fault> {
        if event.invitation.is_some() {
            return Ok(Flow::Next);
        }
        let domain = event.domain.clone();
        let recipient = Recipient {
            domain: &domain,
            network: network(event.address),
        };
        match event.account {
            None => event.demand = self.demand(event, recipient, cx.received),
            Some(_) => {
                let toll = self.check(event, recipient, cx.received);
                event.toll = Some(toll.map_err(|why| self.refuse(why))?);
            }
        }
        Ok(Flow::Next)
    }
}
