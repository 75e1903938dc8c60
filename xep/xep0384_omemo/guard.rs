//! Who publishes keys publishes what others can use: the nodes are readable for all whatever the client says or omits, and
//! what is provably broken is refused with a reason.

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::hook::{Flow, On};
use kim_core::jid::BareJid;

use super::bundle::{Bundle, PREKEYS_MIN};
use super::flaw::Flaw;
use super::nodes::{KeyNode, Protocol};
use super::{KeyPolicy, OmemoConfig, devices};
use crate::xep0060_pubsub::api::{
    AccessModel, Configuring, Draft, Most, NodeConfig, NodeDefaults, PublishModel, Publishing, Removing,
};

/// A key node of an account. At the service a node may be called as it likes.
pub(super) fn key_node(owner: &BareJid, node: &str) -> Option<KeyNode> {
    owner.local().and_then(|_| KeyNode::of(node))
}

/// Checks what is published.
pub(super) struct Inspect(pub OmemoConfig);

impl Inspect {
    fn check(&self, node: KeyNode, publishing: &Publishing) -> Result<(), Flaw> {
        if publishing.publisher.bare() != publishing.owner {
            return Err(Flaw::ForeignAccount);
        }
        publishing
            .items
            .iter()
            .try_for_each(|item| self.check_item(node, item))
    }

    fn check_item(&self, node: KeyNode, item: &Draft) -> Result<(), Flaw> {
        let payload = item.payload.as_ref().ok_or(Flaw::WrongElement)?.el();
        if let KeyNode::Devices(protocol) = node {
            return devices::check(protocol, payload, self.0.devices_max).map(|_| ());
        }
        let device = node.device(&item.id).ok_or(Flaw::WrongDeviceId)?;
        let bundle = Bundle::check(node.protocol(), payload, self.0.prekeys_max)?;
        if node.protocol() == Protocol::Two && bundle.prekeys < PREKEYS_MIN {
            tracing::debug!(event = "omemo_few_prekeys", device, prekeys = bundle.prekeys);
        }
        Ok(())
    }
}

impl On<Publishing> for Inspect {
    async fn on(&self, publishing: &mut Publishing, _: &mut Cx) -> Result<Flow, Fault> {
        let Some(node) = key_node(&publishing.owner, &publishing.node) else {
            return Ok(Flow::Next);
        };
        if publishing.by_server || self.0.policy == KeyPolicy::Off {
            return Ok(Flow::Next);
        }
        let Err(flaw) = self.check(node, publishing) else {
            return Ok(Flow::Next);
        };
        let is_refused = self.0.policy == KeyPolicy::Enforce;
        tracing::info!(
            event = "omemo_keys_broken", account = %publishing.owner, node = %publishing.node, reason = flaw.name(), is_refused
        );
        match is_refused {
            true => Err(StanzaError::new(Condition::NotAcceptable)
                .text(flaw.to_string())
                .into()),
            false => Ok(Flow::Next),
        }
    }
}

/// What a key node must be (§5.3.1, §5.3.2, §7.1). How many items a node of version 0.3 has is left to the client, whose
/// options would not be met otherwise; without a word it is one.
pub(super) fn open(node: KeyNode, config: &mut NodeConfig) {
    config.access = AccessModel::Open;
    config.publish = PublishModel::Publishers;
    config.persist_items = true;
    config.item_expire = Most::Max;
    config.deliver_notifications = true;
    config.deliver_payloads = true;
    config.subscribe = true;
    if node == KeyNode::Bundles {
        config.max_items = Most::Max;
    }
}

/// Key nodes are made readable for all, and stay so. That a device list is gone is told whatever the client says or omits:
/// contacts would go on encrypting for devices that are no longer there.
pub(super) struct StayOpen;

impl On<Removing> for StayOpen {
    async fn on(&self, removing: &mut Removing, _: &mut Cx) -> Result<Flow, Fault> {
        if let Some(KeyNode::Devices(_)) = key_node(&removing.owner, &removing.node) {
            removing.notify = true;
        }
        Ok(Flow::Next)
    }
}

impl On<NodeDefaults> for StayOpen {
    async fn on(&self, defaults: &mut NodeDefaults, _: &mut Cx) -> Result<Flow, Fault> {
        if let Some(node) = key_node(&defaults.owner, &defaults.node) {
            open(node, &mut defaults.config);
        }
        Ok(Flow::Next)
    }
}

impl On<Publishing> for StayOpen {
    async fn on(&self, publishing: &mut Publishing, _: &mut Cx) -> Result<Flow, Fault> {
        if let Some(node) = key_node(&publishing.owner, &publishing.node) {
            open(node, &mut publishing.config);
        }
        Ok(Flow::Next)
    }
}

impl On<Configuring> for StayOpen {
    async fn on(&self, configuring: &mut Configuring, _: &mut Cx) -> Result<Flow, Fault> {
        if let Some(node) = key_node(&configuring.owner, &configuring.node) {
            open(node, &mut configuring.config);
        }
        Ok(Flow::Next)
    }
}
