//! Who hears of what happens at an account's node without having subscribed (XEP-0163 §4): the owner's own sessions, always,
//! and those of the contacts who may see the node; each only if its client wants to hear of that node.

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On};
use kim_core::jid::Jid;
use kim_core::router::Destination;
use kim_core::session::Resource;

use super::Means;
use crate::xep0060_pubsub::api::{AccessModel, NodeAudience};

/// Adds those who want to hear of it.
pub(super) struct InterestedSessions(pub Means);

impl On<NodeAudience> for InterestedSessions {
    async fn on(&self, audience: &mut NodeAudience, cx: &mut Cx) -> Result<Flow, Fault> {
        let router = cx.router().clone();
        let owner = audience.owner.clone();
        if owner.local().is_none() || router.destination(owner.domain()) != Destination::Users {
            return Ok(Flow::Next);
        }
        let wanted = format!("{}+notify", audience.node);
        let own = router.sessions_of(&owner).await;
        self.add(&own, &wanted, &mut audience.sessions);
        let roster = self.0.subscriptions.roster(&owner).await?;
        for item in roster.all().iter().filter(|item| item.state.is_from()) {
            // Contacts who are away cost one look; only for the others it is asked what they may see.
            let mut hearers = Vec::new();
            match router.destination(item.contact.domain()) {
                Destination::Users => {
                    let here = router.sessions_of(&item.contact).await;
                    self.add(&here, &wanted, &mut hearers);
                }
                Destination::Remote => {
                    let clients = self.0.caps.clients_elsewhere(&owner, &item.contact, cx.received);
                    let wanting = clients.into_iter().filter(|(_, features)| features.has(&wanted));
                    hearers.extend(wanting.map(|(client, _)| client));
                }
                _ => {}
            }
            if hearers.is_empty() {
                continue;
            }
            let by_presence = matches!(audience.config.access, AccessModel::Open | AccessModel::Presence);
            let in_group = || {
                audience
                    .config
                    .groups
                    .iter()
                    .any(|group| item.groups.iter().any(|own| **own == **group))
            };
            let may = match audience.config.access {
                AccessModel::Roster => item.listed && in_group(),
                _ if by_presence => true,
                _ => {
                    self.0
                        .pubsub
                        .may_see(&router, &owner, &audience.node, &item.contact)
                        .await?
                }
            };
            if !may || self.0.blocks.blocks(&owner, &item.contact).await? {
                continue;
            }
            audience.sessions.append(&mut hearers);
        }
        Ok(Flow::Next)
    }
}

impl InterestedSessions {
    fn add(&self, theirs: &[Resource], wanted: &str, sessions: &mut Vec<Jid>) {
        for session in theirs.iter().filter_map(Resource::here) {
            let wants = || {
                self.0
                    .caps
                    .features_of(session)
                    .is_some_and(|features| features.has(wanted))
            };
            if session.priority().is_some() && wants() {
                sessions.push(session.jid.clone());
            }
        }
    }
}
