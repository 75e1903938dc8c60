//! Invitations by way of the room, and their refusal (§7.8.2). Direct ones (XEP-0249) pass from account to account and never
//! come here.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::router::{Destination, Router};
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::{El, Writer};

use super::admission::{self, MEMBERS_ONLY};
use super::affiliations::{self, Decided};
use super::fields::{Field, Shape, write_text};
use super::names::USER;
use super::privileges::{Affiliation, Privilege, Right, affiliation_allows, role_allows};
use super::room::Phase;
use super::rooms::Registry;
use super::turn::RoomTurn;
use super::{guests, opening, speech};

/// Whether those who are no admins may invite into a room for members.
pub const MAY_INVITE: Field = Field {
    aliases: &["{http://prosody.im/protocol/muc}roomconfig_allowmemberinvites"],
    is_told: true,
    ..Field::new(
        "muc#roomconfig_allowinvites",
        "Allow members to invite others",
        Shape::Boolean,
        &["0"],
    )
};

/// Invitations in one message.
const INVITES_MAX: usize = 20;

/// Whether a message is one for this file.
pub fn is_one(stanza: &Stanza) -> bool {
    stanza
        .child("x", USER)
        .is_some_and(|x| x.child("invite", USER).is_some() || x.child("decline", USER).is_some())
}

/// Invitations, or a refusal.
pub async fn handle(
    registry: &Arc<Registry>,
    from: &Jid,
    room: &BareJid,
    stanza: &Stanza,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let held = registry.held(room, cx.router()).await?;
    let mut turn = RoomTurn::new(registry, held, cx);
    let Some(x) = stanza.child("x", USER) else {
        return Ok(());
    };
    if let Some(decline) = x.child("decline", USER) {
        refuse(&mut turn, from, decline).await?;
    } else {
        for invite in x
            .children()
            .filter(|child| child.is("invite", USER))
            .take(INVITES_MAX)
        {
            send_invitation(&mut turn, from, invite, stanza.id.as_deref()).await?;
        }
    }
    turn.close(cx);
    Ok(())
}

/// Whether an address can be somebody's whom one can invite.
async fn check_invitee(to: &Jid, router: &Arc<Router>) -> Result<(), Fault> {
    match router.destination(to.domain()) {
        // Guests have been found already, or nowhere.
        Destination::Service(_) | Destination::Guests => Err(Condition::NotAllowed.into()),
        // Whether an account exists is nobody's business (RFC 6121 §8.5.1 is the same for both): what is sent to nobody
        // comes back as from somebody who is away.
        _ if to.local().is_none() => Err(Condition::JidMalformed.into()),
        _ => Ok(()),
    }
}

async fn send_invitation(
    turn: &mut RoomTurn,
    from: &Jid,
    invite: El<'_>,
    id: Option<&str>,
) -> Result<(), Fault> {
    let router = turn.cx.router().clone();
    let user = from.bare();
    guests::refuse(&user, &router)?;
    let Some(inviter) = turn.held.at(from) else {
        return Err(Condition::NotAcceptable.into());
    };
    let to = invite.attr("to").ok_or(Condition::BadRequest)?;
    let to = Jid::parse(&to)?;
    check_invitee(&to, &router).await?;
    let affiliation = turn.held.affiliation(&user);
    let admin = affiliation_allows(affiliation, Right::Administer);
    let config = turn.held.config.clone();
    let members_only = config.is(&MEMBERS_ONLY);
    if !role_allows(inviter.role, Privilege::Invite) || (members_only && !admin && !config.is(&MAY_INVITE)) {
        // §7.8.2, §9.5
        return Err(Condition::Forbidden.into());
    }
    let invitee = to.bare();
    let known = turn.held.affiliation(&invitee);
    if known == Affiliation::Outcast {
        return Err(StanzaError::new(Condition::NotAllowed)
            .text("this person is banned from this room")
            .into());
    }
    speech::may_speak(turn, from, &user)?;
    let registry = turn.registry.clone();
    registry.errands.may_invite(&user, &invitee, turn.cx.received)?;
    if matches!(turn.held.phase, Phase::Locked { .. }) {
        opening::open(turn).await?;
    }
    // In a semi-anonymous room the inviter is known by the address of an occupant.
    let Some(inviter) = turn.held.at(from) else {
        return Ok(());
    };
    let address = inviter.address.clone();
    let shown = if super::privacy::is_non_anonymous(&config) {
        Jid::from(user.clone())
    } else {
        address.clone()
    };
    let nick = inviter.nick().to_owned();
    let mut xml = Writer::new();
    xml.start("x", USER)
        .start("invite", USER)
        .attr("from", shown.as_str());
    if let Some(reason) = invite.child("reason", USER) {
        write_text(&mut xml, "reason", USER, &reason.text());
    }
    if let Some(carry_on) = invite.child("continue", USER) {
        xml.start("continue", USER);
        if let Some(thread) = carry_on.attr("thread") {
            xml.attr("thread", &thread);
        }
        xml.end();
    }
    xml.end();
    admission::write_password(&mut xml, &turn.held.config);
    xml.end();
    let mut invitation = Stanza::new(Kind::Message(MessageType::Normal), &xml.finish_string())
        .from(turn.held.jid.clone())
        .to(to);
    invitation.id = id.map(Box::from);
    if members_only && known < Affiliation::Member {
        // §9.5: "any invitation sent SHOULD automatically trigger the addition of the invitee to the member list".
        let decided = Decided {
            jid: invitee.clone(),
            to: Affiliation::Member,
            // The invitation that follows is the one; no second one by the room.
            nick: Some(Box::from("")),
            actor: &nick,
            reason: "",
        };
        affiliations::change_affiliation(turn, decided, |_| ()).await?;
    }
    // The inviter does not learn of a block, just as they learn nothing else about the fate of an invitation.
    let author = [from, &address];
    if !registry.errands.is_blocked(&invitee, &author, &router).await? {
        let room = &turn.held.jid;
        registry.errands.invited(room, &invitee, shown, &user);
        turn.send(invitation);
    }
    Ok(())
}

/// Somebody declines. The inviter hears of it, in the room or outside, if there was an invitation to decline. The answer is
/// the same in every case, so that it tells nothing about the occupants, and one invitation carries one refusal.
async fn refuse(turn: &mut RoomTurn, from: &Jid, decline: El<'_>) -> Result<(), Fault> {
    let to = decline.attr("to").ok_or(Condition::BadRequest)?;
    let to = Jid::parse(&to)?;
    if turn.held.affiliation(&from.bare()) == Affiliation::Outcast {
        return Err(Condition::Forbidden.into());
    }
    guests::refuse(&from.bare(), turn.cx.router())?;
    let user = from.bare();
    let registry = turn.registry.clone();
    registry.errands.may_ask(&user, turn.cx.received)?;
    // The address by which the invitation named the inviter.
    let shown = if to.bare() == turn.held.jid {
        to
    } else {
        to.bare().into()
    };
    let Some(inviter) = registry.errands.refused(&turn.held.jid, &user, shown) else {
        return Ok(());
    };
    let router = turn.cx.router().clone();
    if registry.errands.is_blocked(&inviter, &[from], &router).await? {
        return Ok(());
    }
    let mut xml = Writer::new();
    xml.start("x", USER);
    xml.start("decline", USER).attr("from", from.bare_str());
    if let Some(reason) = decline.child("reason", USER) {
        write_text(&mut xml, "reason", USER, &reason.text());
    }
    let declined = Stanza::new(Kind::Message(MessageType::Normal), &xml.finish_string());
    let declined = declined.from(turn.held.jid.clone());
    let sessions = turn.held.sessions_where(|one| one.user == inviter);
    if sessions.is_empty() {
        turn.send(declined.to(inviter));
    } else {
        turn.send_all(declined, sessions);
    }
    Ok(())
}
