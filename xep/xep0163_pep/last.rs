//! The last items (XEP-0163 §4.3.4): for a session that has just become available, or of which it has just become known what
//! it wants to hear of; and for contacts who begin to see the owner's presence or come into one of the groups. Once, and not
//! with every presence.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::Hear;
use kim_core::jid::{BareJid, Jid};
use kim_core::router::Destination;
use kim_core::session::Session;

use super::Means;
use crate::rfc6121_im::api::{PresenceChanged, RosterChanged};
use crate::xep0060_pubsub::api::AccessModel;
use crate::xep0115_caps::api::{CapsKnown, Features};

/// The session is available now (§4.3.3: only initial presence).
pub(super) struct OnPresence(pub Means);

impl Hear<PresenceChanged> for OnPresence {
    async fn hear(&self, changed: &mut PresenceChanged, cx: &mut Cx) -> Result<(), Fault> {
        if changed.initial
            && let Some(features) = self.0.caps.features_of(&changed.session)
        {
            let wanted: Vec<String> = features.wanted().map(str::to_owned).collect();
            self.0.welcome(&changed.session, &wanted, cx).await?;
        }
        Ok(())
    }
}

/// It has become known what the session wants; if it is not available yet, its presence is about to come.
pub(super) struct OnCaps(pub Means);

impl Hear<CapsKnown> for OnCaps {
    async fn hear(&self, known: &mut CapsKnown, cx: &mut Cx) -> Result<(), Fault> {
        if known.session.priority().is_none() {
            return Ok(());
        }
        let before = known.before.as_ref();
        let is_new = |node: &&str| before.is_none_or(|before| !before.wants(node));
        let wanted: Vec<String> = known.now.wanted().filter(is_new).map(str::to_owned).collect();
        self.0.welcome(&known.session, &wanted, cx).await?;
        Ok(())
    }
}

/// A contact begins to see the owner's presence, or has changed groups; or must not hear any more (§7.1).
pub(super) struct OnRoster(pub Means);

impl Hear<RosterChanged> for OnRoster {
    async fn hear(&self, changed: &mut RosterChanged, cx: &mut Cx) -> Result<(), Fault> {
        let (owner, contact) = (changed.account.clone(), changed.contact.clone());
        let (before, after) = changed.states();
        let groups = |item: &Option<Arc<crate::rfc6121_im::api::RosterItem>>| {
            item.as_ref()
                .filter(|item| item.listed)
                .map(|item| item.groups.clone())
                .unwrap_or_default()
        };
        let (old, new) = (groups(&changed.before), groups(&changed.after));
        if before.is_from() != after.is_from() || old != new {
            self.0.pubsub.recheck(&owner, &contact, cx).await?;
        }
        let begins = after.is_from() && !before.is_from();
        let joins = after.is_from() && new.iter().any(|group| !old.contains(group));
        if !begins && !joins {
            return Ok(());
        }
        let router = cx.router().clone();
        for (client, features) in self.0.clients_of(&owner, &contact, cx) {
            let mut gained = Vec::new();
            for node in features.wanted() {
                if begins || self.0.newly_in_group(&router, &owner, node, &old).await? {
                    gained.push(node);
                }
            }
            self.0.send_last(&client, &owner, &gained, cx).await?;
        }
        Ok(())
    }
}

impl Means {
    /// The last items for a session that begins to hear: its own account's, and those of everybody whose presence it sees.
    async fn welcome(&self, session: &Arc<Session>, wanted: &[String], cx: &mut Cx) -> Result<(), Fault> {
        if session.guest || wanted.is_empty() {
            return Ok(());
        }
        let router = cx.router().clone();
        let account = session.account.clone();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        self.send_last(&session.jid, &account, &wanted, cx).await?;
        let roster = self.subscriptions.roster(&account).await?;
        let seen: Vec<BareJid> = roster
            .all()
            .iter()
            .filter(|item| {
                item.state.is_to() && router.destination(item.contact.domain()) == Destination::Users
            })
            .map(|item| item.contact.clone())
            .collect();
        for owner in seen {
            self.send_last(&session.jid, &owner, &wanted, cx).await?;
        }
        Ok(())
    }

    /// The clients of a contact that are there, and what they want: of this server or elsewhere.
    fn clients_of(&self, owner: &BareJid, contact: &BareJid, cx: &Cx) -> Vec<(Jid, Arc<Features>)> {
        let router = cx.router();
        if router.destination(contact.domain()) == Destination::Remote {
            return self.caps.clients_elsewhere(owner, contact, cx.received);
        }
        let sessions = router.sessions().of(contact);
        let there = sessions.iter().filter(|session| session.priority().is_some());
        there
            .filter_map(|session| Some((session.jid.clone(), self.caps.features_of(session)?)))
            .collect()
    }

    pub(super) async fn send_last(
        &self,
        client: &Jid,
        owner: &BareJid,
        nodes: &[&str],
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let router = cx.router().clone();
        let last = self
            .pubsub
            .last_for(&router, owner, nodes, &client.bare())
            .await?;
        let is_own = client.bare_str() == owner.as_str();
        if last.is_empty() || !is_own && self.blocks.blocks(owner, client).await? {
            return Ok(());
        }
        for stanza in last {
            cx.send(stanza.to(client.clone()));
        }
        Ok(())
    }

    /// Whether a node is for groups, none of which the contact was in before.
    async fn newly_in_group(
        &self,
        router: &kim_core::router::Router,
        owner: &BareJid,
        node: &str,
        before: &[Box<str>],
    ) -> Result<bool, Fault> {
        let Some(config) = self.pubsub.config(router, owner, node).await? else {
            return Ok(false);
        };
        let was_in = config
            .groups
            .iter()
            .any(|group| before.iter().any(|old| **old == **group));
        Ok(config.access == AccessModel::Roster && !was_in)
    }
}
