//! What a client says on a bound stream: `<enable/>` (§3), `<r/>` and `<a/>` (§4).

use std::sync::Arc;

use kim_core::config::LimitsInForce;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StreamCondition, StreamError};
use kim_core::events::Nonza;
use kim_core::hook::{Flow, On};
use kim_core::random;
use kim_core::session::{Confirmation, Mark, Session, Terms};
use kim_core::wire::Element;

use super::api::Patience;
use super::managed::{Ledger, Managed};
use super::store::SessionKey;
use super::{NS, SmConfig, words};

/// Hears what is no stanza.
pub(super) struct SmCommands {
    pub config: Arc<SmConfig>,
    pub ledger: Arc<Ledger>,
    pub patience: Arc<Patience>,
    /// Bytes kept for one session, large enough for a stanza.
    pub limits: LimitsInForce,
}

impl On<Nonza> for SmCommands {
    async fn on(&self, event: &mut Nonza, cx: &mut Cx) -> Result<Flow, Fault> {
        let (element, session) = (&event.element, &event.session);
        if element.ns() != NS {
            return Ok(Flow::Next);
        }
        match element.name() {
            "enable" => self.enable(element, session, cx)?,
            _ if session.tally().is_none() && matches!(element.name(), "r" | "a" | "resume") => {
                session
                    .outbox
                    .say(words::failed(Condition::UnexpectedRequest, None));
            }
            "r" => {
                let (session, ledger) = (session.clone(), self.ledger.clone());
                cx.afterwards(move |_| Managed::answer(&session, &ledger));
            }
            "a" => confirm(element, session)?,
            // §5: a session that is there is not exchanged for another.
            "resume" => session
                .outbox
                .say(words::failed(Condition::UnexpectedRequest, None)),
            _ => return Ok(Flow::Next),
        }
        Ok(Flow::Done)
    }
}

impl SmCommands {
    /// Counting begins here for what the client sends, and with `<enabled/>` for what it is sent (§4).
    fn enable(&self, element: &Element, session: &Arc<Session>, cx: &mut Cx) -> Result<(), Fault> {
        if session.begin_tally(self.config.answer_seconds_max).is_err() {
            // §3: at most one attempt.
            session
                .outbox
                .say(words::failed(Condition::UnexpectedRequest, None));
            return Err(StreamError::new(StreamCondition::PolicyViolation)
                .text("stream management is already enabled")
                .into());
        }
        let seconds = self.resumable_seconds(element, session);
        let identity = (seconds > 0).then(|| {
            let id = random::token();
            let key = SessionKey::of(&id);
            cx.await_ticket(self.ledger.store.begin(&key, &session.account, cx.received));
            (id, key)
        });
        // One stanza must always fit.
        let bytes_min = self.limits.now().stanza_bytes_max * 2;
        let terms = Terms {
            request: words::REQUEST.into(),
            stanzas_max: self.config.queue_stanzas_max,
            bytes_max: self.config.queue_bytes_max.max(bytes_min),
        };
        let (session, location) = (session.clone(), self.config.location.clone());
        cx.afterwards(move |stored| {
            // Without its row the session could not keep its promise; it is managed all the same, but not resumable.
            let identity = identity.filter(|_| stored.is_ok());
            let resumable = identity.as_ref().map(|(id, _)| (id.as_str(), seconds));
            let enabled = words::enabled(resumable, location.as_deref());
            if let Some((id, key)) = identity {
                session.fact::<Managed>().identify(id, key);
                if let Some(tally) = session.tally() {
                    tally.make_resumable(seconds);
                }
            }
            session.outbox.keep(enabled.into(), terms);
        });
        Ok(())
    }

    /// For how long the session may wait for a new connection: as long as the client wants, within the limit. A guest
    /// could never prove to be the same.
    fn resumable_seconds(&self, element: &Element, session: &Session) -> u32 {
        let wanted = element
            .attr("resume")
            .is_some_and(|resume| matches!(resume.trim(), "true" | "1"));
        if !wanted || session.guest {
            return 0;
        }
        let max = element.attr("max").and_then(|max| max.trim().parse::<u32>().ok());
        let max = max.filter(|max| *max > 0).unwrap_or(u32::MAX);
        let seconds = max.min(self.config.resume_seconds_max);
        match session.has(Mark::Push) {
            true => self.patience.extended(seconds),
            false => seconds,
        }
    }
}

/// §4: the client has received so many stanzas.
fn confirm(element: &Element, session: &Session) -> Result<(), Fault> {
    let Some(h) = number(element) else {
        return Err(StreamError::new(StreamCondition::PolicyViolation)
            .text("an acknowledgement requires the attribute h with a number")
            .into());
    };
    match session.outbox.confirm(h) {
        Confirmation::Fits | Confirmation::Stale => Ok(()),
        Confirmation::TooHigh { sent } => Err(words::too_high(h, sent).into()),
        // `<enabled/>` is on its way.
        Confirmation::Unasked if h == 0 => Ok(()),
        Confirmation::Unasked => Err(words::too_high(h, 0).into()),
    }
}

/// The number in `h`, an unsignedInt (§4).
pub(super) fn number(element: &Element) -> Option<u32> {
    element.attr("h")?.trim().parse().ok()
}
