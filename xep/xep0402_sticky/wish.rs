//! What a member wants to hear of a room while away, as their clients keep it (XEP-0402 §2, XEP-0492 §2).

use std::collections::HashMap;
use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::Hear;
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::{Caches, Shared};
use kim_core::router::Router;
use kim_core::wire::El;

use crate::xep0045_muc::api::{RoomView, is_non_anonymous};
use crate::xep0060_pubsub::api::{Item, NodeDeleted, PubSub, Published, Retracted};

/// XEP-0402
const BOOKMARKS: &str = "urn:xmpp:bookmarks:1";
/// XEP-0492, this version and the one before.
const SETTINGS: &[&str] = &[
    "urn:xmpp:notification-settings:1",
    "urn:xmpp:notification-settings:0",
];

/// What a member wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookmarkWish {
    /// To hear of everything.
    Always,
    /// To hear of what mentions them.
    OnMention,
    /// To hear nothing.
    Never,
    /// Their clients do not say: as the kind of room suggests.
    Unsaid,
}

impl BookmarkWish {
    /// XEP-0492 §3: "'always' SHOULD be assumed for direct chats and private group chats, and 'on-mention' for public group
    /// chats".
    pub fn or_default(self, room: &RoomView) -> BookmarkWish {
        match self {
            BookmarkWish::Unsaid if is_non_anonymous(&room.config) => BookmarkWish::Always,
            BookmarkWish::Unsaid => BookmarkWish::OnMention,
            said => said,
        }
    }

    /// What a bookmark says.
    fn of_bookmark(bookmark: El<'_>) -> BookmarkWish {
        if !matches!(bookmark.attr("autojoin").as_deref(), Some("1" | "true")) {
            // "the client SHOULD leave the room": so it is not wanted.
            return BookmarkWish::Never;
        }
        let extensions = bookmark.child("extensions", BOOKMARKS);
        let notify = extensions.and_then(|extensions| {
            extensions
                .children()
                .find(|child| child.name() == "notify" && SETTINGS.contains(&child.ns()))
        });
        notify.map_or(BookmarkWish::Unsaid, BookmarkWish::of_settings)
    }

    /// XEP-0492 §3: the most specific setting counts; the device that sleeps is a phone.
    fn of_settings(notify: El<'_>) -> BookmarkWish {
        let mut best = (0, BookmarkWish::Unsaid);
        for setting in notify.children() {
            let wish = match setting.name() {
                "always" => BookmarkWish::Always,
                "on-mention" => BookmarkWish::OnMention,
                "never" => BookmarkWish::Never,
                _ => continue,
            };
            let (category, kind) = (setting.attr("identity-category"), setting.attr("identity-type"));
            let weight = match (category.as_deref(), kind.as_deref()) {
                (None, None) => 1,
                (Some("client"), None) => 2,
                (Some("client"), Some("phone")) => 3,
                _ => 0,
            };
            if weight > best.0 {
                best = (weight, wish);
            }
        }
        best.1
    }
}

/// What one member wants of each room that they have bookmarked.
type OfMember = Arc<HashMap<BareJid, BookmarkWish>>;

/// Rooms that a member has bookmarked, on average: a guess by which the cache is laid out.
const ROOMS_EXPECTED: usize = 10;

/// The wishes of all members, remembered.
pub struct Wishes {
    pubsub: Arc<PubSub>,
    remembered: Shared<BareJid, OfMember>,
}

impl Wishes {
    /// Nothing is remembered yet.
    pub fn new(caches: &Caches, pubsub: Arc<PubSub>, remembered_max: usize) -> Wishes {
        let members = remembered_max / ROOMS_EXPECTED;
        let weigh = |_: &BareJid, wishes: &OfMember| 1 + wishes.len() as u64;
        Wishes {
            pubsub,
            remembered: Shared::weighed(caches, "sticky.wishes", remembered_max as u64, members, weigh),
        }
    }

    /// What somebody wants to hear of a room.
    pub async fn of(&self, member: &BareJid, room: &BareJid, router: &Router) -> Result<BookmarkWish, Fault> {
        let wishes = self.remembered.read(member, || self.load(member, router)).await?;
        Ok(wishes.get(room).copied().unwrap_or(BookmarkWish::Unsaid))
    }

    async fn load(&self, member: &BareJid, router: &Router) -> Result<OfMember, Fault> {
        let items = self.pubsub.items(router, member, BOOKMARKS, None).await?;
        let wish = |item: &Arc<Item>| {
            let room = Jid::parse(&item.id).ok()?.bare();
            Some((room, BookmarkWish::of_bookmark(item.payload.as_ref()?.el())))
        };
        Ok(Arc::new(items.iter().filter_map(wish).collect()))
    }

    fn forget(&self, member: &BareJid) {
        self.remembered.invalidate(member);
    }
}

/// Bookmarks have changed.
pub struct BookmarksChanged(pub Arc<Wishes>);

impl Hear<Published> for BookmarksChanged {
    async fn hear(&self, event: &mut Published, _: &mut Cx) -> Result<(), Fault> {
        if event.node == BOOKMARKS {
            self.0.forget(&event.owner);
        }
        Ok(())
    }
}

impl Hear<Retracted> for BookmarksChanged {
    async fn hear(&self, event: &mut Retracted, _: &mut Cx) -> Result<(), Fault> {
        if event.node == BOOKMARKS {
            self.0.forget(&event.owner);
        }
        Ok(())
    }
}

impl Hear<NodeDeleted> for BookmarksChanged {
    async fn hear(&self, event: &mut NodeDeleted, _: &mut Cx) -> Result<(), Fault> {
        if event.node == BOOKMARKS {
            self.0.forget(&event.owner);
        }
        Ok(())
    }
}
