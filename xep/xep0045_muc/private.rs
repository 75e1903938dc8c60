//! Writing to one occupant (§7.5).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::Jid;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::api::USER;
use super::fields::{Field, Shape};
use super::post::Post;
use super::privileges::{Privilege, Role, role_allows};
use super::room::Occupant;
use super::rooms::{Registry, Turn};
use super::{guests, message, presence};

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
        "Who may send private messages",
        Shape::Choice(&[
            ("anyone", "Everybody"),
            ("participants", "Those with voice"),
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
    let mut turn = Turn::new(registry, held, cx);
    let nick = to.resource().unwrap_or_default();
    let Some(sender) = turn.held.at(from) else {
        return Err(Condition::NotAcceptable.into());
    };
    let Some(target) = turn.held.named(nick) else {
        return Err(Condition::ItemNotFound.into());
    };
    if stanza.kind == Kind::Message(MessageType::Groupchat) {
        return Err(Condition::BadRequest.into());
    }
    let is_error = stanza.kind == Kind::Message(MessageType::Error);
    if !is_error {
        if !may(&turn, sender, target) {
            return Err(Condition::Forbidden.into());
        }
        if stanza.weight_bytes() > registry.config.message_bytes_max {
            return Err(StanzaError::new(Condition::PolicyViolation)
                .text("this message is too large for a room")
                .into());
        }
        let user = sender.user.clone();
        guests::refuse_invitation(stanza, &user, cx.router())?;
        message::may_speak(&mut turn, from, &user)?;
        turn.has_room()?;
    }
    let (Some(sender), Some(target)) = (turn.held.at(from), turn.held.named(nick)) else {
        return Ok(());
    };
    let mut private = message::clean(&turn, stanza).from(sender.address.clone());
    if !is_error {
        let mut xml = Writer::new();
        xml.start("x", USER).end();
        private.append(&xml.finish_string());
    }
    private.append(&presence::occupant_id(&sender.id));
    // §7.2.8: to all of the occupant's sessions; the account's archive has it once.
    let sessions = target.seats.iter().map(|seat| seat.jid.clone()).collect();
    turn.posts.push(Post::Copies(private, sessions));
    turn.close(cx);
    Ok(())
}

/// Nobody is kept from answering a moderator, or from writing to oneself.
fn may(turn: &Turn, sender: &Occupant, target: &Occupant) -> bool {
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
