//! XEP-0357 Push Notifications 0.4.1: a client that the server cannot reach right now is woken by the app server of its makers.
//! The client says which ([`commands`]); the server keeps that, sealed ([`registration`], [`store`]), and publishes that there
//! is something ([`publish`]). What is worth it stands in [`worth`], who is told in [`told`], [`rooms`] and [`members`], and how
//! often, and what becomes of failures, in [`dispatch`]. What ends a notification (a chat that was read elsewhere, a call that
//! is over) is told to devices that this server wakes itself.
//!
//! An app server is any address: a domain on another server, a component, a client.

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::config::Choice;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::{
    AccountErased, Answer, Arrival, Departure, MayWait, Nonza, Opening, PasswordChanged, SessionParked,
    SessionResumed, SessionStarted, Waits,
};
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::section;

use crate::rfc6121_im::api::RosterChanged;
use crate::xep0045_muc::api::{RoomDestroyed, RoomMessage, Rooms, SERVICE};
use crate::xep0050_commands::api::Commands;
use crate::xep0060_pubsub::api::Published;
use crate::xep0402_sticky::api::SaidWhileAway;

pub mod api;
mod commands;
mod dispatch;
mod due;
mod figures;
mod manage;
mod members;
mod publish;
mod registration;
mod rooms;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod told;
mod watch;
mod worth;

const NS: &str = "urn:xmpp:push:0";
const SUMMARY: &str = "urn:xmpp:push:summary";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";

/// Bytes of a node's name.
const NODE_BYTES_MAX: usize = 1_024;
/// Bytes of the publish-options of one registration.
const OPTIONS_BYTES_MAX: usize = 4_096;

/// What notifications may tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// How many messages there are.
    #[default]
    Count,
    /// Also who wrote the last one, to clients that ask for it.
    Sender,
    /// Also what they wrote, unless it is encrypted.
    Body,
}

impl Content {
    fn tells_sender(self) -> bool {
        self != Content::Count
    }

    fn tells_body(self) -> bool {
        self == Content::Body
    }
}

impl Choice for Content {
    const ALL: &'static [Content] = &[Content::Count, Content::Sender, Content::Body];

    fn as_str(self) -> &'static str {
        match self {
            Content::Count => "count",
            Content::Sender => "sender",
            Content::Body => "body",
        }
    }
}

section! {
    /// Push notifications (XEP-0357): clients that are not connected are woken through the app servers of their makers.
    pub struct PushConfig {
        /// The most that a notification may tell: "count" (how many messages), "sender" (also who wrote the last one) or
        /// "body" (also its text, unless it is encrypted). Clients get sender and text only if they ask for them. Browsers
        /// that this server wakes itself are told the sender whatever stands here: the push service cannot read it.
        pub content: Content = Content::Count;
        /// Whether requests for a subscription wake clients.
        pub subscriptions: bool = true;
        /// Registrations of one account.
        pub registrations_max: usize = 20, in 1..=1_000;
        /// Seconds after which further messages cause another notification, while the client has not come back.
        pub repeat_seconds: u32 = 600, in 10..=86_400;
        /// Seconds after which a client that does not acknowledge what it is sent is woken (XEP-0198).
        pub unanswered_seconds: u32 = 10, in 1..=3_600;
        /// Seconds after which an inactive client (XEP-0352) is woken for each message, although it has a connection.
        pub inactive_seconds: u32 = 600, in 0..=86_400;
        /// Notifications in a row that may fail before their registration ends. An app server that does not know the client
        /// any more ends it at once.
        pub failures_max: u32 = 16, in 1..=1_000;
        /// Whether registrations of other clients outlive a change of the account's password.
        pub outlives_password: bool = false;
        /// Notifications that app servers have not answered yet. Further ones wait.
        pub underway_max: usize = 10_000, in 1..=1_000_000;
        /// Registrations, and accounts without any, to keep in memory.
        pub remembered_max: usize = 100_000, in 100..=10_000_000;
    }
}

/// The module.
pub struct Push;

impl Module for Push {
    type Config = PushConfig;
    const NAME: &'static str = "xep0357_push";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0357", "Push Notifications", "0.4.1")];
    const NEEDS: &'static [&'static str] = &["rfc6121_im", "xep0004_forms"];
    const USES: &'static [&'static str] = &[
        "xep0045_muc",
        "xep0050_commands",
        "xep0060_pubsub",
        "xep0198_sm",
        "xep0352_csi",
        "xep0402_sticky",
        "xep0490_mds",
    ];
    const MIGRATIONS: &'static [Migration] = store::MIGRATIONS;
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(config: PushConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let registrations = registration::Registrations::new(
            store::PushStore::new(house.db),
            house.seals,
            house.db.caches(),
            config.remembered_max,
            config.registrations_max,
        );
        let figures = Arc::<figures::Figures>::default();
        let dispatch = Arc::new(dispatch::Dispatch::new(
            config,
            registrations,
            house.wanted(),
            house.wanted(),
            figures.clone(),
        ));
        house.provide(figures);
        house.provide(dispatch.clone());
        let all = Arc::new(api::PushRegistrations(dispatch.clone()));
        if let Some(offered) = house.wanted::<Commands>() {
            manage::offer(&offered, &all);
        }
        house.provide(all);
        house
            .at(&[At::Own])
            .set("enable", NS, commands::Enable(dispatch.clone()))
            .set("disable", NS, commands::Disable(dispatch.clone()));
        if let Some(rooms) = house.wanted::<Rooms>() {
            let enable = members::EnableInRoom {
                dispatch: dispatch.clone(),
                rooms,
            };
            house.at(&[At::Within(SERVICE)]).set("enable", NS, enable).set(
                "disable",
                NS,
                members::DisableInRoom(dispatch.clone()),
            );
            house.hear::<RoomDestroyed>(Stage::Store, members::RoomGone(dispatch.clone()));
        }
        let ears = || told::Ears(dispatch.clone());
        house.hear::<Waits>(Stage::Notify, ears());
        house.on::<Arrival>(Stage::Notify, ears());
        house.on::<Departure>(Stage::Notify, ears());
        house.hear::<MayWait>(Stage::Notify, ears());
        house.hear::<SessionParked>(Stage::Notify, ears());
        house.hear::<SessionStarted>(Stage::Notify, ears());
        house.on::<SessionResumed>(Stage::Notify, ears());
        // Before those who deal with it.
        house.on::<Nonza>(Stage::Stamp, ears());
        house.hear::<Published>(Stage::Notify, ears());
        house.hear::<RosterChanged>(Stage::Notify, ears());
        house.hear::<PasswordChanged>(Stage::Notify, ears());
        house.hear::<AccountErased>(Stage::Store, ears());
        house.hear::<Opening>(Stage::Notify, ears());
        house.on::<Answer>(Stage::Deliver, ears());
        house.on::<RoomMessage>(Stage::Notify, rooms::Inside(dispatch.clone()));
        house.hear::<SaidWhileAway>(Stage::Notify, rooms::Outside(dispatch));
        Ok(())
    }
}
