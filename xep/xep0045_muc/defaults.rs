//! The rooms of `[rooms] default`: public rooms that are there from the first start on. They are made when somebody looks for
//! the first time, and never again once they were: an owner may destroy them.

use std::sync::Arc;

use dashmap::DashSet;
use kim_core::config::RoomName;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::random;
use kim_core::router::Router;

use super::privileges::Affiliation;
use super::public::PublicRoom;
use super::room::{Member, Phase, State};
use super::rooms::Registry;
use super::store::Change;
use super::{life, saved};

/// Which, and whose.
pub struct Defaults {
    /// The names.
    pub names: Vec<RoomName>,
    /// The owners.
    pub admins: Vec<BareJid>,
    /// The services whose rooms were all made.
    pub made: DashSet<String>,
}

impl Defaults {
    fn has(&self, room: &BareJid) -> bool {
        self.names.iter().any(|name| Some(name.as_str()) == room.local())
    }
}

/// A default room that was not made yet: made and stored.
pub async fn make(registry: &Registry, room: &BareJid, router: &Arc<Router>) -> Result<Option<State>, Fault> {
    if !registry.defaults.has(room) || registry.store.is_default_made(room).await? {
        return Ok(None);
    }
    let Some(mut cx) = router.cx() else {
        return Ok(None);
    };
    let mut state = State::new(room.clone(), &room.to_domain(), random::bytes(), cx.received);
    state.phase = Phase::Open;
    state.creator = "".into();
    let mut config = (*state.config).clone();
    config.set(&life::PERSISTENT, vec!["1".into()]);
    state.config = config.into();
    for admin in &registry.defaults.admins {
        let owner = Member {
            affiliation: Affiliation::Owner,
            since: state.created,
            nick: None,
            reason: None,
        };
        state.set_member(admin, Some(owner));
    }
    let sink = &registry.store.sink;
    cx.store(
        sink,
        Change::Room(Box::new(saved::room_row(registry, &state).await?)),
    );
    for admin in &registry.defaults.admins {
        cx.store(sink, saved::member_row(registry, &state, admin).await?);
    }
    cx.store(sink, Change::Default(room.clone()));
    cx.committed().await?;
    registry.public.put(
        room,
        Some(PublicRoom::of(room, &state.config, &registry.retention)),
    );
    tracing::info!(event = "default_room_made", %room);
    Ok(Some(state))
}

/// Makes all default rooms of a service that were not made yet.
pub async fn make_all(registry: &Registry, service: &str, router: &Arc<Router>) -> Result<(), Fault> {
    let defaults = &registry.defaults;
    if defaults.made.contains(service) {
        return Ok(());
    }
    for name in &defaults.names {
        if let Ok(room) = BareJid::new(Some(name.as_str()), service) {
            match registry.hold(&room, router).await {
                Err(fault) if saved::is_damage(&fault) => {
                    tracing::warn!(event = "default_room_damaged", %room, ?fault);
                }
                held => drop(held?),
            }
        }
    }
    defaults.made.insert(service.to_owned());
    Ok(())
}
