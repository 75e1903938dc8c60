//! Lets the archives of rooms forget: each deletes by its room's settings (`retention.rs`).

use std::sync::{Arc, Weak};

use kim_core::db::BoxFuture;
use kim_core::error::Fault;
use kim_core::jid::BareJid;

use super::names::SERVICE;
use super::rooms::Registry;
use super::rows;
use crate::xep0313_mam::api::OwnRetention;

/// Tells the archives how long those of rooms are kept.
struct OfRooms(Weak<Registry>);

impl OfRooms {
    async fn days_of(&self, owner: &str) -> Result<Option<u32>, Fault> {
        let (Some(registry), Ok(room)) = (self.0.upgrade(), BareJid::parse(owner)) else {
            return Ok(None);
        };
        let is_room = room
            .domain()
            .strip_prefix(SERVICE)
            .is_some_and(|rest| rest.starts_with('.'));
        if !is_room || room.local().is_none() {
            return Ok(None);
        }
        let retention = &registry.retention;
        if retention.rooms_days == retention.guests_days {
            return Ok(Some(retention.rooms_days));
        }
        let Some(sealed) = registry.store.state(&room).await? else {
            return Ok(Some(retention.rooms_days));
        };
        match rows::settings(&registry.seals, &registry.fields, &room, &sealed).await {
            Ok(config) => Ok(Some(retention.days(&config))),
            // Nothing is deleted from a room that may be mended from a backup.
            Err(fault) if rows::is_damage(&fault) => Ok(Some(0)),
            Err(fault) => Err(fault),
        }
    }
}

impl OwnRetention for OfRooms {
    fn days<'a>(&'a self, owner: &'a str) -> BoxFuture<'a, Result<Option<u32>, Fault>> {
        Box::pin(self.days_of(owner))
    }
}

/// Lets the archives of rooms be kept as `[rooms]` says, where it does.
pub fn rule(registry: &Arc<Registry>) {
    if registry.retention.is_own
        && let Some(archives) = &registry.archives
    {
        archives.keep_some_otherwise(Arc::new(OfRooms(Arc::downgrade(registry))));
    }
}
