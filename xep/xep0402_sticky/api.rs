//! What others hear of: something was said in a room while members were away.

use std::sync::Arc;

use kim_core::error::Fault;
use kim_core::hook::Notice;
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_core::stanza::Stanza;

pub use super::mention::mentioned;
use super::wish::{BookmarkWish, Wishes};
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

/// What people want to hear of rooms that they have bookmarked. Reads come from memory.
pub struct RoomWishes(pub(super) Arc<Wishes>);

impl RoomWishes {
    /// Whether somebody wants to be told of a message in a room. Where they do not say, a room of this server is known to be
    /// private or not; of one elsewhere (`view` is none) they are told of what mentions them (XEP-0492 §3).
    pub async fn wants(
        &self,
        member: &BareJid,
        room: &BareJid,
        view: Option<&RoomView>,
        is_mentioned: bool,
        router: &Router,
    ) -> Result<bool, Fault> {
        let wish = self.0.of(member, room, router).await?;
        let wish = view.map_or(wish, |view| wish.or_default(view));
        Ok(match wish {
            BookmarkWish::Always => true,
            BookmarkWish::Never => false,
            BookmarkWish::OnMention | BookmarkWish::Unsaid => is_mentioned,
        })
    }
}
