//! The subject (§7.2.15, §8.1): a groupchat message with a `<subject/>` and neither `<body/>` nor `<thread/>`.

use kim_core::error::{Condition, Fault};
use kim_core::jid::Jid;
use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, Stanza, delay};

use super::fields::{Field, Shape};
use super::names::OCCUPANT_ID;
use super::privileges::{Privilege, Role, role_allows};
use super::room::Subject;
use super::turn::RoomTurn;
use super::{saved, speech};

/// Whether occupants may change the subject, and not moderators only.
pub const MAY_CHANGE: Field = Field {
    is_told: true,
    ..Field::new(
        "muc#roomconfig_changesubject",
        "Allow occupants to change the subject",
        Shape::Boolean,
        &["0"],
    )
};

/// Characters of a subject.
const CHARS_MAX: usize = 1_000;

/// The text of a message's subject.
pub fn text(stanza: &Stanza) -> Option<String> {
    stanza
        .child("subject", ns::CLIENT)
        .map(|subject| subject.text().into_owned())
}

/// Whether a message changes the subject.
pub fn is_change(stanza: &Stanza) -> bool {
    stanza.has("subject", ns::CLIENT) && !stanza.has("body", ns::CLIENT) && !stanza.has("thread", ns::CLIENT)
}

/// Somebody changes the subject.
pub async fn change(turn: &mut RoomTurn, session: &Jid, stanza: Stanza) -> Result<(), Fault> {
    let Some(one) = turn.held.at(session) else {
        return Err(Condition::NotAcceptable.into());
    };
    let by_config = turn.held.config.is(&MAY_CHANGE) && one.role >= Role::Participant;
    if !by_config && !role_allows(one.role, Privilege::Subject) {
        return Err(Condition::Forbidden.into());
    }
    let text = text(&stanza).unwrap_or_default();
    if text.chars().count() > CHARS_MAX {
        return Err(Condition::NotAcceptable.into());
    }
    let mut kept = stanza.clone();
    // §7.2.15: the time of the change, told by the room.
    kept.append(&delay(turn.held.jid.as_str(), turn.cx.received));
    turn.held.subject = Some(Subject {
        stanza: kept,
        text: text.into(),
    });
    saved::subject(turn).await?;
    let everybody = turn.held.everybody();
    turn.send_all(stanza, everybody);
    Ok(())
}

/// The subject for somebody who has entered; an empty one where there is none, for it ends the entering (§7.2.15).
pub fn for_newcomer(turn: &RoomTurn) -> Stanza {
    if let Some(subject) = &turn.held.subject {
        return subject.stanza.clone();
    }
    Stanza::new(Kind::Message(MessageType::Groupchat), "<subject/>").from(turn.held.jid.clone())
}

/// What is left of a message that changes the subject.
pub fn clean(turn: &RoomTurn, session: &Jid, stanza: &Stanza) -> Option<Stanza> {
    let one = turn.held.at(session)?;
    let mut change = speech::clean(turn, stanza);
    change.remove(|child| child.is("occupant-id", OCCUPANT_ID));
    change.append(&super::presence::occupant_id(&one.id));
    Some(change.from(one.address.clone()))
}
