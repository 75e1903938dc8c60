//! Publishing (§7.1): the options are met or become the node's, the modules are asked, the items are committed, those
//! concerned are told.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};

use super::config::{AccessModel, NodeConfig, is_account};
use super::engine::{Engine, is_full};
use super::errors;
use super::events::{Draft, Item, NodeDefaults, Published, Publishing};
use super::home::{Affiliation, Node};
use super::sealed::{seal_config, seal_item, tag};
use super::store::{ItemRow, NodeChange, Written};
use crate::xep0004_forms::api::Form;

/// How often a publication is tried anew because the node was made, configured or deleted meanwhile.
const TRIES: usize = 5;
/// So many items before its limit a node is looked at for what has to go.
const SURPLUS_MARGIN: usize = 32;

/// What somebody wants to publish.
pub struct Publication<'a> {
    /// Whose node.
    pub owner: &'a BareJid,
    /// Its name.
    pub node: &'a str,
    /// The items.
    pub drafts: Vec<Draft>,
    /// Who publishes.
    pub publisher: &'a Jid,
    /// Whether the server does for the owner.
    pub by_server: bool,
    /// The publish-options.
    pub options: Option<&'a Form>,
    /// Who may see the node, if it is made by this and the server makes it.
    pub access: Option<AccessModel>,
}

impl Engine {
    /// Publishes as the server itself.
    pub async fn publish_as_server(
        &self,
        owner: &BareJid,
        node: &str,
        drafts: Vec<Draft>,
        access: Option<AccessModel>,
        cx: &mut Cx,
    ) -> Result<Vec<Arc<Item>>, Fault> {
        let publisher = Jid::from(owner.clone());
        let publication = Publication {
            owner,
            node,
            drafts,
            publisher: &publisher,
            by_server: true,
            options: None,
            access,
        };
        self.publish(&publication, cx).await
    }

    /// Publishes and tells those concerned; the items are committed then.
    pub async fn publish(&self, wanted: &Publication<'_>, cx: &mut Cx) -> Result<Vec<Arc<Item>>, Fault> {
        for _ in 0..TRIES {
            if let Some((node, mut published)) = self.try_publish(wanted, cx).await? {
                self.tell_published(&node, &published, cx).await?;
                cx.router().clone().tell(&mut published, cx).await?;
                return Ok(published.items);
            }
            self.homes.forget(wanted.owner);
        }
        Err(StanzaError::new(Condition::ResourceConstraint).into())
    }

    async fn try_publish(
        &self,
        wanted: &Publication<'_>,
        cx: &mut Cx,
    ) -> Result<Option<(Arc<Node>, Published)>, Fault> {
        let router = cx.router().clone();
        let (owner, who) = (wanted.owner, wanted.publisher.bare());
        let there = self.home(&router, owner).await?.node(wanted.node);
        let config = match &there {
            Some(node) if wanted.by_server => NodeConfig::clone(&node.config),
            Some(node) => {
                self.check_publisher(cx, owner, node, &who).await?;
                node.config.with_options(wanted.options)?
            }
            None => {
                if !wanted.by_server {
                    self.may_create(&router, owner, &who)?;
                }
                let mut config = self.defaults(owner, wanted.node, cx).await?;
                config.access = wanted.access.unwrap_or(config.access);
                config.with_options(wanted.options)?
            }
        };
        let mut event = Publishing {
            owner: owner.clone(),
            node: wanted.node.to_owned(),
            items: wanted.drafts.clone(),
            publisher: wanted.publisher.clone(),
            by_server: wanted.by_server,
            is_new_node: there.is_none(),
            config,
        };
        self.check_drafts(&event)?;
        router.raise(&mut event, cx).await?;
        if let (Some(node), Some(options)) = (&there, wanted.options) {
            self.check_options(node, options, &event, cx).await?;
        }
        // Hooks may have changed both.
        self.check_drafts(&event)?;
        let put = match &there {
            Some(node) => self.put_into(cx, node, &event).await?,
            None => self.put_new(&event).await?,
        };
        Ok(put.map(|(node, items)| {
            let published = Published {
                owner: event.owner,
                node: event.node,
                items,
                publisher: event.publisher,
                by_server: event.by_server,
                is_new_node: event.is_new_node,
                config: node.config.clone(),
            };
            (node, published)
        }))
    }

    /// Whether the node meets the options (§7.1.5). What the modules make of them counts: an option that they overrule is no
    /// precondition, for they would overrule the node's own value just the same.
    async fn check_options(
        &self,
        node: &Node,
        options: &Form,
        asked: &Publishing,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let Some(field) = node.config.unmet(options)? else {
            return Ok(());
        };
        let mut without = Publishing {
            owner: asked.owner.clone(),
            node: asked.node.clone(),
            items: asked.items.clone(),
            publisher: asked.publisher.clone(),
            by_server: asked.by_server,
            is_new_node: false,
            config: NodeConfig::clone(&node.config),
        };
        cx.router().clone().raise(&mut without, cx).await?;
        if without.config == asked.config {
            return Ok(());
        }
        Err(errors::precondition_not_met(field).into())
    }

    /// How a node of that name will behave unless somebody says otherwise.
    pub async fn defaults(&self, owner: &BareJid, node: &str, cx: &mut Cx) -> Result<NodeConfig, Fault> {
        let mut defaults = NodeDefaults {
            owner: owner.clone(),
            node: node.to_owned(),
            config: NodeConfig::of(owner),
        };
        cx.router().clone().raise(&mut defaults, cx).await?;
        Ok(defaults.config)
    }

    async fn check_publisher(
        &self,
        cx: &Cx,
        owner: &BareJid,
        node: &Node,
        who: &BareJid,
    ) -> Result<(), Fault> {
        if self.may_publish(cx.router(), owner, node, who).await? {
            return Ok(());
        }
        Err(errors::forbidden().into())
    }

    fn check_drafts(&self, event: &Publishing) -> Result<(), Fault> {
        let (items_max, bytes_max) = (self.items_max(&event.config), self.item_bytes_max(&event.config));
        if event.items.len() > items_max {
            return Err(errors::max_items_exceeded().into());
        }
        // §7.1.3.7, by the event type that §4.3 makes of the configuration.
        let (keeps, tells_payloads) = (event.config.persist_items, event.config.deliver_payloads);
        match (event.items.is_empty(), keeps || tells_payloads) {
            (true, true) => return Err(errors::item_required().into()),
            (false, false) => return Err(errors::item_forbidden().into()),
            (true, false) | (false, true) => {}
        }
        for draft in &event.items {
            let bytes = draft.payload.as_ref().map_or(0, |payload| payload.bytes().len());
            if bytes > bytes_max && !event.by_server {
                return Err(errors::payload_too_big(bytes_max).into());
            }
            if draft.payload.is_none() && tells_payloads {
                return Err(errors::payload_required().into());
            }
        }
        Ok(())
    }

    /// The items with their stamps. To be called by somebody who holds the node: what is committed later must be newer.
    fn items_of(&self, event: &Publishing) -> Vec<Arc<Item>> {
        let item = |draft: &Draft| Item {
            id: draft.id.as_str().into(),
            payload: draft.payload.clone(),
            publisher: event.publisher.clone(),
            stamp: self.clock.now(),
        };
        event.items.iter().map(|draft| Arc::new(item(draft))).collect()
    }

    async fn change(
        &self,
        event: &Publishing,
        items: &[Arc<Item>],
        bytes_now: i64,
    ) -> Result<NodeChange, Fault> {
        let (owner, node) = (&event.owner, &event.node);
        let key = self.key(owner).await?;
        let row = |item: &Arc<Item>| {
            let tag = tag(&key, node, &item.id);
            ItemRow {
                item: tag,
                place: item.stamp.0,
                sealed: seal_item(&key, owner, node, tag, item),
            }
        };
        let kept = items.iter().filter(|_| event.config.persist_items);
        let config = seal_config(&key, owner, node, &event.config);
        let first_owner = (!is_account(owner)).then(|| event.publisher.bare().as_str().to_owned());
        let bytes_max = if is_account(owner) {
            self.settings.account_bytes_max
        } else {
            self.settings.service_bytes_max
        };
        let room = i64::try_from(bytes_max)
            .unwrap_or(i64::MAX)
            .saturating_sub(bytes_now);
        Ok(NodeChange {
            owner: owner.clone(),
            node: node.clone(),
            items: kept.map(row).collect(),
            make: event.is_new_node.then(|| (config.clone(), first_owner)),
            configure: (!event.is_new_node).then_some(config),
            keep: i64::try_from(self.items_max(&event.config)).unwrap_or(i64::MAX),
            looks_for_surplus: true,
            not_before: self.not_before(&event.config),
            growth_bytes_max: if event.by_server { i64::MAX } else { room.max(0) },
        })
    }

    async fn store_change(&self, change: NodeChange) -> Result<Option<Written>, Fault> {
        match self.store.publish(change).await {
            Ok(written) => Ok(written),
            Err(error) if is_full(&error) => {
                let error = StanzaError::new(Condition::PolicyViolation).kind(ErrorType::Cancel);
                Err(error.text("no space is left for your items; delete some").into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Into a node that is there. None: it has changed meanwhile.
    async fn put_into(
        &self,
        cx: &Cx,
        node: &Arc<Node>,
        event: &Publishing,
    ) -> Result<Option<(Arc<Node>, Vec<Arc<Item>>)>, Fault> {
        let owner = &event.owner;
        let configures = *node.config != event.config;
        let known = self.home(cx.router(), owner).await?;
        let _home_held = match configures {
            true => Some(self.home_locks.hold((owner, "")).await),
            false => None,
        };
        let _held = self.node_locks.hold((owner, &event.node)).await;
        let home = match configures {
            true => self.home_held(owner).await?,
            false => known,
        };
        let items = self.items_of(event);
        let mut change = self.change(event, &items, home.bytes()).await?;
        if !configures {
            change.configure = None;
        } else if home.node(&event.node).is_none_or(|now| now.config != node.config) {
            return Ok(None);
        }
        // The count is right within a few; where it is far from the limit, nobody needs to walk there.
        let nearly = node
            .items()
            .saturating_add(items.len())
            .saturating_add(SURPLUS_MARGIN);
        change.looks_for_surplus = configures || nearly >= self.items_max(&event.config);
        let nothing_to_write = change.items.is_empty() && change.configure.is_none();
        if !nothing_to_write {
            let mark = self.mark_last(owner, &event.node);
            // The publisher waits for its own commit and for nobody else's.
            let Some(written) = self.store_change(change).await? else {
                return Ok(None);
            };
            home.count(node, written);
            self.homes.keep(owner, &home);
            match items.last().filter(|_| event.config.persist_items) {
                Some(last) => self.note_last(owner, &event.node, last, mark),
                None => self.forget_last(owner, &event.node),
            }
        }
        if !configures {
            return Ok(Some((node.clone(), items)));
        }
        let mut copy = home.node(&event.node).unwrap_or_else(|| node.clone()).copy();
        copy.config = Arc::new(event.config.clone());
        let node = home.put(copy);
        self.homes.keep(owner, &home);
        Ok(Some((node, items)))
    }

    /// Into a node that is made by this. None: somebody else has made it.
    async fn put_new(&self, event: &Publishing) -> Result<Option<(Arc<Node>, Vec<Arc<Item>>)>, Fault> {
        let owner = &event.owner;
        let _held = self.home_locks.hold((owner, "")).await;
        let home = self.home_held(owner).await?;
        if home.node(&event.node).is_some() {
            return Ok(None);
        }
        if !event.by_server {
            self.check_room(owner, home.len())?;
        }
        let items = self.items_of(event);
        let change = self.change(event, &items, home.bytes()).await?;
        let Some(written) = self.store_change(change).await? else {
            return Ok(None);
        };
        let mut node = Node::new(&event.node, event.config.clone());
        if !is_account(owner) {
            node.affiliations
                .insert(event.publisher.bare(), Affiliation::Owner);
        }
        let node = home.put(node);
        home.count(&node, written);
        self.homes.keep(owner, &home);
        self.forget_last(owner, &event.node);
        Ok(Some((node, items)))
    }

    /// Whether an owner with so many nodes may have another.
    pub(super) fn check_room(&self, owner: &BareJid, nodes: usize) -> Result<(), Fault> {
        let nodes_max = if is_account(owner) {
            self.settings.nodes_per_account_max
        } else {
            self.settings.nodes_per_service_max
        };
        if nodes >= nodes_max {
            return Err(errors::max_nodes_exceeded().into());
        }
        Ok(())
    }
}
