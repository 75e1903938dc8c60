//! XEP-0317 Hats 0.3.1: names for what people are in a room, beside role and affiliation. Admins make them and give them by
//! commands ([`commands`]), presence shows them ([`rack`]).

use std::sync::Arc;

use data_encoding::HEXLOWER;
use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::AccountRemoved;
use kim_core::hook::{Flow, Hear, On, Stage};
use kim_core::module::{At, Coverage, Module, Registrar, Spec};
use kim_core::stanza::IqType;
use sha1::{Digest, Sha1};

use crate::xep0030_disco::api::{InfoAsked, ItemsAsked};
use crate::xep0045_muc::api::{OccupantPresence, RoomAsked, RoomDestroyed, Rooms, SERVICE};

mod commands;
mod disco;
mod rack;
mod store;
#[cfg(test)]
mod tests;

/// The namespace.
const NS: &str = "urn:xmpp:hats:0";

/// The module.
pub struct Hats;

impl Module for Hats {
    type Config = NoSettings;
    const NAME: &'static str = "xep0317_hats";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0317",
        title: "Hats",
        version: "0.3.1",
        coverage: Coverage::Partial("no custom payloads in hats"),
    }];
    const NEEDS: &'static [&'static str] = &["xep0004_forms", "xep0030_disco", "xep0045_muc"];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "xep0317_hats",
        name: "0001_hats",
        sql: include_str!("migrations/0001_hats.sql"),
    }];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let store = store::HatStore::new(house.db);
        let racks = Arc::new(rack::Racks::new(house.db.caches(), store, house.seals.clone()));
        let rooms: Arc<Rooms> = house.needed()?;
        let command = commands::HatCommand {
            rooms: rooms.clone(),
            racks: racks.clone(),
        };
        let within = [At::Within(SERVICE)];
        house.iq(&within, IqType::Set, "command", commands::COMMANDS, command);
        house.feature(&within, NS);
        house.on::<OccupantPresence>(Stage::Stamp, Shown(racks.clone()));
        house.on::<RoomAsked>(Stage::Deliver, Shown(racks.clone()));
        house.hear::<RoomDestroyed>(Stage::Store, Shown(racks.clone()));
        house.hear::<AccountRemoved>(Stage::Notify, Shown(racks));
        house.on::<InfoAsked>(Stage::Deliver, disco::TellHatCommands(rooms.clone()));
        house.on::<ItemsAsked>(Stage::Deliver, disco::ListHatCommands(rooms));
        Ok(())
    }
}

struct Shown(Arc<rack::Racks>);

/// §3.1, §4: only the room gives hats.
impl On<OccupantPresence> for Shown {
    async fn on(&self, event: &mut OccupantPresence, _: &mut Cx) -> Result<Flow, Fault> {
        event.presence.remove(|child| child.ns() == NS);
        let rack = self.0.of(&event.room.jid).await?;
        if let Some(hats) = rack.shown(&event.who.jid.bare()) {
            event.extra.push_str(&hats);
        }
        Ok(Flow::Next)
    }
}

/// §2: "a unique hash based on the list of hats URIs".
impl On<RoomAsked> for Shown {
    async fn on(&self, event: &mut RoomAsked, _: &mut Cx) -> Result<Flow, Fault> {
        let rack = self.0.of(&event.room.jid).await?;
        if rack.hats.is_empty() {
            return Ok(Flow::Next);
        }
        let mut hash = Sha1::new();
        for (uri, hat) in &rack.hats {
            for text in [uri, &hat.title, hat.hue.as_ref().unwrap_or(&Box::default())] {
                hash.update(text.as_bytes());
                hash.update([0]);
            }
        }
        event.form.push((
            "hats#hash".to_owned(),
            "Hats hash".to_owned(),
            vec![HEXLOWER.encode(&hash.finalize())],
        ));
        Ok(Flow::Next)
    }
}

impl Hear<AccountRemoved> for Shown {
    async fn hear(&self, event: &mut AccountRemoved, cx: &mut Cx) -> Result<(), Fault> {
        self.0.forget_account(&event.account, cx).await?;
        Ok(())
    }
}

impl Hear<RoomDestroyed> for Shown {
    async fn hear(&self, event: &mut RoomDestroyed, cx: &mut Cx) -> Result<(), Fault> {
        self.0.forget(&event.room, cx);
        Ok(())
    }
}
