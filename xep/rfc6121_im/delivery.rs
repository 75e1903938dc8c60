//! Who gets a message (RFC 6121 §8.5): the whole table is [`choose`].

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::events::{Arrival, Verdict};
use kim_core::hook::{Flow, On};
use kim_core::jid::Jid;
use kim_core::session::{Mark, Resources, SessionCard};
use kim_core::stanza::{Kind, MessageType};
use smallvec::SmallVec;

/// Gives the verdict on a message that arrives.
pub struct Messages;

impl On<Arrival> for Messages {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        if let Kind::Message(kind) = event.stanza.kind
            && matches!(event.verdict, Verdict::Open)
            && let Some(to) = &event.stanza.to
        {
            event.verdict = choose(kind, to, cx.router().sessions_of(&event.account).await);
        }
        Ok(Flow::Next)
    }
}

/// §8.5.2 for the bare JID, §8.5.3 for a full one.
pub fn choose(kind: MessageType, to: &Jid, sessions: Resources) -> Verdict {
    if !to.is_bare()
        && let Some(session) = sessions.iter().find(|session| session.jid == *to)
    {
        // §8.5.3.1: whatever its type, and whatever the priority.
        return Verdict::Chosen(SmallVec::from_iter([session.clone()]));
    }
    match kind {
        // §8.5.2.1.1, §8.5.2.2.1; a chat message whose resource is gone goes to the others (§8.5.3.2.1).
        MessageType::Chat => to_all(sessions, Verdict::Nobody),
        MessageType::Normal if to.is_bare() => to_all(sessions, Verdict::Nobody),
        MessageType::Headline if to.is_bare() => to_all(sessions, Verdict::Dropped),
        MessageType::Normal | MessageType::Groupchat => {
            Verdict::Bounced(StanzaError::new(Condition::ServiceUnavailable))
        }
        MessageType::Headline | MessageType::Error => Verdict::Dropped,
    }
}

fn to_all(mut sessions: Resources, otherwise: Verdict) -> Verdict {
    sessions.retain(|session| takes_bare(session));
    if sessions.is_empty() {
        otherwise
    } else {
        Verdict::Chosen(sessions)
    }
}

/// Whether a session gets what is addressed to the bare JID: available, not negative (§8.5.2.1), and past the messages
/// that waited for it, which come first.
pub fn takes_bare(session: &SessionCard) -> bool {
    session.priority().is_some_and(|priority| priority >= 0) && !session.has(Mark::CatchingUp)
}
