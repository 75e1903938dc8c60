//! What the pages ask the house: which rooms are public, what an invitation is for. A trait, so that the pages can be
//! tested without a house and the house can change without the pages.

use futures_util::future::BoxFuture;
pub use kim_xep::xep0045_muc::api::Keeping;

/// A public room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicRoom {
    /// The part of its address before the `@`.
    pub name: String,
    /// What people call it; empty if it has no other name.
    pub title: String,
    /// What it is about; may be empty.
    pub about: String,
    /// How many are there, if that is known.
    pub occupants: Option<usize>,
    /// People without an account may enter.
    pub admits_guests: bool,
    /// How long it keeps what is said in it.
    pub keeping: Keeping,
}

impl PublicRoom {
    /// What to call it.
    pub fn shown(&self) -> &str {
        if self.title.is_empty() {
            &self.name
        } else {
            &self.title
        }
    }
}

/// An invitation that can still be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Who invites, as an address; `None` for the operator.
    pub inviter: Option<String>,
    /// The room it leads to: its whole address.
    pub room: Option<String>,
    /// How long that room keeps what is said in it, if it is a room of this server.
    pub keeping: Option<Keeping>,
    /// It lets somebody without an account make one.
    pub may_register: bool,
    /// The only username it is for.
    pub username: Option<String>,
    /// The link that chat apps understand (XEP-0147, XEP-0379, XEP-0445).
    pub uri: String,
}

/// The house could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// What the pages ask the house.
pub trait Guide: Send + Sync + 'static {
    /// The public rooms, some hundreds at most.
    fn rooms(&self) -> BoxFuture<'_, Result<Vec<PublicRoom>, Unavailable>>;

    /// A public room by the name in its address. A room that is not public is as one that is not there.
    fn room<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<PublicRoom>, Unavailable>>;

    /// An invitation by its token; `None` if there never was one, it was used, or its time is over.
    fn invitation<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Invitation>, Unavailable>>;
}
