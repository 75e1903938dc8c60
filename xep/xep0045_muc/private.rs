//! Writing to one occupant (§7.5).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::Jid;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::fields::{Field, Shape};
use super::names::USER;
use super::outgoing::Post;
use super::privileges::{Privilege, Role, role_allows};
use super::room::Occupant;
use super::rooms::Registry;
use super::turn::RoomTurn;
use super::{ghosts, guests, presence, speech};

/// Who may.
pub const MAY_WRITE: Field = Field {
    aliases: &["allow_private_messages"],
    words: &[
        ("1", "anyone"),
        ("true", "anyone"),
        ("0", "none"),
        ("false", "none"),
    ],
    is_told: true,
    ..Field::new(
        "muc#roomconfig_allowpm",
        "Who can send private messages",
        Shape::Choice(&[
            ("anyone", "Everybody"),
            ("participants", "Occupants with voice"),
            ("moderators", "Moderators"),
            ("none", "Nobody"),
        ]),
        &["anyone"],
    )
};

/// A message to an occupant's address.
pub async fn write(
    registry: &Arc<Registry>,
    from: &Jid,
    to: &Jid,
    stanza: &Stanza,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let held = registry.held(&to.bare(), cx.router()).await?;
    if held.at(from).is_none() {
        return Err(Condition::NotAcceptable.into());
    }
    let nick = to.resource().unwrap_or_default();
    let held = ghosts::without(registry, held, nick, cx).await?;
    let mut turn = RoomTurn::new(registry, held, cx);
    let Some(sender) = turn.held.at(from) else {
        return Err(Condition::NotAcceptable.into());
    };
    let Some(target) = turn.held.named(nick) else {
        return Err(Condition::ItemNotFound.into());
    };
    if stanza.kind == Kind::Message(MessageType::Groupchat) {
        return Err(Condition::BadRequest.into());
    }
    if !may(&turn, sender, target) {
        return Err(Condition::Forbidden.into());
    }
    if stanza.weight_bytes() > registry.config.message_bytes_max {
        return Err(StanzaError::new(Condition::PolicyViolation)
            .text("this message is too large for this room")
            .into());
    }
    let user = sender.user.clone();
    guests::refuse_invitation(stanza, &user, cx.router())?;
    speech::may_speak(&mut turn, from, &user)?;
    turn.has_room()?;
    let (Some(sender), Some(target)) = (turn.held.at(from), turn.held.named(nick)) else {
        return Ok(());
    };
    let mut private = speech::clean(&turn, stanza).from(sender.address.clone());
    let mut xml = Writer::new();
    xml.start("x", USER).end();
    private.append(&xml.finish_string());
    private.append(&presence::occupant_id(&sender.id));
    let written = &registry.written;
    written.note(&turn.held.jid, &user, &target.user, stanza.id.as_deref());
    // §7.2.8: to all of the occupant's sessions; the account's archive has it once.
    let sessions = target.seats.iter().map(|seat| seat.jid.clone()).collect();
    turn.posts.push(Post::Copies(private, sessions));
    turn.close(cx);
    Ok(())
}

/// An error comes back from an occupant. It goes on, once, to the author of the private message it is about; false if it is
/// about none.
pub async fn come_back(
    registry: &Arc<Registry>,
    from: &Jid,
    to: &Jid,
    stanza: &Stanza,
    cx: &mut Cx,
) -> Result<bool, Fault> {
    let Some(nick) = to.resource() else {
        return Ok(false);
    };
    let Some(held) = registry.hold(&to.bare(), cx.router()).await? else {
        return Ok(false);
    };
    let mut turn = RoomTurn::new(registry, held, cx);
    let (Some(reader), Some(author)) = (turn.held.at(from), turn.held.named(nick)) else {
        return Ok(false);
    };
    let (written, id) = (&registry.written, stanza.id.as_deref());
    if !written.take(&turn.held.jid, &author.user, &reader.user, id) {
        return Ok(false);
    }
    let mut error = speech::clean(&turn, stanza).from(reader.address.clone());
    error.append(&presence::occupant_id(&reader.id));
    let sessions = author.seats.iter().map(|seat| seat.jid.clone()).collect();
    turn.send_all(error, sessions);
    turn.close(cx);
    Ok(true)
}

/// Nobody is kept from answering a moderator, or from writing to oneself.
fn may(turn: &RoomTurn, sender: &Occupant, target: &Occupant) -> bool {
    if sender.user == target.user {
        return true;
    }
    match turn.held.config.text(&MAY_WRITE) {
        "anyone" => role_allows(sender.role, Privilege::PrivateMessages),
        "participants" => sender.role >= Role::Participant || target.role == Role::Moderator,
        "moderators" => sender.role == Role::Moderator,
        _ => false,
    }
}
