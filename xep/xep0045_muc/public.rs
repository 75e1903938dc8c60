//! What public rooms say of themselves, in memory. Channel search (XEP-0433) looks through it, so no room is read or held because
//! somebody looks for one. The first search reads it from the database; from then on every stored change of a room's settings
//! changes it too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::seal::Seals;

use super::fields::{Fields, RoomConfig};
use super::retention::{Keeping, Retention};
use super::store::RoomStore;
use super::{admission, guests, life, privacy, rows};

/// Rooms that are found; a larger service needs an index of its own.
const ROOMS_MAX: usize = 10_000;
/// Bytes of a description that are kept.
const DESCRIPTION_BYTES_MAX: usize = 2_000;
/// Rooms read at once.
const PAGE_ROOMS: usize = 200;

/// A room that anybody may find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicRoom {
    /// Its address.
    pub jid: BareJid,
    /// Its name; empty if it has none.
    pub name: Box<str>,
    /// What it is about; the beginning of a long text.
    pub description: Box<str>,
    /// The language spoken there.
    pub language: Box<str>,
    /// Whether anybody may enter, without a password.
    pub is_open: bool,
    /// Whether people without an account may enter.
    pub admits_guests: bool,
    /// How long it keeps what is said.
    pub keeping: Keeping,
    /// Whether everybody sees everybody's real address.
    pub is_non_anonymous: bool,
}

impl PublicRoom {
    /// What a room with these settings says.
    pub fn of(jid: &BareJid, config: &RoomConfig, retention: &Retention) -> PublicRoom {
        let description = config.text(&life::DESCRIPTION);
        let end = description.floor_char_boundary(DESCRIPTION_BYTES_MAX);
        PublicRoom {
            jid: jid.clone(),
            name: config.text(&life::NAME).into(),
            description: description.get(..end).unwrap_or_default().into(),
            language: config.text(&life::LANGUAGE).into(),
            is_open: !config.is(&admission::MEMBERS_ONLY) && !config.is(&admission::PASSWORD_PROTECTED),
            admits_guests: guests::may_enter(config).is_ok(),
            keeping: retention.keeping(config),
            is_non_anonymous: privacy::is_non_anonymous(config),
        }
    }
}

type PublicChange = (BareJid, Option<Arc<PublicRoom>>);

#[derive(Default)]
enum Catalogue {
    /// Nobody has looked yet, or what is here may be wrong.
    #[default]
    Unread,
    /// It is being read; what has changed since that began.
    Reading(Vec<PublicChange>),
    /// All public rooms, or as many as there is room for.
    Read(Read),
}

#[derive(Default)]
struct Read {
    rooms: BTreeMap<BareJid, Arc<PublicRoom>>,
    /// Some had no place.
    is_full: bool,
}

impl Read {
    fn put(&mut self, (jid, room): PublicChange) {
        match room {
            Some(room) if self.rooms.len() < ROOMS_MAX || self.rooms.contains_key(&jid) => {
                self.rooms.insert(jid, room);
            }
            Some(_) => self.is_full = true,
            None => {
                self.rooms.remove(&jid);
            }
        }
    }
}

/// All public rooms.
#[derive(Default)]
pub struct PublicRooms {
    state: Mutex<Catalogue>,
    reading: tokio::sync::Mutex<()>,
}

impl PublicRooms {
    fn lock(&self) -> MutexGuard<'_, Catalogue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A room's settings are stored; `None`: it is not public, or gone.
    pub fn put(&self, jid: &BareJid, room: Option<PublicRoom>) {
        let change = (jid.clone(), room.map(Arc::new));
        let mut state = self.lock();
        match &mut *state {
            Catalogue::Unread => {}
            Catalogue::Reading(changes) if changes.len() < ROOMS_MAX => changes.push(change),
            Catalogue::Reading(_) => *state = Catalogue::Unread,
            Catalogue::Read(read) => {
                let has_place = change.1.is_none() && read.rooms.contains_key(&change.0);
                if read.is_full && has_place {
                    // For one that had none.
                    *state = Catalogue::Unread;
                } else {
                    read.put(change);
                }
            }
        }
    }

    /// What is here may be wrong: the next search reads it again.
    pub fn forget(&self) {
        *self.lock() = Catalogue::Unread;
    }

    /// All of them, by address.
    pub async fn all(
        &self,
        store: &RoomStore,
        seals: &Seals,
        fields: &Fields,
        retention: &Retention,
    ) -> Result<Vec<Arc<PublicRoom>>, Fault> {
        let known = || match &*self.lock() {
            Catalogue::Read(read) => Some(read.rooms.values().cloned().collect()),
            _ => None,
        };
        if let Some(known) = known() {
            return Ok(known);
        }
        let _reading = self.reading.lock().await;
        if let Some(known) = known() {
            return Ok(known);
        }
        *self.lock() = Catalogue::Reading(Vec::new());
        let read = read(store, seals, fields, retention).await;
        let mut state = self.lock();
        let changes = match std::mem::take(&mut *state) {
            Catalogue::Reading(changes) => Some(changes),
            _ => None,
        };
        let mut read = read?;
        let is_whole = changes.is_some();
        changes.into_iter().flatten().for_each(|change| read.put(change));
        let all = read.rooms.values().cloned().collect();
        if is_whole {
            *state = Catalogue::Read(read);
        }
        Ok(all)
    }
}

async fn read(
    store: &RoomStore,
    seals: &Seals,
    fields: &Fields,
    retention: &Retention,
) -> Result<Read, Fault> {
    let mut read = Read::default();
    let mut after = String::new();
    while !read.is_full {
        let page = store.public(&after, PAGE_ROOMS).await?;
        let Some((last, _)) = page.last() else { break };
        after = last.as_str().to_owned();
        for (jid, sealed) in page {
            match rows::settings(seals, fields, &jid, &sealed).await {
                Ok(config) => {
                    let room = PublicRoom::of(&jid, &config, retention);
                    read.put((jid, Some(Arc::new(room))));
                }
                Err(fault) if rows::is_damage(&fault) => {
                    tracing::warn!(event = "public_room_damaged", room = %jid, "it is not found by search");
                }
                Err(fault) => return Err(fault),
            }
        }
    }
    Ok(read)
}
