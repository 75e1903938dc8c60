//! Who sees whose real address (§7.2.3, §7.2.4), and who sees the list of members (§9.5).

use kim_core::cx::Cx;
use kim_core::jid::Jid;

use super::fields::{Field, RoomConfig, Shape};
use super::privileges::{Affiliation, Right, Role, affiliation_allows, role_on_entering};
use super::room::{Occupant, RoomState};
use super::views::Visitor;
use super::{admission, guests};

/// Non-anonymous or semi-anonymous.
pub const WHOIS: Field = Field {
    private: Some(&["anyone"]),
    feature: |values| {
        let anyone = values.first().is_some_and(|value| **value == *"anyone");
        Some(if anyone {
            "muc_nonanonymous"
        } else {
            "muc_semianonymous"
        })
    },
    ..Field::new(
        "muc#roomconfig_whois",
        "Who can see real addresses",
        Shape::Choice(&[("moderators", "Moderators"), ("anyone", "Everybody")]),
        &["moderators"],
    )
};

/// Who gets the list of members.
pub const MEMBER_LIST: Field = Field {
    private: Some(&["moderator", "participant"]),
    ..Field::new(
        "muc#roomconfig_getmemberlist",
        "Who can see the member list",
        Shape::Several(&[
            ("moderator", "Moderators"),
            ("participant", "Participants"),
            ("visitor", "Visitors"),
        ]),
        &["moderator", "participant"],
    )
};

/// Whose presence is told to all.
pub const BROADCAST: Field = Field::new(
    "muc#roomconfig_presencebroadcast",
    "Roles whose presence is broadcast",
    Shape::Several(&[
        ("moderator", "Moderators"),
        ("participant", "Participants"),
        ("visitor", "Visitors"),
    ]),
    &["moderator", "participant", "visitor"],
);

/// Whether everybody sees everybody's real address.
pub fn is_non_anonymous(config: &RoomConfig) -> bool {
    config.text(&WHOIS) == "anyone"
}

/// Whether an occupant sees real addresses.
pub fn sees_addresses(config: &RoomConfig, one: &Occupant) -> bool {
    is_non_anonymous(config) || one.role == Role::Moderator
}

/// What somebody finds at a room; guests find nothing at one that was not configured yet.
pub fn visitor(held: &RoomState, session: &Jid, cx: &Cx) -> Option<Visitor> {
    let (user, config) = (session.bare(), &held.config);
    let affiliation = held.affiliation(&user);
    let owns = affiliation_allows(affiliation, Right::Own);
    if held.is_locked(cx.router().clock().now()) && guests::is_guest(&user, cx.router()) {
        return None;
    }
    let one = held.at(session);
    let is_moderated = config.is(&super::admission::MODERATED);
    let is_open = role_on_entering(affiliation, is_moderated, config.is(&admission::MEMBERS_ONLY)).is_some()
        && (owns || !config.is(&admission::PASSWORD_PROTECTED))
        && (!guests::is_guest(&user, cx.router()) || guests::may_enter(config).is_ok());
    Some(Visitor {
        room: held.view(),
        affiliation,
        occupant: one.map(|one| held.who(one, Some(session))),
        may_enter: one.is_some() || is_open,
        sees_addresses: is_non_anonymous(config)
            || affiliation_allows(affiliation, Right::Administer)
            || one.is_some_and(|one| one.role == Role::Moderator),
    })
}

/// Whether a role's presence is told to all.
pub fn is_broadcast(config: &RoomConfig, role: Role) -> bool {
    config.has(&BROADCAST, role.as_str())
}

/// Whether somebody may see the lists of members, admins and owners. Where real addresses are a secret, only those who may
/// change the list (§5.2.1, note); otherwise also members, there or not, and the occupants whose role the room names.
pub fn may_see_members(config: &RoomConfig, affiliation: Affiliation, role: Option<Role>) -> bool {
    if affiliation_allows(affiliation, Right::Administer) {
        return true;
    }
    if !is_non_anonymous(config) || config.text(&MEMBER_LIST).is_empty() {
        return false;
    }
    let role = role.unwrap_or(if affiliation_allows(affiliation, Right::SeeMembers) {
        Role::Participant
    } else {
        Role::None
    });
    config.has(&MEMBER_LIST, role.as_str())
}
