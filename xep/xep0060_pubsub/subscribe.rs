//! Subscribing and unsubscribing (§6.1, §6.2), one's own subscriptions and affiliations (§5.6, §5.7).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::Reply;
use kim_core::random;
use kim_core::router::Destination;
use kim_core::wire::{El, Writer};

use super::access::NodeDenied;
use super::api::PUBSUB;
use super::config::{AccessModel, SendLast, is_account};
use super::engine::{Engine, PETITIONS};
use super::home::{Affiliation, Node, Subscription, SubscriptionState};
use super::store::SubscriptionRow;
use super::{errors, notify};

impl Engine {
    /// The address that a request is about. If it is not the asker's own the request fails with `foreign`.
    fn subscriber(asker: &Jid, request: El<'_>, foreign: fn() -> StanzaError) -> Result<Jid, Fault> {
        let jid = request
            .attr("jid")
            .and_then(|jid| Jid::parse(&jid).ok())
            .ok_or_else(errors::invalid_jid)?;
        if jid.bare_str() != asker.bare_str() {
            return Err(foreign().into());
        }
        Ok(jid)
    }

    /// Answers `<subscribe/>`.
    pub async fn subscribe(
        &self,
        owner: &BareJid,
        asker: &Jid,
        request: El<'_>,
        cx: &mut Cx,
    ) -> Result<Reply, Fault> {
        let router = cx.router().clone();
        let name = request.attr("node").ok_or_else(errors::node_required)?;
        // §6.1.3.1
        let jid = Engine::subscriber(asker, request, errors::invalid_jid)?;
        let who = asker.bare();
        if router.destination(who.domain()) == Destination::Guests {
            // §6.1.3.6
            return Err(Condition::Forbidden.into());
        }
        let node = self
            .home(&router, owner)
            .await?
            .node(&name)
            .ok_or_else(errors::no_node)?;
        let state = match self.may_see(&router, owner, &node, &who).await? {
            Ok(()) => SubscriptionState::Subscribed,
            // Who may ask has to know that there is somebody to be asked.
            Err(NodeDenied::NotSubscribed) if self.may_ask(cx, owner, &who).await? => {
                SubscriptionState::Pending
            }
            Err(denied) => return Err(self.denied(&router, owner, &who, denied).await?),
        };
        if !node.config.subscribe {
            return Err(errors::unsupported("subscribe").into());
        }
        if let Some(there) = node.subscription(&jid) {
            if there.state == SubscriptionState::Pending {
                return Err(errors::pending().into());
            }
            return Ok(subscribed(&node, there));
        }
        let subscription = Subscription {
            jid,
            subid: random::token().get(..16).unwrap_or_default().into(),
            state,
        };
        let mine = self.home(&router, owner).await?.nodes();
        let mine: usize = mine.iter().map(|node| node.subscriptions_of(&who).count()).sum();
        if node.subscriptions.len() >= self.settings.subscriptions_per_node_max
            || mine >= self.settings.subscriptions_per_subscriber_max
        {
            return Err(errors::too_many_subscriptions().into());
        }
        let petition = (who.clone(), (owner.clone(), node.name.clone()));
        if state == SubscriptionState::Pending && !self.petitions.take(&petition, PETITIONS, cx.received) {
            return Err(errors::too_many_subscriptions().into());
        }
        let node = self
            .set_subscriptions(owner, &name, &[(subscription.clone(), Some(state))])
            .await?;
        match state {
            SubscriptionState::Pending => self.ask_owners(owner, &node, &subscription, cx),
            SubscriptionState::Subscribed => {
                if node.config.send_last != SendLast::Never
                    && let Some(item) = self.last(&router, owner, &node).await?
                {
                    cx.send(
                        notify::of_last(owner, &node.name, &node.config, &item).to(subscription.jid.clone()),
                    );
                }
            }
        }
        Ok(subscribed(&node, &subscription))
    }

    /// At an account, only contacts may ask to be approved: for all others the node is not there.
    async fn may_ask(&self, cx: &Cx, owner: &BareJid, who: &BareJid) -> Result<bool, Fault> {
        Ok(!is_account(owner) || self.subscriptions.may_see(cx.router(), owner, who).await?)
    }

    /// Answers `<unsubscribe/>`.
    pub async fn unsubscribe(
        &self,
        owner: &BareJid,
        asker: &Jid,
        request: El<'_>,
        cx: &mut Cx,
    ) -> Result<Reply, Fault> {
        let router = cx.router().clone();
        let name = request.attr("node").ok_or_else(errors::node_required)?;
        // §6.2.3.3
        let jid = Engine::subscriber(asker, request, errors::forbidden)?;
        let who = asker.bare();
        let node = self
            .home(&router, owner)
            .await?
            .node(&name)
            .ok_or_else(errors::no_node)?;
        let Some(subscription) = node.subscription(&jid) else {
            // That the node is there is told only to those who may know.
            let known = node.subscriptions_of(&who).next().is_some()
                || self.may_ask(cx, owner, &who).await?
                || self.may_see(&router, owner, &node, &who).await?.is_ok();
            if !known {
                return Err(errors::no_node().into());
            }
            return Err(errors::no_subscriber().into());
        };
        if request
            .attr("subid")
            .is_some_and(|subid| *subid != *subscription.subid)
        {
            return Err(errors::invalid_subid().into());
        }
        self.set_subscriptions(owner, &name, &[(subscription.clone(), None)])
            .await?;
        Ok(Reply::Empty)
    }

    /// Stores subscriptions of a node, all at once; `None` ends one. The caller says who may.
    pub(super) async fn set_subscriptions(
        &self,
        owner: &BareJid,
        name: &str,
        changes: &[(Subscription, Option<SubscriptionState>)],
    ) -> Result<Arc<Node>, Fault> {
        let _held = self.home_locks.hold((owner, "")).await;
        let home = self.home_held(owner).await?;
        let node = home.node(name).ok_or_else(errors::no_node)?;
        let row = |(subscription, state): &(Subscription, Option<SubscriptionState>)| SubscriptionRow {
            node: name.to_owned(),
            jid: subscription.jid.as_str().to_owned(),
            subid: subscription.subid.to_string(),
            state: state.map_or("none", SubscriptionState::as_str).to_owned(),
        };
        if !self
            .store
            .subscribe(owner, name, changes.iter().map(row).collect())
            .await?
        {
            self.homes.forget(owner);
            return Err(errors::no_node().into());
        }
        let mut copy = node.copy();
        for (subscription, state) in changes {
            copy.subscriptions.retain(|there| there.jid != subscription.jid);
            if let Some(state) = *state {
                copy.subscriptions.push(Subscription {
                    state,
                    ..subscription.clone()
                });
            }
        }
        copy.subscriptions.sort_by(|a, b| a.jid.cmp(&b.jid));
        let node = home.put(copy);
        self.homes.keep(owner, &home);
        Ok(node)
    }

    /// Ends subscriptions of a node and tells those who held them (§8.8.4).
    pub(super) async fn end_subscriptions(
        &self,
        owner: &BareJid,
        node: &Node,
        ending: Vec<Subscription>,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        if ending.is_empty() {
            return Ok(());
        }
        let changes: Vec<_> = ending
            .into_iter()
            .map(|subscription| (subscription, None))
            .collect();
        self.set_subscriptions(owner, &node.name, &changes).await?;
        for (subscription, _) in &changes {
            cx.send(notify::of_subscription(owner, node, &subscription.jid, "none"));
        }
        Ok(())
    }

    /// Answers `<subscriptions/>`: the asker's own, at one node or at all.
    pub async fn own_subscriptions(
        &self,
        owner: &BareJid,
        asker: &Jid,
        request: El<'_>,
        cx: &Cx,
    ) -> Result<Reply, Fault> {
        let (who, wanted) = (asker.bare(), request.attr("node"));
        let mut xml = Writer::new();
        xml.start("pubsub", PUBSUB).start("subscriptions", PUBSUB);
        if let Some(node) = &wanted {
            xml.attr("node", node);
        }
        for node in self.home(cx.router(), owner).await?.nodes() {
            if wanted.as_deref().is_none_or(|wanted| *wanted == *node.name) {
                for subscription in node.subscriptions_of(&who) {
                    write_subscription(&mut xml, &node, subscription);
                }
            }
        }
        Ok(xml.into())
    }

    /// Answers `<affiliations/>`: what the asker is, at one node or at all.
    pub async fn own_affiliations(
        &self,
        owner: &BareJid,
        asker: &Jid,
        request: El<'_>,
        cx: &Cx,
    ) -> Result<Reply, Fault> {
        let (who, wanted) = (asker.bare(), request.attr("node"));
        let mut xml = Writer::new();
        xml.start("pubsub", PUBSUB).start("affiliations", PUBSUB);
        if let Some(node) = &wanted {
            xml.attr("node", node);
        }
        for node in self.home(cx.router(), owner).await?.nodes() {
            let affiliation = Engine::affiliation(owner, &node, &who);
            let wanted = wanted.as_deref().is_none_or(|wanted| *wanted == *node.name);
            // Entities that are shut out need not be told where.
            if wanted && affiliation > Affiliation::None {
                xml.start("affiliation", PUBSUB)
                    .attr("node", &node.name)
                    .attr("affiliation", affiliation.as_str())
                    .end();
            }
        }
        Ok(xml.into())
    }

    /// Ends the subscriptions that somebody holds and may not hold any more, because a presence subscription or a roster
    /// group has changed (XEP-0163 §7.1), and tells them.
    pub async fn recheck(&self, owner: &BareJid, who: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let router = cx.router().clone();
        for node in self.home(&router, owner).await?.nodes() {
            let by_roster = matches!(node.config.access, AccessModel::Presence | AccessModel::Roster);
            let held: Vec<Subscription> = node.subscriptions_of(who).cloned().collect();
            if !by_roster || held.is_empty() || self.may_see(&router, owner, &node, who).await?.is_ok() {
                continue;
            }
            self.end_subscriptions(owner, &node, held, cx).await?;
        }
        Ok(())
    }
}

fn subscribed(node: &Node, subscription: &Subscription) -> Reply {
    let mut xml = Writer::new();
    xml.start("pubsub", PUBSUB);
    write_subscription(&mut xml, node, subscription);
    xml.into()
}

fn write_subscription(xml: &mut Writer, node: &Node, subscription: &Subscription) {
    xml.start("subscription", PUBSUB)
        .attr("node", &node.name)
        .attr("jid", subscription.jid.as_str())
        .attr("subid", &subscription.subid)
        .attr("subscription", subscription.state.as_str())
        .end();
}
