//! XEP-0384 OMEMO Encryption 0.9.1, and 0.3, which is what clients use: guards the keys that they publish for each other.
//!
//! The server neither encrypts nor decrypts. It sees to it that key nodes are readable for all ([`guard`]), that bundles work
//! ([`bundle`], [`signature`]; each way to be broken is a [`flaw`]), that devices that announce themselves at once find each
//! other ([`races`]), and that owners hear of devices that are new or cannot be written to ([`news`]).

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::config::Choice;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::hook::Stage;
use kim_core::module::{Module, Registrar, Spec};
use kim_core::section;

use crate::xep0060_pubsub::api::{
    Configuring, NodeDefaults, NodeDeleted, NotThere, Published, Publishing, Removing, Retracted,
};

pub mod api;
pub mod bundle;
pub mod devices;
pub mod flaw;
mod guard;
mod keyring;
mod news;
pub mod nodes;
mod races;
pub mod signature;
mod store;
#[cfg(test)]
mod tests;

/// What becomes of published keys that are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPolicy {
    /// They are not looked at.
    Off,
    /// They are published, and logged.
    Warn,
    /// The publisher gets them back with the reason.
    Enforce,
}

impl Choice for KeyPolicy {
    const ALL: &'static [KeyPolicy] = &[KeyPolicy::Off, KeyPolicy::Warn, KeyPolicy::Enforce];

    fn as_str(self) -> &'static str {
        match self {
            KeyPolicy::Off => "off",
            KeyPolicy::Warn => "warn",
            KeyPolicy::Enforce => "enforce",
        }
    }
}

section! {
    /// OMEMO keys that clients publish (XEP-0384).
    pub struct OmemoConfig {
        /// What to do with keys that are provably broken: "enforce" refuses them and says why, "warn" logs a warning,
        /// "off" does not check.
        pub policy: KeyPolicy = KeyPolicy::Enforce;
        /// Notify people of each new device of their account, with its fingerprint.
        pub alerts: bool = true;
        /// Prekeys in one bundle.
        pub prekeys_max: usize = 500, in 25..=5_000;
        /// Devices in one device list.
        pub devices_max: usize = 100, in 1..=1_000;
    }
}

/// The module.
pub struct Omemo;

impl Module for Omemo {
    type Config = OmemoConfig;
    const NAME: &'static str = "xep0384_omemo";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0384", "OMEMO Encryption", "0.9.1")];
    const NEEDS: &'static [&'static str] = &["xep0060_pubsub", "xep0163_pep"];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "xep0384_omemo",
        name: "0001_omemo",
        sql: include_str!("migrations/0001_omemo.sql"),
    }];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(config: OmemoConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let store = store::DeviceStore::new(house.db.clone());
        let keys = Arc::new(keyring::KeyRing {
            pubsub: house.needed()?,
            devices_max: config.devices_max,
            prekeys_max: config.prekeys_max,
        });
        house.provide(Arc::new(api::Devices {
            keys: keys.clone(),
            store: store.clone(),
        }));
        house.on::<NodeDefaults>(Stage::Stamp, guard::StayOpen);
        house.on::<Publishing>(Stage::Admit, guard::Inspect(config.clone()));
        house.on::<Publishing>(Stage::Stamp, guard::StayOpen);
        house.on::<Configuring>(Stage::Stamp, guard::StayOpen);
        house.on::<Removing>(Stage::Stamp, guard::StayOpen);
        house.hear::<Published>(Stage::Deliver, races::LastWord(keys.clone()));
        house.hear::<Retracted>(Stage::Deliver, races::LastWord(keys.clone()));
        house.hear::<NodeDeleted>(Stage::Deliver, races::LastWord(keys.clone()));
        house.on::<NotThere>(
            Stage::Notify,
            news::MissingBundles {
                keys: keys.clone(),
                store: store.clone(),
            },
        );
        let new_devices = || news::NewDevices {
            keys: keys.clone(),
            store: store.clone(),
            alerts: config.alerts,
        };
        house.on::<Publishing>(Stage::Store, new_devices());
        house.hear::<Published>(Stage::Notify, new_devices());
        Ok(())
    }
}
