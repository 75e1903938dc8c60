//! The rosters at work: read through the cache, changed one at a time for each account, every change pushed once it is
//! committed and before anything else happens to the roster (RFC 6121 §2.1.6, §2.6.3).

use std::sync::Arc;

use kim_core::config::LimitsInForce;
use kim_core::db::Db;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::BareJid;
use kim_core::keyed::Locks;
use kim_core::random;
use kim_core::router::Router;
use kim_core::session::{Mark, SessionCard};
use kim_core::stanza::{IqType, Kind, Stanza};
use kim_core::wire::Writer;
use tokio::sync::OwnedMutexGuard;

use super::ROSTER;
use super::api::RosterChanged;
use super::cache::Cache;
use super::change::{self, Edit};
use super::item::{Roster, RosterItem};
use super::store::roster::RosterStore;
use super::store::roster_change::{RosterLimits, RosterRefusal, StoredChange, WantedChange};

/// Accounts whose rosters can be changed at the same time.
const LOCKS: usize = 256;

/// All rosters.
pub struct Rosters {
    store: RosterStore,
    cache: Cache,
    locks: Locks,
    limits: LimitsInForce,
    text_chars_max: usize,
}

impl Rosters {
    /// The rosters in a database.
    pub fn new(db: &Db, limits: LimitsInForce, config: &super::ImConfig) -> Rosters {
        Rosters {
            store: RosterStore::new(db.clone()),
            cache: Cache::new(db.caches(), config.roster_cache_bytes_max),
            locks: Locks::new(LOCKS),
            limits,
            text_chars_max: config.roster_text_chars_max,
        }
    }

    fn limits(&self) -> RosterLimits {
        let limits = self.limits.now();
        RosterLimits {
            items_max: limits.roster_items_max,
            text_chars_max: self.text_chars_max,
            requests_max: limits.pending_subscriptions_max,
        }
    }

    /// Where rosters are stored.
    pub fn store(&self) -> &RosterStore {
        &self.store
    }

    /// An account's roster.
    pub async fn of(&self, account: &BareJid) -> Result<Arc<Roster>, Fault> {
        let load = || async { Ok(Arc::new(self.store.load(account).await?)) };
        self.cache.read(account, load).await
    }

    /// One contact. The roster of an account that is away is not loaded for it.
    pub async fn item(
        &self,
        router: &Router,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<Option<Arc<RosterItem>>, Fault> {
        if let Some(roster) = self.cache.get(account) {
            return Ok(roster.get(contact).cloned());
        }
        if router.sessions().of(account).is_empty() {
            return Ok(self.store.item(account, contact).await?.map(Arc::new));
        }
        Ok(self.of(account).await?.get(contact).cloned())
    }

    /// Nobody else changes the roster, or reads it for a client, while this is held.
    pub async fn hold(&self, account: &BareJid) -> OwnedMutexGuard<()> {
        self.locks.hold_owned(account).await
    }

    /// Changes one contact; when it returns, the change is committed and pushed. It goes on even if the caller goes
    /// away, so that memory and database never part.
    pub async fn change(
        self: &Arc<Self>,
        router: &Arc<Router>,
        account: &BareJid,
        contact: &BareJid,
        edit: Edit,
    ) -> Result<StoredChange, Fault> {
        let held = self.hold(account).await;
        if let Some(settled) = self.without_writing(router, account, contact, &edit).await? {
            return settled.map_err(refused);
        }
        let wanted = Arc::new(WantedChange {
            account: account.clone(),
            contact: contact.clone(),
            edit,
            now: router.clock().now().0,
            limits: self.limits(),
        });
        let (rosters, router) = (self.clone(), router.clone());
        let work = tokio::spawn(async move {
            let result = rosters.store.change(wanted.clone()).await;
            if let Ok(Ok(change)) = &result {
                rosters.cache.changed(&wanted.account, &wanted.contact, change);
                rosters.push(&router, &wanted, change).await;
                drop(held);
                tell(&router, &wanted, change).await;
            }
            result
        });
        let done = work.await.map_err(|error| Fault::Us(Box::new(error)))?;
        done.map_err(Fault::from)?.map_err(refused)
    }

    /// What is repeated, and what is out of place, changes nothing: whoever sends it causes no write.
    async fn without_writing(
        &self,
        router: &Router,
        account: &BareJid,
        contact: &BareJid,
        edit: &Edit,
    ) -> Result<Option<Result<StoredChange, RosterRefusal>>, Fault> {
        let before = self.item(router, account, contact).await?;
        let Some(change::SubscriptionOutcome { item, follow }) =
            change::apply(before.as_deref(), contact, edit)
        else {
            return Ok(Some(Err(RosterRefusal::NoSuchItem)));
        };
        let same = before
            .as_deref()
            .map_or(item.is_empty(), |before| *before == item);
        Ok(same.then(|| Ok(StoredChange::nothing(before, follow))))
    }

    /// Tells the interested resources (§2.1.6).
    async fn push(&self, router: &Arc<Router>, wanted: &WantedChange, change: &StoredChange) {
        let Some(mut cx) = router.cx().filter(|_| change.visible) else {
            return;
        };
        let gone = Arc::new(RosterItem::new(wanted.contact.clone()));
        let item = change.after.as_ref().filter(|item| item.listed).unwrap_or(&gone);
        for session in router.sessions_of(&wanted.account).await {
            if session.has(Mark::Roster) {
                cx.deliver(&session, Arc::new(push(&session, item, change.version)));
            }
        }
        router.finish(cx).await;
    }

    /// Drops the copy in memory of a roster whose rows are gone.
    pub fn forget(&self, account: &BareJid) {
        self.cache.forget(account);
    }
}

/// Tells the other modules.
async fn tell(router: &Arc<Router>, wanted: &WantedChange, change: &StoredChange) {
    let Some(mut cx) = router.cx() else { return };
    let mut event = RosterChanged::new(&wanted.account, &wanted.contact, change);
    if let Err(fault) = router.tell(&mut event, &mut cx).await {
        tracing::error!(event = "roster_change_unheard", ?fault);
    }
    router.finish(cx).await;
}

/// A roster push (§2.1.6): from the account, to one resource.
pub fn push(session: &SessionCard, item: &RosterItem, version: i64) -> Stanza {
    let mut xml = Writer::new();
    xml.start("query", ROSTER).attr("ver", &version.to_string());
    item.write(&mut xml);
    xml.end();
    Stanza::new(Kind::Iq(IqType::Set), &xml.finish_string())
        .from(session.account.clone())
        .to(session.jid.clone())
        .id(random::token())
}

fn refused(refusal: RosterRefusal) -> Fault {
    match refusal {
        RosterRefusal::RosterFull => StanzaError::new(Condition::ResourceConstraint)
            .text("the roster is full; remove some contacts")
            .into(),
        RosterRefusal::TooManyRequests => Condition::ResourceConstraint.into(),
        RosterRefusal::NoSuchItem => Condition::ItemNotFound.into(),
    }
}
