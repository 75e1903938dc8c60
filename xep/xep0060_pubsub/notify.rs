//! Telling those concerned (§7.1.2, XEP-0163 §4.3). One notification is made for all; each recipient costs its address.

use std::collections::HashSet;
use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::random;
use kim_core::router::{Destination, Router};
use kim_core::stanza::{Kind, MessageType, Stanza, delay};
use kim_core::wire::Writer;

use super::config::{NodeConfig, NotificationType, SendLast};
use super::engine::Engine;
use super::events::{Item, NodeAudience, Published};
use super::home::{Affiliation, Node, SubscriptionState};
use super::names::EVENT;

/// The beginning of a random token is enough to tell notifications apart.
const ID_CHARS: usize = 12;

/// A notification with this in its `<event/>`.
pub fn notification(owner: &BareJid, config: &NodeConfig, write: impl FnOnce(&mut Writer)) -> Stanza {
    let kind = match config.notification_type {
        NotificationType::Headline => MessageType::Headline,
        NotificationType::Normal => MessageType::Normal,
        NotificationType::Chat => MessageType::Chat,
    };
    let mut xml = Writer::new();
    xml.start("event", EVENT);
    write(&mut xml);
    xml.end();
    let token = random::token();
    let id = token.get(..ID_CHARS).unwrap_or(&token);
    Stanza::new(Kind::Message(kind), &xml.finish_string())
        .from(owner.clone())
        .id(id)
}

/// A notification of items.
pub fn of_items(owner: &BareJid, node: &str, config: &NodeConfig, items: &[Arc<Item>]) -> Stanza {
    notification(owner, config, |xml| {
        xml.start("items", EVENT).attr("node", node);
        for item in items {
            xml.start("item", EVENT).attr("id", &item.id);
            if owner.local().is_none() {
                // §7.1.2.3: whose item it is; at an account there is one publisher only.
                xml.attr("publisher", item.publisher.as_str());
            }
            if let Some(payload) = item.payload.as_ref().filter(|_| config.deliver_payloads) {
                xml.el(payload.el());
            }
            xml.end();
        }
        xml.end();
    })
}

/// A notification of a node's last item, which says since when it is there (§6.1.7, XEP-0163 §4.3.4).
pub fn of_last(owner: &BareJid, node: &str, config: &NodeConfig, item: &Arc<Item>) -> Stanza {
    let mut stanza = of_items(owner, node, config, std::slice::from_ref(item));
    stanza.append(&delay(owner.as_str(), item.stamp));
    stanza
}

/// A notification that somebody's subscription has another state (§12.14).
pub fn of_subscription(owner: &BareJid, node: &Node, jid: &Jid, state: &str) -> Stanza {
    let stanza = notification(owner, &node.config, |xml| {
        xml.start("subscription", EVENT)
            .attr("node", &node.name)
            .attr("jid", jid.as_str())
            .attr("subscription", state)
            .end();
    });
    stanza.to(jid.clone())
}

impl Engine {
    /// Tells of published items.
    pub(super) async fn tell_published(
        &self,
        node: &Arc<Node>,
        published: &Published,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        // Without an item it is the publication itself that is told, by an empty `<items/>` (§4.3).
        let config = &published.config;
        let stanza = of_items(&published.owner, &published.node, config, &published.items);
        self.tell(&published.owner, node, stanza, cx).await
    }

    /// Sends a notification to everybody who is concerned by a node.
    pub(super) async fn tell(
        &self,
        owner: &BareJid,
        node: &Arc<Node>,
        stanza: Stanza,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        if !node.config.deliver_notifications {
            return Ok(());
        }
        for to in self.audience(owner, node, cx).await? {
            cx.send(stanza.clone().to(to));
        }
        Ok(())
    }

    /// Who is told: sessions that want to hear of it, and who subscribed and may still see it. Nobody twice.
    async fn audience(&self, owner: &BareJid, node: &Arc<Node>, cx: &mut Cx) -> Result<Vec<Jid>, Fault> {
        let router = cx.router().clone();
        let mut audience = NodeAudience {
            owner: owner.clone(),
            node: node.name.to_string(),
            config: node.config.clone(),
            sessions: Vec::new(),
        };
        router.raise(&mut audience, cx).await?;
        let mut told = audience.sessions;
        if node.subscriptions.is_empty() {
            return Ok(told);
        }
        // XEP-0163 §4.3.2: of whom we know the sessions, those that want it get it in the place of the bare JID.
        let known: HashSet<Jid> = told.iter().cloned().collect();
        let known_bare: HashSet<BareJid> = told.iter().map(Jid::bare).collect();
        for subscription in &node.subscriptions {
            let jid = &subscription.jid;
            let has_it = known.contains(jid) || jid.is_bare() && known_bare.contains(&jid.bare());
            if subscription.state != SubscriptionState::Subscribed || has_it {
                continue;
            }
            if self.may_see(&router, owner, node, &jid.bare()).await?.is_err()
                || node.config.presence_based_delivery && !is_available(&router, jid).await
                || owner.local().is_some() && self.blocks.blocks(owner, jid).await?
            {
                continue;
            }
            told.push(jid.clone());
        }
        Ok(told)
    }

    /// The last items of these nodes for somebody who has just become available.
    pub async fn last_for(
        &self,
        router: &Router,
        owner: &BareJid,
        names: &[&str],
        who: &BareJid,
    ) -> Result<Vec<Stanza>, Fault> {
        let home = self.home(router, owner).await?;
        let (mut last, mut known) = (Vec::new(), None);
        for node in names.iter().filter_map(|name| home.node(name)) {
            let config = &node.config;
            let sends = config.send_last == SendLast::OnSubAndPresence && config.deliver_notifications;
            if sends
                && self
                    .may_see_knowing(router, owner, &node, who, &mut known)
                    .await?
                    .is_ok()
                && let Some(item) = self.last(router, owner, &node).await?
            {
                last.push(of_last(owner, &node.name, config, &item));
            }
        }
        Ok(last)
    }

    /// The owners of a node.
    pub(super) fn owners(owner: &BareJid, node: &Node) -> Vec<BareJid> {
        if owner.local().is_some() {
            return vec![owner.clone()];
        }
        let owners = node
            .affiliations
            .iter()
            .filter(|(_, what)| **what == Affiliation::Owner);
        owners.map(|(jid, _)| jid.clone()).collect()
    }
}

/// Whether somebody of this server is available; of others nobody knows, so that they are told.
async fn is_available(router: &Router, jid: &Jid) -> bool {
    match router.destination(jid.domain()) {
        Destination::Users | Destination::Guests => {
            let sessions = router.sessions_of(&jid.bare()).await;
            let mut sessions = sessions.iter().filter(|session| session.priority().is_some());
            sessions.any(|session| jid.is_bare() || session.jid == *jid)
        }
        _ => true,
    }
}
