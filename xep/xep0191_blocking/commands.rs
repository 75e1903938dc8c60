//! What a client asks about its block list: read it, block, unblock (§3.2–3.5).

use std::collections::BTreeSet;
use std::sync::Arc;

use kim_core::config::LimitsInForce;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::hook::Notice;
use kim_core::jid::{BareJid, Jid};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::random;
use kim_core::session::Mark;
use kim_core::stanza::{IqType, Kind, Stanza};
use kim_core::wire::{El, Writer};

use super::list::BlockLists;
use super::visibility::Visibility;
use super::{ITEMS_PER_REQUEST_MAX, NS};

/// An account has blocked addresses, and that is committed. The client waits for the answer to its request, which is the same
/// whatever becomes of this.
pub struct Blocked {
    /// Who blocks.
    pub account: BareJid,
    /// The whole request: items may have more in them than an address (XEP-0377).
    pub request: Stanza,
}

impl Notice for Blocked {
    const NAME: &'static str = "blocked";
}

/// Reads the list (§3.2).
pub(super) struct Fetch(pub Arc<BlockLists>);

impl HandleIq for Fetch {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let list = self.0.of(iq.account).await?;
        if let Some(session) = cx.router().sessions().get(iq.from) {
            session.mark(Mark::BlockList, true);
        }
        let mut xml = Writer::new();
        xml.start("blocklist", NS);
        for jid in list.sorted() {
            xml.start("item", NS).attr("jid", jid.as_str()).end();
        }
        xml.end();
        Ok(xml.into())
    }
}

/// Blocks (§3.3).
pub(super) struct Block {
    pub lists: Arc<BlockLists>,
    pub visibility: Arc<Visibility>,
    pub limits: LimitsInForce,
}

impl HandleIq for Block {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let asked = items(iq.payload)?;
        if asked.is_empty() {
            return Err(Condition::BadRequest.into());
        }
        if asked.iter().any(|jid| jid.bare() == *iq.account) {
            let error = StanzaError::new(Condition::NotAcceptable).text("you cannot block your own account");
            return Err(error.into());
        }
        let list = self.lists.of(iq.account).await?;
        let new: Vec<Jid> = asked.iter().filter(|jid| !list.names(jid)).cloned().collect();
        if list.len() + new.len() > self.limits.now().block_list_max {
            return Err(full());
        }
        // Contacts who see us online now see us go offline (§3.3): asked before the block, sent as if before it.
        let farewell = self.visibility.farewell(iq.account, &new, cx).await?;
        self.lists.block(iq.account, &new).await?;
        farewell.into_iter().for_each(|presence| cx.send(presence));
        push(iq.account, "block", &asked, cx);
        let mut blocked = Blocked {
            account: iq.account.clone(),
            request: iq.stanza.clone(),
        };
        // They are blocked, whatever else was wanted.
        if let Err(error) = cx.router().clone().tell(&mut blocked, cx).await {
            tracing::error!(event = "block_not_told", account = %iq.account, %error);
        }
        Ok(Reply::Empty)
    }
}

/// Unblocks some or, without items, all (§3.4, §3.5).
pub(super) struct Unblock {
    pub lists: Arc<BlockLists>,
    pub visibility: Arc<Visibility>,
}

impl HandleIq for Unblock {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let asked = items(iq.payload)?;
        let list = self.lists.of(iq.account).await?;
        let freed: Vec<Jid> = match asked.is_empty() {
            true => list.sorted().into_iter().cloned().collect(),
            false => asked.iter().filter(|jid| list.names(jid)).cloned().collect(),
        };
        self.lists.unblock(iq.account, &asked).await?;
        for presence in self.visibility.greeting(iq.account, &freed, cx).await? {
            cx.send(presence);
        }
        push(iq.account, "unblock", &asked, cx);
        Ok(Reply::Empty)
    }
}

/// There is no room for another address.
pub(super) fn full() -> Fault {
    StanzaError::new(Condition::ResourceConstraint)
        .text("the block list is full; unblock some addresses")
        .into()
}

/// The addresses a request names. An item without a proper one spoils the whole request, so that nobody believes to be
/// safe from somebody who was not blocked.
fn items(payload: El<'_>) -> Result<Vec<Jid>, Fault> {
    let mut jids = BTreeSet::new();
    for item in payload.children().take(ITEMS_PER_REQUEST_MAX + 1) {
        let jid = item
            .attr("jid")
            .filter(|_| item.name() == "item" && item.ns() == NS);
        let Some(jid) = jid else {
            return Err(Condition::BadRequest.into());
        };
        jids.insert(Jid::parse(&jid)?);
    }
    if jids.len() > ITEMS_PER_REQUEST_MAX {
        return Err(Condition::NotAcceptable.into());
    }
    Ok(jids.into_iter().collect())
}

/// Tells the change to every session of the account that has asked for the list.
pub(super) fn push(account: &BareJid, command: &str, jids: &[Jid], cx: &mut Cx) {
    let mut xml = Writer::new();
    xml.start(command, NS);
    for jid in jids {
        xml.start("item", NS).attr("jid", jid.as_str()).end();
    }
    xml.end();
    let payload = xml.finish_string();
    for session in cx.router().sessions().of(account) {
        if session.has(Mark::BlockList) {
            let push = Stanza::new(Kind::Iq(IqType::Set), &payload)
                .from(account.clone())
                .to(session.jid.clone())
                .id(random::token());
            cx.deliver(&session, Arc::new(push));
        }
    }
}
