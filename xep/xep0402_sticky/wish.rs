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
pub enum Wish {
    /// To hear of everything.
    Always,
    /// To hear of what mentions them.
    OnMention,
    /// To hear nothing.
    Never,
    /// Their clients do not say: as the kind of room suggests.
    Unsaid,
}

impl Wish {
    /// XEP-0492 §3: "'always' SHOULD be assumed for direct chats and private group chats, and 'on-mention' for public group
    /// chats".
    pub fn or_default(self, room: &RoomView) -> Wish {
        match self {
            Wish::Unsaid if is_non_anonymous(&room.config) => Wish::Always,
            Wish::Unsaid => Wish::OnMention,
            said => said,
        }
    }

    /// What a bookmark says.
    fn of_bookmark(bookmark: El<'_>) -> Wish {
        if !matches!(bookmark.attr("autojoin").as_deref(), Some("1" | "true")) {
            // "the client SHOULD leave the room": so it is not wanted.
            return Wish::Never;
        }
        let extensions = bookmark.child("extensions", BOOKMARKS);
        let notify = extensions.and_then(|extensions| {
            extensions
                .children()
                .find(|child| child.name() == "notify" && SETTINGS.contains(&child.ns()))
        });
        notify.map_or(Wish::Unsaid, Wish::of_settings)
    }

    /// XEP-0492 §3: the most specific setting counts; the device that sleeps is a phone.
    fn of_settings(notify: El<'_>) -> Wish {
        let mut best = (0, Wish::Unsaid);
        for setting in notify.children() {
            let wish = match setting.name() {
                "always" => Wish::Always,
                "on-mention" => Wish::OnMention,
                "never" => Wish::Never,
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
type OfMember = Arc<HashMap<BareJid, Wish>>;

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
    pub async fn of(&self, member: &BareJid, room: &BareJid, router: &Router) -> Result<Wish, Fault> {
        let wishes = self.remembered.read(member, self.load(member, router)).await?;
        Ok(wishes.get(room).copied().unwrap_or(Wish::Unsaid))
    }

    async fn load(&self, member: &BareJid, router: &Router) -> Result<OfMember, Fault> {
        let items = self.pubsub.items(router, member, BOOKMARKS, None).await?;
        let wish = |item: &Arc<Item>| {
            let room = Jid::parse(&item.id).ok()?.bare();
            Some((room, Wish::of_bookmark(item.payload.as_ref()?.el())))
        };
        Ok(Arc::new(items.iter().filter_map(wish).collect()))
    }

    fn forget(&self, member: &BareJid) {
        self.remembered.invalidate(member);
    }
}

/// Bookmarks have changed.
pub struct Changed(pub Arc<Wishes>);

impl Hear<Published> for Changed {
    async fn hear(&self, event: &mut Published, _: &mut Cx) -> Result<(), Fault> {
        if event.node == BOOKMARKS {
            self.0.forget(&event.owner);
        }
        Ok(())
    }
}

impl Hear<Retracted> for Changed {
    async fn hear(&self, event: &mut Retracted, _: &mut Cx) -> Result<(), Fault> {
        if event.node == BOOKMARKS {
            self.0.forget(&event.owner);
        }
        Ok(())
    }
}

impl Hear<NodeDeleted> for Changed {
    async fn hear(&self, event: &mut NodeDeleted, _: &mut Cx) -> Result<(), Fault> {
        if event.node == BOOKMARKS {
            self.0.forget(&event.owner);
        }
        Ok(())
    }
}
