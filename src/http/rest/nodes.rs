//! Nodes of accounts (XEP-0163), asked as a client asks.

use std::sync::Arc;

use kim_core::jid::Jid;
use kim_core::stanza::IqType;
use kim_core::wire::{Element, Writer};
use kim_xep::xep0060_pubsub::api::{OWNER, PUBSUB};

use super::guard::Caller;
use super::problem::Problem;
use super::visit;
use crate::http::Web;

/// The items of a node, by their ids, or one of them. A node that is not there has none.
pub(super) async fn items(
    web: &Arc<Web>,
    caller: &Caller,
    of: Option<&Jid>,
    node: &str,
    item: Option<&str>,
) -> Result<Vec<(String, Element)>, Problem> {
    let mut xml = Writer::new();
    xml.start("pubsub", PUBSUB)
        .start("items", PUBSUB)
        .attr("node", node);
    if let Some(id) = item {
        xml.start("item", PUBSUB).attr("id", id).end();
    }
    xml.end().end();
    let answer = match visit::iq(web, caller, IqType::Get, of.cloned(), xml).await {
        Ok(answer) => answer,
        Err(problem) if problem.code() == "item-not-found" => return Ok(Vec::new()),
        Err(problem) => return Err(problem),
    };
    let pubsub = answer.child("pubsub", PUBSUB);
    let items = pubsub.and_then(|pubsub| pubsub.child("items", PUBSUB));
    let items = items.iter().flat_map(|items| items.children());
    Ok(items
        .filter_map(|item| Some((item.attr("id")?.into_owned(), item.to_element())))
        .collect())
}

/// Publishes an item at a node of one's own; `payload` writes it.
pub(super) async fn publish(
    web: &Arc<Web>,
    caller: &Caller,
    node: &str,
    item: &str,
    payload: impl FnOnce(&mut Writer),
) -> Result<(), Problem> {
    let mut xml = Writer::new();
    xml.start("pubsub", PUBSUB)
        .start("publish", PUBSUB)
        .attr("node", node)
        .start("item", PUBSUB)
        .attr("id", item);
    payload(&mut xml);
    xml.end().end().end();
    visit::iq(web, caller, IqType::Set, None, xml).await.map(drop)
}

/// Removes an item of a node of one's own, or the whole node. Tells whether there was one.
pub(super) async fn remove(
    web: &Arc<Web>,
    caller: &Caller,
    node: &str,
    item: Option<&str>,
) -> Result<bool, Problem> {
    let mut xml = Writer::new();
    match item {
        Some(id) => {
            xml.start("pubsub", PUBSUB)
                .start("retract", PUBSUB)
                .attr("node", node)
                .attr("notify", "true")
                .start("item", PUBSUB)
                .attr("id", id)
                .end()
                .end()
                .end();
        }
        None => {
            xml.start("pubsub", OWNER)
                .start("delete", OWNER)
                .attr("node", node)
                .end()
                .end();
        }
    }
    match visit::iq(web, caller, IqType::Set, None, xml).await {
        Ok(_) => Ok(true),
        Err(problem) if problem.code() == "item-not-found" => Ok(false),
        Err(problem) => Err(problem),
    }
}
