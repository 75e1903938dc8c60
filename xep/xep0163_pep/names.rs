//! Nodes known by their names whose content is nobody else's business: private bookmarks and what else clients keep for
//! themselves (XEP-0223 §2). They begin closed, and no publication opens them.

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On};

use crate::xep0060_pubsub::api::{AccessModel, Configuring, Most, NodeDefaults, Publishing, SendLast};

/// Those of them that hold one item for each of many things: as many as there is room for, and every change is told.
const MANY: &[&str] = &["urn:xmpp:bookmarks:1", "urn:xmpp:mds:displayed:0"];

/// Nodes that are private by their specification, whoever serves them.
const PRIVATE: &[&str] = &[
    "storage:bookmarks",
    "storage:rosternotes",
    "urn:xmpp:bookmarks:1",
    "urn:xmpp:mds:displayed:0",
];

fn is_private(owner_is_account: bool, node: &str) -> bool {
    owner_is_account && PRIVATE.contains(&node)
}

/// They begin as XEP-0223 wants them.
pub(super) struct PepDefaults;

impl On<NodeDefaults> for PepDefaults {
    async fn on(&self, defaults: &mut NodeDefaults, _: &mut Cx) -> Result<Flow, Fault> {
        if is_private(defaults.owner.local().is_some(), &defaults.node) {
            defaults.config.access = AccessModel::Whitelist;
            defaults.config.persist_items = true;
            defaults.config.send_last = SendLast::Never;
        }
        if is_private(defaults.owner.local().is_some(), &defaults.node)
            && MANY.contains(&defaults.node.as_str())
        {
            defaults.config.max_items = Most::Max;
            defaults.config.notify_delete = true;
            defaults.config.notify_retract = true;
        }
        Ok(Flow::Next)
    }
}

/// Whatever the client says or forgets to say, they stay closed.
pub(super) struct StayPrivate;

impl On<Publishing> for StayPrivate {
    async fn on(&self, publishing: &mut Publishing, _: &mut Cx) -> Result<Flow, Fault> {
        if is_private(publishing.owner.local().is_some(), &publishing.node) {
            publishing.config.access = AccessModel::Whitelist;
        }
        Ok(Flow::Next)
    }
}

impl On<Configuring> for StayPrivate {
    async fn on(&self, configuring: &mut Configuring, _: &mut Cx) -> Result<Flow, Fault> {
        if is_private(configuring.owner.local().is_some(), &configuring.node) {
            configuring.config.access = AccessModel::Whitelist;
        }
        Ok(Flow::Next)
    }
}
