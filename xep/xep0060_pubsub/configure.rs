//! Making nodes (§8.1), configuring them (§8.2), and what they are by default (§8.3).

use std::collections::BTreeSet;
use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::Reply;
use kim_core::random;
use kim_core::router::{Destination, Router};
use kim_core::wire::{El, Writer};

use super::config::{AccessModel, NodeConfig, Unknown, is_account};
use super::engine::Engine;
use super::events::Configuring;
use super::home::{Affiliation, Node};
use super::names::{EVENT, NODE_CONFIG, OWNER, PUBLISH_OPTIONS, PUBSUB};
use super::notify::notification;
use super::sealed::seal_config;
use super::store::NodeChange;
use super::{NODE_NAME_BYTES_MAX, errors};
use crate::xep0004_forms::api::{Form, FormKind};

/// Roster groups that a form offers.
const GROUPS_OFFERED_MAX: usize = 200;

impl Engine {
    /// Answers `<create/>`, with its `<configure/>`.
    pub async fn create(
        &self,
        owner: &BareJid,
        asker: &Jid,
        request: El<'_>,
        pubsub: El<'_>,
        cx: &mut Cx,
    ) -> Result<Reply, Fault> {
        let router = cx.router().clone();
        self.may_create(&router, owner, &asker.bare())?;
        let given = request.attr("node").map(|node| node.into_owned());
        let is_instant = given.is_none();
        // §8.1.2: an instant node.
        let name = given.unwrap_or_else(random::token);
        check_name(&name)?;
        if self.home(&router, owner).await?.node(&name).is_some() {
            return Err(Condition::Conflict.into());
        }
        let mut config = self.defaults(owner, &name, cx).await?;
        if let Some(configure) = pubsub.child("configure", PUBSUB)
            && let Some(form) = submitted(configure)?
        {
            config = config.with(&form, Unknown::Ignored)?;
        }
        let mut event = Configuring {
            owner: owner.clone(),
            node: name.clone(),
            config,
            by: asker.clone(),
            is_new_node: true,
        };
        router.raise(&mut event, cx).await?;
        let _held = self.home_locks.hold((owner, "")).await;
        let home = self.home_held(owner).await?;
        if home.node(&name).is_some() {
            return Err(Condition::Conflict.into());
        }
        self.check_room(owner, home.len())?;
        let key = self.key(owner).await?;
        let sealed = seal_config(&key, owner, &name, &event.config);
        let first_owner = (!is_account(owner)).then(|| asker.bare());
        let change = NodeChange {
            owner: owner.clone(),
            node: name.clone(),
            make: Some((sealed, first_owner.as_ref().map(|jid| jid.as_str().to_owned()))),
            configure: None,
            items: Vec::new(),
            keep: i64::MAX,
            looks_for_surplus: false,
            not_before: i64::MIN,
            growth_bytes_max: i64::MAX,
        };
        if self.store.publish(change).await?.is_none() {
            self.homes.forget(owner);
            return Err(Condition::Conflict.into());
        }
        let mut node = Node::new(&name, event.config);
        if let Some(jid) = first_owner {
            node.affiliations.insert(jid, Affiliation::Owner);
        }
        home.put(node);
        self.homes.keep(owner, &home);
        if !is_instant {
            return Ok(Reply::Empty);
        }
        let mut xml = Writer::new();
        xml.start("pubsub", PUBSUB)
            .start("create", PUBSUB)
            .attr("node", &name);
        Ok(xml.into())
    }

    /// Answers an owner's `<configure/>`.
    pub async fn show_config(&self, router: &Router, node: &Node, asker: &Jid) -> Result<Reply, Fault> {
        let groups = self.groups_of(router, &asker.bare()).await?;
        let mut xml = Writer::new();
        xml.start("pubsub", OWNER)
            .start("configure", OWNER)
            .attr("node", &node.name);
        xml.raw(&node.config.sheet(FormKind::Form, &groups).xml());
        Ok(xml.into())
    }

    /// The groups of somebody's roster, as far as a form offers them.
    async fn groups_of(&self, router: &Router, who: &BareJid) -> Result<Vec<String>, Fault> {
        if router.destination(who.domain()) != Destination::Users {
            return Ok(Vec::new());
        }
        let roster = self.subscriptions.roster(who).await?;
        let groups = roster.listed().flat_map(|item| item.groups.iter());
        let sorted: BTreeSet<&str> = groups.map(|group| &**group).collect();
        Ok(sorted
            .into_iter()
            .take(GROUPS_OFFERED_MAX)
            .map(str::to_owned)
            .collect())
    }

    /// Takes an owner's `<configure/>`.
    pub async fn configure(
        &self,
        owner: &BareJid,
        node: &Node,
        asker: &Jid,
        request: El<'_>,
        cx: &mut Cx,
    ) -> Result<Reply, Fault> {
        let router = cx.router().clone();
        let Some(form) = submitted(request)? else {
            return Err(Condition::BadRequest.into());
        };
        if form.kind == FormKind::Cancel {
            return Ok(Reply::Empty);
        }
        let mut event = Configuring {
            owner: owner.clone(),
            node: node.name.to_string(),
            config: node.config.with(&form, Unknown::Ignored)?,
            by: asker.clone(),
            is_new_node: false,
        };
        router.raise(&mut event, cx).await?;
        let (before, node) = self.reconfigure(owner, &node.name, event.config).await?;
        if node.config.access != before.access {
            self.end_what_is_not_allowed(owner, &node, cx).await?;
        }
        if node.config.notify_config {
            let stanza = notification(owner, &node.config, |xml| {
                xml.start("configuration", EVENT).attr("node", &node.name);
                if node.config.deliver_payloads {
                    xml.raw(&node.config.sheet(FormKind::Result, &[]).xml());
                }
                xml.end();
            });
            self.tell(owner, &node, stanza, cx).await?;
        }
        Ok(Reply::Empty)
    }

    /// Stores a configuration; gives the one before, and the node as it is now.
    async fn reconfigure(
        &self,
        owner: &BareJid,
        name: &str,
        config: NodeConfig,
    ) -> Result<(Arc<NodeConfig>, Arc<Node>), Fault> {
        let _held = self.home_locks.hold((owner, "")).await;
        let _node_held = self.node_locks.hold((owner, name)).await;
        let home = self.home_held(owner).await?;
        let node = home.node(name).ok_or_else(errors::no_node)?;
        let key = self.key(owner).await?;
        let change = NodeChange {
            owner: owner.clone(),
            node: name.to_owned(),
            make: None,
            configure: Some(seal_config(&key, owner, name, &config)),
            items: Vec::new(),
            // Fewer items, or items for a shorter time: what is too much goes at once.
            keep: i64::try_from(self.items_max(&config)).unwrap_or(i64::MAX),
            looks_for_surplus: true,
            not_before: self.not_before(&config),
            growth_bytes_max: i64::MAX,
        };
        let Some(written) = self.store.publish(change).await? else {
            self.homes.forget(owner);
            return Err(errors::no_node().into());
        };
        home.count(&node, written);
        self.forget_last(owner, name);
        let mut copy = node.copy();
        copy.config = Arc::new(config);
        let after = home.put(copy);
        self.homes.keep(owner, &home);
        Ok((node.config.clone(), after))
    }

    /// §8.2.5.3 and XEP-0163 §7.1: subscriptions that a new access model does not allow end.
    async fn end_what_is_not_allowed(
        &self,
        owner: &BareJid,
        node: &Arc<Node>,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        if node.config.access == AccessModel::Authorize {
            return Ok(());
        }
        let mut ending = Vec::new();
        for subscription in &node.subscriptions {
            let who = subscription.jid.bare();
            if self.may_see(cx.router(), owner, node, &who).await?.is_err() {
                ending.push(subscription.clone());
            }
        }
        self.end_subscriptions(owner, node, ending, cx).await
    }

    /// Answers `<default/>` (§8.3).
    pub async fn show_default(&self, router: &Router, owner: &BareJid, asker: &Jid) -> Result<Reply, Fault> {
        let groups = self.groups_of(router, &asker.bare()).await?;
        let mut xml = Writer::new();
        xml.start("pubsub", OWNER).start("default", OWNER);
        xml.raw(&NodeConfig::of(owner).sheet(FormKind::Form, &groups).xml());
        Ok(xml.into())
    }
}

/// The form in a `<configure/>`. Some clients name it as the publish-options' form; that is no reason to refuse it.
fn submitted(configure: El<'_>) -> Result<Option<Form>, Fault> {
    let Some(x) = configure.child("x", kim_core::ns::DATA) else {
        return Ok(None);
    };
    let form = Form::read(x)?;
    match form.value("FORM_TYPE") {
        None | Some(NODE_CONFIG | PUBLISH_OPTIONS) => Ok(Some(form)),
        Some(_) => Err(StanzaError::new(Condition::NotAcceptable)
            .text("the form has the wrong FORM_TYPE")
            .into()),
    }
}

/// A node's name may be anything but empty, and has an end.
pub fn check_name(name: &str) -> Result<(), Fault> {
    if name.is_empty() || name.len() > NODE_NAME_BYTES_MAX {
        return Err(StanzaError::new(Condition::NotAcceptable)
            .text("this node name is not valid")
            .into());
    }
    Ok(())
}
