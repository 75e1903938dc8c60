//! Removing items (§7.2, §8.5) and nodes (§8.4).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};

use super::engine::Engine;
use super::events::{NodeDeleted, Removing, Retracted};
use super::home::Node;
use super::names::EVENT;
use super::notify::notification;
use super::sealed::tag;

/// Who removes something, and whether the server does for them.
pub struct Remover<'a> {
    /// Who.
    pub by: &'a Jid,
    /// Whether it is the server.
    pub by_server: bool,
}

impl Engine {
    /// Removes items as the server itself.
    pub async fn retract_as_server(
        &self,
        owner: &BareJid,
        name: &str,
        ids: &[String],
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let Some(node) = self.home(cx.router(), owner).await?.node(name) else {
            return Ok(());
        };
        let by = Jid::from(owner.clone());
        let remover = Remover {
            by: &by,
            by_server: true,
        };
        self.retract(owner, &node, ids, None, &remover, cx)
            .await
            .map(drop)
    }

    /// Removes items; tells how many there were. `notify` overrules the node's configuration in one direction: whoever
    /// retracts may want subscribers to be told (§7.2.2.1).
    pub async fn retract(
        &self,
        owner: &BareJid,
        node: &Arc<Node>,
        ids: &[String],
        notify: Option<bool>,
        remover: &Remover<'_>,
        cx: &mut Cx,
    ) -> Result<usize, Fault> {
        let key = self.key(owner).await?;
        let tags = ids.iter().map(|id| tag(&key, &node.name, id)).collect();
        let held = self.node_locks.hold((owner, &node.name)).await;
        let (found, written) = self.store.remove(owner, &node.name, tags).await?;
        if let Some(home) = self.homes.get(owner) {
            home.count(node, written);
            self.homes.keep(owner, &home);
        }
        self.forget_last(owner, &node.name);
        drop(held);
        let gone: Vec<String> = ids
            .iter()
            .zip(&found)
            .filter(|(_, there)| **there)
            .map(|(id, _)| id.clone())
            .collect();
        if gone.is_empty() {
            return Ok(0);
        }
        let notify = notify == Some(true) || node.config.notify_retract;
        if self.is_told(owner, node, notify, cx).await? {
            let stanza = notification(owner, &node.config, |xml| {
                xml.start("items", EVENT).attr("node", &node.name);
                for id in &gone {
                    xml.start("retract", EVENT).attr("id", id).end();
                }
                xml.end();
            });
            self.tell(owner, node, stanza, cx).await?;
        }
        let count = gone.len();
        let mut event = Retracted {
            owner: owner.clone(),
            node: node.name.to_string(),
            ids: gone,
            purged: false,
            by: remover.by.clone(),
            by_server: remover.by_server,
        };
        cx.router().clone().tell(&mut event, cx).await?;
        Ok(count)
    }

    /// Whether those concerned are told that something was removed.
    async fn is_told(&self, owner: &BareJid, node: &Node, notify: bool, cx: &mut Cx) -> Result<bool, Fault> {
        let mut event = Removing {
            owner: owner.clone(),
            node: node.name.to_string(),
            notify,
        };
        cx.router().clone().raise(&mut event, cx).await?;
        Ok(event.notify)
    }

    /// Removes all items (§8.5).
    pub async fn purge(
        &self,
        owner: &BareJid,
        node: &Arc<Node>,
        remover: &Remover<'_>,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let held = self.home_locks.hold((owner, "")).await;
        let node_held = self.node_locks.hold((owner, &node.name)).await;
        self.store.purge(owner, &node.name).await?;
        self.forget_last(owner, &node.name);
        // How many bytes it were is counted when the home is loaded again.
        self.homes.forget(owner);
        drop((node_held, held));
        if self.is_told(owner, node, node.config.notify_retract, cx).await? {
            let stanza = notification(owner, &node.config, |xml| {
                xml.start("purge", EVENT).attr("node", &node.name).end();
            });
            self.tell(owner, node, stanza, cx).await?;
        }
        let mut event = Retracted {
            owner: owner.clone(),
            node: node.name.to_string(),
            ids: Vec::new(),
            purged: true,
            by: remover.by.clone(),
            by_server: remover.by_server,
        };
        cx.router().clone().tell(&mut event, cx).await?;
        Ok(())
    }

    /// Deletes a node as the server itself.
    pub async fn delete_as_server(&self, owner: &BareJid, name: &str, cx: &mut Cx) -> Result<(), Fault> {
        let Some(node) = self.home(cx.router(), owner).await?.node(name) else {
            return Ok(());
        };
        self.delete(owner, &node, &Jid::from(owner.clone()), None, cx)
            .await
    }

    /// Deletes a node with all its items; `redirect` names where to go instead (§8.4.1).
    pub async fn delete(
        &self,
        owner: &BareJid,
        node: &Arc<Node>,
        by: &Jid,
        redirect: Option<&str>,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let held = self.home_locks.hold((owner, "")).await;
        let node_held = self.node_locks.hold((owner, &node.name)).await;
        let home = self.home_held(owner).await?;
        if home.node(&node.name).is_none() {
            return Err(StanzaError::new(Condition::ItemNotFound).into());
        }
        self.store.delete(owner, &node.name).await?;
        self.forget_last(owner, &node.name);
        self.homes.forget(owner);
        drop((node_held, held));
        if self.is_told(owner, node, node.config.notify_delete, cx).await? {
            let stanza = notification(owner, &node.config, |xml| {
                xml.start("delete", EVENT).attr("node", &node.name);
                if let Some(uri) = redirect {
                    xml.start("redirect", EVENT).attr("uri", uri).end();
                }
                xml.end();
            });
            self.tell(owner, node, stanza, cx).await?;
        }
        let mut event = NodeDeleted {
            owner: owner.clone(),
            node: node.name.to_string(),
            by: by.clone(),
        };
        cx.router().clone().tell(&mut event, cx).await?;
        Ok(())
    }
}
