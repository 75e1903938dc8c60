//! Affiliations: what follows when somebody's changes (§9, §10.3–10.8).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid, nickname_key};
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::events::{AffiliationChange, AffiliationsChanged};
use super::fields::write_text;
use super::names::USER;
use super::news::News;
use super::privileges::{Affiliation, role_after};
use super::room::{Looks, Member, Occupant, Phase, RoomState};
use super::rooms::Registry;
use super::turn::RoomTurn;
use super::{admission, listed, nick, privacy, roles, saved};

/// A change that was judged and is allowed.
pub struct Decided<'a> {
    /// Whose.
    pub jid: BareJid,
    /// What it becomes.
    pub to: Affiliation,
    /// The nickname to be reserved; empty takes it away; `None` leaves it.
    pub nick: Option<Box<str>>,
    /// Who does it, by nickname; empty for somebody who is not there.
    pub actor: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// Notes an affiliation, and tells other modules of it.
pub async fn put(
    turn: &mut RoomTurn,
    jid: &BareJid,
    to: Affiliation,
    nick: Option<Box<str>>,
    reason: Option<&str>,
) -> Result<Affiliation, Fault> {
    let from = turn
        .held
        .members
        .get(jid)
        .map_or(Affiliation::None, |member| member.affiliation);
    let now = turn.cx.received.0;
    let kept = turn.held.members.get(jid);
    let (since, known) = kept.map_or((now, None), |member| (member.since, member.nick.clone()));
    let nick = match nick {
        // §9.1: a banned user has no nickname there.
        _ if to == Affiliation::Outcast => None,
        Some(nick) => Some(nick).filter(|nick| !nick.is_empty()),
        None => known,
    };
    if to == Affiliation::None {
        turn.held.set_member(jid, None);
    } else {
        let is_new = from != to && turn.held.members.len() >= turn.registry.config.affiliations_max;
        if is_new && from == Affiliation::None {
            return Err(StanzaError::new(Condition::ResourceConstraint)
                .text("this room has too many affiliations; remove some")
                .into());
        }
        let member = Member {
            affiliation: to,
            since: if from == to { since } else { now },
            nick,
            reason: reason.filter(|reason| !reason.is_empty()).map(Box::from),
        };
        turn.held.set_member(jid, Some(member));
    }
    saved::member(turn, jid).await?;
    if from != to {
        let mut event = AffiliationsChanged {
            room: turn.held.view(),
            change: AffiliationChange {
                jid: jid.clone(),
                from,
                to,
            },
            beside: String::new(),
            own: String::new(),
        };
        let router = turn.cx.router().clone();
        router.tell(&mut event, &mut turn.cx).await?;
        turn.beside = event.beside;
        turn.held.lists = event.own.into();
    }
    Ok(from)
}

/// Does what was decided and tells of it. `between` comes behind what the person concerned is told and before what all others
/// are, where the person is put out (§9.1).
pub async fn change_affiliation(
    turn: &mut RoomTurn,
    decided: Decided<'_>,
    between: impl FnOnce(&mut RoomTurn),
) -> Result<(), Fault> {
    let Decided {
        jid,
        to,
        nick,
        actor,
        reason,
    } = decided;
    if turn.held.phase == Phase::Destroyed {
        // Ended by what was done just before.
        between(turn);
        return Ok(());
    }
    let renamed = nick.clone();
    let from = put(turn, &jid, to, nick, Some(reason)).await?;
    if from == to {
        between(turn);
        return Ok(());
    }
    // A domain's affiliation is that of all who have none of their own.
    let concerned: Vec<Box<str>> = turn
        .held
        .occupants
        .iter()
        .filter(|(_, one)| one.user == jid || (jid.is_domain() && one.user.domain() == jid.as_str()))
        .filter(|(_, one)| turn.held.affiliation(&one.user) == to)
        .map(|(key, _)| key.clone())
        .collect();
    let members_only = turn.held.config.is(&admission::MEMBERS_ONLY);
    let code = match to {
        Affiliation::Outcast => Some(301),
        // §9.4: told once, and as leaving.
        Affiliation::None if members_only => Some(321),
        _ => None,
    };
    if concerned.is_empty() {
        between(turn);
        let is_invited =
            to > Affiliation::None && from <= Affiliation::None && members_only && !jid.is_domain();
        if is_invited && renamed.is_none() {
            // §9.5
            invite(turn, &jid).await?;
        }
        announce(turn, &jid, to, reason, |room, one| {
            privacy::sees_addresses(&room.config, one)
        });
        return Ok(());
    }
    let moderated = turn.held.config.is(&admission::MODERATED);
    let is_shown = |key: &str| {
        let one = turn.held.occupants.get(key);
        let role = one.map(|one| match code {
            Some(_) => one.role,
            None => role_after(one.role, from, to, moderated),
        });
        role.is_some_and(|role| privacy::is_broadcast(&turn.held.config, role))
    };
    if !turn.beside.is_empty() && (jid.is_domain() || !concerned.iter().any(|key| is_shown(key))) {
        // No presence tells of the change itself, which all who keep the lists must hear of.
        announce(turn, &jid, to, reason, listed::sees);
    }
    let mut between = Some(between);
    for key in concerned {
        if let Some(code) = code {
            let removal = roles::Removal { code, actor, reason };
            let between = between.take();
            roles::remove(turn, &key, &removal, |turn| {
                if let Some(between) = between {
                    between(turn);
                }
            })
            .await?;
            continue;
        }
        if let Some(between) = between.take() {
            between(turn);
        }
        let Some(one) = turn.held.occupants.get(&key) else {
            continue;
        };
        let role = role_after(one.role, from, to, moderated);
        roles::give(turn, &key, role, actor, reason).await?;
    }
    Ok(())
}

/// The room itself invites a new member (§9.5). If an admin made them a member, that admin's rate and their block list count;
/// beyond the rate they are a member without an invitation.
async fn invite(turn: &mut RoomTurn, to: &BareJid) -> Result<(), Fault> {
    if let Some(admin) = turn.by.clone() {
        let errands = &turn.registry.errands;
        let author = Jid::from(admin.clone());
        let is_blocked = errands.is_blocked(to, &[&author], turn.cx.router()).await?;
        if is_blocked || errands.may_invite(&admin, to, turn.cx.received).is_err() {
            return Ok(());
        }
    }
    let mut xml = Writer::new();
    xml.start("x", USER);
    xml.start("invite", USER)
        .attr("from", turn.held.jid.as_str())
        .end();
    admission::write_password(&mut xml, &turn.held.config);
    xml.end();
    let invitation = Stanza::new(Kind::Message(MessageType::Normal), &xml.finish_string());
    let invitation = invitation.from(turn.held.jid.clone()).to(to.clone());
    turn.send(invitation);
    Ok(())
}

/// The affiliation of somebody who is not there has changed: a message tells it, on which clients depend that encrypt for all
/// members (§10.3, §10.6). Only to those who `may_know` the address.
pub fn announce(
    turn: &mut RoomTurn,
    jid: &BareJid,
    to: Affiliation,
    reason: &str,
    may_know: fn(&RoomState, &Occupant) -> bool,
) {
    let room = turn.held.jid.clone();
    let told = turn.held.sessions_where(|one| may_know(&turn.held, one));
    let beside = std::mem::take(&mut turn.beside);
    let news = News {
        listed: &beside,
        ..News::default()
    };
    listed::send(turn, told, &news, |news| {
        let mut xml = Writer::new();
        xml.start("x", USER).start("item", USER);
        xml.attr("affiliation", to.as_str()).attr("jid", jid.as_str());
        write_text(&mut xml, "reason", USER, reason);
        xml.end().raw(news.listed);
        let message = Stanza::new(Kind::Message(MessageType::Normal), &xml.finish_string());
        message.from(room.clone())
    });
}

/// The room changes an affiliation in its own name.
pub async fn by_the_room(
    registry: &Arc<Registry>,
    room: &BareJid,
    user: &BareJid,
    to: Affiliation,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let held = registry.held(room, cx.router()).await?;
    let mut turn = RoomTurn::new(registry, held, cx);
    let decided = Decided {
        jid: user.clone(),
        to,
        nick: None,
        actor: "",
        reason: "",
    };
    change_affiliation(&mut turn, decided, |_| ()).await?;
    turn.close(cx);
    Ok(())
}

/// A nickname somebody reserves must be free, and look like nobody else's.
pub fn check_nick(turn: &RoomTurn, user: &BareJid, nick: &str) -> Result<(), Fault> {
    turn.held
        .jid
        .with_resource(nick)
        .map_err(|_| Condition::NotAcceptable)?;
    let key = nickname_key(nick).ok_or(Condition::NotAcceptable)?;
    if turn.held.is_reserved_from(&key, user) {
        return Err(Condition::Conflict.into());
    }
    if turn.held.looks_reserved(&Looks::of(nick), user) {
        return Err(nick::lookalike());
    }
    Ok(())
}
