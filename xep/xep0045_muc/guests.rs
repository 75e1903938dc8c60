//! Guests (XEP-0175): people without an account may enter public rooms, unless the owner has closed the room to them, and
//! do nothing else here.

use std::sync::Arc;

use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::BareJid;
use kim_core::router::{Destination, Router};
use kim_core::stanza::Stanza;

use super::admission::{MEMBERS_ONLY, PASSWORD_PROTECTED};
use super::fields::{Field, RoomConfig, Shape};
use super::life;
use super::names::USER;

/// Whether guests may enter.
pub const GUESTS: Field = Field {
    private: Some(&["0"]),
    is_told: true,
    ..Field::new(
        "{urn:kim:muc:0}roomconfig_guests",
        "Guests without an account can join",
        Shape::Boolean,
        &["1"],
    )
};

/// Whether somebody is a guest.
pub fn is_guest(user: &BareJid, router: &Arc<Router>) -> bool {
    router.destination(user.domain()) == Destination::Guests
}

/// A guest may enter what is public, open and without a password.
pub fn may_enter(config: &RoomConfig) -> Result<(), Fault> {
    let is_open = config.is(&life::PUBLIC) && !config.is(&MEMBERS_ONLY) && !config.is(&PASSWORD_PROTECTED);
    if is_open && config.is(&GUESTS) {
        return Ok(());
    }
    Err(StanzaError::new(Condition::Forbidden)
        .text("this room does not admit guests")
        .into())
}

/// Refuses what guests may not do.
pub fn refuse(user: &BareJid, router: &Arc<Router>) -> Result<(), Fault> {
    if is_guest(user, router) {
        return Err(StanzaError::new(Condition::Forbidden)
            .text("guests cannot do that; an account is required")
            .into());
    }
    Ok(())
}

/// XEP-0249
const DIRECT_INVITATION: &str = "jabber:x:conference";

/// Refuses an invitation by a guest, direct or mediated, in any kind of message.
pub fn refuse_invitation(stanza: &Stanza, user: &BareJid, router: &Arc<Router>) -> Result<(), Fault> {
    let invites = stanza.has("x", DIRECT_INVITATION)
        || stanza
            .child("x", USER)
            .is_some_and(|x| x.child("invite", USER).is_some());
    if invites { refuse(user, router) } else { Ok(()) }
}
