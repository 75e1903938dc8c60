//! XEP-0045 Multi-User Chat 1.35.5: rooms in which many people talk; with XEP-0249 direct invitations (which need nothing of
//! a server but to be carried), XEP-0410 self-pings and XEP-0421 occupant ids.
//!
//! [`arrival`] hears what is sent to the service and hands it to the file that is about it: [`enter`], [`leave`], [`nick`],
//! [`message`], [`subject`], [`private`], [`relay`], [`invitations`], [`voice`]. Requests are in [`admin`], [`configuration`],
//! [`registration`] and [`disco`]. What they may do stands in [`privileges`], what they change is a [`room`], which [`rooms`]
//! finds and keeps, and what follows from a change goes through [`post`]: committed first, then told to everybody in one
//! order. Each part declares its own setting ([`fields`]) beside its code.

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::{AccountRemoved, ServiceArrival, SessionEnded, SessionStarted};
use kim_core::hook::Stage;
use kim_core::module::{At, Coverage, Module, Registrar, Spec};

use crate::xep0030_disco::api as disco_api;
use crate::xep0191_blocking::api::Blocks;

mod admin;
mod admission;
mod affiliations;
pub mod api;
mod arrival;
mod config;
mod configuration;
mod defaults;
mod destroy;
mod disco;
mod e2ee;
mod enter;
mod errands;
mod events;
mod farewell;
mod fields;
mod forged;
mod forgetting;
mod founded;
mod ghosts;
mod guests;
mod history;
mod invitations;
mod leave;
mod life;
mod limits;
mod listed;
mod message;
mod names;
mod news;
mod nick;
mod opening;
mod outgoing;
mod passwords;
mod post;
mod presence;
mod privacy;
mod private;
mod privileges;
mod public;
mod registration;
mod relay;
mod retention;
mod roles;
mod room;
mod rooms;
mod rows;
mod saved;
mod settled;
mod shown;
mod speech;
mod store;
mod subject;
#[cfg(test)]
mod tests;
mod turn;
mod views;
mod voice;
mod written;

pub use config::MucConfig;

/// The settings of a room, in the order of the form.
const FIELDS: &[fields::Field] = &[
    life::NAME,
    life::DESCRIPTION,
    life::LANGUAGE,
    life::PUBLIC,
    life::PERSISTENT,
    admission::MEMBERS_ONLY,
    admission::PASSWORD_PROTECTED,
    admission::PASSWORD,
    admission::OCCUPANTS_MAX,
    guests::GUESTS,
    registration::REGISTRATION,
    invitations::MAY_INVITE,
    admission::MODERATED,
    subject::MAY_CHANGE,
    private::MAY_WRITE,
    nick::LOCKED,
    privacy::WHOIS,
    privacy::MEMBER_LIST,
    privacy::BROADCAST,
    retention::ARCHIVE,
    history::HISTORY_MAX,
    e2ee::POLICY,
];

/// The module.
pub struct Muc;

impl Module for Muc {
    type Config = MucConfig;
    const NAME: &'static str = "xep0045_muc";
    const SPECS: &'static [Spec] = &[
        Spec {
            id: "XEP-0045",
            title: "Multi-User Chat",
            version: "1.35.5",
            coverage: Coverage::Partial(
                "new rooms are unlisted rather than locked until they are configured",
            ),
        },
        Spec::complete("XEP-0249", "Direct MUC Invitations", "1.2"),
        Spec::complete("XEP-0410", "MUC Self-Ping (Schrödinger's Chat)", "1.1.0"),
        Spec::complete(
            "XEP-0421",
            "Occupant identifiers for semi-anonymous MUCs",
            "1.0.1",
        ),
    ];
    const NEEDS: &'static [&'static str] = &["xep0004_forms", "xep0030_disco"];
    const USES: &'static [&'static str] = &["xep0059_rsm", "xep0191_blocking", "xep0313_mam"];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "xep0045_muc",
        name: "0001_rooms",
        sql: include_str!("migrations/0001_rooms.sql"),
    }];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(config: MucConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let registry = registry(config, house);
        let (service, within) = (At::Service(names::SERVICE), At::Within(names::SERVICE));
        house.service(names::SERVICE);
        house
            .at(&[service])
            .identity("conference", "text", "Rooms")
            .get("query", disco_api::ITEMS, disco::ListRooms(registry.clone()))
            .feature(crate::xep0059_rsm::api::NS);
        house
            .at(&[within])
            .get_and_set("query", names::ADMIN, admin::Admin(registry.clone()))
            .get_and_set(
                "query",
                names::OWNER,
                configuration::OwnerRequests(registry.clone()),
            )
            .get_and_set(
                "query",
                registration::NS,
                registration::RegisterInRoom(registry.clone()),
            )
            .feature("http://jabber.org/protocol/muc#self-ping-optimization");
        house
            .at(&[service, within])
            .feature(names::MUC)
            .feature("http://jabber.org/protocol/muc#stable_id")
            .feature(names::OCCUPANT_ID);

        house.on::<ServiceArrival>(Stage::Deliver, arrival::Arrivals(registry.clone()));
        house.on::<disco_api::InfoAsked>(Stage::Admit, disco::TellRoomInfo(registry.clone()));
        house.on::<disco_api::ItemsAsked>(Stage::Admit, disco::TellRoomItems(registry.clone()));
        house.on::<events::RoomMessage>(Stage::Admit, e2ee::Require);
        if let Some(archives) = &registry.archives {
            house.at(&[within]).feature("urn:xmpp:sid:0");
            house.on::<events::RoomMessage>(Stage::Store, message::KeepInArchive(archives.clone()));
        }
        house.hear::<SessionStarted>(Stage::Notify, farewell::Begin::new(registry.clone()));
        house.hear::<SessionEnded>(Stage::Admit, farewell::EndOfSession(registry.clone()));
        house.hear::<AccountRemoved>(Stage::Deliver, farewell::EndOfAccount(registry.clone()));
        house.provide(Arc::new(api::Rooms(registry)));
        Ok(())
    }
}

/// All rooms, with the fields of their configuration form that this module defines.
fn registry(config: MucConfig, house: &Registrar<'_>) -> Arc<rooms::Registry> {
    let archives = house.wanted();
    let registry = Arc::new(rooms::Registry::new(rooms::Parts {
        store: store::RoomStore::new(house.db.clone()),
        config: config.effective(house.config.limits.enabled),
        seals: house.seals.clone(),
        retention: retention::Retention::of(house.config, archives.as_deref()),
        archives,
        errands: errands::Errands::new(Blocks::of(house), house.config.limits.enabled),
        guest_rate_percent: house.config.limits.effective().guest_rate_percent,
        defaults: defaults::DefaultRooms {
            names: house.config.rooms.default.clone(),
            admins: house.config.server.admins.clone(),
            made: dashmap::DashSet::new(),
        },
    }));
    forgetting::rule(&registry);
    // Without the archive module there is nothing for an owner to choose.
    let has_archives = registry.archives.is_some();
    for field in FIELDS
        .iter()
        .filter(|field| has_archives || field.var != retention::ARCHIVE.var)
    {
        registry.fields.add(*field);
    }
    registry
}
