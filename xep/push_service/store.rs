//! Every SQL statement about subscriptions to push services.

use kim_core::clock::Timestamp;
use kim_core::db::{BoxFuture, Db, DbError, Migration, Query, Row, Tx};
use kim_core::jid::BareJid;

pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    module: "push_service",
    name: "0001_push_service",
    sql: include_str!("migrations/0001_push_service.sql"),
}];

const OF: &str = "SELECT tag, sealed, since, taken_at, failed_at, failure FROM push_subscription \
                  WHERE account = $1 ORDER BY since, tag";
const ONE: &str = "SELECT tag, sealed, since, taken_at, failed_at, failure FROM push_subscription \
                   WHERE account = $1 AND tag = $2";
const OTHERS: &str = "SELECT COUNT(*) FROM push_subscription WHERE account = $1 AND tag <> $2";
const PUT: &str = "INSERT INTO push_subscription (account, tag, sealed, since) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (account, tag) DO UPDATE SET sealed = excluded.sealed, since = excluded.since, \
                   failed_at = NULL, failure = NULL";
const REMOVE: &str = "DELETE FROM push_subscription WHERE account = $1 AND tag = $2";
const TAKEN: &str = "UPDATE push_subscription SET taken_at = $3, failed_at = NULL, failure = NULL \
                     WHERE account = $1 AND tag = $2";
const FAILED: &str =
    "UPDATE push_subscription SET failed_at = $3, failure = $4 WHERE account = $1 AND tag = $2";
const ERASE: &str = "DELETE FROM push_subscription WHERE account = $1";
const IDENTITY: &str = "SELECT sealed FROM push_identity WHERE name = $1";
const MAKE_IDENTITY: &str =
    "INSERT INTO push_identity (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

/// A subscription as it is stored.
pub(super) struct PushSubscriptionRow {
    pub tag: i64,
    pub sealed: Vec<u8>,
    pub since: Timestamp,
    pub taken_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
    pub failure: Option<String>,
}

fn row(row: &Row) -> Result<PushSubscriptionRow, DbError> {
    Ok(PushSubscriptionRow {
        tag: row.i64(0)?,
        sealed: row.bytes(1)?,
        since: Timestamp(row.i64(2)?),
        taken_at: row.opt_i64(3)?.map(Timestamp),
        failed_at: row.opt_i64(4)?.map(Timestamp),
        failure: row.opt_text(5)?,
    })
}

/// The tables in a database.
#[derive(Clone)]
pub(super) struct SubscriptionStore(Db);

impl SubscriptionStore {
    pub fn new(db: &Db) -> SubscriptionStore {
        SubscriptionStore(db.clone())
    }

    /// An account's subscriptions, oldest first.
    pub async fn of(&self, account: &BareJid) -> Result<Vec<PushSubscriptionRow>, DbError> {
        let rows = self.0.fetch_all(of_query(account)).await?;
        rows.iter().map(row).collect()
    }

    /// One of them.
    pub async fn get(&self, account: &BareJid, tag: i64) -> Result<Option<PushSubscriptionRow>, DbError> {
        let query = Query::new(ONE).bind(account).bind(tag);
        let found = self.0.fetch_optional(query).await?;
        found.as_ref().map(row).transpose()
    }

    /// Adds a subscription, or replaces the one of the same tag. [`DbError::Refused`]: the account has as many others as it
    /// may have.
    pub async fn put(
        &self,
        account: &BareJid,
        tag: i64,
        sealed: Vec<u8>,
        now: Timestamp,
        subscriptions_max: usize,
    ) -> Result<(), DbError> {
        let account = account.clone();
        let others_max = i64::try_from(subscriptions_max).unwrap_or(i64::MAX);
        self.0
            .write(move |tx| {
                let others = Query::new(OTHERS).bind(&account).bind(tag);
                let put = Query::new(PUT).bind(&account).bind(tag).bind(&sealed).bind(now.0);
                Box::pin(async move {
                    let row = tx.fetch_optional(others).await?;
                    if row.map_or(Ok(0), |row| row.i64(0))? >= others_max {
                        return Err(DbError::Refused("the account has too many push subscriptions"));
                    }
                    tx.execute(put).await.map(drop)
                })
            })
            .await
    }

    /// Removes one; `false` if there was none.
    pub async fn remove(&self, account: &BareJid, tag: i64) -> Result<bool, DbError> {
        let query = Query::new(REMOVE).bind(account).bind(tag);
        Ok(self.0.execute(query).await? > 0)
    }

    /// The push service took something.
    pub async fn taken(&self, account: &BareJid, tag: i64, now: Timestamp) -> Result<(), DbError> {
        let query = Query::new(TAKEN).bind(account).bind(tag).bind(now.0);
        self.0.execute(query).await.map(drop)
    }

    /// It did not, for this reason.
    pub async fn failed(
        &self,
        account: &BareJid,
        tag: i64,
        now: Timestamp,
        failure: &str,
    ) -> Result<(), DbError> {
        let query = Query::new(FAILED).bind(account).bind(tag).bind(now.0);
        self.0.execute(query.bind(failure)).await.map(drop)
    }

    /// The key of this name. A new one is stored only if there is none; what is stored is told.
    pub async fn identity(&self, name: &'static str, new: Vec<u8>) -> Result<Vec<u8>, DbError> {
        self.0
            .write(move |tx| {
                let make = Query::new(MAKE_IDENTITY).bind(name).bind(&new);
                let read = Query::new(IDENTITY).bind(name);
                Box::pin(async move {
                    tx.execute(make).await?;
                    let row = tx.fetch_optional(read).await?;
                    row.ok_or(DbError::Refused("the key of the push service was not stored"))?
                        .bytes(0)
                })
            })
            .await
    }
}

/// The query of [`SubscriptionStore::of`], for the test of its plan.
pub(super) fn of_query(account: &BareJid) -> Query {
    Query::new(OF).bind(account)
}

/// Erases an account's subscriptions.
pub(super) fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move { tx.execute(Query::new(ERASE).bind(account)).await.map(drop) })
}
