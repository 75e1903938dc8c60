//! What other modules ask and tell: whether a stanza can wait, and that a client looks again.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::hook::Event;
use kim_core::session::Session;
use kim_core::stanza::Stanza;

use super::state;

/// Whether a stanza is worth waking a device for. Modules that know their own stanzas set the answer and say `Done`; what
/// nobody else answers is answered by rules that read the stanza alone, at the stage `Notify`.
pub struct IsImportant {
    /// The stanza as the client would get it.
    pub stanza: Arc<Stanza>,
    /// Whose client.
    pub session: Arc<Session>,
    /// The answer.
    pub important: Option<bool>,
}

impl Event for IsImportant {
    const NAME: &'static str = "is-important";
}

/// Asks it. When in doubt, a stanza is important.
pub async fn is_important(stanza: &Arc<Stanza>, session: &Arc<Session>, cx: &mut Cx) -> bool {
    let mut question = IsImportant {
        stanza: stanza.clone(),
        session: session.clone(),
        important: None,
    };
    let router = cx.router().clone();
    match router.raise(&mut question, cx).await {
        Ok(_) => question.important.unwrap_or(true),
        Err(_) => true,
    }
}

/// Whether the client has said that its user does not look. Nobody but the account itself may learn of that (§6).
pub fn is_inactive(session: &Session) -> bool {
    state::is_inactive(session)
}

/// Since when the client's user does not look, if the client has said so. The same holds for whom it may be told.
pub fn inactive_since(session: &Session) -> Option<Timestamp> {
    state::inactive_since(session)
}
