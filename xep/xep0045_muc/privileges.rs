//! Roles, affiliations and what they allow (§5): the tables of the text as functions, and nothing else. Who may do what is
//! asked here and decided nowhere else.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $($(#[$vdoc:meta])* $variant:ident = $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }
        impl $name {
            /// As it stands in attributes.
            pub fn as_str(self) -> &'static str { match self { $($name::$variant => $text,)* } }
            /// Reads an attribute.
            pub fn parse(text: &str) -> Option<$name> { match text { $($text => Some($name::$variant),)* _ => None } }
            /// Every value, from the least to the most.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
        }
    };
}

words! {
    /// A long-lived association with a room (§5.2), from the least to the most.
    Affiliation:
    /// Banned.
    Outcast = "outcast",
    /// No association.
    None = "none",
    /// On the list of members.
    Member = "member",
    /// May ban and grant membership.
    Admin = "admin",
    /// May do everything.
    Owner = "owner",
}

words! {
    /// What an occupant may do for the time of a visit (§5.1), from the least to the most.
    Role:
    /// Not in the room.
    None = "none",
    /// Listens.
    Visitor = "visitor",
    /// Speaks.
    Participant = "participant",
    /// Keeps order.
    Moderator = "moderator",
}

/// What a role allows (§5.1.1). Those that the text marks with a star are the defaults; where the room's configuration
/// says something about them, the caller asks that first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// To be there and to hear everybody.
    Present,
    /// To change nickname and availability.
    ChangePresence,
    /// To write to one occupant (*).
    PrivateMessages,
    /// To ask somebody in (*).
    Invite,
    /// To write to all.
    Speak,
    /// To change the subject (*).
    Subject,
    /// To kick, to grant and to revoke voice.
    Moderate,
}

/// The table of §5.1.1.
pub fn role_allows(role: Role, privilege: Privilege) -> bool {
    use Privilege as P;
    let least = match privilege {
        P::Present | P::ChangePresence | P::PrivateMessages | P::Invite => Role::Visitor,
        P::Speak => Role::Participant,
        P::Subject | P::Moderate => Role::Moderator,
    };
    role >= least
}

/// What an affiliation allows (§5.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To enter a room that is open.
    EnterOpen,
    /// To enter a room for members.
    EnterMembersOnly,
    /// To see who is a member, where real addresses are no secret.
    SeeMembers,
    /// To ban, and to see who is banned; to make and unmake members and moderators.
    Administer,
    /// To make and unmake admins and owners, to configure and to destroy.
    Own,
}

/// The table of §5.2.1.
pub fn affiliation_allows(affiliation: Affiliation, right: Right) -> bool {
    let least = match right {
        Right::EnterOpen => Affiliation::None,
        Right::EnterMembersOnly | Right::SeeMembers => Affiliation::Member,
        Right::Administer => Affiliation::Admin,
        Right::Own => Affiliation::Owner,
    };
    affiliation >= least
}

/// The role with which somebody enters (§5.1.2); `None` where they may not.
pub fn role_on_entering(affiliation: Affiliation, moderated: bool, members_only: bool) -> Option<Role> {
    let door = if members_only {
        Right::EnterMembersOnly
    } else {
        Right::EnterOpen
    };
    if !affiliation_allows(affiliation, door) {
        return None;
    }
    Some(match affiliation {
        Affiliation::Admin | Affiliation::Owner => Role::Moderator,
        Affiliation::None if moderated => Role::Visitor,
        _ => Role::Participant,
    })
}

/// The role after an affiliation has changed (§5.1.3, note): what is gained comes with it; what was a moderator's by
/// affiliation alone goes with it.
pub fn role_after(role: Role, from: Affiliation, to: Affiliation, moderated: bool) -> Role {
    let entering = role_on_entering(to, moderated, false).unwrap_or(Role::None);
    let lost = from >= Affiliation::Admin && to < Affiliation::Admin;
    if lost || entering > role { entering } else { role }
}

/// Somebody's place in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// For this visit.
    pub role: Role,
    /// For good.
    pub affiliation: Affiliation,
}

/// Why a change is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeDenied {
    /// The asker has no such privilege.
    Forbidden,
    /// The asker has it, but not over this person.
    NotAllowed,
    /// It would leave the asker, or the room, worse than it can be (§9.1, §10.4).
    Conflict,
}

/// Whether `actor` may give `target` a role (§5.1.3, §8.2–8.5, §9.6–9.8).
pub fn change_role(actor: Standing, target: Standing, to: Role) -> Result<(), ChangeDenied> {
    if !role_allows(actor.role, Privilege::Moderate) {
        return Err(ChangeDenied::Forbidden);
    }
    let admin = affiliation_allows(actor.affiliation, Right::Administer);
    if to == target.role {
        return Ok(());
    }
    if to == Role::None {
        // §8.2: not by somebody of a lower affiliation; a moderator only by an admin or owner.
        let higher = target.affiliation > actor.affiliation;
        let equal = target.role == Role::Moderator && !admin;
        return if higher || equal {
            Err(ChangeDenied::NotAllowed)
        } else {
            Ok(())
        };
    }
    if to == Role::Moderator {
        // §9.6
        return if admin {
            Ok(())
        } else {
            Err(ChangeDenied::Forbidden)
        };
    }
    // Admins and owners are moderators and have voice by what they are (§8.4, §9.7).
    if target.affiliation >= Affiliation::Admin {
        return Err(ChangeDenied::NotAllowed);
    }
    if target.role == Role::Moderator {
        return if admin {
            Ok(())
        } else {
            Err(ChangeDenied::Forbidden)
        };
    }
    // §8.4: nobody is silenced by their equals; those who have no affiliation have none to stand on.
    let above = target.affiliation > Affiliation::None && target.affiliation >= actor.affiliation;
    if to == Role::Visitor && above {
        return Err(ChangeDenied::NotAllowed);
    }
    Ok(())
}

/// Whether `actor` may change somebody's affiliation (§5.2.2, §9, §10.3–10.8). `own`: it is the actor's. `owners` is how many
/// owners the room has now.
pub fn change_affiliation(
    actor: Affiliation,
    from: Affiliation,
    to: Affiliation,
    own: bool,
    owners: usize,
) -> Result<(), ChangeDenied> {
    if !affiliation_allows(actor, Right::Administer) {
        return Err(ChangeDenied::Forbidden);
    }
    if own && to == Affiliation::Outcast {
        // §9.1
        return Err(ChangeDenied::Conflict);
    }
    let high = from >= Affiliation::Admin || to >= Affiliation::Admin;
    if high && !affiliation_allows(actor, Right::Own) {
        // §9.1 names the one, §10.5 and §10.8 the other.
        return Err(if to == Affiliation::Outcast {
            ChangeDenied::NotAllowed
        } else {
            ChangeDenied::Forbidden
        });
    }
    if from == Affiliation::Owner && to != Affiliation::Owner && owners <= 1 {
        return Err(ChangeDenied::Conflict);
    }
    Ok(())
}
