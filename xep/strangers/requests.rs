//! The request box of each account: what strangers sent and is not delivered until the account says so. It is sealed, bounded
//! in number and bytes, and expires.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::Locks;
use kim_core::ns;
use kim_core::random;
use kim_core::seal::Seals;
use kim_core::stanza::{self, Kind, Stanza};

use super::StrangersConfig;
use super::acquaintances::Acquaintances;
use super::choices::StrangerChoices;
use super::counters::{Became, Counters, SentByStranger};
use super::store::{Settled, Store, StoredRequest};
use crate::xep0191_blocking::api::Blocks;

/// Accounts whose boxes can be worked on at the same time.
const LOCKS: usize = 256;

/// A fact on the context of what is released: it was judged already.
pub(super) struct Released {
    account: BareJid,
    sender: BareJid,
}

impl Released {
    /// Whether that is what arrives.
    pub(super) fn is(cx: &Cx, account: &BareJid, sender: &BareJid) -> bool {
        cx.fact::<Released>()
            .is_some_and(|released| released.account == *account && released.sender == *sender)
    }
}

/// Beside it: since when the message that arrives waited, canonical XML. Whoever strips forged delays runs in between.
struct Late(String);

/// Takes out of a released message who says how late it is.
pub(super) fn note_delay(stanza: &mut Stanza, account: &BareJid, cx: &mut Cx) {
    let is_ours = |child: &kim_core::wire::El<'_>| {
        child.is("delay", ns::DELAY) && child.attr("from").as_deref() == Some(account.domain())
    };
    // Ours is the last; others are forged.
    let late = stanza
        .children()
        .filter(is_ours)
        .last()
        .map(|delay| delay.to_xml());
    stanza.remove(is_ours);
    cx.learn(Late(late.unwrap_or_default()));
}

/// Puts it back.
pub(super) fn stamp_delay(stanza: &mut Stanza, cx: &Cx) {
    if let Some(Late(xml)) = cx.fact::<Late>()
        && !xml.is_empty()
    {
        stanza.append(xml);
    }
}

/// Something of a stranger that waits for the account to decide.
#[derive(Clone, Debug)]
pub struct WaitingRequest {
    /// Names it within the account.
    pub id: i64,
    /// Who sent it.
    pub sender: BareJid,
    /// When it was received.
    pub received: Timestamp,
    /// The message or subscription request itself.
    pub stanza: Stanza,
}

/// What an account does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Everything of its sender is delivered and archived as if it came now, and the sender is no stranger any more.
    Accept,
    /// It is deleted. Its sender hears nothing.
    Refuse,
    /// Everything of its sender is deleted, and the sender is blocked (XEP-0191).
    Block,
}

/// All boxes.
pub(super) struct RequestBox {
    store: Arc<Store>,
    seals: Seals,
    acquaintances: Arc<Acquaintances>,
    choices: Arc<StrangerChoices>,
    counters: Arc<Counters>,
    blocks: Arc<Blocks>,
    requests_max: usize,
    bytes_max: usize,
    locks: Locks,
    /// Requests whose end is not committed yet, so that none is delivered twice.
    settling: Arc<Mutex<HashSet<i64>>>,
}

/// What the box needs.
pub(super) struct RequestBoxParts {
    pub store: Arc<Store>,
    pub seals: Seals,
    pub acquaintances: Arc<Acquaintances>,
    pub choices: Arc<StrangerChoices>,
    pub counters: Arc<Counters>,
    pub blocks: Arc<Blocks>,
}

impl RequestBox {
    pub(super) fn new(config: &StrangersConfig, parts: RequestBoxParts) -> RequestBox {
        RequestBox {
            store: parts.store,
            seals: parts.seals,
            acquaintances: parts.acquaintances,
            choices: parts.choices,
            counters: parts.counters,
            blocks: parts.blocks,
            requests_max: config.requests_max,
            bytes_max: config.request_bytes_max,
            locks: Locks::new(LOCKS),
            settling: Arc::default(),
        }
    }

    /// Puts something into an account's box, in the commit of all else that it leaves behind; false if the box is full. With a
    /// `due`, the account is not told before it was judged again.
    pub(super) async fn hold(
        &self,
        account: &BareJid,
        sender: &BareJid,
        stanza: &Stanza,
        due: Option<Timestamp>,
        cx: &mut Cx,
    ) -> Result<bool, Fault> {
        let id = i64::from_le_bytes(random::bytes()) & i64::MAX;
        let key = self.seals.key(account.as_str()).await?;
        // A line with the sender first: an invitation comes from the room's address.
        let text = format!("{}\n{}", sender.as_str(), stanza.to_xml());
        let sealed = key.seal(&place(account, &id.to_be_bytes()), text.as_bytes());
        let peer = self.acquaintances.tag(account, sender).await?;
        let _held = self.locks.hold(account).await;
        let usage = self.store.usage(account).await?;
        if usage.requests >= self.requests_max || usage.bytes + sealed.len() > self.bytes_max {
            return Ok(false);
        }
        let row = StoredRequest {
            account: account.clone(),
            id,
            peer,
            received: cx.received,
            due,
            stanza: sealed,
        };
        cx.store(&self.store.requests, row);
        if due.is_none() {
            self.choices.tell(account, cx).await?;
        }
        // Under the lock: whoever counts next must find it in the queue.
        cx.flush();
        Ok(true)
    }

    /// What waits for an account to decide, oldest first.
    pub(super) async fn waiting(&self, account: &BareJid) -> Result<Vec<WaitingRequest>, Fault> {
        let mut waiting = Vec::new();
        for row in self.store.waiting(account).await? {
            waiting.extend(self.open(&row).await?);
        }
        Ok(waiting)
    }

    /// A row as a request. What cannot be opened is logged and left out.
    pub(super) async fn open(&self, row: &StoredRequest) -> Result<Option<WaitingRequest>, Fault> {
        let key = self.seals.key(row.account.as_str()).await?;
        let text = key
            .open(&place(&row.account, &row.id.to_be_bytes()), &row.stanza)
            .ok();
        let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
        let read = text
            .as_deref()
            .and_then(|text| text.split_once('\n'))
            .and_then(|(sender, xml)| Some((BareJid::parse(sender).ok()?, Stanza::parse(xml).ok()?)));
        let Some((sender, stanza)) = read else {
            tracing::error!(event = "request_unreadable", account = %row.account, bytes = row.stanza.len());
            return Ok(None);
        };
        Ok(Some(WaitingRequest {
            id: row.id,
            sender,
            received: row.received,
            stanza,
        }))
    }

    /// Does what an account decided about a request. False if there is none.
    pub(super) async fn decide(
        &self,
        account: &BareJid,
        id: i64,
        decision: Decision,
        cx: &mut Cx,
    ) -> Result<bool, Fault> {
        let Some(row) = self.store.request(account, id).await? else {
            return Ok(false);
        };
        let request = self.open(&row).await?;
        let Some(request) = request.filter(|_| row.due.is_none()) else {
            return Ok(false);
        };
        match decision {
            Decision::Accept => {
                self.acquaintances.speak(account, &request.sender, cx).await?;
                self.release(account, &request.sender, cx).await?;
            }
            Decision::Refuse => self.forget(&row, cx),
            Decision::Block => {
                let sender: Jid = request.sender.clone().into();
                self.blocks.block(account, &sender, cx).await?;
                let peer = self.acquaintances.tag(account, &request.sender).await?;
                for row in self.store.of_peer(account, peer).await? {
                    self.forget(&row, cx);
                }
            }
        }
        Ok(true)
    }

    fn forget(&self, row: &StoredRequest, cx: &mut Cx) {
        let row = Settled {
            account: row.account.clone(),
            id: row.id,
        };
        cx.store(&self.store.settled, row);
    }

    /// Delivers all that somebody has waiting at an account, as if it came now.
    pub(super) async fn release(
        &self,
        account: &BareJid,
        sender: &BareJid,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let peer = self.acquaintances.tag(account, sender).await?;
        for row in self.store.of_peer(account, peer).await? {
            self.release_one(&row, cx).await?;
        }
        Ok(())
    }

    /// Delivers one of them. It leaves the box in the commit that archives it.
    pub(super) async fn release_one(&self, row: &StoredRequest, cx: &mut Cx) -> Result<(), Fault> {
        if !self.settle(row.id, cx) {
            return Ok(());
        }
        let request = self.open(row).await?;
        self.forget(row, cx);
        let Some(WaitingRequest {
            sender,
            received,
            mut stanza,
            ..
        }) = request
        else {
            return Ok(());
        };
        let sent = match stanza.kind {
            Kind::Message(_) => SentByStranger::Message,
            _ => SentByStranger::Subscription,
        };
        if sent == SentByStranger::Message {
            stanza.append(&stanza::delay(row.account.domain(), received));
        }
        cx.learn(Released {
            account: row.account.clone(),
            sender,
        });
        self.counters.count(sent, Became::Released);
        // The session it was for may be gone.
        cx.send(stanza.to(row.account.clone()));
        Ok(())
    }

    /// Whether nobody else is about to settle a request.
    fn settle(&self, id: i64, cx: &mut Cx) -> bool {
        let lock = |settling: &Mutex<HashSet<i64>>| {
            settling.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
        };
        if !lock(&self.settling) {
            return false;
        }
        let settling = self.settling.clone();
        cx.afterwards(move |_| {
            settling
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&id);
        });
        true
    }

    /// Tells an account that something waits.
    pub(super) async fn tell(&self, account: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let _held = self.locks.hold(account).await;
        self.choices.tell(account, cx).await
    }
}

/// Where a request belongs, and opens.
fn place<'a>(account: &'a BareJid, id: &'a [u8]) -> [&'a [u8]; 3] {
    [b"stranger", account.as_str().as_bytes(), id]
}
