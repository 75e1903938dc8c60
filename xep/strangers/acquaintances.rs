//! Who is a stranger to whom. An account knows whom it has a subscription with, in either direction, whom it has asked or
//! approved, and whom it has written to. That answer is one look-up in memory after the first.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::db::Db;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::keyed::{Pair, Shared};
use kim_core::router::{Destination, Router};
use kim_core::seal::Seals;

use super::budgets::Origin;
use super::store::{Store, WrittenTo};
use crate::rfc6121_im::api::{ContactState, Half, Subscriptions, directed_at};

/// The name of the cache of relations.
const RELATIONS: &str = "strangers.relations";
/// Relations in memory, some 200 bytes each.
const RELATIONS_MAX: usize = 100_000;
/// Domains in memory.
const DOMAINS_MAX: usize = 10_000;

/// What somebody is to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// Nobody it knows.
    Stranger,
    /// A stranger whose subscription request waits for an answer.
    Asking,
    /// A contact, or somebody it has asked to be one.
    Contact,
    /// Somebody it has written to.
    WrittenTo,
}

impl Relation {
    pub(super) fn is_known(self) -> bool {
        matches!(self, Relation::Contact | Relation::WrittenTo)
    }
}

/// All relations.
pub(super) struct Acquaintances {
    db: Db,
    seals: Seals,
    store: Arc<Store>,
    subscriptions: Arc<Subscriptions>,
    relations: Shared<(BareJid, Box<str>), Relation>,
    domains: Shared<String, bool>,
}

impl Acquaintances {
    pub(super) fn new(
        db: &Db,
        seals: &Seals,
        store: Arc<Store>,
        subscriptions: Arc<Subscriptions>,
    ) -> Acquaintances {
        Acquaintances {
            relations: Shared::new(db.caches(), RELATIONS, RELATIONS_MAX),
            domains: Shared::new(db.caches(), "strangers.domains", DOMAINS_MAX),
            db: db.clone(),
            seals: seals.clone(),
            store,
            subscriptions,
        }
    }

    /// Whether this much of a subscription makes somebody known.
    pub(super) fn is_contact(state: ContactState) -> bool {
        state.outgoing != Half::No || state.incoming == Half::Yes || state.approved
    }

    /// The relation as it is in memory: the one look-up that people who know each other cost.
    pub(super) fn cached(&self, account: &BareJid, peer: &str) -> Option<Relation> {
        self.relations.get(&Pair(account, peer))
    }

    /// What somebody is to an account.
    pub(super) async fn relation(
        &self,
        router: &Router,
        account: &BareJid,
        peer: &BareJid,
    ) -> Result<Relation, Fault> {
        let pair = Pair(account, peer.as_str());
        self.relations
            .read(&pair, || self.load(router, account, peer))
            .await
    }

    async fn load(&self, router: &Router, account: &BareJid, peer: &BareJid) -> Result<Relation, Fault> {
        let tag = self.tag(account, peer).await?;
        let relation = if self.store.was_written(account, tag).await? {
            Relation::WrittenTo
        } else {
            match self.subscriptions.item(router, account, peer).await? {
                Some(item) if Acquaintances::is_contact(item.state) => Relation::Contact,
                Some(item) if item.state.incoming == Half::Asked => Relation::Asking,
                _ => Relation::Stranger,
            }
        };
        if relation.is_known() {
            self.know_domain(router, peer.domain()).await?;
        }
        Ok(relation)
    }

    /// What stands for a peer in an account's rows.
    pub(super) async fn tag(&self, account: &BareJid, peer: &BareJid) -> Result<i64, Fault> {
        let key = self.seals.key(account.as_str()).await?;
        Ok(key.tag("strangers peer", &[peer.as_str().as_bytes()]))
    }

    /// Whether a session of the account has sent its presence there: to a room it is in, or to somebody it wants to be seen by.
    pub(super) fn is_with(&self, router: &Router, account: &BareJid, peer: &str) -> bool {
        let sessions = router.sessions().of(account);
        sessions
            .iter()
            .any(|session| !directed_at(session, peer).is_empty())
    }

    /// The account speaks to a peer: from the commit of what it says on, the peer is known. False if it was already.
    pub(super) async fn speak(&self, account: &BareJid, peer: &BareJid, cx: &mut Cx) -> Result<bool, Fault> {
        let router = cx.router().clone();
        let before = self.relation(&router, account, peer).await?;
        if before == Relation::WrittenTo {
            return Ok(false);
        }
        let tag = self.tag(account, peer).await?;
        let row = WrittenTo {
            account: account.clone(),
            peer: tag,
            at: cx.received,
        };
        cx.store(&self.store.written, row);
        let (relations, pair) = (self.relations.clone(), (account.clone(), peer.as_str().into()));
        let mark = self.relations.mark(&Pair(account, peer.as_str()));
        cx.afterwards(move |committed| {
            let (account, peer): &(BareJid, Box<str>) = &pair;
            if committed.is_ok() {
                relations.put(&Pair(account, peer), Relation::WrittenTo, mark);
            }
        });
        self.know_domain(&router, peer.domain()).await?;
        Ok(!before.is_known())
    }

    /// Something about a contact has changed. True if it is known now.
    pub(super) fn changed(&self, account: &BareJid, peer: &BareJid, now: ContactState) -> bool {
        self.relations.invalidate(&Pair(account, peer.as_str()));
        Acquaintances::is_contact(now)
    }

    /// Forgets all that is in memory: what an erased account knew must not hold for the next of its name.
    pub(super) fn forget_all(&self) {
        self.db.caches().invalidate(RELATIONS, "");
    }

    /// Where somebody comes from.
    pub(super) async fn origin(&self, router: &Router, domain: &str) -> Result<Origin, Fault> {
        if router.destination(domain) != Destination::Remote {
            return Ok(Origin::Here);
        }
        Ok(match self.is_known_domain(domain).await? {
            true => Origin::Known,
            false => Origin::Unknown,
        })
    }

    async fn is_known_domain(&self, domain: &str) -> Result<bool, Fault> {
        let read = || self.store.is_known_domain(domain);
        Ok(self.domains.read(domain, read).await?)
    }

    async fn know_domain(&self, router: &Router, domain: &str) -> Result<(), Fault> {
        if router.destination(domain) != Destination::Remote || self.is_known_domain(domain).await? {
            return Ok(());
        }
        let (store, name, now): (_, _, Timestamp) =
            (self.store.clone(), domain.to_owned(), router.clock().now());
        let work = async move { store.add_domain(&name, now).await };
        let added = self.domains.change(domain, work).await;
        Ok(added.map_err(|error| Fault::Us(Box::new(error)))??)
    }
}
