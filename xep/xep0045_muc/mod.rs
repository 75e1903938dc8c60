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
use kim_core::module::{At, Coverage, Identity, Module, Registrar, Spec};
use kim_core::section;
use kim_core::stanza::IqType;

use crate::xep0030_disco::api as disco_api;
use crate::xep0191_blocking::api::Blocks;

mod admin;
mod affiliations;
pub mod api;
mod arrival;
mod configuration;
mod defaults;
mod destroy;
mod disco;
mod e2ee;
mod enter;
mod errands;
mod farewell;
mod fields;
mod forged;
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
mod nick;
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
mod saved;
mod settled;
mod shown;
mod store;
mod subject;
#[cfg(test)]
mod tests;
mod voice;

section! {
    /// Multi-user chat rooms (XEP-0045).
    pub struct MucConfig {
        /// Rooms that one account can create.
        pub rooms_per_account_max: usize = 100, in 1..=1_000_000;
        /// Occupants of one room. Its owner can set a lower limit.
        pub occupants_max: usize = 5_000, in 2..=100_000;
        /// Affiliations in one room, including bans.
        pub affiliations_max: usize = 20_000, in 10..=1_000_000;
        /// Recent messages that a room keeps in memory for people who join.
        pub history_messages_max: usize = 50, in 0..=1_000;
        /// Bytes in one message to a room.
        pub message_bytes_max: usize = 65_536, in 10_000..=16_777_216;
        /// Bytes in one presence stanza to a room. (row 21)
        pub presence_bytes_max: usize = 8_192, in 1_024..=262_144;
        /// Messages per second that an occupant can send in the long run. (row 21)
        pub messages_per_second: u32 = 10, in 1..=1_000_000;
        /// Messages that an occupant can send at once after a pause. (row 21)
        pub messages_burst: u32 = 100, in 1..=1_000_000;
        /// Changes of presence or nickname per second that an occupant can make in the long run. (row 21)
        pub presences_per_second: u32 = 1, in 1..=1_000_000;
        /// Changes of presence or nickname that an occupant can make at once after a pause. (row 21)
        pub presences_burst: u32 = 20, in 1..=1_000_000;
        /// Bytes waiting to be sent by one room.
        pub queue_bytes_max: usize = 16_777_216, in 65_536..=1_073_741_824;
    }
}

impl MucConfig {
    /// The limits to go by: those on rates, counts and queues are lifted with the others (`[limits] enabled`).
    fn effective(self, enabled: bool) -> MucConfig {
        const MANY: usize = 1_000_000_000;
        const FAST: u32 = 1_000_000_000;
        if enabled {
            return self;
        }
        MucConfig {
            rooms_per_account_max: MANY,
            occupants_max: MANY,
            messages_per_second: FAST,
            messages_burst: FAST,
            presences_per_second: FAST,
            presences_burst: FAST,
            queue_bytes_max: MANY,
            ..self
        }
    }
}

/// The settings of a room, in the order of the form.
const FIELDS: &[fields::Field] = &[
    life::NAME,
    life::DESCRIPTION,
    life::LANGUAGE,
    life::PUBLIC,
    life::PERSISTENT,
    enter::MEMBERS_ONLY,
    enter::PASSWORD_PROTECTED,
    enter::PASSWORD,
    enter::OCCUPANTS_MAX,
    guests::GUESTS,
    registration::REGISTRATION,
    invitations::MAY_INVITE,
    voice::MODERATED,
    subject::MAY_CHANGE,
    private::MAY_WRITE,
    nick::LOCKED,
    privacy::WHOIS,
    privacy::MEMBER_LIST,
    privacy::BROADCAST,
    history::ARCHIVE,
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
        spec("XEP-0249", "Direct MUC Invitations", "1.2"),
        spec("XEP-0410", "MUC Self-Ping (Schrödinger's Chat)", "1.1.0"),
        spec(
            "XEP-0421",
            "Occupant identifiers for semi-anonymous MUCs",
            "1.0.1",
        ),
    ];
    const NEEDS: &'static [&'static str] = &["xep0004_forms", "xep0030_disco"];
    const USES: &'static [&'static str] = &["xep0059_rsm", "xep0191_blocking", "xep0313_mam"];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        room: "xep0045_muc",
        name: "0001_rooms",
        sql: include_str!("migrations/0001_rooms.sql"),
    }];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(config: MucConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let archives = house.wanted();
        let registry = Arc::new(rooms::Registry::new(rooms::Parts {
            store: store::Store::new(house.db.clone()),
            config: config.effective(house.config.limits.enabled),
            seals: house.seals.clone(),
            retention: retention::Retention::of(house.config, archives.as_deref()),
            archives,
            errands: errands::Errands::new(Blocks::of(house), house.config.limits.enabled),
            guest_rate_percent: house.config.limits.effective().guest_rate_percent,
            defaults: defaults::Defaults {
                names: house.config.rooms.default.clone(),
                admins: house.config.server.admins.clone(),
                made: dashmap::DashSet::new(),
            },
        }));
        retention::rule(&registry);
        // Without the archive module there is nothing for an owner to choose.
        let has_archives = registry.archives.is_some();
        for field in FIELDS
            .iter()
            .filter(|field| has_archives || field.var != history::ARCHIVE.var)
        {
            registry.fields.add(*field);
        }
        house.service(api::SERVICE);
        let (service, within) = (At::Service(api::SERVICE), At::Within(api::SERVICE));
        house.identity(
            service,
            Identity {
                category: "conference",
                kind: "text",
                name: "Rooms",
            },
        );
        let everywhere = [service, within];
        for feature in [
            api::MUC,
            "http://jabber.org/protocol/muc#stable_id",
            api::OCCUPANT_ID,
        ] {
            house.feature(&everywhere, feature);
        }
        house.feature(&[service], crate::xep0059_rsm::api::NS);
        house.feature(&[within], "http://jabber.org/protocol/muc#self-ping-optimization");
        if let Some(archives) = &registry.archives {
            house.feature(&[within], "urn:xmpp:sid:0");
            house.on::<api::RoomMessage>(Stage::Store, message::Keep(archives.clone()));
        }

        house.on::<ServiceArrival>(Stage::Deliver, arrival::Arrivals(registry.clone()));
        house.hear::<SessionEnded>(Stage::Admit, farewell::EndOfSession(registry.clone()));
        house.hear::<AccountRemoved>(Stage::Deliver, farewell::EndOfAccount(registry.clone()));
        let begun = std::sync::Once::new();
        house.hear::<SessionStarted>(
            Stage::Notify,
            farewell::Begin {
                registry: registry.clone(),
                begun,
            },
        );
        house.on::<api::RoomMessage>(Stage::Admit, e2ee::Require);

        house.on::<disco_api::InfoAsked>(Stage::Admit, disco::TellInfo(registry.clone()));
        house.on::<disco_api::ItemsAsked>(Stage::Admit, disco::TellItems(registry.clone()));
        house.iq(
            &[service],
            IqType::Get,
            "query",
            disco_api::ITEMS,
            disco::ListRooms(registry.clone()),
        );
        for kind in [IqType::Get, IqType::Set] {
            house.iq(
                &[within],
                kind,
                "query",
                api::ADMIN,
                admin::Admin(registry.clone()),
            );
            house.iq(
                &[within],
                kind,
                "query",
                api::OWNER,
                configuration::Owner(registry.clone()),
            );
            house.iq(
                &[within],
                kind,
                "query",
                registration::NS,
                registration::Register(registry.clone()),
            );
        }
        house.provide(Arc::new(api::Rooms(registry)));
        Ok(())
    }
}

const fn spec(id: &'static str, title: &'static str, version: &'static str) -> Spec {
    Spec {
        id,
        title,
        version,
        coverage: Coverage::Complete,
    }
}
