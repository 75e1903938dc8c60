//! Nodes known by their names whose content is nobody else's business: private bookmarks and what else clients keep for
//! themselves (XEP-0223 §2). They begin closed, and no publication opens them.

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On};

use crate::xep0060_pubsub::api::{AccessModel, NodeDefaults, Publishing, SendLast};

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
pub(super) struct Defaults;

impl On<NodeDefaults> for Defaults {
    async fn on(&self, defaults: &mut NodeDefaults, _: &mut Cx) -> Result<Flow, Fault> {
        if is_private(defaults.owner.local().is_some(), &defaults.node) {
            defaults.config.access = AccessModel::Whitelist;
            defaults.config.persist_items = true;
            defaults.config.send_last = SendLast::Never;
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
