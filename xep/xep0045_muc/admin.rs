//! Requests about roles and affiliations (`muc#admin`): lists, and changes of lists (§8, §9, §10.3–10.8, §17.4).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid, nickname_key};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::stanza::{IqType, Kind};
use kim_core::wire::{El, Writer};

use super::affiliations::{self, Decided};
use super::fields::write_text;
use super::names::ADMIN;
use super::privileges::{
    Affiliation, ChangeDenied, Privilege, Right, Role, affiliation_allows, change_affiliation, change_role,
    role_allows,
};
use super::room::{Occupant, RoomState};
use super::rooms::{HeldRoom, Registry};
use super::turn::RoomTurn;
use super::{guests, privacy, roles};

/// Items in one request.
const ITEMS_MAX: usize = 500;
/// Characters of a reason.
const REASON_CHARS_MAX: usize = 1_000;

/// Answers `muc#admin`.
pub struct Admin(pub Arc<Registry>);

impl HandleIq for Admin {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let held = self.0.open_to(iq.from, iq.account, cx.router()).await?;
        if iq.is_set() {
            set_items(&self.0, held, iq, cx).await
        } else {
            get(&held, iq)
        }
    }
}

/// What an item asks for.
enum Wanted {
    Role(Role),
    Affiliation(Affiliation),
}

fn wanted(item: El<'_>) -> Result<Wanted, Fault> {
    // §17.4: one of the two.
    match (item.attr("role"), item.attr("affiliation")) {
        (Some(role), None) => Role::parse(&role).map(Wanted::Role),
        (None, Some(affiliation)) => Affiliation::parse(&affiliation).map(Wanted::Affiliation),
        _ => None,
    }
    .ok_or_else(|| Condition::BadRequest.into())
}

// ——— lists ———

fn get(held: &HeldRoom, iq: &Request<'_>) -> Result<Reply, Fault> {
    let mut items = iq.payload.children().filter(|child| child.is("item", ADMIN));
    let item = items.next().ok_or(Condition::BadRequest)?;
    let user = iq.from.bare();
    let one = held.at(iq.from);
    let affiliation = held.affiliation(&user);
    let mut xml = Writer::new();
    xml.start("query", ADMIN);
    match wanted(item)? {
        Wanted::Role(role) => {
            // §8.5, §9.8
            if !one.is_some_and(|one| role_allows(one.role, Privilege::Moderate))
                && !affiliation_allows(affiliation, Right::Administer)
            {
                return Err(Condition::Forbidden.into());
            }
            for other in held.occupants.values().filter(|other| other.role == role) {
                write_role(&mut xml, held, other);
            }
        }
        Wanted::Affiliation(asked) => {
            let may = match asked {
                Affiliation::None => return Err(Condition::BadRequest.into()),
                Affiliation::Outcast => affiliation_allows(affiliation, Right::Administer),
                // §9.5, §10.5, §10.8
                _ => privacy::may_see_members(&held.config, affiliation, one.map(|one| one.role)),
            };
            if !may {
                return Err(Condition::Forbidden.into());
            }
            for (jid, member) in held
                .members
                .iter()
                .filter(|(_, member)| member.affiliation == asked)
            {
                xml.start("item", ADMIN)
                    .attr("affiliation", asked.as_str())
                    .attr("jid", jid.as_str());
                if let Some(nick) = member.nick.as_deref().or_else(|| nick_of(held, jid)) {
                    xml.attr("nick", nick);
                }
                if affiliation_allows(affiliation, Right::Administer) {
                    write_text(
                        &mut xml,
                        "reason",
                        ADMIN,
                        member.reason.as_deref().unwrap_or_default(),
                    );
                }
                xml.end();
            }
        }
    }
    xml.end();
    Ok(xml.into())
}

fn nick_of<'a>(room: &'a RoomState, user: &BareJid) -> Option<&'a str> {
    room.occupants
        .values()
        .find(|one| one.user == *user)
        .map(Occupant::nick)
}

fn write_role(xml: &mut Writer, room: &RoomState, one: &Occupant) {
    xml.start("item", ADMIN)
        .attr("affiliation", room.affiliation(&one.user).as_str())
        .attr("nick", one.nick())
        .attr("role", one.role.as_str());
    if let Some(seat) = one.seats.last() {
        xml.attr("jid", seat.jid.as_str());
    }
    xml.end();
}

// ——— changes ———

/// A change of a role that is allowed.
struct NewRole {
    key: Box<str>,
    to: Role,
    reason: String,
}

struct NewAffiliation {
    jid: BareJid,
    to: Affiliation,
    nick: Option<Box<str>>,
    reason: String,
}

/// All items are judged before the first one is done: what is not allowed as a whole changes nothing (§9.2).
async fn set_items(
    registry: &Arc<Registry>,
    held: HeldRoom,
    iq: &Request<'_>,
    cx: &mut Cx,
) -> Result<Reply, Fault> {
    let mut turn = RoomTurn::new(registry, held, cx);
    turn.by = Some(iq.from.bare());
    let items: Vec<El<'_>> = iq
        .payload
        .children()
        .filter(|child| child.is("item", ADMIN))
        .take(ITEMS_MAX + 1)
        .collect();
    if items.is_empty() || items.len() > ITEMS_MAX {
        return Err(Condition::BadRequest.into());
    }
    let (mut new_roles, mut new_affiliations) = (Vec::new(), Vec::new());
    for item in items {
        let reason = item
            .child("reason", ADMIN)
            .map(|reason| reason.text().into_owned())
            .unwrap_or_default();
        if reason.chars().count() > REASON_CHARS_MAX {
            return Err(StanzaError::new(Condition::NotAcceptable)
                .text("the reason is too long; shorten it")
                .into());
        }
        match wanted(item)? {
            Wanted::Role(to) => new_roles.push(judge_role(&turn.held, iq.from, item, to, reason)?),
            Wanted::Affiliation(to) => {
                new_affiliations.push(judge_affiliation(&turn, iq.from, item, to, reason)?)
            }
        }
    }
    keep_an_owner(&turn.held, &new_affiliations)?;
    let actor = turn
        .held
        .at(iq.from)
        .map(|one| one.nick().to_owned())
        .unwrap_or_default();
    // §8.2, §9.1: success is told behind what those concerned are told, and before what all others are.
    let mut answer = Some(iq.stanza.reply(Kind::Iq(IqType::Result), ""));
    for change in new_roles {
        if change.to == Role::None {
            let removal = roles::Removal {
                code: 307,
                actor: &actor,
                reason: &change.reason,
            };
            let answer = answer.take();
            roles::remove(&mut turn, &change.key, &removal, |turn| send(turn, answer)).await?;
        } else {
            send(&mut turn, answer.take());
            roles::give(&mut turn, &change.key, change.to, &actor, &change.reason).await?;
        }
    }
    for change in new_affiliations {
        let decided = Decided {
            jid: change.jid,
            to: change.to,
            nick: change.nick,
            actor: &actor,
            reason: &change.reason,
        };
        let answer = answer.take();
        affiliations::change_affiliation(&mut turn, decided, |turn| send(turn, answer)).await?;
    }
    send(&mut turn, answer);
    turn.close(cx);
    Ok(Reply::Silent)
}

fn send(turn: &mut RoomTurn, answer: Option<kim_core::stanza::Stanza>) {
    if let Some(answer) = answer {
        turn.send(answer);
    }
}

fn judge_role(
    room: &RoomState,
    from: &Jid,
    item: El<'_>,
    to: Role,
    reason: String,
) -> Result<NewRole, Fault> {
    let nick = item.attr("nick").ok_or(Condition::BadRequest)?;
    let target = room.named(&nick).ok_or(Condition::ItemNotFound)?;
    let user = from.bare();
    let affiliation = room.affiliation(&user);
    let actor = match room.at(from) {
        Some(one) => room.standing(one),
        // Admins need not be in the room.
        None if affiliation_allows(affiliation, Right::Administer) => super::privileges::Standing {
            role: Role::Moderator,
            affiliation,
        },
        None => return Err(Condition::Forbidden.into()),
    };
    change_role(actor, room.standing(target), to).map_err(roles::fault)?;
    Ok(NewRole {
        key: nickname_key(target.nick()).ok_or(Condition::ItemNotFound)?.into(),
        to,
        reason,
    })
}

fn judge_affiliation(
    turn: &RoomTurn,
    from: &Jid,
    item: El<'_>,
    to: Affiliation,
    reason: String,
) -> Result<NewAffiliation, Fault> {
    let room = &turn.held;
    let user = from.bare();
    let jid = match (item.attr("jid"), item.attr("nick")) {
        // §10.3: a full JID stands for its bare one.
        (Some(jid), _) => Jid::parse(&jid)?.bare(),
        (None, Some(nick)) => room.named(&nick).ok_or(Condition::ItemNotFound)?.user.clone(),
        (None, None) => return Err(Condition::BadRequest.into()),
    };
    let known = room
        .members
        .get(&jid)
        .map_or(Affiliation::None, |member| member.affiliation);
    let actor = room.affiliation(&user);
    change_affiliation(actor, known, to, jid == user, room.owners()).map_err(roles::fault)?;
    if jid.is_domain() && to > Affiliation::None {
        // A whole domain may be banned (§9.2), and nothing else.
        return Err(Condition::NotAllowed.into());
    }
    if to > Affiliation::None && guests::is_guest(&jid, turn.cx.router()) {
        return Err(StanzaError::new(Condition::NotAllowed)
            .text("guests cannot hold an affiliation")
            .into());
    }
    let nick = match item
        .attr("nick")
        .filter(|_| item.attr("jid").is_some() && to > Affiliation::None)
    {
        Some(nick) if nick.is_empty() => Some(Box::from("")),
        Some(nick) => {
            // Clients send the nickname somebody has right now along with a ban or a grant; what is somebody else's is no
            // reason to refuse, unless a reservation is what is asked for.
            affiliations::check_nick(turn, &jid, &nick)?;
            Some(nick.into_owned().into_boxed_str())
        }
        None => None,
    };
    Ok(NewAffiliation {
        jid,
        to,
        nick,
        reason,
    })
}

/// §10.4: a room has an owner, also after several changes at once.
fn keep_an_owner(room: &RoomState, changes: &[NewAffiliation]) -> Result<(), Fault> {
    let changed = |jid: &BareJid| {
        changes
            .iter()
            .rev()
            .find(|change| change.jid == *jid)
            .map(|change| change.to)
    };
    let stays = room
        .members
        .iter()
        .filter(|(_, member)| member.affiliation == Affiliation::Owner)
        .any(|(jid, _)| changed(jid).is_none_or(|to| to == Affiliation::Owner));
    let comes = changes
        .iter()
        .any(|change| changed(&change.jid) == Some(Affiliation::Owner));
    if stays || comes {
        return Ok(());
    }
    Err(roles::fault(ChangeDenied::Conflict))
}
