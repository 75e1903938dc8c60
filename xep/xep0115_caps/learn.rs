//! Learning what the sessions can do (§5.4): noticing what a presence announces, asking where that is unknown, and
//! listening to the answer.

use std::sync::Arc;

use kim_core::cx::{Cx, Origin};
use kim_core::error::Fault;
use kim_core::events::{AccountErased, Answer, Departure};
use kim_core::hook::{Flow, Hear, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::random;
use kim_core::session::Session;
use kim_core::stanza::{IqType, Kind, PresenceType, Stanza};
use kim_core::wire::Writer;

use super::api::{Caps, CapsKnown, ClientKnown, Features};
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
        let question = question(announced, session.jid.to_domain().into(), &session.jid, id);
        cx.deliver(session, Arc::new(question));
        Ok(())
    }
}

fn question(announced: &Announced, from: Jid, to: &Jid, id: String) -> Stanza {
    let mut query = Writer::new();
    query
        .start("query", INFO)
        .attr("node", &announced.asked_node())
        .end();
    Stanza::new(Kind::Iq(IqType::Get), &query.finish_string())
        .from(from)
        .to(to.clone())
        .id(id)
}

/// The same for a client on another server, which knows the account and not its server: the account asks.
pub(super) async fn notice_elsewhere(
    caps: &Caps,
    owner: &BareJid,
    presence: &Stanza,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let Some(client) = presence.from.as_ref().filter(|from| !from.is_bare()) else {
        return Ok(());
    };
    let announced = Announced::read(presence);
    let is_news = caps
        .elsewhere
        .announce(owner, client, announced.as_ref(), cx.received);
    let Some(announced) = announced.filter(|_| is_news) else {
        return Ok(());
    };
    if let Some(features) = announced.key().and_then(|key| caps.shared.get(&key)) {
        return know_elsewhere(caps, owner, client, features, cx).await;
    }
    let id = random::token();
    caps.elsewhere.ask(owner, client, &id);
    cx.send(question(&announced, owner.clone().into(), client, id));
    Ok(())
}

async fn know_elsewhere(
    caps: &Caps,
    owner: &BareJid,
    client: &Jid,
    now: Arc<Features>,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let Some((before, now)) = caps.elsewhere.learn(owner, client, now) else {
        return Ok(());
    };
    let mut known = ClientKnown {
        owner: owner.clone(),
        client: client.clone(),
        before,
        now,
    };
    cx.router().clone().tell(&mut known, cx).await?;
    Ok(())
}

/// An account is gone, and with it what it knew of clients elsewhere.
pub(super) struct Forget(pub Arc<Caps>);

impl Hear<AccountErased> for Forget {
    async fn hear(&self, erased: &mut AccountErased, _: &mut Cx) -> Result<(), Fault> {
        self.0.elsewhere.forget_account(&erased.account);
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
            return self.hear_elsewhere(&event.stanza, cx).await;
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
    /// The answer of a client on another server to what it was asked in an account's name.
    async fn hear_elsewhere(&self, answer: &Stanza, cx: &mut Cx) -> Result<Flow, Fault> {
        let (Some(client), Some(to)) = (&answer.from, &answer.to) else {
            return Ok(Flow::Next);
        };
        let (owner, id) = (to.bare(), answer.id.as_deref().unwrap_or(""));
        let Some(announced) = self.caps.elsewhere.answered(&owner, client, id) else {
            return Ok(Flow::Next);
        };
        if let Some(said) = self.read(answer) {
            let features = self.judge(&announced, said);
            know_elsewhere(&self.caps, &owner, client, features, cx).await?;
        }
        Ok(Flow::Done)
    }

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
