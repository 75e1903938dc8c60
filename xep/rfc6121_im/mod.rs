//! RFC 6121, instant messaging and presence: rosters, subscriptions, presence, who gets which message; and what it
//! leaves to its extensions: offline messages (XEP-0160, XEP-0203) and roster versions (XEP-0237, now part of the RFC).
//!
//! A message that arrives costs [`delivery`] a look at the account's sessions and nothing else. Presence that leaves is
//! dealt with in [`presence`] and [`outbound`], presence that arrives in [`inbound`] and [`probe`]. Subscriptions follow
//! the tables of appendix A in [`subscription`]; [`change`] and [`rosters`] carry them out.

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::{
    AccountErased, AccountRemoved, Arrival, Departure, NoSuchAccount, SessionEnded, Undelivered,
};
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Offer, Registrar, Spec};
use kim_core::section;

pub mod api;
mod cache;
mod change;
mod delivery;
mod directed;
mod follow;
mod guard;
mod inbound;
mod item;
mod kept;
mod nobody;
mod offline;
mod outbound;
mod presence;
mod probe;
mod removal;
mod roster;
mod rosters;
mod store;
mod subscription;
mod worth;

#[cfg(test)]
mod tests;

/// The namespace of rosters (RFC 6121 §2.1.1).
const ROSTER: &str = "jabber:iq:roster";

/// Roster versions (§2.6.1) and pre-approved subscriptions (§3.4.1).
const STREAM_FEATURES: [&str; 2] = [
    "<ver xmlns='urn:xmpp:features:rosterver'/>",
    "<sub xmlns='urn:xmpp:features:pre-approval'/>",
];

section! {
    /// Rosters, presence and offline messages (RFC 6121, XEP-0160). [limits] bounds their number.
    pub struct ImConfig {
        /// Bytes of messages stored for one account while it is offline.
        pub offline_bytes_max: usize = 10_485_760, in 0..=1_073_741_824;
        /// Characters of addresses, names and groups in one roster.
        pub roster_text_chars_max: usize = 262_144, in 1_024..=16_777_216;
        /// Bytes of memory for rosters in use.
        pub roster_cache_bytes_max: usize = 67_108_864, in 1_048_576..=17_179_869_184;
    }
}

/// The module.
pub struct Im;

impl Module for Im {
    type Config = ImConfig;
    const NAME: &'static str = "rfc6121_im";
    const SPECS: &'static [Spec] = &[
        Spec::complete("RFC 6121", "Instant Messaging and Presence", ""),
        Spec::complete(
            "XEP-0160",
            "Best Practices for Handling Offline Messages",
            "1.0.1",
        ),
        Spec::complete("XEP-0203", "Delayed Delivery", "2.0"),
        Spec::complete("XEP-0237", "Roster Versioning", "1.3"),
    ];
    const USES: &'static [&'static str] = &["xep0359_ids"];
    const MIGRATIONS: &'static [Migration] = &[
        Migration {
            module: "rfc6121_im",
            name: "0001_roster",
            sql: include_str!("migrations/0001_roster.sql"),
        },
        Migration {
            module: "rfc6121_im",
            name: "0002_offline",
            sql: include_str!("migrations/0002_offline.sql"),
        },
    ];
    const ERASERS: &'static [Eraser] = &[store::roster::erase, store::offline::erase];

    fn register(config: ImConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let rosters = Arc::new(rosters::Rosters::new(house.db, house.limits.clone(), &config));
        let offline = Arc::new(offline::Offline::new(
            house.db,
            house.seals,
            house.limits.clone(),
            config.offline_bytes_max,
        ));
        house.provide(Arc::new(api::Subscriptions::new(rosters.clone())));
        house.provide(Arc::new(api::OfflineMessages::new(offline.clone())));

        let incoming = inbound::IncomingPresence(rosters.clone());
        let outgoing = presence::OutgoingPresence::new(rosters.clone(), offline.clone());
        let keep = offline::KeepOffline {
            offline: offline.clone(),
            rosters: rosters.clone(),
        };
        let nobody = nobody::NotHere::new(offline.clone());
        let roster = roster::RosterIq(rosters.clone());
        let farewell = removal::AccountFarewell { rosters, offline };

        house.at(&[At::Own]).get_and_set("query", ROSTER, roster);
        house.on::<Departure>(Stage::Deliver, outgoing.clone());
        house.on::<Arrival>(Stage::Admit, guard::NoForeignRosters);
        house.on::<Arrival>(Stage::Deliver, delivery::Messages);
        house.on::<Arrival>(Stage::Deliver, incoming);
        house.hear::<Undelivered>(Stage::Store, keep);
        house.on::<NoSuchAccount>(Stage::Deliver, nobody);
        house.hear::<SessionEnded>(Stage::Deliver, outgoing);
        house.hear::<AccountRemoved>(Stage::Deliver, farewell.clone());
        house.hear::<AccountErased>(Stage::Deliver, farewell);
        for feature in STREAM_FEATURES {
            house.stream_feature(Offer::AfterLogin, |_, _| Some(feature.to_owned()));
        }
        if house.limits.now().offline_messages_max > 0 {
            house.feature(&[At::Server], "msgoffline");
        }
        Ok(())
    }
}
