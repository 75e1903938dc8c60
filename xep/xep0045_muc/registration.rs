//! Registering with a room (§7.10), the nickname that comes with it (§7.12), and approving requests (§9.9).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::admission::MEMBERS_ONLY;
use super::affiliations::{self, Decided};
use super::errands::Request as Asked;
use super::fields::{Field, Shape};
use super::guests;
use super::privileges::{Affiliation, Right, affiliation_allows};
use super::room::RoomState;
use super::rooms::{HeldRoom, Registry};
use super::turn::RoomTurn;
use crate::xep0004_forms::api::{Form, FormKind, Sheet};

/// Who may become a member by asking for it.
pub const REGISTRATION: Field = Field {
    private: Some(&["closed"]),
    ..Field::new(
        "{urn:kim:muc:0}roomconfig_registration",
        "Who can register as a member",
        Shape::Choice(&[
            ("open", "Everybody (in a members-only room: after approval)"),
            ("approval", "Only people approved by an admin"),
            ("closed", "Nobody"),
        ]),
        &["open"],
    )
};

/// The namespace of registrations (XEP-0077).
pub const NS: &str = "jabber:iq:register";
/// The FORM_TYPE of a registration (§15.5.1).
pub const REGISTER: &str = "http://jabber.org/protocol/muc#register";
/// The only field that is asked for.
const NICK: &str = "muc#register_roomnick";

/// Answers `jabber:iq:register`.
pub struct RegisterInRoom(pub Arc<Registry>);

impl HandleIq for RegisterInRoom {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let held = self.0.open_to(iq.from, iq.account, cx.router()).await?;
        let user = iq.from.bare();
        let known = held.affiliation(&user);
        if known == Affiliation::Outcast || guests::is_guest(&user, cx.router()) {
            return Err(Condition::NotAllowed.into());
        }
        if !iq.is_set() {
            return get(&held, &user);
        }
        if iq.payload.child("remove", NS).is_some() {
            return remove(&self.0, held, iq.from, cx).await;
        }
        let form = Form::submitted(iq.payload, REGISTER)?.ok_or(Condition::BadRequest)?;
        match form.kind {
            FormKind::Submit => submit(&self.0, held, iq.from, &form, cx).await,
            FormKind::Cancel => Ok(Reply::Empty),
            _ => Err(Condition::BadRequest.into()),
        }
    }
}

fn how(room: &RoomState) -> &str {
    match room.config.text(&REGISTRATION) {
        // Otherwise "members only" would be anybody's choice.
        "open" if room.config.is(&MEMBERS_ONLY) => "approval",
        other => other,
    }
}

fn is_registered(room: &RoomState, user: &BareJid) -> bool {
    room.affiliation(user) >= Affiliation::Member && room.reserved_nick(user).is_some()
}

fn may_ask(room: &RoomState, user: &BareJid) -> Result<(), Fault> {
    // People with an affiliation may always reserve a nickname.
    if how(room) == "closed" && room.affiliation(user) < Affiliation::Member {
        return Err(Condition::NotAllowed.into());
    }
    Ok(())
}

fn get(held: &HeldRoom, user: &BareJid) -> Result<Reply, Fault> {
    let mut xml = Writer::new();
    xml.start("query", NS);
    if is_registered(held, user) {
        xml.start("registered", NS).end();
        xml.start("username", NS)
            .text(held.reserved_nick(user).unwrap_or_default())
            .end();
        return Ok(xml.into());
    }
    may_ask(held, user)?;
    xml.start("instructions", NS)
        .text("To register with this room, choose a nickname.")
        .end();
    let sheet = Sheet::new(FormKind::Form, REGISTER)
        .title(&format!("Registration with {}", held.jid))
        .line(NICK, "Nickname", "");
    xml.raw(&sheet.xml());
    Ok(xml.into())
}

async fn submit(
    registry: &Arc<Registry>,
    held: HeldRoom,
    from: &Jid,
    form: &Form,
    cx: &mut Cx,
) -> Result<Reply, Fault> {
    let user = from.bare();
    may_ask(&held, &user)?;
    let nick = form.value(NICK).filter(|nick| !nick.trim().is_empty());
    let nick =
        nick.ok_or_else(|| StanzaError::new(Condition::NotAcceptable).text("a nickname is required"))?;
    let mut turn = RoomTurn::new(registry, held, cx);
    affiliations::check_nick(&turn, &user, nick)?;
    // Nobody reserves what somebody else goes by right now.
    super::nick::free(
        &turn.held,
        &user,
        &kim_core::jid::nickname_key(nick).unwrap_or_default(),
        nick,
    )?;
    let known = turn.held.affiliation(&user);
    if known < Affiliation::Member && how(&turn.held) == "approval" {
        let now = turn.cx.received;
        match registry.errands.asks(&turn.held.jid, &user, nick, now) {
            Asked::New => {
                if let Err(fault) = registry.errands.may_ask(&user, now) {
                    registry.errands.settled(&turn.held.jid, &user);
                    return Err(fault);
                }
                ask_admins(&mut turn, from, nick).await?;
            }
            Asked::Known => {}
            Asked::Other => {
                return Err(StanzaError::new(Condition::UnexpectedRequest)
                    .text("your earlier request is still waiting for an admin")
                    .into());
            }
        }
        turn.close(cx);
        return Ok(Reply::Empty);
    }
    register(&mut turn, &user, nick).await?;
    turn.close(cx);
    Ok(Reply::Empty)
}

async fn register(turn: &mut RoomTurn, user: &BareJid, nick: &str) -> Result<(), Fault> {
    let to = turn.held.affiliation(user).max(Affiliation::Member);
    let decided = Decided {
        jid: user.clone(),
        to,
        nick: Some(nick.into()),
        actor: "",
        reason: "",
    };
    affiliations::change_affiliation(turn, decided, |_| ()).await
}

async fn remove(registry: &Arc<Registry>, held: HeldRoom, from: &Jid, cx: &mut Cx) -> Result<Reply, Fault> {
    let user = from.bare();
    if held.affiliation(&user) < Affiliation::Member {
        return Err(Condition::RegistrationRequired.into());
    }
    let mut turn = RoomTurn::new(registry, held, cx);
    registry.errands.settled(&turn.held.jid, &user);
    let known = turn.held.affiliation(&user);
    let to = if known == Affiliation::Member {
        Affiliation::None
    } else {
        known
    };
    let decided = Decided {
        jid: user,
        to,
        nick: Some(Box::from("")),
        actor: "",
        reason: "",
    };
    affiliations::change_affiliation(&mut turn, decided, |_| ()).await?;
    turn.close(cx);
    Ok(Reply::Empty)
}

/// §9.9: those who may approve are asked, where they are.
async fn ask_admins(turn: &mut RoomTurn, from: &Jid, nick: &str) -> Result<(), Fault> {
    let user = from.bare();
    let sheet = Sheet::new(FormKind::Form, REGISTER)
        .title("Registration request")
        .instructions("To approve this registration request, select the checkbox and submit.")
        .field("muc#register_jid", "jid-single", "Who", &[user.as_str()])
        .line(NICK, "Nickname", nick)
        .boolean(
            "muc#register_allow",
            "Allow this person to register with the room?",
            false,
        );
    let room = turn.held.jid.clone();
    let admins: Vec<BareJid> = turn
        .held
        .members
        .iter()
        .filter(|(_, member)| affiliation_allows(member.affiliation, Right::Administer))
        .map(|(jid, _)| jid.clone())
        .collect();
    let request = Stanza::new(Kind::Message(MessageType::Normal), &sheet.xml()).from(room);
    let router = turn.cx.router().clone();
    for admin in admins {
        if !turn.registry.errands.is_blocked(&admin, &[from], &router).await? {
            turn.send(request.clone().to(admin));
        }
    }
    Ok(())
}

/// The form of an admin's answer in a message.
pub fn approval(stanza: &Stanza) -> Option<Form> {
    let form = Form::read(stanza.child("x", ns::DATA)?).ok()?;
    (form.value("FORM_TYPE") == Some(REGISTER) && form.kind == FormKind::Submit).then_some(form)
}

/// An admin's answer.
pub async fn approve(
    registry: &Arc<Registry>,
    from: &Jid,
    room: &BareJid,
    form: &Form,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let held = registry.held(room, cx.router()).await?;
    if !affiliation_allows(held.affiliation(&from.bare()), Right::Administer) {
        return Err(Condition::Forbidden.into());
    }
    if form.boolean("muc#register_allow")? != Some(true) {
        return Ok(());
    }
    let jid = form.value("muc#register_jid").ok_or(Condition::BadRequest)?;
    let nick = form.value(NICK).ok_or(Condition::BadRequest)?;
    let user = Jid::parse(jid)?.bare();
    guests::refuse(&user, cx.router())?;
    let mut turn = RoomTurn::new(registry, held, cx);
    if turn.held.affiliation(&user) == Affiliation::Outcast {
        return Err(Condition::NotAllowed.into());
    }
    affiliations::check_nick(&turn, &user, nick)?;
    register(&mut turn, &user, nick).await?;
    registry.errands.settled(room, &user);
    turn.close(cx);
    Ok(())
}
