//! What others may know about an account's devices: everything here is published for all to see.

use std::collections::BTreeMap;
use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::router::Router;

use super::keyring::KeyRing;
use super::nodes::Protocol;
use super::store::DeviceStore;

/// A device on an account's lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: u32,
    /// The versions of OMEMO for which it is on the list: `0.3` and `2`.
    pub versions: Vec<&'static str>,
    /// Its identity key as people compare it, in eight groups (§8); nothing if its bundle is not there or broken.
    pub fingerprint: Option<String>,
    /// How many prekeys its bundle has; the smaller number where there are two bundles.
    pub prekeys: usize,
    /// When it was first seen with this identity.
    pub since: Option<Timestamp>,
}

/// The devices of accounts. A fact of the house.
pub struct Devices {
    pub(super) keys: Arc<KeyRing>,
    pub(super) store: DeviceStore,
}

impl Devices {
    /// An account's devices, in the order of their ids.
    pub async fn of(&self, router: &Router, owner: &BareJid) -> Result<Vec<Device>, Fault> {
        let mut devices = BTreeMap::new();
        for protocol in Protocol::ALL {
            for id in self.keys.devices(router, owner, protocol).await? {
                let bundle = self.keys.bundle(router, owner, protocol, id).await?;
                let device = devices.entry(id).or_insert(Device {
                    id,
                    versions: Vec::new(),
                    fingerprint: None,
                    prekeys: usize::MAX,
                    since: None,
                });
                device.versions.push(match protocol {
                    Protocol::Legacy => "0.3",
                    Protocol::Two => "2",
                });
                device.prekeys = device
                    .prekeys
                    .min(bundle.as_ref().map_or(0, |bundle| bundle.prekeys));
                let fingerprint = bundle.map(|bundle| bundle.fingerprint.to_string());
                device.fingerprint = device.fingerprint.take().or(fingerprint);
            }
        }
        for (id, fingerprint, since) in self.store.known(owner).await? {
            if let Some(device) = devices.get_mut(&id)
                && device.fingerprint.as_ref() == Some(&fingerprint)
            {
                device.since = Some(since);
            }
        }
        Ok(devices.into_values().collect())
    }
}
