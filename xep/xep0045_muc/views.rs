//! What others are shown of a room and of those in it: copies, which need no lock.

use std::sync::Arc;

use kim_core::jid::{BareJid, Jid};

use super::fields::RoomConfig;
use super::privileges::{Affiliation, Role};

/// A room as an event shows it.
#[derive(Clone, Debug)]
pub struct RoomView {
    /// Its address.
    pub jid: BareJid,
    /// Its settings.
    pub config: Arc<RoomConfig>,
}

/// An occupant.
#[derive(Clone, Debug)]
pub struct OccupantView {
    /// The nickname.
    pub nick: Box<str>,
    /// The occupant's address: `room/nickname`.
    pub address: Jid,
    /// The real address: the session's that acts, or one of the occupant's.
    pub jid: Jid,
    /// The role.
    pub role: Role,
    /// The affiliation.
    pub affiliation: Affiliation,
    /// XEP-0421: the same for all visits of one user to this room, and telling nothing else.
    pub occupant_id: Arc<str>,
}

/// Somebody who belongs to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affiliated {
    /// Who.
    pub jid: BareJid,
    /// What they are.
    pub affiliation: Affiliation,
    /// The nickname that is theirs.
    pub nick: Option<Box<str>>,
}

/// Somebody at a room, inside or outside.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Where.
    pub room: RoomView,
    /// What they are there.
    pub affiliation: Affiliation,
    /// Which occupant the session is.
    pub occupant: Option<OccupantView>,
    /// Whether they are inside or could enter now without saying more (a password).
    pub may_enter: bool,
    /// Whether they see real addresses.
    pub sees_addresses: bool,
}

/// A room that anybody may find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its address.
    pub jid: BareJid,
    /// Its name; empty if it has none.
    pub name: String,
}
