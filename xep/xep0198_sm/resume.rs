//! A client comes back on a new connection (§5), and what becomes of sessions that wait for theirs.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::events::{Early, SessionEnded, SessionParked, SessionResumed, Unbound};
use kim_core::hook::{Flow, Hear, On};
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_core::session::{Confirmation, Session};

use super::commands::number;
use super::managed::{Ledger, Managed};
use super::store::SessionKey;
use super::{NS, words};

/// Ids are 32 characters; what is longer by far is not even looked up.
const ID_BYTES_MAX: usize = 256;

/// Judges `<resume/>` on a stream without a session.
pub(super) struct Resume(pub Arc<Ledger>);

impl On<Unbound> for Resume {
    async fn on(&self, event: &mut Unbound, cx: &mut Cx) -> Result<Flow, Fault> {
        let element = &event.element;
        if element.ns() != NS || !matches!(element.name(), "enable" | "resume" | "r" | "a") {
            return Ok(Flow::Next);
        }
        let account = event.account.as_ref().filter(|_| element.name() == "resume");
        event.verdict = match (account, element.attr("previd"), number(element)) {
            // §3, §10: first the login, then binding or resumption, then the rest.
            (None, ..) => Early::Answered(words::failed(Condition::UnexpectedRequest, None)),
            (Some(account), Some(previd), Some(h)) => self.judge(cx.router(), account, &previd, h).await?,
            (Some(_), ..) => Early::Answered(words::failed(Condition::BadRequest, None)),
        };
        Ok(Flow::Done)
    }
}

impl Resume {
    async fn judge(&self, router: &Router, account: &BareJid, previd: &str, h: u32) -> Result<Early, Fault> {
        if previd.len() > ID_BYTES_MAX {
            return Ok(Early::Answered(words::failed(Condition::ItemNotFound, None)));
        }
        // Somebody else's sessions are not even looked at.
        if let Some(session) = find(router, account, previd) {
            match session.outbox.judge(h) {
                Confirmation::TooHigh { sent } => return Err(words::too_high(h, sent).into()),
                // Less than the client has confirmed itself: what is between is no longer there.
                Confirmation::Stale => {
                    let handled = session.fact::<Managed>().make_durable(&session, &self.0).await?;
                    return Ok(Early::Answered(words::failed(
                        Condition::ItemNotFound,
                        Some(handled),
                    )));
                }
                Confirmation::Fits | Confirmation::Unasked => {
                    let otherwise = words::failed(Condition::ItemNotFound, None);
                    return Ok(Early::Resume {
                        session,
                        h,
                        otherwise,
                    });
                }
            }
        }
        // §5: over, or of before a restart; what arrived is known all the same, unless the process was killed before
        // anything was promised.
        let handled = self.0.store.get(&SessionKey::of(previd), account).await?;
        Ok(Early::Answered(words::failed(Condition::ItemNotFound, handled)))
    }
}

/// The session of an account that has this id. All of them are compared, each in constant time.
fn find(router: &Router, account: &BareJid, previd: &str) -> Option<Arc<Session>> {
    let called = |session: &Arc<Session>| {
        session
            .known_fact::<Managed>()
            .is_some_and(|managed| managed.is_called(previd))
    };
    let all = router.sessions().of(account).into_iter();
    all.filter(called).last()
}

/// Lets a session go on: the client's number counts like that of an `<a/>`, and ours is a promise like that of one.
pub(super) struct Resumed(pub Arc<Ledger>);

impl On<SessionResumed> for Resumed {
    async fn on(&self, event: &mut SessionResumed, _: &mut Cx) -> Result<Flow, Fault> {
        let session = &event.session;
        let Some(managed) = session.known_fact::<Managed>() else {
            return Ok(Flow::Next);
        };
        if let Confirmation::TooHigh { sent } = session.outbox.confirm(event.h) {
            return Err(words::too_high(event.h, sent).into());
        }
        let handled = managed.make_durable(session, &self.0).await?;
        event
            .words
            .push_str(&words::resumed(managed.id().unwrap_or_default(), handled));
        Ok(Flow::Next)
    }
}

/// Not too many sessions of one account wait at the same time.
pub(super) struct Crowd {
    pub parked_sessions_max: usize,
}

impl Hear<SessionParked> for Crowd {
    async fn hear(&self, event: &mut SessionParked, cx: &mut Cx) -> Result<(), Fault> {
        cx.router()
            .end_parked(&event.session.account, self.parked_sessions_max);
        Ok(())
    }
}

/// Remembers what was handled of a session that is over.
pub(super) struct Over(pub Arc<Ledger>);

impl Hear<SessionEnded> for Over {
    async fn hear(&self, event: &mut SessionEnded, _: &mut Cx) -> Result<(), Fault> {
        if let Some(managed) = event.session.known_fact::<Managed>() {
            managed.end(&event.session, &self.0);
        }
        Ok(())
    }
}
