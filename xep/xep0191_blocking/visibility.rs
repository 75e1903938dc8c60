//! What the blocked see of us (§3.3, §3.4): whoever saw our presence sees us go when blocked, and sees us again when
//! unblocked. The subscriptions themselves stay.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::stanza::{Kind, PresenceType, Stanza};

use super::list::BlockList;
use crate::rfc6121_im::api::Subscriptions;

/// Finds who among the contacts is meant and what they are to be told.
pub(super) struct Visibility(Arc<Subscriptions>);

impl Visibility {
    pub(super) fn new(subscriptions: Arc<Subscriptions>) -> Visibility {
        Visibility(subscriptions)
    }

    /// Unavailable presence of every available session, for each contact that is being blocked and saw it.
    pub(super) async fn farewell(
        &self,
        account: &BareJid,
        jids: &[Jid],
        cx: &Cx,
    ) -> Result<Vec<Stanza>, Fault> {
        let mut told = Vec::new();
        for session in cx
            .router()
            .sessions_of(account)
            .await
            .iter()
            .filter(|session| session.priority().is_some())
        {
            for contact in self
                .contacts(account, jids)
                .await?
                .iter()
                .filter(|contact| contact.sees_us)
            {
                let gone = Stanza::new(Kind::Presence(PresenceType::Unavailable), "");
                told.push(gone.from(session.jid.clone()).to(contact.jid.clone()));
            }
        }
        Ok(told)
    }

    /// The current presence of every available session for each contact that may see it again, and a probe to those
    /// whose presence was kept from us meanwhile.
    pub(super) async fn greeting(
        &self,
        account: &BareJid,
        jids: &[Jid],
        cx: &Cx,
    ) -> Result<Vec<Stanza>, Fault> {
        let contacts = self.contacts(account, jids).await?;
        let sessions = cx.router().sessions_of(account).await;
        let available: Vec<_> = sessions.iter().filter_map(|session| session.presence()).collect();
        let mut told = Vec::new();
        for contact in contacts.iter().filter(|_| !available.is_empty()) {
            if contact.sees_us {
                told.extend(
                    available
                        .iter()
                        .map(|presence| Stanza::clone(&presence.stanza).to(contact.jid.clone())),
                );
            }
            if contact.seen_by_us {
                let probe = Stanza::new(Kind::Presence(PresenceType::Probe), "");
                told.push(probe.from(account.clone()).to(contact.jid.clone()));
            }
        }
        Ok(told)
    }

    /// The contacts that these entries of a block list mean.
    async fn contacts(&self, account: &BareJid, jids: &[Jid]) -> Result<Vec<Contact>, Fault> {
        if jids.is_empty() {
            return Ok(Vec::new());
        }
        let meant: BlockList = jids.iter().cloned().collect();
        let roster = self.0.roster(account).await?;
        let contacts = roster
            .all()
            .iter()
            .filter(|item| meant.blocks(&item.contact))
            .map(|item| Contact {
                jid: item.contact.clone(),
                sees_us: item.state.is_from(),
                seen_by_us: item.state.is_to(),
            });
        Ok(contacts.collect())
    }
}

struct Contact {
    jid: BareJid,
    /// Subscription `from` or `both`.
    sees_us: bool,
    /// Subscription `to` or `both`.
    seen_by_us: bool,
}
