//! Holding both nodes in step (§5.3): what a client does to one is done to the other. Only what differs is published, so
//! nobody is told of what has not changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::Hear;
use kim_core::jid::BareJid;
use kim_core::keyed::Locks;
use kim_core::wire::{El, Element};

use super::bookmark::{Bookmark, room_of, storage};
use super::{CURRENT, NATIVE, STORAGE};
use crate::xep0060_pubsub::api::{Draft, Item, NodeDeleted, PubSub, Published, Retracted};

/// Accounts whose bookmarks can be worked on at the same time.
const LOCKS: usize = 64;

/// Knows both nodes.
pub struct BookmarkKeeper {
    pub(super) pubsub: Arc<PubSub>,
    /// One change of an account at a time: each reads all of one node to write the other.
    locks: Locks,
}

impl BookmarkKeeper {
    /// With these nodes.
    pub fn new(pubsub: Arc<PubSub>) -> BookmarkKeeper {
        BookmarkKeeper {
            pubsub,
            locks: Locks::new(LOCKS),
        }
    }

    /// The `<storage/>` that is there.
    pub async fn storage(&self, account: &BareJid, cx: &Cx) -> Result<Option<Element>, Fault> {
        let last = self.pubsub.items(cx.router(), account, STORAGE, Some(1)).await?;
        let payload = last.last().and_then(|item| item.payload.clone());
        // Some clients put a conference there without anything around it; that is no storage.
        Ok(payload.filter(|payload| payload.is("storage", STORAGE)))
    }

    /// Native items have changed, or have been removed: the storage follows.
    async fn to_storage(&self, account: &BareJid, gone: Gone<'_>, cx: &mut Cx) -> Result<(), Fault> {
        let _held = self.locks.hold(account).await;
        let items = self.pubsub.items(cx.router(), account, NATIVE, None).await?;
        let bookmarks: Vec<Bookmark> = items.iter().filter_map(of_item).collect();
        let before = self.storage(account, cx).await?;
        // What merely cannot be read has not been removed.
        let is_gone = |room: &str| match gone {
            Gone::All => true,
            Gone::These(ids) => ids.iter().any(|id| room_of(id) == room),
        };
        let Some(now) = storage(&bookmarks, is_gone, before.as_ref().map(Element::el)) else {
            return Ok(());
        };
        if before.as_ref() != Some(&now) {
            self.pubsub
                .publish(account, STORAGE, vec![Draft::new(CURRENT, now)], cx)
                .await?;
        }
        Ok(())
    }

    /// The storage has changed: native items are published where they differ, and removed where they are not in it.
    pub async fn to_native(&self, account: &BareJid, storage: El<'_>, cx: &mut Cx) -> Result<(), Fault> {
        let _held = self.locks.hold(account).await;
        let wanted = Bookmark::of_storage(storage);
        let items = self.pubsub.items(cx.router(), account, NATIVE, None).await?;
        let there: HashMap<String, &Arc<Item>> = items.iter().map(|item| (room_of(&item.id), item)).collect();
        for bookmark in &wanted {
            let before = there.get(&bookmark.jid);
            if before.and_then(|item| of_item(item)).as_ref() == Some(bookmark) {
                continue;
            }
            let payload = bookmark.native(before.and_then(|item| item.payload.as_ref()));
            if let Some(payload) = payload {
                let id = before.map_or(bookmark.jid.as_str(), |item| &item.id);
                let draft = Draft::new(id, payload);
                self.pubsub.publish(account, NATIVE, vec![draft], cx).await?;
            }
        }
        let rooms: HashSet<&str> = wanted.iter().map(|bookmark| bookmark.jid.as_str()).collect();
        let is_wanted = |item: &Arc<Item>| rooms.contains(room_of(&item.id).as_str());
        let gone: Vec<String> = items
            .iter()
            .filter(|item| !is_wanted(item))
            .map(|item| item.id.to_string())
            .collect();
        if !gone.is_empty() {
            self.pubsub.retract(account, NATIVE, &gone, cx).await?;
        }
        Ok(())
    }
}

/// Which native bookmarks have been removed.
#[derive(Clone, Copy)]
enum Gone<'a> {
    /// The node was emptied or deleted.
    All,
    /// The items of these ids.
    These(&'a [String]),
}

fn of_item(item: &Arc<Item>) -> Option<Bookmark> {
    Bookmark::of_item(&item.id, item.payload.as_ref()?)
}

/// Hears what clients do to either node.
pub struct InStep(pub Arc<BookmarkKeeper>);

impl Hear<Published> for InStep {
    async fn hear(&self, published: &mut Published, cx: &mut Cx) -> Result<(), Fault> {
        if published.by_server || published.owner.local().is_none() {
            return Ok(());
        }
        let owner = published.owner.clone();
        match published.node.as_str() {
            NATIVE => self.0.to_storage(&owner, Gone::These(&[]), cx).await?,
            STORAGE => {
                let last = published.items.last().and_then(|item| item.payload.as_ref());
                if let Some(storage) = last.filter(|payload| payload.is("storage", STORAGE)) {
                    self.0.to_native(&owner, storage.el(), cx).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Hear<Retracted> for InStep {
    async fn hear(&self, retracted: &mut Retracted, cx: &mut Cx) -> Result<(), Fault> {
        if !retracted.by_server && retracted.owner.local().is_some() && retracted.node == NATIVE {
            let gone = match retracted.purged {
                true => Gone::All,
                false => Gone::These(&retracted.ids),
            };
            self.0.to_storage(&retracted.owner.clone(), gone, cx).await?;
        }
        Ok(())
    }
}

impl Hear<NodeDeleted> for InStep {
    async fn hear(&self, deleted: &mut NodeDeleted, cx: &mut Cx) -> Result<(), Fault> {
        let by_owner = !deleted.by.is_bare();
        if by_owner && deleted.owner.local().is_some() && deleted.node == NATIVE {
            self.0.to_storage(&deleted.owner.clone(), Gone::All, cx).await?;
        }
        Ok(())
    }
}
