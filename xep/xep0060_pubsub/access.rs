//! Who may see what at a node (§4.5), and what everybody else is told.
//!
//! At an account, somebody who does not see the owner's presence learns one thing only: that there is nothing for them. The
//! answer is the same for a node that is closed to them, for one that is not there, and for an account that is not there.

use std::sync::Arc;

use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::router::{Destination, Router};

use super::config::{AccessModel, PublishModel, is_account};
use super::engine::Engine;
use super::errors;
use super::home::{Affiliation, Node, SubscriptionState};
use crate::rfc6121_im::api::RosterItem;

/// Why somebody may not see a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeDenied {
    /// An owner has shut them out.
    Outcast,
    /// They do not see the owner's presence (§6.5.9.6).
    NoPresence,
    /// They are in none of the groups (§6.5.9.7).
    NotInGroup,
    /// They were not named (§6.5.9.8).
    NotNamed,
    /// An owner has to approve their subscription first (§6.5.9.3).
    NotSubscribed,
}

impl NodeDenied {
    /// The error of the text for this.
    pub fn error(self) -> StanzaError {
        match self {
            NodeDenied::Outcast => errors::forbidden(),
            NodeDenied::NoPresence => errors::presence_required(),
            NodeDenied::NotInGroup => errors::not_in_group(),
            NodeDenied::NotNamed => errors::closed(),
            NodeDenied::NotSubscribed => errors::not_subscribed(),
        }
    }
}

/// What an owner's roster says about somebody.
pub(super) type Contact = Option<Arc<RosterItem>>;

impl Engine {
    /// What somebody is at a node.
    pub fn affiliation(owner: &BareJid, node: &Node, who: &BareJid) -> Affiliation {
        if who == owner {
            return Affiliation::Owner;
        }
        node.affiliations.get(who).copied().unwrap_or(Affiliation::None)
    }

    /// Whether somebody may see what is at a node, by its access model and not by a subscription that is there.
    pub async fn may_see(
        &self,
        router: &Router,
        owner: &BareJid,
        node: &Node,
        who: &BareJid,
    ) -> Result<Result<(), NodeDenied>, Fault> {
        self.may_see_knowing(router, owner, node, who, &mut None).await
    }

    /// The same for somebody who asks about many nodes of an account: what its roster says is looked up once.
    pub(super) async fn may_see_knowing(
        &self,
        router: &Router,
        owner: &BareJid,
        node: &Node,
        who: &BareJid,
        known: &mut Option<Contact>,
    ) -> Result<Result<(), NodeDenied>, Fault> {
        match Engine::affiliation(owner, node, who) {
            Affiliation::Outcast => return Ok(Err(NodeDenied::Outcast)),
            Affiliation::Owner | Affiliation::Publisher | Affiliation::Member => return Ok(Ok(())),
            Affiliation::None | Affiliation::PublishOnly => {}
        }
        let verdict = match node.config.access {
            AccessModel::Open => Ok(()),
            AccessModel::Whitelist => Err(NodeDenied::NotNamed),
            AccessModel::Authorize => {
                let approved = |state| state == SubscriptionState::Subscribed;
                if node
                    .subscriptions_of(who)
                    .any(|subscription| approved(subscription.state))
                {
                    Ok(())
                } else {
                    Err(NodeDenied::NotSubscribed)
                }
            }
            AccessModel::Presence | AccessModel::Roster => {
                self.by_roster(router, owner, node, who, known).await?
            }
        };
        Ok(verdict)
    }

    /// At the service it is the rosters of a node's owners that count.
    async fn by_roster(
        &self,
        router: &Router,
        owner: &BareJid,
        node: &Node,
        who: &BareJid,
        known: &mut Option<Contact>,
    ) -> Result<Result<(), NodeDenied>, Fault> {
        let owners: Vec<&BareJid> = if is_account(owner) {
            vec![owner]
        } else {
            let owners = node
                .affiliations
                .iter()
                .filter(|(_, what)| **what == Affiliation::Owner);
            let here = owners.filter(|(jid, _)| router.destination(jid.domain()) == Destination::Users);
            here.map(|(jid, _)| jid).collect()
        };
        let mut verdict = Err(NodeDenied::NoPresence);
        for roster in owners {
            // What is known is from the account's own roster; at the service each owner has another.
            let item = match known.as_ref().filter(|_| is_account(owner)) {
                Some(item) => item.clone(),
                None => self.subscriptions.item(router, roster, who).await?,
            };
            if is_account(owner) {
                *known = Some(item.clone());
            }
            let Some(item) = item else {
                continue;
            };
            if !item.state.is_from() {
                continue;
            }
            let in_group = || {
                item.groups
                    .iter()
                    .any(|group| node.config.groups.iter().any(|own| **own == **group))
            };
            if node.config.access == AccessModel::Presence || item.listed && in_group() {
                return Ok(Ok(()));
            }
            verdict = Err(NodeDenied::NotInGroup);
        }
        Ok(verdict)
    }

    /// The error for somebody who may not see a node: the one of the text for those who know that the owner is there, and
    /// nothing but "no such node" for everybody else.
    pub async fn denied(
        &self,
        router: &Router,
        owner: &BareJid,
        who: &BareJid,
        denied: NodeDenied,
    ) -> Result<Fault, Fault> {
        let knows = !is_account(owner) || self.subscriptions.may_see(router, owner, who).await?;
        Ok(if knows { denied.error() } else { errors::no_node() }.into())
    }

    /// The node, if the asker may see what is there.
    pub async fn seen(
        &self,
        router: &Router,
        owner: &BareJid,
        name: &str,
        asker: &Jid,
    ) -> Result<Arc<Node>, Fault> {
        let node = self
            .home(router, owner)
            .await?
            .node(name)
            .ok_or_else(errors::no_node)?;
        let who = asker.bare();
        match self.may_see(router, owner, &node, &who).await? {
            Ok(()) => Ok(node),
            Err(denied) => Err(self.denied(router, owner, &who, denied).await?),
        }
    }

    /// The node, if the asker is one of its owners. Strangers hear the same of every node, there or not.
    pub async fn owned(
        &self,
        router: &Router,
        owner: &BareJid,
        name: &str,
        asker: &Jid,
    ) -> Result<Arc<Node>, Fault> {
        let who = asker.bare();
        let node = self.home(router, owner).await?.node(name);
        if is_account(owner) && who != *owner {
            let is_owner = node
                .as_ref()
                .is_some_and(|node| Engine::affiliation(owner, node, &who) == Affiliation::Owner);
            if !is_owner {
                return Err(errors::forbidden().into());
            }
        }
        let node = node.ok_or_else(errors::no_node)?;
        if Engine::affiliation(owner, &node, &who) != Affiliation::Owner {
            return Err(errors::forbidden().into());
        }
        Ok(node)
    }

    /// Whether somebody may publish at a node.
    pub async fn may_publish(
        &self,
        router: &Router,
        owner: &BareJid,
        node: &Node,
        who: &BareJid,
    ) -> Result<bool, Fault> {
        let by_model = match Engine::affiliation(owner, node, who) {
            Affiliation::Owner | Affiliation::Publisher | Affiliation::PublishOnly => return Ok(true),
            Affiliation::Outcast => return Ok(false),
            _ => node.config.publish,
        };
        Ok(match by_model {
            PublishModel::Publishers => false,
            PublishModel::Open => self.may_see(router, owner, node, who).await?.is_ok(),
            PublishModel::Subscribers => {
                node.subscriptions_of(who)
                    .any(|subscription| subscription.state == SubscriptionState::Subscribed)
                    && self.may_see(router, owner, node, who).await?.is_ok()
            }
        })
    }

    /// Whether somebody may make nodes: an account its own; at the service, accounts of this server.
    pub fn may_create(&self, router: &Router, owner: &BareJid, who: &BareJid) -> Result<(), Fault> {
        let is_user = router.destination(who.domain()) == Destination::Users && who.local().is_some();
        if is_user && (who == owner || !is_account(owner)) {
            return Ok(());
        }
        Err(Condition::Forbidden.into())
    }
}

impl Engine {
    /// Whether somebody may remove these items: owners any, publishers their own (§7.2).
    pub async fn may_retract(
        &self,
        router: &Router,
        owner: &BareJid,
        node: &Node,
        who: &BareJid,
        ids: &[String],
    ) -> Result<bool, Fault> {
        if Engine::affiliation(owner, node, who) == Affiliation::Owner {
            return Ok(true);
        }
        if !self.may_publish(router, owner, node, who).await? {
            return Ok(false);
        }
        for id in ids {
            let item = self.item_of(router, owner, node, id).await?;
            if item.is_some_and(|item| item.publisher.bare() != *who) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
