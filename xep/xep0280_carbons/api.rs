//! What other modules ask of carbons: to switch them on as part of binding (XEP-0386).

use std::sync::Arc;

use kim_core::router::Router;
use kim_core::session::Session;

use super::NS;
use super::switch::CarbonsWish;

/// The namespace, by which other protocols name carbons in what they list.
pub const CARBONS: &str = NS;

/// Switches the copies to a session on or off (§4, §5).
pub fn switch(router: &Router, session: &Arc<Session>, on: bool) {
    CarbonsWish::set(router, session, on);
}

/// Whether a session gets copies.
pub fn is_on(session: &Session) -> bool {
    CarbonsWish::of(session).is_some()
}
