//! Voice in a moderated room: asking for it (§7.13) and approving that (§8.6).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, Stanza};

use super::privileges::{Role, change_role};
use super::rooms::Registry;
use super::turn::RoomTurn;
use super::{roles, speech};
use crate::xep0004_forms::api::{Form, FormKind, Sheet};

/// The FORM_TYPE of a request (§15.5.2).
pub const REQUEST: &str = "http://jabber.org/protocol/muc#request";

/// The form of a voice request or of its approval in a message.
pub fn form(stanza: &Stanza) -> Option<Form> {
    let form = Form::read(stanza.child("x", ns::DATA)?).ok()?;
    (form.value("FORM_TYPE") == Some(REQUEST) && form.kind == FormKind::Submit).then_some(form)
}

/// A request (§7.13), which every visitor may make: in a moderated room, or where a moderator has taken voice away. Or a
/// moderator's answer to one (§8.6), which names a nickname.
pub async fn handle(
    registry: &Arc<Registry>,
    from: &Jid,
    room: &BareJid,
    form: &Form,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let held = registry.held(room, cx.router()).await?;
    let mut turn = RoomTurn::new(registry, held, cx);
    let Some(one) = turn.held.at(from) else {
        return Err(Condition::NotAcceptable.into());
    };
    match form.value("muc#roomnick") {
        Some(nick) if one.role == Role::Moderator => approve(&mut turn, from, nick, form).await?,
        _ => ask(&mut turn, from, form).await?,
    }
    turn.close(cx);
    Ok(())
}

async fn ask(turn: &mut RoomTurn, from: &Jid, form: &Form) -> Result<(), Fault> {
    let Some(one) = turn.held.at(from) else {
        return Ok(());
    };
    if form.value("muc#role") != Some("participant") {
        return Err(Condition::BadRequest.into());
    }
    if one.role != Role::Visitor {
        return Err(StanzaError::new(Condition::NotAllowed)
            .text("you already have voice")
            .into());
    }
    let (user, address) = (one.user.clone(), one.address.clone());
    let sheet = Sheet::new(FormKind::Form, REQUEST)
        .title("Voice request")
        .instructions("To approve this request for voice, select the checkbox and submit.")
        .choice(
            "muc#role",
            "Requested role",
            "participant",
            &[("participant", "Participant")],
        )
        .field("muc#jid", "jid-single", "User ID", &[from.as_str()])
        .line("muc#roomnick", "Room nickname", one.nick())
        .boolean("muc#request_allow", "Grant voice to this person?", false);
    speech::may_speak(turn, from, &user)?;
    let registry = turn.registry.clone();
    registry.errands.may_ask(&user, turn.cx.received)?;
    let router = turn.cx.router().clone();
    let mut moderators: Vec<Jid> = Vec::new();
    for one in turn.held.occupants.values() {
        let author = [from, &address];
        if one.role == Role::Moderator && !registry.errands.is_blocked(&one.user, &author, &router).await? {
            moderators.extend(one.seats.iter().map(|seat| seat.jid.clone()));
        }
    }
    let request = Stanza::new(Kind::Message(MessageType::Normal), &sheet.xml()).from(turn.held.jid.clone());
    turn.send_all(request, moderators.into());
    Ok(())
}

async fn approve(turn: &mut RoomTurn, from: &Jid, nick: &str, form: &Form) -> Result<(), Fault> {
    if form.boolean("muc#request_allow")? != Some(true) {
        return Ok(());
    }
    let Some(actor) = turn.held.at(from) else {
        return Ok(());
    };
    let Some(target) = turn.held.named(nick) else {
        return Err(Condition::ItemNotFound.into());
    };
    let (actor_nick, actor) = (actor.nick().to_owned(), turn.held.standing(actor));
    let Some(key) = kim_core::jid::nickname_key(target.nick()) else {
        return Ok(());
    };
    change_role(actor, turn.held.standing(target), Role::Participant).map_err(roles::fault)?;
    if target.role == Role::Visitor {
        roles::give(turn, &key, Role::Participant, &actor_nick, "").await?;
    }
    Ok(())
}
