//! The rooms of `[rooms] default`: public rooms that are there from the first start on. They are made when somebody looks for
//! the first time, and never again once they were: an owner may destroy them.

use std::sync::Arc;

use dashmap::DashSet;
use kim_core::config::RoomName;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::random;
use kim_core::router::Router;
use kim_core::seal::Seals;

use super::privileges::Affiliation;
use super::room::{Member, Phase, RoomState};
use super::store::{RoomChange, RoomStore};
use super::{life, rows};

/// Which, and whose.
pub struct DefaultRooms {
    /// The names.
    pub names: Vec<RoomName>,
    /// The owners.
    pub admins: Vec<BareJid>,
    /// The services whose rooms were all made.
    pub made: DashSet<String>,
}

impl DefaultRooms {
    fn has(&self, room: &BareJid) -> bool {
        self.names.iter().any(|name| Some(name.as_str()) == room.local())
    }

    /// A default room that was not made yet: made and stored.
    pub async fn make(
        &self,
        room: &BareJid,
        store: &RoomStore,
        seals: &Seals,
        router: &Arc<Router>,
    ) -> Result<Option<RoomState>, Fault> {
        if !self.has(room) || store.is_default_made(room).await? {
            return Ok(None);
        }
        let Some(mut cx) = router.cx() else {
            return Ok(None);
        };
        let mut state = RoomState::new(room.clone(), &room.to_domain(), random::bytes(), cx.received);
        state.phase = Phase::Open;
        state.creator = "".into();
        let mut config = (*state.config).clone();
        config.set(&life::PERSISTENT, vec!["1".into()]);
        state.config = config.into();
        for admin in &self.admins {
            let owner = Member {
                affiliation: Affiliation::Owner,
                since: state.created,
                nick: None,
                reason: None,
            };
            state.set_member(admin, Some(owner));
        }
        let sink = &store.sink;
        cx.store(
            sink,
            RoomChange::Room(Box::new(rows::room_row(seals, &state).await?)),
        );
        for admin in &self.admins {
            cx.store(sink, rows::member_row(seals, &state, admin).await?);
        }
        cx.store(sink, RoomChange::Default(room.clone()));
        cx.committed().await?;
        tracing::info!(event = "default_room_made", %room);
        Ok(Some(state))
    }
}
