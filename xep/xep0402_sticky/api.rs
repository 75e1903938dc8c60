//! What others hear of: something was said in a room while members were away.

use kim_core::hook::Notice;
use kim_core::jid::BareJid;
use kim_core::stanza::Stanza;

use crate::xep0045_muc::api::{OccupantView, RoomView};

/// A member of a room all of whose devices are away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The account.
    pub jid: BareJid,
    /// Whether the message mentions them (XEP-0372), or answers something they said.
    pub is_mentioned: bool,
    /// Whether they want to be told of it: of everything, or because it mentions them.
    pub wants: bool,
}

/// Something was said in a room, is stored and was sent to all who are there; these members are not. Raised for what has a
/// body or is encrypted. The room is not held: hooks may ask [`crate::xep0045_muc::api::Rooms`] about it.
pub struct SaidWhileAway {
    /// Where.
    pub room: RoomView,
    /// Who said it.
    pub from: OccupantView,
    /// The message as the others got it, with the room's id for it (XEP-0359): to nobody.
    pub stanza: Stanza,
    /// Who did not get it. Those who want to hear nothing of this room are not among them.
    pub absent: Vec<Absent>,
}

impl Notice for SaidWhileAway {
    const NAME: &'static str = "said-while-away";
}
