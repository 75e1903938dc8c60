//! The tables of section 5, as they stand in the text.

use super::super::privileges::*;

const YES: bool = true;
const NO: bool = false;

#[test]
fn what_a_role_allows() {
    // §5.1.1: None, Visitor, Participant, Moderator.
    for (privilege, row) in [
        (Privilege::Present, [NO, YES, YES, YES]),
        (Privilege::ChangePresence, [NO, YES, YES, YES]),
        (Privilege::PrivateMessages, [NO, YES, YES, YES]),
        (Privilege::Invite, [NO, YES, YES, YES]),
        (Privilege::Speak, [NO, NO, YES, YES]),
        (Privilege::Subject, [NO, NO, NO, YES]),
        (Privilege::Moderate, [NO, NO, NO, YES]),
    ] {
        for (role, allowed) in Role::ALL.iter().zip(row) {
            assert_eq!(role_allows(*role, privilege), allowed, "{role:?} {privilege:?}");
        }
    }
}

#[test]
fn what_an_affiliation_allows() {
    // §5.2.1: Outcast, None, Member, Admin, Owner.
    for (right, row) in [
        (Right::EnterOpen, [NO, YES, YES, YES, YES]),
        (Right::SeeMembers, [NO, NO, YES, YES, YES]),
        (Right::EnterMembersOnly, [NO, NO, YES, YES, YES]),
        (Right::Administer, [NO, NO, NO, YES, YES]),
        (Right::Own, [NO, NO, NO, NO, YES]),
    ] {
        for (affiliation, allowed) in Affiliation::ALL.iter().zip(row) {
            assert_eq!(
                affiliation_allows(*affiliation, right),
                allowed,
                "{affiliation:?} {right:?}"
            );
        }
    }
}

#[test]
fn the_role_with_which_somebody_enters() {
    // §5.1.2: Outcast, None, Member, Admin, Owner; moderated, members only.
    let (v, p, m) = (
        Some(Role::Visitor),
        Some(Role::Participant),
        Some(Role::Moderator),
    );
    for ((moderated, members_only), row) in [
        ((YES, NO), [None, v, p, m, m]),
        ((NO, NO), [None, p, p, m, m]),
        ((NO, YES), [None, None, p, m, m]),
        ((YES, YES), [None, None, p, m, m]),
    ] {
        for (affiliation, role) in Affiliation::ALL.iter().zip(row) {
            assert_eq!(
                role_on_entering(*affiliation, moderated, members_only),
                role,
                "{affiliation:?} {moderated} {members_only}"
            );
        }
    }
}

#[test]
fn the_role_after_a_change_of_affiliation() {
    use Affiliation as A;
    // §5.1.3, note; §9.3, §10.6, §10.7.
    for (role, from, to, moderated, after) in [
        (Role::Visitor, A::None, A::Member, YES, Role::Participant),
        (Role::Participant, A::None, A::Admin, NO, Role::Moderator),
        (Role::Moderator, A::None, A::Member, NO, Role::Moderator),
        (Role::Moderator, A::Owner, A::Admin, NO, Role::Moderator),
        (Role::Moderator, A::Admin, A::Member, NO, Role::Participant),
        (Role::Moderator, A::Owner, A::None, YES, Role::Visitor),
        (Role::Participant, A::Member, A::None, YES, Role::Participant),
        (Role::Visitor, A::None, A::None, YES, Role::Visitor),
    ] {
        assert_eq!(
            role_after(role, from, to, moderated),
            after,
            "{role:?} {from:?} {to:?}"
        );
    }
}

const OK: Result<(), ChangeDenied> = Ok(());
const FORBIDDEN: Result<(), ChangeDenied> = Err(ChangeDenied::Forbidden);
const NOT_ALLOWED: Result<(), ChangeDenied> = Err(ChangeDenied::NotAllowed);
const CONFLICT: Result<(), ChangeDenied> = Err(ChangeDenied::Conflict);

fn stands(role: Role, affiliation: Affiliation) -> Standing {
    Standing { role, affiliation }
}

#[test]
fn who_gives_whom_which_role() {
    use Affiliation as A;
    use Role as R;
    let mere_moderator = stands(R::Moderator, A::None);
    let member = stands(R::Moderator, A::Member);
    let admin = stands(R::Moderator, A::Admin);
    let owner = stands(R::Moderator, A::Owner);
    for (actor, target, to, verdict) in [
        // Not by those who are no moderators.
        (
            stands(R::Participant, A::Member),
            stands(R::Visitor, A::None),
            R::Participant,
            FORBIDDEN,
        ),
        (
            stands(R::Visitor, A::None),
            stands(R::Visitor, A::None),
            R::None,
            FORBIDDEN,
        ),
        // §8.2: kicking.
        (mere_moderator, stands(R::Participant, A::None), R::None, OK),
        (mere_moderator, stands(R::Visitor, A::None), R::None, OK),
        (
            mere_moderator,
            stands(R::Participant, A::Member),
            R::None,
            NOT_ALLOWED,
        ),
        (mere_moderator, mere_moderator, R::None, NOT_ALLOWED),
        (member, admin, R::None, NOT_ALLOWED),
        (admin, owner, R::None, NOT_ALLOWED),
        (admin, member, R::None, OK),
        (admin, stands(R::Moderator, A::None), R::None, OK),
        (owner, admin, R::None, OK),
        // §8.3: granting voice.
        (mere_moderator, stands(R::Visitor, A::None), R::Participant, OK),
        (mere_moderator, stands(R::Visitor, A::Member), R::Participant, OK),
        // §8.4: revoking voice.
        (mere_moderator, stands(R::Participant, A::None), R::Visitor, OK),
        (
            mere_moderator,
            stands(R::Participant, A::Member),
            R::Visitor,
            NOT_ALLOWED,
        ),
        (member, stands(R::Participant, A::Member), R::Visitor, NOT_ALLOWED),
        (admin, stands(R::Participant, A::Member), R::Visitor, OK),
        (owner, stands(R::Participant, A::Admin), R::Visitor, NOT_ALLOWED),
        (owner, admin, R::Visitor, NOT_ALLOWED),
        // §9.6: moderators are made by admins.
        (
            mere_moderator,
            stands(R::Participant, A::None),
            R::Moderator,
            FORBIDDEN,
        ),
        (member, stands(R::Participant, A::None), R::Moderator, FORBIDDEN),
        (admin, stands(R::Visitor, A::None), R::Moderator, OK),
        // §9.7, and unmade by them, but for admins and owners.
        (admin, mere_moderator, R::Participant, OK),
        (member, mere_moderator, R::Participant, FORBIDDEN),
        (mere_moderator, mere_moderator, R::Visitor, FORBIDDEN),
        (admin, admin, R::Participant, NOT_ALLOWED),
        (owner, admin, R::Participant, NOT_ALLOWED),
        (admin, owner, R::Participant, NOT_ALLOWED),
    ] {
        assert_eq!(
            change_role(actor, target, to),
            verdict,
            "{actor:?} {target:?} {to:?}"
        );
    }
}

#[test]
fn who_changes_whose_affiliation() {
    use Affiliation as A;
    // §5.2.2, row by row; by an admin, and by an owner.
    for (from, to, by_admin) in [
        (A::Outcast, A::None, OK),
        (A::Outcast, A::Member, OK),
        (A::Outcast, A::Admin, FORBIDDEN),
        (A::Outcast, A::Owner, FORBIDDEN),
        (A::None, A::Outcast, OK),
        (A::None, A::Member, OK),
        (A::None, A::Admin, FORBIDDEN),
        (A::None, A::Owner, FORBIDDEN),
        (A::Member, A::Outcast, OK),
        (A::Member, A::None, OK),
        (A::Member, A::Admin, FORBIDDEN),
        (A::Member, A::Owner, FORBIDDEN),
        (A::Admin, A::Outcast, NOT_ALLOWED),
        (A::Admin, A::None, FORBIDDEN),
        (A::Admin, A::Member, FORBIDDEN),
        (A::Admin, A::Owner, FORBIDDEN),
        (A::Owner, A::Outcast, NOT_ALLOWED),
        (A::Owner, A::None, FORBIDDEN),
        (A::Owner, A::Member, FORBIDDEN),
        (A::Owner, A::Admin, FORBIDDEN),
    ] {
        assert_eq!(
            change_affiliation(A::Admin, from, to, false, 2),
            by_admin,
            "{from:?} {to:?}"
        );
        assert_eq!(
            change_affiliation(A::Owner, from, to, false, 2),
            OK,
            "{from:?} {to:?}"
        );
        for nobody in [A::Outcast, A::None, A::Member] {
            assert_eq!(
                change_affiliation(nobody, from, to, false, 2),
                FORBIDDEN,
                "{nobody:?}"
            );
        }
    }
    // §9.1: not oneself. §10.4: the last owner stays one.
    for oneself in [A::Admin, A::Owner] {
        assert_eq!(
            change_affiliation(oneself, oneself, A::Outcast, true, 2),
            CONFLICT
        );
    }
    for to in [A::None, A::Member, A::Admin] {
        assert_eq!(change_affiliation(A::Owner, A::Owner, to, true, 1), CONFLICT);
        assert_eq!(change_affiliation(A::Owner, A::Owner, to, true, 2), OK);
    }
}
