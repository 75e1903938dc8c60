//! Switching the copies on and off (§4, §5, §10.1): as often as the client likes.

use std::sync::Arc;

use kim_core::cx::{Cx, Origin};
use kim_core::error::{Condition, Fault};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::router::Router;
use kim_core::session::{Mark, Session};

use super::known::Known;

/// The session's fact. A session that never asked for copies has none.
#[derive(Default)]
pub struct CarbonsWish {
    /// What its client has seen lately.
    pub known: Known,
}

impl CarbonsWish {
    /// What a session wants that gets copies.
    pub fn of(session: &Session) -> Option<Arc<CarbonsWish>> {
        let is_on = session.has(Mark::Carbons);
        is_on.then(|| session.known_fact()).flatten()
    }

    /// Switches the copies.
    pub fn set(router: &Router, session: &Arc<Session>, on: bool) {
        if session.has(Mark::Carbons) == on {
            return;
        }
        session.fact::<CarbonsWish>().known.clear();
        session.mark(Mark::Carbons, on);
        router.announce(session);
    }
}

/// Answers `<enable/>` or `<disable/>` of the account's own sessions.
pub struct Switch(pub bool);

impl HandleIq for Switch {
    async fn handle(&self, _: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let Origin::Session(session) = &cx.origin else {
            return Err(Condition::NotAllowed.into());
        };
        CarbonsWish::set(cx.router(), session, self.0);
        Ok(Reply::Empty)
    }
}
