//! Switching the copies on and off (§4, §5, §10.1): as often as the client likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kim_core::cx::{Cx, Origin};
use kim_core::error::{Condition, Fault};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::router::Router;
use kim_core::session::Session;

/// The session's fact. A session that never asked has none.
#[derive(Default)]
struct On(AtomicBool);

/// Whether a session gets copies.
pub fn is_on(session: &Session) -> bool {
    session
        .known_fact::<On>()
        .is_some_and(|on| on.0.load(Ordering::Relaxed))
}

/// Switches them.
pub fn set(router: &Router, session: &Arc<Session>, on: bool) {
    if is_on(session) != on {
        session.fact::<On>().0.store(on, Ordering::Relaxed);
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
        set(cx.router(), session, self.0);
        Ok(Reply::Empty)
    }
}
