//! Learning what the sessions can do (§5.4): noticing what a presence announces, asking where that is unknown, and
//! listening to the answer.

use std::sync::Arc;

use kim_core::cx::{Cx, Origin};
use kim_core::error::Fault;
use kim_core::events::{Answer, Departure};
use kim_core::hook::{Flow, On};
use kim_core::random;
use kim_core::session::Session;
use kim_core::stanza::{IqType, Kind, PresenceType, Stanza};
use kim_core::wire::Writer;

use super::api::{Caps, CapsKnown, Features};
use super::session::{Announced, SessionCaps};
use super::verify::Said;
use crate::xep0030_disco::api::INFO;

/// Sees the presence that a session broadcasts.
pub(super) struct Notice(pub Arc<Caps>);

impl On<Departure> for Notice {
    async fn on(&self, event: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let (session, stanza) = (&event.session, &event.stanza);
        match stanza.kind {
            Kind::Presence(PresenceType::Available) if stanza.to.is_none() => {
                // A presence without `<c/>` changes nothing (§8.4).
                if let Some(announced) = Announced::read(stanza) {
                    self.notice(session, &announced, cx).await?;
                }
            }
            Kind::Presence(PresenceType::Unavailable) if stanza.to.is_none() => {
                if let Some(caps) = session.known_fact::<SessionCaps>() {
                    caps.forget();
                }
            }
            _ => {}
        }
        Ok(Flow::Next)
    }
}

impl Notice {
    async fn notice(&self, session: &Arc<Session>, announced: &Announced, cx: &mut Cx) -> Result<(), Fault> {
        let caps = session.fact::<SessionCaps>();
        if !caps.announce(announced) {
            return Ok(());
        }
        if let Some(features) = announced.key().and_then(|key| self.0.shared.get(&key)) {
            return know(session, features, cx).await;
        }
        // The answer is told from a forged one by an id that nobody else can know.
        let id = random::token();
        caps.ask(&id);
        let mut query = Writer::new();
        query
            .start("query", INFO)
            .attr("node", &announced.asked_node())
            .end();
        let question = Stanza::new(Kind::Iq(IqType::Get), &query.finish_string());
        let question = question
            .from(session.jid.to_domain())
            .to(session.jid.clone())
            .id(id);
        cx.deliver(session, Arc::new(question));
        Ok(())
    }
}

/// Hears the answers of the sessions that were asked.
pub(super) struct ListenForAnswers {
    pub caps: Arc<Caps>,
    pub answer_bytes_max: usize,
}

impl On<Answer> for ListenForAnswers {
    async fn on(&self, event: &mut Answer, cx: &mut Cx) -> Result<Flow, Fault> {
        let Origin::Session(session) = cx.origin.clone() else {
            return Ok(Flow::Next);
        };
        let id = event.stanza.id.as_deref().unwrap_or("");
        let Some(announced) = session
            .known_fact::<SessionCaps>()
            .and_then(|caps| caps.answered(id))
        else {
            return Ok(Flow::Next);
        };
        if let Some(said) = self.read(&event.stanza) {
            let features = self.judge(&announced, said);
            know(&session, features, cx).await?;
        }
        Ok(Flow::Done)
    }
}

impl ListenForAnswers {
    /// What a well-formed answer of bearable size says.
    fn read(&self, answer: &Stanza) -> Option<Said> {
        let query = answer
            .child("query", INFO)
            .filter(|_| answer.kind == Kind::Iq(IqType::Result))?;
        if query.xml().len() > self.answer_bytes_max {
            return None;
        }
        Said::read(query)
    }

    /// A verified answer is kept for all (§5.4 step 3.8); any other holds for its own session alone (steps 2.3, 3.9).
    fn judge(&self, announced: &Announced, said: Said) -> Arc<Features> {
        match announced.key() {
            Some(key) if said.is_unmistakable() && said.hash(key.0) == *key.1 => {
                self.caps.shared.put(key, said.into_features())
            }
            _ => Arc::new(said.into_features()),
        }
    }
}

async fn know(session: &Arc<Session>, now: Arc<Features>, cx: &mut Cx) -> Result<(), Fault> {
    let before = session.fact::<SessionCaps>().learn(&now);
    let mut known = CapsKnown {
        session: session.clone(),
        before,
        now,
    };
    cx.router().clone().tell(&mut known, cx).await?;
    Ok(())
}
