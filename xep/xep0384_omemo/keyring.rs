//! What an account has published: its lists and the bundles of the devices on them.

use std::collections::BTreeSet;
use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::router::Router;

use super::bundle::Bundle;
use super::devices;
use super::nodes::Protocol;
use crate::xep0060_pubsub::api::{Item, PubSub};

/// Reads what is published; broken things are not there.
pub(super) struct KeyRing {
    pub pubsub: Arc<PubSub>,
    pub devices_max: usize,
    pub prekeys_max: usize,
}

impl KeyRing {
    /// The newest item of a node.
    pub async fn newest(
        &self,
        router: &Router,
        owner: &BareJid,
        node: &str,
    ) -> Result<Option<Arc<Item>>, Fault> {
        let mut items = self.pubsub.items(router, owner, node, Some(1)).await?;
        Ok(items.pop())
    }

    /// The devices on a list.
    pub async fn devices(
        &self,
        router: &Router,
        owner: &BareJid,
        protocol: Protocol,
    ) -> Result<BTreeSet<u32>, Fault> {
        let list = self.list(router, owner, protocol).await?;
        Ok(list.map(|(devices, _)| devices).unwrap_or_default())
    }

    /// The same with when the list was published; `None` if there is no list.
    pub async fn list(
        &self,
        router: &Router,
        owner: &BareJid,
        protocol: Protocol,
    ) -> Result<Option<(BTreeSet<u32>, Timestamp)>, Fault> {
        let Some(list) = self.newest(router, owner, protocol.list_node()).await? else {
            return Ok(None);
        };
        let devices = list
            .payload
            .as_ref()
            .and_then(|payload| devices::check(protocol, payload.el(), self.devices_max).ok());
        Ok(devices.map(|devices| (devices, list.stamp)))
    }

    /// A device's bundle.
    pub async fn bundle(
        &self,
        router: &Router,
        owner: &BareJid,
        protocol: Protocol,
        device: u32,
    ) -> Result<Option<Bundle>, Fault> {
        let node = protocol.bundle_node(device);
        let item = match protocol {
            Protocol::Legacy => self.newest(router, owner, &node).await?,
            Protocol::Two => {
                self.pubsub
                    .item(router, owner, &node, &device.to_string())
                    .await?
            }
        };
        let payload = item.as_ref().and_then(|item| item.payload.as_ref());
        let bundle = payload.map(|bundle| Bundle::check(protocol, bundle.el(), self.prekeys_max));
        Ok(bundle.and_then(Result::ok))
    }
}
