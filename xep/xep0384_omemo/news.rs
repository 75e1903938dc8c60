//! What the owner of keys is told by the server: a device that is new, and one that cannot be written to. Headlines, to
//! those of the owner's clients that are there.

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::random;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;
use std::sync::Arc;

use super::bundle::Bundle;
use super::devices;
use super::guard::key_node;
use super::keyring::KeyRing;
use super::nodes::{KeyNode, Protocol};
use super::signature::Fingerprint;
use super::store::Store;
use crate::xep0060_pubsub::api::{NotThere, Published};

/// For how long an owner is not told again that a bundle is missing, in microseconds: a day.
const SILENCE_US: i64 = 86_400_000_000;

/// Sends a headline to those of an account's sessions that are available, but one.
async fn tell(owner: &BareJid, but: Option<&Jid>, text: &str, cx: &mut Cx) -> Result<(), Fault> {
    let mut xml = Writer::new();
    xml.start("body", ns::CLIENT).text(text).end();
    let body = xml.finish_string();
    let from = BareJid::new(None, owner.domain())?;
    for session in cx.router().clone().sessions_of(owner).await {
        if session.presence().is_none() || Some(&session.jid) == but {
            continue;
        }
        let headline = Stanza::new(Kind::Message(MessageType::Headline), &body)
            .from(from.clone())
            .to(session.jid.clone())
            .id(random::token());
        cx.send(headline);
    }
    Ok(())
}

/// Notices devices and identities that were not there before.
pub(super) struct NewDevices {
    pub keys: Arc<KeyRing>,
    pub store: Store,
    pub alerts: bool,
}

impl NewDevices {
    /// A device is announced when it is on the list and its bundle is there, whichever comes last.
    async fn found(&self, published: &Published, cx: &Cx) -> Result<Vec<(u32, Fingerprint)>, Fault> {
        let (router, owner) = (cx.router().clone(), &published.owner);
        let mut found = Vec::new();
        let Some(node) = key_node(owner, &published.node) else {
            return Ok(found);
        };
        for item in &published.items {
            let Some(payload) = &item.payload else { continue };
            if let KeyNode::Devices(protocol) = node {
                for device in
                    devices::check(protocol, payload.el(), self.keys.devices_max).unwrap_or_default()
                {
                    let bundle = self.keys.bundle(&router, owner, protocol, device).await?;
                    found.extend(bundle.map(|bundle| (device, bundle.fingerprint)));
                }
                continue;
            }
            let (protocol, device) = (node.protocol(), node.device(&item.id));
            let bundle = Bundle::check(protocol, payload.el(), self.keys.prekeys_max);
            if let (Some(device), Ok(bundle)) = (device, bundle)
                && self
                    .keys
                    .devices(&router, owner, protocol)
                    .await?
                    .contains(&device)
            {
                found.push((device, bundle.fingerprint));
            }
        }
        Ok(found)
    }
}

impl On<Published> for NewDevices {
    async fn on(&self, published: &mut Published, cx: &mut Cx) -> Result<Flow, Fault> {
        let owner = &published.owner;
        for (device, fingerprint) in self.found(published, cx).await? {
            let fingerprint = fingerprint.to_string();
            if self.store.is_known(owner, device, &fingerprint).await?
                || !self.store.learn(owner, device, &fingerprint, cx.received).await?
            {
                continue;
            }
            tracing::info!(event = "omemo_new_device", account = %owner, device);
            if self.alerts {
                let text = format!(
                    "A new device can read your encrypted messages from now on: OMEMO device {device} of {owner}, \
                     fingerprint {fingerprint}. If it is not yours, change your password and remove the device."
                );
                tell(owner, Some(&published.publisher), &text, cx).await?;
            }
        }
        Ok(Flow::Next)
    }
}

/// Notices that somebody looked in vain for the bundle of a device that its owner has announced. They cannot write to that
/// device, and only its owner can help.
pub(super) struct MissingBundles {
    pub keys: Arc<KeyRing>,
    pub store: Store,
}

impl On<NotThere> for MissingBundles {
    async fn on(&self, asked: &mut NotThere, cx: &mut Cx) -> Result<Flow, Fault> {
        let owner = &asked.owner;
        let (protocol, missing) = match key_node(owner, &asked.node) {
            Some(KeyNode::LegacyBundle(device)) => (Protocol::Legacy, Vec::from_iter(device)),
            Some(node @ KeyNode::Bundles) => (
                Protocol::Two,
                asked.ids.iter().filter_map(|id| node.device(id)).collect(),
            ),
            _ => return Ok(Flow::Next),
        };
        if missing.is_empty() {
            return Ok(Flow::Next);
        }
        let listed = self.keys.devices(cx.router(), owner, protocol).await?;
        for device in missing.into_iter().filter(|device| listed.contains(device)) {
            let now = cx.received;
            let before = kim_core::clock::Timestamp(now.0 - SILENCE_US);
            if !self.store.is_due(owner, protocol, device, now, before).await? {
                continue;
            }
            tracing::info!(event = "omemo_bundle_missing", account = %owner, device);
            let text = format!(
                "Nobody can write to OMEMO device {device} of {owner}: it is on your list of devices, but its keys are not \
                 there. Start the app on that device, or remove the device from your list."
            );
            tell(owner, None, &text, cx).await?;
        }
        Ok(Flow::Next)
    }
}
