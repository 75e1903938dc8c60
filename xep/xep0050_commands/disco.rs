//! Commands in service discovery (§2.1, §2.2). Nobody sees a command that they may not use.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::hook::{Flow, On};
use kim_core::module::At;
use kim_core::ns::DATA;

use super::api::{Commands, NS};
use crate::xep0030_disco::api::{DiscoItem, Info, InfoAsked, ItemsAsked};

/// Says what a command is, and what the list of them is.
pub(super) struct TellCommands(pub Arc<Commands>);

impl On<InfoAsked> for TellCommands {
    async fn on(&self, event: &mut InfoAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        let Some(node) = event.node.as_deref() else {
            return Ok(Flow::Next);
        };
        let mut info = Info::new();
        if node == NS {
            if self.0.list(cx.router(), event.at, &event.asker).is_empty() {
                return Ok(Flow::Next);
            }
            info.identity("automation", "command-list", "");
        } else {
            let Some((_, offered)) = self.0.find(event.at, node) else {
                return Ok(Flow::Next);
            };
            // §2.2: "SHOULD respond with a 403".
            if !self.0.may(cx.router(), &event.asker, offered.who) {
                return Err(Condition::Forbidden.into());
            }
            info.identity("automation", "command-node", offered.name);
            info.feature(DATA);
        }
        info.feature(NS);
        event.info = Some(info);
        Ok(Flow::Next)
    }
}

/// Lists the commands.
pub(super) struct ListCommands(pub Arc<Commands>);

impl On<ItemsAsked> for ListCommands {
    async fn on(&self, event: &mut ItemsAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        if event.node.as_deref() != Some(NS) || !matches!(event.at, At::Server | At::Own | At::Service(_)) {
            return Ok(Flow::Next);
        }
        let account = event.account.clone();
        let commands = self.0.list(cx.router(), event.at, &event.asker);
        let items = commands.into_iter().map(|(node, name)| DiscoItem {
            jid: account.clone().into(),
            node: Some(node.to_owned()),
            name: Some(name.to_owned()),
        });
        event.items.get_or_insert_default().extend(items);
        Ok(Flow::Next)
    }
}
