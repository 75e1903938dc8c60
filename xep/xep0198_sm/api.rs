//! What other modules ask: that a session is waited for longer, because its client can be woken (XEP-0357).

use kim_core::clock::Timestamp;
use kim_core::session::Session;

use super::SmConfig;

/// For how long sessions are waited for whose clients can be woken.
pub struct Patience {
    usual_seconds: u32,
    unwoken_seconds: u32,
    woken_seconds: u32,
}

impl Patience {
    pub(super) fn of(config: &SmConfig) -> Patience {
        let usual_seconds = config.resume_seconds_max;
        Patience {
            usual_seconds,
            unwoken_seconds: config.push_resume_seconds_max.max(usual_seconds),
            woken_seconds: config.pushed_resume_seconds_max.max(usual_seconds),
        }
    }

    /// What a session may be waited for that would usually be waited for so long. A client that asked for less keeps that.
    pub(super) fn extended(&self, seconds: u32) -> u32 {
        match seconds == self.usual_seconds && seconds > 0 {
            true => self.unwoken_seconds,
            false => seconds,
        }
    }

    /// The session's client can be woken from now on, or is back after it was.
    pub fn extend(&self, session: &Session) {
        let Some(tally) = session.tally() else { return };
        let seconds = tally.resumable_seconds();
        if seconds >= self.usual_seconds && seconds > 0 {
            tally.make_resumable(self.unwoken_seconds);
        }
    }

    /// The session's client cannot be woken any more.
    pub fn shorten(&self, session: &Session) {
        let Some(tally) = session.tally() else { return };
        tally.make_resumable(tally.resumable_seconds().min(self.usual_seconds));
    }

    /// The session's client has been woken: one that does not come now is not waited for all day.
    pub fn woken(&self, session: &Session, now: Timestamp) {
        let Some(tally) = session.tally() else { return };
        let parked = session.parked_at().map(Timestamp);
        let passed = parked.map_or(0, |since| now.seconds_since(since));
        let seconds = u32::try_from(passed)
            .unwrap_or(u32::MAX)
            .saturating_add(self.woken_seconds);
        if tally.resumable_seconds() > seconds {
            tally.make_resumable(seconds);
            // Whoever waits for its client looks at the clock again.
            session.outbox.wake();
        }
    }
}
