//! The people whom an account knows: contacts, and those whom one of the two has written to.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::db::Db;
use kim_core::error::Fault;
use kim_core::events::{AccountErased, Arrival, Verdict};
use kim_core::hook::{Flow, Hear, On};
use kim_core::jid::BareJid;
use kim_core::keyed::{Caches, Locks, Pair, Rate, Rates, Shared};
use kim_core::router::{Destination, Router};
use kim_core::seal::Seals;
use tokio::sync::MutexGuard;

use super::addressed::{self, Person};
use super::store::{Met, OutreachStore};
use crate::rfc6121_im::api::{Half, Subscriptions};

/// Pairs that are remembered without asking the database, some 200 bytes each.
const PAIRS_MAX: usize = 65_536;
const CACHE: &str = "outreach.people";
/// Accounts whose budgets can be looked at together.
const LOCKS: usize = 256;
/// Strangers who write to one account and are remembered for it. Answering others counts.
const WRITERS: Rate = Rate {
    per_second: 100.0 / 86_400.0,
    burst: 100.0,
};
/// Accounts whose rate is remembered.
const RATED_MAX: usize = 20_000;

/// Who knows whom.
pub(super) struct People {
    pub store: OutreachStore,
    caches: Caches,
    seals: Seals,
    known: Shared<(BareJid, Box<str>), ()>,
    subscriptions: Arc<Subscriptions>,
    locks: Locks,
}

impl People {
    pub fn new(db: &Db, seals: &Seals, subscriptions: Arc<Subscriptions>) -> People {
        People {
            store: OutreachStore::new(db.clone()),
            caches: db.caches().clone(),
            seals: seals.clone(),
            known: Shared::new(db.caches(), CACHE, PAIRS_MAX),
            subscriptions,
            locks: Locks::new(LOCKS),
        }
    }

    /// Whether memory says that they know each other: what nearly every message costs.
    pub fn is_remembered(&self, account: &BareJid, person: &str) -> bool {
        self.known.get(&Pair(account, person)).is_some()
    }

    pub fn remember(&self, account: &BareJid, person: &str) {
        let pair = Pair(account, person);
        self.known.keep(&pair, (), self.known.mark(&pair));
    }

    /// What stands for a person in an account's rows.
    pub async fn tag(&self, account: &BareJid, person: &str) -> Result<i64, Fault> {
        let key = self.seals.key(account.as_str()).await?;
        Ok(key.tag("outreach person", &[person.as_bytes()]))
    }

    /// Nobody else looks at an account's budget while this is held.
    pub async fn hold(&self, account: &BareJid) -> MutexGuard<'_, ()> {
        self.locks.hold(account).await
    }

    /// Whether an account has a person as a contact, or was asked by them: not what the account alone has written into its
    /// roster.
    async fn is_contact(&self, router: &Router, account: &BareJid, person: &BareJid) -> Result<bool, Fault> {
        let item = self.subscriptions.item(router, account, person).await?;
        Ok(item.is_some_and(|item| item.state.is_to() || item.state.incoming != Half::No))
    }

    /// Whether an account knows a person whom memory does not have.
    pub async fn knows(&self, router: &Router, account: &BareJid, person: &Person) -> Result<bool, Fault> {
        if let Person::Known(address) = person
            && self.is_contact(router, account, address).await?
        {
            return Ok(true);
        }
        let peer = self.tag(account, person.key()).await?;
        Ok(self.store.has_met(account, peer).await?)
    }
}

/// Remembers who has written to an account, so that it can answer.
pub(super) struct Remember {
    people: Arc<People>,
    writers: Rates<BareJid>,
}

impl Remember {
    pub fn new(people: Arc<People>) -> Remember {
        Remember {
            people,
            writers: Rates::new(RATED_MAX),
        }
    }
}

impl On<Arrival> for Remember {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let router = cx.router().clone();
        let account = &event.account;
        let Some(person) = addressed::sender(&event.stanza, &router) else {
            return Ok(Flow::Next);
        };
        if person == account.as_str()
            || router.destination(account.domain()) == Destination::Guests
            || matches!(event.verdict, Verdict::Bounced(_) | Verdict::Dropped)
            || self.people.is_remembered(account, person)
        {
            return Ok(Flow::Next);
        }
        let contact = BareJid::parse(person).ok();
        let is_contact = match &contact {
            Some(contact) => self.people.is_contact(&router, account, contact).await?,
            None => false,
        };
        if !is_contact {
            if !self.writers.take(account, WRITERS, cx.received) {
                return Ok(Flow::Next);
            }
            let peer = self.people.tag(account, person).await?;
            let met = Met::by_peer(account, peer, cx.received);
            cx.store(&self.people.store.sink, met);
        }
        self.people.remember(account, person);
        Ok(Flow::Next)
    }
}

/// An account is gone, and with it whom it knew.
pub(super) struct ForgetPeople(pub Arc<People>);

impl Hear<AccountErased> for ForgetPeople {
    async fn hear(&self, _: &mut AccountErased, _: &mut Cx) -> Result<(), Fault> {
        // The pairs of one account cannot be found among all of them; they are read again when they are needed.
        self.0.caches.invalidate(CACHE, "");
        Ok(())
    }
}

/// Whole seconds from one moment to a later one, as people say it.
pub(super) fn in_words(from: Timestamp, until: Timestamp) -> String {
    let minutes = until.seconds_since(from).div_ceil(60).max(1);
    match minutes {
        1 => "in a minute".to_owned(),
        2..=119 => format!("in {minutes} minutes"),
        _ => format!("in {} hours", minutes.div_ceil(60)),
    }
}
