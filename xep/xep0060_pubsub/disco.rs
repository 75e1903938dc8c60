//! Nodes in service discovery (§5.2–§5.5): the service lists those that the asker may see, a node tells what it is and lists
//! its items.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::At;

use super::engine::Engine;
use super::home::{Affiliation, Node};
use super::names::{PUBSUB, SERVICE};
use crate::xep0004_forms::api::{FormKind, Sheet};
use crate::xep0030_disco::api::{DiscoItem, Info, InfoAsked, ItemsAsked};

/// The type of the form that describes a node (§16.4.3).
const META_DATA: &str = "http://jabber.org/protocol/pubsub#meta-data";
/// Items and nodes that one answer lists.
const LISTED_MAX: usize = 1_000;

/// Whether that is the place of which the hook speaks.
fn is_ours(at: At, at_service: bool) -> bool {
    match at {
        At::Service(SERVICE) => at_service,
        At::Own | At::Account => !at_service,
        _ => false,
    }
}

/// Tells what a node is.
pub struct NodeInfo {
    /// The nodes.
    pub engine: Arc<Engine>,
    /// Those of the service, or those of accounts.
    pub at_service: bool,
}

impl On<InfoAsked> for NodeInfo {
    async fn on(&self, asked: &mut InfoAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        let Some(name) = asked
            .node
            .as_deref()
            .filter(|_| is_ours(asked.at, self.at_service) && asked.info.is_none())
        else {
            return Ok(Flow::Next);
        };
        let router = cx.router().clone();
        let home = self.engine.home(&router, &asked.account).await?;
        let Some(node) = home.node(name) else {
            return Ok(Flow::Next);
        };
        // §5.4: what is closed may say that it is there, unless the asker is shut out.
        let who = asked.asker.bare();
        let sees = self
            .engine
            .may_see(&router, &asked.account, &node, &who)
            .await?
            .is_ok();
        if !sees && asked.at != At::Service(SERVICE) {
            return Ok(Flow::Next);
        }
        let mut info = Info::new();
        info.identity("pubsub", "leaf", node.config.title.clone());
        info.feature(PUBSUB);
        info.form(meta_data(&asked.account, &node, sees));
        asked.info = Some(info);
        Ok(Flow::Next)
    }
}

fn meta_data(owner: &BareJid, node: &Node, sees: bool) -> String {
    let config = &node.config;
    let affiliated = |wanted: Affiliation| {
        let all = node.affiliations.iter().filter(move |(_, what)| **what == wanted);
        all.map(|(jid, _)| jid.as_str()).collect::<Vec<_>>()
    };
    let mut owners = affiliated(Affiliation::Owner);
    if owner.local().is_some() {
        owners.push(owner.as_str());
    }
    let mut sheet = Sheet::new(FormKind::Result, META_DATA)
        .line("pubsub#title", "", &config.title)
        .line("pubsub#description", "", &config.description)
        .line("pubsub#type", "", &config.kind)
        .line("pubsub#access_model", "", config.access.as_str())
        .line("pubsub#publish_model", "", config.publish.as_str());
    if sees {
        let subscribers = node.subscriptions.len().to_string();
        sheet = sheet
            .jids("pubsub#owner", "", owners)
            .line("pubsub#num_subscribers", "", &subscribers);
    }
    sheet.xml()
}

/// Lists nodes, and items of a node.
pub struct Nodes {
    /// The nodes.
    pub engine: Arc<Engine>,
    /// Those of the service, or those of accounts.
    pub at_service: bool,
}

impl On<ItemsAsked> for Nodes {
    async fn on(&self, asked: &mut ItemsAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        if !is_ours(asked.at, self.at_service) {
            return Ok(Flow::Next);
        }
        let router = cx.router().clone();
        let (owner, who) = (asked.account.clone(), asked.asker.bare());
        let home = self.engine.home(&router, &owner).await?;
        let jid = Jid::from(owner.clone());
        match &asked.node {
            None => {
                let mut listed = Vec::new();
                for node in home.nodes() {
                    if listed.len() < LISTED_MAX
                        && self.engine.may_see(&router, &owner, &node, &who).await?.is_ok()
                    {
                        let title = Some(node.config.title.clone()).filter(|title| !title.is_empty());
                        listed.push(DiscoItem {
                            jid: jid.clone(),
                            node: Some(node.name.to_string()),
                            name: title,
                        });
                    }
                }
                asked.items.get_or_insert_default().extend(listed);
            }
            Some(name) if asked.items.is_none() => {
                let Some(node) = home.node(name) else {
                    return Ok(Flow::Next);
                };
                if self.engine.may_see(&router, &owner, &node, &who).await?.is_err() {
                    return Ok(Flow::Next);
                }
                let items = self.engine.newest_of(&router, &owner, &node, LISTED_MAX).await?;
                // §5.5: the name of an item is its id.
                let item = |item: &Arc<super::events::Item>| DiscoItem {
                    jid: jid.clone(),
                    node: None,
                    name: Some(item.id.to_string()),
                };
                asked.items = Some(items.iter().map(item).collect());
            }
            Some(_) => {}
        }
        Ok(Flow::Next)
    }
}
