//! What lies in the database sealed: items with their ids and publishers, and configurations. Each is bound to its place.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::seal::Key;
use kim_core::wire::{El, Element, Writer};

use super::config::NodeConfig;
use super::events::Item;
use super::names::{NODE_CONFIG, PUBSUB};
use super::store::FoundItem;

/// The tag under which an item of that id lies.
pub(super) fn tag(key: &Key, node: &str, id: &str) -> i64 {
    key.tag("pubsub item", &[node.as_bytes(), id.as_bytes()])
}

/// Seals an item for its place.
pub(super) fn seal_item(key: &Key, owner: &BareJid, node: &str, tag: i64, item: &Item) -> Vec<u8> {
    let mut xml = Writer::new();
    xml.start("item", PUBSUB)
        .attr("id", &item.id)
        .attr("publisher", item.publisher.as_str());
    if let Some(payload) = &item.payload {
        xml.el(payload.el());
    }
    xml.end();
    key.seal(
        &item_place(owner, node, &tag.to_le_bytes()),
        xml.finish_string().as_bytes(),
    )
}

fn item_place<'a>(owner: &'a BareJid, node: &'a str, tag: &'a [u8]) -> [&'a [u8]; 4] {
    [b"pubsub item", owner.as_str().as_bytes(), node.as_bytes(), tag]
}

pub(super) fn open_item(key: &Key, owner: &BareJid, node: &str, row: &FoundItem) -> Result<Arc<Item>, Fault> {
    let text = key.open(&item_place(owner, node, &row.item.to_le_bytes()), &row.sealed);
    let text = text.map_err(kim_core::seal::SealError::from)?;
    let element = stored(text)?;
    Ok(Arc::new(Item {
        id: element.attr("id").unwrap_or_default().into(),
        payload: element.children().next().map(|payload| payload.to_element()),
        publisher: Jid::parse(&element.attr("publisher").unwrap_or_default())
            .unwrap_or_else(|_| owner.clone().into()),
        stamp: Timestamp(row.place),
    }))
}

/// Seals a configuration.
pub(super) fn seal_config(key: &Key, owner: &BareJid, node: &str, config: &NodeConfig) -> Vec<u8> {
    key.seal(&config_place(owner, node), config.to_stored().as_bytes())
}

fn config_place<'a>(owner: &'a BareJid, node: &'a str) -> [&'a [u8]; 3] {
    [b"pubsub node", owner.as_str().as_bytes(), node.as_bytes()]
}

pub(super) fn open_config(
    key: &Key,
    owner: &BareJid,
    node: &str,
    sealed: &[u8],
) -> Result<NodeConfig, Fault> {
    let text = key.open(&config_place(owner, node), sealed);
    let element = stored(text.map_err(kim_core::seal::SealError::from)?)?;
    let x: El<'_> = element.el();
    Ok(NodeConfig::from_stored(x, &NodeConfig::of(owner))?)
}

fn stored(text: Vec<u8>) -> Result<Element, Fault> {
    let text = String::from_utf8(text).map_err(|_| broken())?;
    Element::stored(&text).ok_or_else(broken)
}

fn broken() -> Fault {
    Fault::Us(format!("a stored item or {NODE_CONFIG} form is not whole").into())
}
