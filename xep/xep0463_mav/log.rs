//! The versions of each room: the last ones, in memory while they are in use, and in the database.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::random;
use quick_cache::sync::Cache;

use super::store::{VersionChange, VersionStore};
use crate::xep0045_muc::api::{Affiliation, AffiliationChange, once_settled};

/// Versions of one room that are kept; who knows an older one gets the full list.
pub const ENTRIES_MAX: usize = 1_000;
/// Rooms whose versions are held in memory; those of others are read when they are needed.
const ROOMS_MAX: usize = 10_000;

/// A version.
#[derive(Clone)]
pub struct VersionEntry {
    /// Its place among the room's versions.
    pub place: i64,
    /// What clients know it by.
    pub version: Box<str>,
    /// Whose affiliation changed; empty in the first, and where somebody's account was erased.
    pub jid: Box<str>,
    /// What it was before.
    pub was: Affiliation,
}

/// The versions of a room, the oldest first.
#[derive(Clone, Default)]
pub struct Log(VecDeque<VersionEntry>);

impl Log {
    /// The version in force.
    pub fn last(&self) -> Option<&VersionEntry> {
        self.0.back()
    }

    /// Whose affiliation has changed behind a version, and what it was then; `None` if the version is not known.
    pub fn changed_since(&self, version: &str) -> Option<BTreeMap<&str, Affiliation>> {
        let at = self.0.iter().position(|entry| *entry.version == *version)?;
        let mut was = BTreeMap::new();
        for entry in self.0.iter().skip(at + 1).filter(|entry| !entry.jid.is_empty()) {
            was.entry(&*entry.jid).or_insert(entry.was);
        }
        Some(was)
    }

    fn push(&mut self, entry: VersionEntry) {
        self.0.push_back(entry);
        if self.0.len() > ENTRIES_MAX {
            self.0.pop_front();
        }
    }
}

/// The logs of all rooms. A room is held by whoever raises its events, so nobody else changes its log meanwhile. They are
/// ahead of the database until a turn is committed, so nobody outside may drop one: this is no [`kim_core::keyed::Shared`].
pub struct Logs {
    store: VersionStore,
    rooms: Arc<Cache<BareJid, Arc<Log>>>,
}

impl Logs {
    /// Nothing is in memory yet.
    pub fn new(store: VersionStore) -> Logs {
        Logs {
            store,
            rooms: Arc::new(Cache::new(ROOMS_MAX)),
        }
    }

    /// The versions of a room.
    pub async fn of(&self, room: &BareJid) -> Result<Arc<Log>, Fault> {
        let read = async {
            let entries = self.store.load(room).await?;
            Ok::<_, Fault>(Arc::new(Log(entries.into())))
        };
        self.rooms.get_or_insert_async(room, read).await
    }

    /// A new version, because of a change or because it is the first one; its name is given back.
    pub fn note(
        &self,
        room: &BareJid,
        mut log: Arc<Log>,
        change: Option<&AffiliationChange>,
        cx: &mut Cx,
    ) -> Box<str> {
        let version = random::token().into_boxed_str();
        let entry = VersionEntry {
            place: log.last().map_or(0, |last| last.place.saturating_add(1)),
            version: version.clone(),
            jid: change
                .map(|change| change.jid.as_str().into())
                .unwrap_or_default(),
            was: change.map_or(Affiliation::None, |change| change.from),
        };
        cx.store(
            &self.store.sink,
            VersionChange::Entry(room.clone(), entry.clone()),
        );
        // Out of memory for a moment, so that it is changed where it is.
        self.rooms.remove(room);
        Arc::make_mut(&mut log).push(entry);
        self.rooms.insert(room.clone(), log);
        // The next change of the same turn goes on from here. If it is not stored, what is in the database is right.
        let (rooms, room) = (self.rooms.clone(), room.clone());
        once_settled(cx, move |is_stored| {
            if !is_stored {
                rooms.remove(&room);
            }
        });
        version
    }

    /// A room is gone.
    pub fn forget(&self, room: &BareJid, cx: &mut Cx) {
        cx.store(&self.store.sink, VersionChange::Gone(room.clone()));
        let (rooms, room) = (self.rooms.clone(), room.clone());
        once_settled(cx, move |_| {
            rooms.remove(&room);
        });
    }
}
