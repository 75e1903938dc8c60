//! What the owner of keys is told by the server: a device that is new, and one that cannot be written to. Headlines, to
//! those of the owner's clients that are there.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, Hear, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::random;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::{Element, Writer};

use super::bundle::Bundle;
use super::guard::key_node;
use super::keyring::KeyRing;
use super::nodes::{KeyNode, Protocol};
use super::store::DeviceStore;
use crate::xep0060_pubsub::api::{NotThere, Published, Publishing};

/// For how long an owner is not told again that a bundle is missing, in microseconds: a day.
const SILENCE_US: i64 = 86_400_000_000;
/// How old a device list must be before a missing bundle is worth a word, in microseconds: five minutes. Clients publish the
/// list first and the bundle behind it, and contacts ask for the bundle as soon as they hear of the list.
const GRACE_US: i64 = 300_000_000;

/// Those of an account's sessions that are available, but one.
async fn others(owner: &BareJid, but: Option<&Jid>, cx: &Cx) -> Vec<Jid> {
    let sessions = cx.router().clone().sessions_of(owner).await;
    let there = sessions
        .iter()
        .filter(|session| session.presence().is_some() && Some(&session.jid) != but);
    there.map(|session| session.jid.clone()).collect()
}

/// Sends each of them a headline from the server.
fn tell(owner: &BareJid, whom: &[Jid], text: &str, cx: &mut Cx) -> Result<(), Fault> {
    let mut xml = Writer::new();
    xml.start("body", ns::CLIENT).text(text).end();
    let body = xml.finish_string();
    let from = BareJid::new(None, owner.domain())?;
    for jid in whom {
        let headline = Stanza::new(Kind::Message(MessageType::Headline), &body)
            .from(from.clone())
            .to(jid.clone())
            .id(random::token());
        cx.send(headline);
    }
    Ok(())
}

/// Notices devices and identities that were not there before: whatever publishes a bundle under an unknown identity key,
/// on the list or not yet, so that nobody slips in by the order of what they publish.
pub(super) struct NewDevices {
    pub keys: Arc<KeyRing>,
    pub store: DeviceStore,
    pub alerts: bool,
}

/// The identity in each item, as far as they are right.
fn identities<'a>(
    node: KeyNode,
    items: impl Iterator<Item = (&'a str, Option<&'a Element>)>,
    prekeys_max: usize,
) -> Vec<(u32, String)> {
    items
        .filter_map(|(id, payload)| {
            let device = node.device(id)?;
            let bundle = Bundle::check(node.protocol(), payload?.el(), prekeys_max).ok()?;
            Some((device, bundle.fingerprint.to_string()))
        })
        .collect()
}

/// Keys that were there before this module looked (it was disabled, or they were imported) are no news: they are learnt in
/// silence when they are published once more.
impl On<Publishing> for NewDevices {
    async fn on(&self, publishing: &mut Publishing, cx: &mut Cx) -> Result<Flow, Fault> {
        let owner = &publishing.owner;
        let Some(node) = key_node(owner, &publishing.node).filter(|_| !publishing.is_new_node) else {
            return Ok(Flow::Next);
        };
        let items = publishing
            .items
            .iter()
            .map(|item| (item.id.as_str(), item.payload.as_ref()));
        for (device, fingerprint) in identities(node, items, self.keys.prekeys_max) {
            if self.store.is_known(owner, device, &fingerprint).await? {
                continue;
            }
            let before = self
                .keys
                .bundle(cx.router(), owner, node.protocol(), device)
                .await?;
            if before.is_some_and(|bundle| bundle.fingerprint.to_string() == fingerprint) {
                self.store.learn(owner, device, &fingerprint, cx.received).await?;
            }
        }
        Ok(Flow::Next)
    }
}

impl Hear<Published> for NewDevices {
    async fn hear(&self, published: &mut Published, cx: &mut Cx) -> Result<(), Fault> {
        let owner = &published.owner;
        let Some(node) = key_node(owner, &published.node) else {
            return Ok(());
        };
        let items = published
            .items
            .iter()
            .map(|item| (&*item.id, item.payload.as_ref()));
        for (device, fingerprint) in identities(node, items, self.keys.prekeys_max) {
            if self.store.is_known(owner, device, &fingerprint).await?
                || !self.store.learn(owner, device, &fingerprint, cx.received).await?
            {
                continue;
            }
            tracing::info!(event = "omemo_new_device", account = %owner, device);
            if self.alerts {
                let text = format!(
                    "A new device of {owner} has announced that it wants to read your encrypted messages: OMEMO device \
                     {device}, fingerprint {fingerprint}. If it is not yours, change your password and remove the device."
                );
                let others = others(owner, Some(&published.publisher), cx).await;
                tell(owner, &others, &text, cx)?;
            }
        }
        Ok(())
    }
}

/// Notices that somebody else looked in vain for the bundle of a device that its owner has announced. They cannot write to
/// that device, and only its owner can help. The account's own clients do not count: Dino asks for its own bundle to find out
/// whether it must publish one.
pub(super) struct MissingBundles {
    pub keys: Arc<KeyRing>,
    pub store: DeviceStore,
}

impl On<NotThere> for MissingBundles {
    async fn on(&self, asked: &mut NotThere, cx: &mut Cx) -> Result<Flow, Fault> {
        let owner = &asked.owner;
        if asked.by.bare_str() == owner.as_str() {
            return Ok(Flow::Next);
        }
        let (protocol, missing) = match key_node(owner, &asked.node) {
            Some(KeyNode::LegacyBundle(device)) => (Protocol::Legacy, Vec::from_iter(device)),
            Some(node @ KeyNode::Bundles) => (
                Protocol::Two,
                asked.ids.iter().filter_map(|id| node.device(id)).collect(),
            ),
            _ => return Ok(Flow::Next),
        };
        let told = others(owner, None, cx).await;
        if missing.is_empty() || told.is_empty() {
            return Ok(Flow::Next);
        }
        let now = cx.received;
        let list = self.keys.list(cx.router(), owner, protocol).await?;
        let Some((listed, _)) = list.filter(|(_, since)| now.0.saturating_sub(since.0) >= GRACE_US) else {
            return Ok(Flow::Next);
        };
        for device in missing.into_iter().filter(|device| listed.contains(device)) {
            let before = Timestamp(now.0 - SILENCE_US);
            if !self.store.is_due(owner, protocol, device, now, before).await? {
                continue;
            }
            tracing::info!(event = "omemo_bundle_missing", account = %owner, device);
            let text = format!(
                "Encrypted messages cannot reach OMEMO device {device} of {owner}: it is on your device list, but its keys \
                 are missing. Open the app on that device to publish them. If you no longer use the device, remove it from \
                 your device list."
            );
            tell(owner, &told, &text, cx)?;
        }
        Ok(Flow::Next)
    }
}
