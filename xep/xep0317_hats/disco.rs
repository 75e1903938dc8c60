//! The commands as service discovery lists them (XEP-0050 §2). Nobody sees a command that they may not use.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::At;
use kim_core::ns::DATA;

use super::commands::{self, COMMANDS};
use crate::xep0030_disco::api::{DiscoItem, Info, InfoAsked, ItemsAsked};
use crate::xep0045_muc::api::{Rooms, SERVICE};

/// What somebody may do, by nodes and names.
async fn offered(
    rooms: &Rooms,
    room: &BareJid,
    asker: &Jid,
    cx: &Cx,
) -> Result<Vec<(String, &'static str)>, Fault> {
    let visitor = rooms.visitor(room, asker, cx).await?;
    Ok(visitor.map_or_else(Vec::new, |visitor| commands::offered(&visitor).collect()))
}

/// Says what a command is, and what the list of them is.
pub struct TellHatCommands(pub Arc<Rooms>);

impl On<InfoAsked> for TellHatCommands {
    async fn on(&self, event: &mut InfoAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        let Some(node) = event.node.as_deref().filter(|_| event.at == At::Within(SERVICE)) else {
            return Ok(Flow::Next);
        };
        if node != COMMANDS && !node.starts_with(commands::FORM) {
            return Ok(Flow::Next);
        }
        let offered = offered(&self.0, &event.account, &event.asker, cx).await?;
        let mut info = Info::new();
        if node == COMMANDS && !offered.is_empty() {
            info.identity("automation", "command-list", "");
        } else if let Some((_, name)) = offered.iter().find(|(known, _)| known == node) {
            info.identity("automation", "command-node", *name);
            info.feature(DATA);
        } else {
            return Ok(Flow::Next);
        }
        info.feature(COMMANDS);
        event.info = Some(info);
        Ok(Flow::Next)
    }
}

/// Lists the commands.
pub struct ListHatCommands(pub Arc<Rooms>);

impl On<ItemsAsked> for ListHatCommands {
    async fn on(&self, event: &mut ItemsAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        if event.node.as_deref() != Some(COMMANDS) || event.at != At::Within(SERVICE) {
            return Ok(Flow::Next);
        }
        let offered = offered(&self.0, &event.account, &event.asker, cx).await?;
        if !offered.is_empty() {
            let items = offered.into_iter().map(|(node, name)| DiscoItem {
                jid: event.account.clone().into(),
                node: Some(node),
                name: Some(name.to_owned()),
            });
            event.items.get_or_insert_default().extend(items);
        }
        Ok(Flow::Next)
    }
}
