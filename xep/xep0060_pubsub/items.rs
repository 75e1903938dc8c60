//! Retrieving items (§6.5): all, some by a page, the newest, or those of given ids.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::Reply;
use kim_core::wire::{El, Writer};

use super::engine::Engine;
use super::errors;
use super::events::{Item, NotThere};
use super::home::Node;
use super::names::PUBSUB;
use super::store::Page;
use crate::xep0059_rsm::api::{Asked, Given, number};

/// Items that one request may name.
const IDS_MAX: usize = 256;

impl Engine {
    /// Answers `<items/>`.
    pub async fn answer_items(
        &self,
        owner: &BareJid,
        asker: &Jid,
        request: El<'_>,
        pubsub: El<'_>,
        cx: &mut Cx,
    ) -> Result<Reply, Fault> {
        let name = request.attr("node").ok_or_else(errors::node_required)?;
        let router = cx.router().clone();
        let ids: Vec<_> = request
            .children()
            .filter(|child| child.is("item", PUBSUB))
            .take(IDS_MAX + 1)
            .map(|item| item.attr("id").map(|id| id.into_owned()))
            .collect();
        if ids.len() > IDS_MAX {
            return Err(Condition::PolicyViolation.into());
        }
        if self.home(&router, owner).await?.node(&name).is_none() {
            let missing = ids.iter().flatten().cloned().collect();
            self.tell_not_there(owner, &name, missing, asker, cx).await?;
        }
        let node = self.seen(&router, owner, &name, asker).await?;
        if !node.config.persist_items {
            return Err(errors::not_persistent().into());
        }
        if !ids.is_empty() {
            let (mut items, mut missing) = (Vec::new(), Vec::new());
            for id in ids {
                let id = id.ok_or_else(errors::item_required)?;
                match self.item_of(&router, owner, &node, &id).await? {
                    Some(item) => items.push(item),
                    None => missing.push(id),
                }
            }
            if !missing.is_empty() {
                self.tell_not_there(owner, &name, missing, asker, cx).await?;
            }
            if items.is_empty() {
                // §6.5.9.12
                return Err(Condition::ItemNotFound.into());
            }
            return Ok(self.write(&node, items, None).into());
        }
        let max = match request.attr("max_items") {
            Some(max) => Some(number(max.trim())?),
            None => None,
        };
        if pubsub.child("set", crate::xep0059_rsm::api::NS).is_some() {
            let asked = Asked::parse(pubsub)?;
            let (items, given) = self.rsm_page(owner, &node, &asked, max).await?;
            return Ok(self.write(&node, items, Some(given)).into());
        }
        let wanted = max.unwrap_or(usize::MAX);
        let mut items = self.newest_of(&router, owner, &node, wanted.max(1)).await?;
        if items.is_empty() {
            self.tell_not_there(owner, &name, Vec::new(), asker, cx).await?;
        }
        // §6.5.4: more than fits is left out, the oldest first, and the answer says so.
        let left = self.fit(&mut items);
        let given = match left {
            0 => None,
            _ => Some(self.given(owner, &node, &items).await?),
        };
        Ok(self.write(&node, items, given).into())
    }

    async fn tell_not_there(
        &self,
        owner: &BareJid,
        node: &str,
        ids: Vec<String>,
        by: &Jid,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let mut event = NotThere {
            owner: owner.clone(),
            node: node.to_owned(),
            ids,
            by: by.clone(),
        };
        cx.router().clone().raise(&mut event, cx).await.map(|_| ())
    }

    /// Leaves out the oldest items until the rest fits into one answer; tells how many.
    fn fit(&self, items: &mut Vec<Arc<Item>>) -> usize {
        let mut bytes = 0;
        let fitting = items
            .iter()
            .rev()
            .take_while(|item| {
                bytes += item.payload.as_ref().map_or(0, |payload| payload.bytes().len()) + 100;
                bytes <= self.settings.answer_bytes_max
            })
            .count();
        let left = items.len() - fitting.max(1).min(items.len());
        items.drain(..left);
        left
    }

    async fn given(&self, owner: &BareJid, node: &Node, items: &[Arc<Item>]) -> Result<Given, Fault> {
        let not_before = self.not_before(&node.config);
        let count = self.store.count(owner, &node.name, not_before).await?;
        let ends = items.first().zip(items.last());
        Ok(Given {
            ends: ends.map(|(first, last)| (first.id.to_string(), last.id.to_string())),
            count: Some(count),
        })
    }

    /// §6.5.4: a page, in the order of publication. `max_items` beside it asks for no more than so many of the newest.
    async fn rsm_page(
        &self,
        owner: &BareJid,
        node: &Node,
        asked: &Asked,
        newest: Option<usize>,
    ) -> Result<(Vec<Arc<Item>>, Given), Fault> {
        let max = asked.max.unwrap_or(self.settings.page_items_max);
        let max = max
            .min(newest.unwrap_or(usize::MAX))
            .min(self.settings.page_items_max);
        let mut items = Vec::new();
        if max > 0 {
            let newest_first = asked.before.is_some();
            let page = match (&asked.after, asked.before.as_deref()) {
                (Some(after), _) => Page::Oldest(self.place(owner, node, after).await?),
                (None, Some("")) => Page::Newest(i64::MAX),
                (None, Some(before)) => Page::Newest(self.place(owner, node, before).await?),
                (None, None) => Page::Oldest(i64::MIN),
            };
            items = self.page(owner, node, page, max).await?;
            if newest_first && asked.after.is_none() {
                items.reverse();
            }
        }
        self.fit_page(&mut items, asked.before.is_some() && asked.after.is_none());
        let given = self.given(owner, node, &items).await?;
        Ok((items, given))
    }

    fn fit_page(&self, items: &mut Vec<Arc<Item>>, from_the_end: bool) {
        if from_the_end {
            self.fit(items);
            return;
        }
        items.reverse();
        self.fit(items);
        items.reverse();
    }

    async fn place(&self, owner: &BareJid, node: &Node, id: &str) -> Result<i64, Fault> {
        let item = self.find(owner, node, id).await?.ok_or(Condition::ItemNotFound)?;
        Ok(item.stamp.0)
    }

    fn write(&self, node: &Node, items: Vec<Arc<Item>>, given: Option<Given>) -> Writer {
        let mut xml = Writer::new();
        xml.start("pubsub", PUBSUB)
            .start("items", PUBSUB)
            .attr("node", &node.name);
        for item in &items {
            xml.start("item", PUBSUB).attr("id", &item.id);
            if let Some(payload) = &item.payload {
                xml.el(payload.el());
            }
            xml.end();
        }
        xml.end();
        if let Some(given) = given {
            given.write(&mut xml);
        }
        xml.end();
        xml
    }
}
