//! All rooms: found in memory, read from the database when somebody needs them, put out of memory when nobody does.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use kim_core::clock::Timestamp;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::Locks;
use kim_core::random;
use kim_core::router::{Destination, Router};
use kim_core::seal::Seals;
use smallvec::SmallVec;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};

use super::config::MucConfig;
use super::errands::Errands;
use super::fields::{Field, Fields, RoomConfig};
use super::limits::Rate;
use super::names::SERVICE;
use super::outgoing::RoomQueue;
use super::passwords::Guesses;
use super::public::{PublicRoom, PublicRooms};
use super::retention::{ARCHIVE, Retention};
use super::room::{Phase, RoomState, SECRET_BYTES};
use super::store::RoomStore;
use super::written::WrittenLately;
use super::{defaults, guests, rows};
use crate::xep0313_mam::api::MessageArchives;

/// Locks for reading a room from the database once, by its address.
const DOORS: usize = 64;
/// Who makes a room anew waits so long for the old one's end to be committed, in seconds.
const GONE_SECONDS_MAX: u64 = 10;

/// A room with its lock and its queue.
pub struct Room {
    /// Its address.
    pub jid: BareJid,
    state: Arc<Mutex<RoomState>>,
    /// What it sends.
    pub outgoing: RoomQueue,
    /// Told when a destroyed room is gone.
    gone: Notify,
}

impl Room {
    fn new(jid: &BareJid, state: RoomState) -> Arc<Room> {
        Arc::new(Room {
            jid: jid.clone(),
            state: Arc::new(Mutex::new(state)),
            outgoing: RoomQueue::default(),
            gone: Notify::new(),
        })
    }
}

/// A room, held: nobody else sees or changes it meanwhile.
pub struct HeldRoom {
    /// Which.
    pub room: Arc<Room>,
    state: OwnedMutexGuard<RoomState>,
}

impl Deref for HeldRoom {
    type Target = RoomState;

    fn deref(&self) -> &RoomState {
        &self.state
    }
}

impl DerefMut for HeldRoom {
    fn deref_mut(&mut self) -> &mut RoomState {
        &mut self.state
    }
}

/// All rooms.
pub struct Registry {
    /// The settings that rooms have.
    pub fields: Fields,
    /// The tables.
    pub store: RoomStore,
    /// `[xep0045_muc]`, with the limits in force.
    pub config: MucConfig,
    /// What seals.
    pub seals: Seals,
    /// The archives of rooms, if that module is enabled.
    pub archives: Option<Arc<MessageArchives>>,
    /// How long they are kept.
    pub retention: Retention,
    /// What rooms did for people lately.
    pub errands: Errands,
    /// Wrong passwords.
    pub guesses: Guesses,
    /// Private messages that may come back.
    pub written: WrittenLately,
    /// How much of the rates a guest has, in percent.
    pub guest_rate_percent: u32,
    /// The rooms that are made at the first start.
    pub defaults: defaults::DefaultRooms,
    /// What public rooms say of themselves.
    pub public: PublicRooms,
    rooms: DashMap<BareJid, Arc<Room>>,
    /// In which rooms a session is.
    seats: DashMap<Jid, SmallVec<[BareJid; 2]>>,
    doors: Locks,
    /// Held while an account makes a room.
    pub makers: Locks,
}

/// What a registry is made of.
pub struct Parts {
    /// The tables.
    pub store: RoomStore,
    /// `[xep0045_muc]`.
    pub config: MucConfig,
    /// What seals.
    pub seals: Seals,
    /// The archives of rooms, if that module is enabled.
    pub archives: Option<Arc<MessageArchives>>,
    /// How long they are kept.
    pub retention: Retention,
    /// What rooms do for people.
    pub errands: Errands,
    /// How much of the rates a guest has, in percent.
    pub guest_rate_percent: u32,
    /// The rooms that are made at the first start.
    pub defaults: defaults::DefaultRooms,
}

impl Registry {
    /// No room in memory yet.
    pub fn new(parts: Parts) -> Registry {
        Registry {
            fields: Fields::default(),
            store: parts.store,
            config: parts.config,
            seals: parts.seals,
            archives: parts.archives,
            retention: parts.retention,
            errands: parts.errands,
            guesses: Guesses::default(),
            written: WrittenLately::default(),
            guest_rate_percent: parts.guest_rate_percent,
            defaults: parts.defaults,
            public: PublicRooms::default(),
            rooms: DashMap::new(),
            seats: DashMap::new(),
            doors: Locks::new(DOORS),
            makers: Locks::new(DOORS),
        }
    }

    /// Whether what is said in a room of these settings is kept.
    pub fn is_kept(&self, config: &RoomConfig) -> bool {
        self.archives.is_some() && config.is(&ARCHIVE)
    }

    /// All settings.
    pub fn fields(&self) -> Vec<Field> {
        self.fields.all()
    }

    /// The rate of messages, or of changes of presence, of somebody.
    pub fn rate(&self, per_second: u32, burst: u32, is_guest: bool) -> Rate {
        let rate = Rate {
            per_second: per_second as f32,
            burst: burst as f32,
        };
        if is_guest {
            rate.percent(self.guest_rate_percent)
        } else {
            rate
        }
    }

    /// A room that exists, held.
    pub async fn hold(&self, jid: &BareJid, router: &Arc<Router>) -> Result<Option<HeldRoom>, Fault> {
        if jid.local().is_none() || router.destination(jid.domain()) != Destination::Service(SERVICE) {
            return Ok(None);
        }
        loop {
            let Some(room) = self.find(jid, router).await? else {
                return Ok(None);
            };
            let mut state = room.state.clone().lock_owned().await;
            match state.phase {
                Phase::Unloaded => {}
                Phase::Destroyed => return Ok(None),
                Phase::Locked { .. } | Phase::Open => {
                    state.used = router.clock().now();
                    return Ok(Some(HeldRoom { room, state }));
                }
            }
        }
    }

    /// The same, or `item-not-found`.
    pub async fn held(&self, jid: &BareJid, router: &Arc<Router>) -> Result<HeldRoom, Fault> {
        let held = self.hold(jid, router).await?;
        held.ok_or_else(|| Condition::ItemNotFound.into())
    }

    /// The same for somebody's request: for guests, a room that was not configured yet is not there (§7.2.10).
    pub async fn open_to(&self, asker: &Jid, jid: &BareJid, router: &Arc<Router>) -> Result<HeldRoom, Fault> {
        let held = self.held(jid, router).await?;
        if held.is_locked(router.clock().now()) && guests::is_guest(&asker.bare(), router) {
            return Err(Condition::ItemNotFound.into());
        }
        Ok(held)
    }

    fn in_memory(&self, jid: &BareJid) -> Option<Arc<Room>> {
        self.rooms.get(jid).map(|room| room.clone())
    }

    async fn find(&self, jid: &BareJid, router: &Arc<Router>) -> Result<Option<Arc<Room>>, Fault> {
        if let Some(room) = self.in_memory(jid) {
            return Ok(Some(room));
        }
        let _door = self.doors.hold(jid).await;
        if let Some(room) = self.in_memory(jid) {
            return Ok(Some(room));
        }
        let state = match self.store.load(jid).await? {
            Some(stored) => {
                let now = router.clock().now();
                rows::open_room(&self.seals, &self.fields, jid, stored, now).await?
            }
            None => {
                let made = self.defaults.make(jid, &self.store, &self.seals, router).await?;
                let Some(state) = made else {
                    return Ok(None);
                };
                let shown = PublicRoom::of(jid, &state.config, &self.retention);
                self.public.put(jid, Some(shown));
                state
            }
        };
        for session in state.seats.keys() {
            self.sat_down(session, jid);
        }
        let room = Room::new(jid, state);
        self.rooms.insert(jid.clone(), room.clone());
        Ok(Some(room))
    }

    /// Makes all default rooms of a service that were not made yet.
    pub async fn make_defaults(&self, service: &str, router: &Arc<Router>) -> Result<(), Fault> {
        if self.defaults.made.contains(service) {
            return Ok(());
        }
        for name in &self.defaults.names {
            if let Ok(room) = BareJid::new(Some(name.as_str()), service) {
                match self.hold(&room, router).await {
                    Err(fault) if rows::is_damage(&fault) => {
                        tracing::warn!(event = "default_room_damaged", %room, ?fault);
                    }
                    held => drop(held?),
                }
            }
        }
        self.defaults.made.insert(service.to_owned());
        Ok(())
    }

    /// What all public rooms say of themselves, by address.
    pub async fn public_rooms(&self) -> Result<Vec<Arc<PublicRoom>>, Fault> {
        self.public
            .all(&self.store, &self.seals, &self.fields, &self.retention)
            .await
    }

    /// Makes a room that is in nobody's way, held; `None` if there is one by now.
    pub async fn make(
        &self,
        jid: &BareJid,
        creator: &BareJid,
        now: Timestamp,
    ) -> Result<Option<HeldRoom>, Fault> {
        self.wait_until_gone(jid).await?;
        let _door = self.doors.hold(jid).await;
        if self.in_memory(jid).is_some() || self.store.load(jid).await?.is_some() {
            return Ok(None);
        }
        let secret: [u8; SECRET_BYTES] = random::bytes();
        let room = Room::new(jid, RoomState::new(jid.clone(), creator, secret, now));
        // Held before anybody finds it: until it has an owner it is nobody's to enter.
        let state = room.state.clone().lock_owned().await;
        self.rooms.insert(jid.clone(), room.clone());
        Ok(Some(HeldRoom { room, state }))
    }

    /// Waits for the end of a destroyed room. One that stays is nothing to wait for: somebody has just made it.
    async fn wait_until_gone(&self, jid: &BareJid) -> Result<(), Fault> {
        let Some(room) = self.in_memory(jid) else {
            return Ok(());
        };
        let gone = room.gone.notified();
        let mut gone = std::pin::pin!(gone);
        // Told before it is looked at again, so that nothing is missed between the two.
        gone.as_mut().enable();
        let is_going = room.state.lock().await.phase == Phase::Destroyed;
        let is_there = self.in_memory(jid).is_some_and(|now| Arc::ptr_eq(&now, &room));
        if !is_going || !is_there {
            return Ok(());
        }
        let wait = tokio::time::timeout(Duration::from_secs(GONE_SECONDS_MAX), gone);
        wait.await
            .map_err(|_| StanzaError::new(Condition::ResourceConstraint).into())
    }

    /// Forgets a room in memory; what is in the database stands. Used when the two may differ.
    pub async fn unload(&self, room: &Arc<Room>) {
        let mut state = room.state.lock().await;
        if state.phase != Phase::Destroyed {
            state.phase = Phase::Unloaded;
        }
        self.forget(room, &state);
    }

    /// Forgets a room whose end is committed.
    pub fn bury(&self, room: &Arc<Room>) {
        self.seals.forget(room.jid.as_str());
        if let Some(archives) = &self.archives {
            archives.forget(&room.jid);
        }
        self.public.put(&room.jid, None);
        self.rooms
            .remove_if(&room.jid, |_, known| Arc::ptr_eq(known, room));
        room.gone.notify_waiters();
    }

    /// Forgets a room whose end could not be committed: it is still there, and is read again.
    pub fn forget_failed(&self, room: &Arc<Room>) {
        self.rooms
            .remove_if(&room.jid, |_, known| Arc::ptr_eq(known, room));
        room.gone.notify_waiters();
    }

    /// Forgets a room that somebody holds.
    pub(super) fn forget(&self, room: &Arc<Room>, state: &RoomState) {
        for session in state.seats.keys() {
            self.stood_up(session, &room.jid);
        }
        self.rooms
            .remove_if(&room.jid, |_, known| Arc::ptr_eq(known, room));
        room.gone.notify_waiters();
    }

    /// Puts rooms out of memory in which nobody is and that nobody has asked for lately.
    pub fn put_away(&self, now: Timestamp, idle_seconds: u64) -> usize {
        let rooms: Vec<Arc<Room>> = self.rooms.iter().map(|room| room.clone()).collect();
        let mut put_away = 0;
        for room in rooms {
            let Ok(mut state) = room.state.try_lock() else {
                continue;
            };
            let is_idle = state.occupants.is_empty()
                && state.phase == Phase::Open
                && now.seconds_since(state.used) >= idle_seconds
                && room.outgoing.is_empty();
            if is_idle {
                state.phase = Phase::Unloaded;
                self.forget(&room, &state);
                put_away += 1;
            }
        }
        self.rooms.shrink_to_fit();
        put_away
    }

    /// How many rooms are in memory.
    #[cfg(test)]
    pub fn loaded(&self) -> usize {
        self.rooms.len()
    }

    /// How many are in which rooms of a service.
    pub fn occupied(&self, service: &str) -> HashMap<BareJid, usize> {
        let of_service = |room: &Arc<Room>| room.jid.domain() == service;
        let rooms: Vec<Arc<Room>> = self
            .rooms
            .iter()
            .map(|room| room.clone())
            .filter(of_service)
            .collect();
        rooms
            .iter()
            .filter_map(|room| Some((room.jid.clone(), room.state.try_lock().ok()?.occupants.len())))
            .filter(|(_, occupants)| *occupants > 0)
            .collect()
    }

    /// Notes that a session is in a room.
    pub fn sat_down(&self, session: &Jid, room: &BareJid) {
        let mut rooms = self.seats.entry(session.clone()).or_default();
        if !rooms.contains(room) {
            rooms.push(room.clone());
        }
    }

    /// Notes that it is not any more.
    pub fn stood_up(&self, session: &Jid, room: &BareJid) {
        if let Some(mut rooms) = self.seats.get_mut(session) {
            rooms.retain(|own| own != room);
        }
        self.seats.remove_if(session, |_, rooms| rooms.is_empty());
    }

    /// The rooms in memory in which a session is.
    pub fn rooms_with(&self, session: &Jid) -> SmallVec<[BareJid; 2]> {
        self.seats
            .get(session)
            .map(|rooms| rooms.clone())
            .unwrap_or_default()
    }
}
