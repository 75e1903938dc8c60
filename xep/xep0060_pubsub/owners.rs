//! What owners do with those who come to their nodes: subscriptions (§8.8) and affiliations (§8.9).

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::Reply;
use kim_core::random;
use kim_core::wire::{El, Writer};

use super::config::is_account;
use super::engine::Engine;
use super::home::{Affiliation, Node, Subscription, SubscriptionState};
use super::names::OWNER;
use super::store::AffiliationRow;
use super::{errors, notify};

/// Changes in one request.
const CHANGES_MAX: usize = 1_000;

impl Engine {
    /// Answers an owner's `<subscriptions/>`.
    pub fn show_subscriptions(node: &Node) -> Reply {
        let mut xml = Writer::new();
        xml.start("pubsub", OWNER)
            .start("subscriptions", OWNER)
            .attr("node", &node.name);
        for subscription in &node.subscriptions {
            xml.start("subscription", OWNER)
                .attr("jid", subscription.jid.as_str())
                .attr("subscription", subscription.state.as_str())
                .attr("subid", &subscription.subid)
                .end();
        }
        xml.into()
    }

    /// Takes an owner's `<subscriptions/>`: all changes, or none if one of them is wrong.
    pub async fn change_subscriptions(
        &self,
        owner: &BareJid,
        node: &Node,
        request: El<'_>,
        cx: &mut Cx,
    ) -> Result<Reply, Fault> {
        let mut changes: Vec<(Subscription, Option<SubscriptionState>)> = Vec::new();
        for change in request.children().filter(|child| child.is("subscription", OWNER)) {
            let jid = change
                .attr("jid")
                .and_then(|jid| Jid::parse(&jid).ok())
                .ok_or_else(errors::invalid_jid)?;
            let state = match change.attr("subscription").as_deref() {
                Some("none") => None,
                Some(word) => Some(SubscriptionState::named(word).ok_or(Condition::BadRequest)?),
                None => return Err(Condition::BadRequest.into()),
            };
            let subscription = node.subscription(&jid).cloned().unwrap_or_else(|| Subscription {
                jid,
                subid: random::token().get(..16).unwrap_or_default().into(),
                state: SubscriptionState::Pending,
            });
            changes.push((subscription, state));
        }
        let added = changes.iter().filter(|(subscription, state)| {
            state.is_some() && node.subscription(&subscription.jid).is_none()
        });
        let count = node.subscriptions.len() + added.count();
        if changes.len() > CHANGES_MAX || count > self.settings.subscriptions_per_node_max {
            return Err(errors::too_many_subscriptions().into());
        }
        let now = self.set_subscriptions(owner, &node.name, &changes).await?;
        for (subscription, state) in &changes {
            let before = node.subscription(&subscription.jid).map(|there| there.state);
            if before != *state {
                // §8.8.4
                let word = state.map_or("none", SubscriptionState::as_str);
                cx.send(notify::of_subscription(owner, &now, &subscription.jid, word));
            }
        }
        Ok(Reply::Empty)
    }

    /// Answers an owner's `<affiliations/>`.
    pub fn show_affiliations(owner: &BareJid, node: &Node) -> Reply {
        let mut xml = Writer::new();
        xml.start("pubsub", OWNER)
            .start("affiliations", OWNER)
            .attr("node", &node.name);
        let mut put = |jid: &BareJid, affiliation: Affiliation| {
            xml.start("affiliation", OWNER)
                .attr("jid", jid.as_str())
                .attr("affiliation", affiliation.as_str())
                .end();
        };
        if is_account(owner) {
            put(owner, Affiliation::Owner);
        }
        for (jid, affiliation) in &node.affiliations {
            put(jid, *affiliation);
        }
        xml.into()
    }

    /// Takes an owner's `<affiliations/>`: all changes, or none if one of them is wrong.
    pub async fn change_affiliations(
        &self,
        owner: &BareJid,
        node: &Node,
        request: El<'_>,
        cx: &mut Cx,
    ) -> Result<Reply, Fault> {
        let name = &node.name;
        let mut changes: Vec<(BareJid, Affiliation)> = Vec::new();
        for change in request
            .children()
            .filter(|child| child.is("affiliation", OWNER))
            .take(CHANGES_MAX + 1)
        {
            let jid = change
                .attr("jid")
                .and_then(|jid| Jid::parse(&jid).ok())
                .ok_or_else(errors::invalid_jid)?;
            let word = change.attr("affiliation").ok_or(Condition::BadRequest)?;
            let affiliation = Affiliation::named(&word).ok_or(Condition::BadRequest)?;
            if is_account(owner) && jid.bare() == *owner && affiliation != Affiliation::Owner {
                return Err(Condition::NotAcceptable.into());
            }
            changes.push((jid.bare(), affiliation));
        }
        if changes.is_empty() || changes.len() > CHANGES_MAX {
            return Err(Condition::BadRequest.into());
        }
        let held = self.home_locks.hold((owner, "")).await;
        let home = self.home_held(owner).await?;
        let mut node = home.node(name).ok_or_else(errors::no_node)?.copy();
        for (jid, affiliation) in &changes {
            match affiliation {
                Affiliation::None => node.affiliations.remove(jid),
                other => node.affiliations.insert(jid.clone(), *other),
            };
        }
        let owners = node
            .affiliations
            .values()
            .filter(|what| **what == Affiliation::Owner)
            .count();
        if !is_account(owner) && owners == 0 {
            // §8.9.2: somebody has to own it.
            return Err(Condition::NotAcceptable.into());
        }
        if node.affiliations.len() > self.settings.affiliations_per_node_max {
            return Err(Condition::PolicyViolation.into());
        }
        let row = |(jid, affiliation): &(BareJid, Affiliation)| AffiliationRow {
            node: name.to_string(),
            jid: jid.as_str().to_owned(),
            affiliation: affiliation.as_str().to_owned(),
        };
        if !self
            .store
            .affiliate(owner, name, changes.iter().map(row).collect())
            .await?
        {
            self.homes.forget(owner);
            return Err(errors::no_node().into());
        }
        let node = home.put(node);
        self.homes.keep(owner, &home);
        drop(held);
        for (jid, _) in &changes {
            // Entities that are shut out hear nothing more of it.
            let held: Vec<Subscription> = node.subscriptions_of(jid).cloned().collect();
            if held.is_empty() || self.may_see(cx.router(), owner, &node, jid).await?.is_ok() {
                continue;
            }
            self.end_subscriptions(owner, &node, held, cx).await?;
        }
        Ok(Reply::Empty)
    }
}
