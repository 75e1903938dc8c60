//! Every SQL statement about push registrations.

use kim_core::clock::Timestamp;
use kim_core::db::{BoxFuture, Db, DbError, Migration, Query, Ticket, Tx};
use kim_core::jid::BareJid;

pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        module: "xep0357_push",
        name: "0001_push",
        sql: include_str!("migrations/0001_push.sql"),
    },
    Migration {
        module: "xep0357_push",
        name: "0002_outcomes",
        sql: include_str!("migrations/0002_outcomes.sql"),
    },
];

const OF: &str = "SELECT tag, sealed, failures FROM push_registration WHERE account = $1 ORDER BY tag";
const OTHERS: &str = "SELECT COUNT(*) FROM push_registration WHERE account = $1 AND tag <> $2";
const PUT: &str = "INSERT INTO push_registration (account, tag, sealed, since, failures, due_at, tries) \
                   VALUES ($1, $2, $3, $4, 0, NULL, 0) ON CONFLICT (account, tag) DO UPDATE SET \
                   sealed = excluded.sealed, since = excluded.since, failures = 0, due_at = NULL, tries = 0, \
                   failed_at = NULL, failure = NULL";
const REMOVE: &str = "DELETE FROM push_registration WHERE account = $1 AND tag = $2";
const ERASE: &str = "DELETE FROM push_registration WHERE account = $1";
const DUE: &str = "UPDATE push_registration SET due_at = $3, tries = $4 WHERE account = $1 AND tag = $2";
const DELIVERED: &str = "UPDATE push_registration SET due_at = NULL, tries = 0, failures = 0, taken_at = $3, \
                         failed_at = NULL, failure = NULL WHERE account = $1 AND tag = $2";
const TAKEN: &str = "UPDATE push_registration SET failures = 0, taken_at = $3, failed_at = NULL, failure = NULL \
                     WHERE account = $1 AND tag = $2";
const FAILED: &str =
    "UPDATE push_registration SET failed_at = $3, failure = $4 WHERE account = $1 AND tag = $2";
const OUTCOMES: &str = "SELECT tag, since, taken_at, failed_at, failure, due_at FROM push_registration \
                        WHERE account = $1 ORDER BY since, tag";
const SETTLED: &str = "UPDATE push_registration SET due_at = NULL, tries = 0 WHERE account = $1 AND tag = $2";
const GIVEN_UP: &str = "UPDATE push_registration SET due_at = NULL, tries = 0, failures = failures + 1 \
                        WHERE account = $1 AND tag = $2";
const NEXT: &str = "SELECT account, tag, due_at, tries FROM push_registration WHERE due_at IS NOT NULL \
                    ORDER BY due_at LIMIT $1";

/// A row as it is read for its account.
pub(super) struct Row {
    pub tag: i64,
    pub sealed: Vec<u8>,
    pub failures: u32,
}

/// A notification that is to be sent, or sent again.
pub(super) struct DueRow {
    pub account: BareJid,
    pub tag: i64,
    pub due_at: Timestamp,
    pub tries: u32,
}

/// How it goes with a registration.
pub(super) struct PushOutcome {
    pub tag: i64,
    pub since: Timestamp,
    pub taken_at: Option<Timestamp>,
    pub failed: Option<(Timestamp, String)>,
    pub due_at: Option<Timestamp>,
}

/// All accounts' registrations.
#[derive(Clone)]
pub(super) struct PushStore(Db);

impl PushStore {
    pub fn new(db: &Db) -> PushStore {
        PushStore(db.clone())
    }

    /// The registrations of an account.
    pub async fn of(&self, account: &BareJid) -> Result<Vec<Row>, DbError> {
        let rows = self.0.fetch_all(of_query(account)).await?;
        let row = |row: &kim_core::db::Row| {
            Ok(Row {
                tag: row.i64(0)?,
                sealed: row.bytes(1)?,
                failures: u32::try_from(row.i64(2)?).unwrap_or(u32::MAX),
            })
        };
        rows.iter().map(row).collect()
    }

    /// How it goes with the registrations of an account, oldest first.
    pub async fn outcomes(&self, account: &BareJid) -> Result<Vec<PushOutcome>, DbError> {
        // Behind all that was queued before: what was answered a moment ago is told.
        let account = account.clone();
        let rows = self.0.write(move |tx| {
            let query = Query::new(OUTCOMES).bind(&account);
            Box::pin(async move { tx.fetch_all(query).await })
        });
        let outcome = |row: &kim_core::db::Row| {
            let failed_at = row.opt_i64(3)?.map(Timestamp);
            Ok(PushOutcome {
                tag: row.i64(0)?,
                since: Timestamp(row.i64(1)?),
                taken_at: row.opt_i64(2)?.map(Timestamp),
                failed: failed_at.zip(row.opt_text(4)?),
                due_at: row.opt_i64(5)?.map(Timestamp),
            })
        };
        rows.await?.iter().map(outcome).collect()
    }

    /// Adds a registration, or replaces the one of the same tag. [`DbError::Refused`]: the account has as many others as
    /// it may have.
    pub async fn put(
        &self,
        account: &BareJid,
        tag: i64,
        sealed: Vec<u8>,
        now: Timestamp,
        registrations_max: usize,
    ) -> Result<(), DbError> {
        let account = account.clone();
        let others_max = i64::try_from(registrations_max).unwrap_or(i64::MAX);
        self.0
            .write(move |tx| {
                let others = Query::new(OTHERS).bind(&account).bind(tag);
                let put = Query::new(PUT).bind(&account).bind(tag).bind(&sealed).bind(now.0);
                Box::pin(async move {
                    let row = tx.fetch_optional(others).await?;
                    if row.map_or(Ok(0), |row| row.i64(0))? >= others_max {
                        return Err(DbError::Refused("the account has too many push registrations"));
                    }
                    tx.execute(put).await.map(drop)
                })
            })
            .await
    }

    /// Removes registrations of an account.
    pub async fn remove(&self, account: &BareJid, tags: &[i64]) -> Result<(), DbError> {
        let (account, tags) = (account.clone(), tags.to_vec());
        self.0
            .write(move |tx| {
                let (account, tags) = (account.clone(), tags.clone());
                Box::pin(async move {
                    for tag in tags {
                        tx.execute(Query::new(REMOVE).bind(&account).bind(tag)).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Notes when a notification is to be sent (again).
    pub fn due(&self, account: &BareJid, tag: i64, at: Timestamp, tries: u32) -> Ticket {
        self.change(Query::new(DUE).bind(account).bind(tag).bind(at.0).bind(tries))
    }

    /// The app server took what was owed.
    pub fn delivered(&self, account: &BareJid, tag: i64, now: Timestamp) -> Ticket {
        self.change(Query::new(DELIVERED).bind(account).bind(tag).bind(now.0))
    }

    /// The app server took something that was not owed.
    pub fn taken(&self, account: &BareJid, tag: i64, now: Timestamp) -> Ticket {
        self.change(Query::new(TAKEN).bind(account).bind(tag).bind(now.0))
    }

    /// The app server did not take something, for this reason.
    pub fn failed(&self, account: &BareJid, tag: i64, now: Timestamp, why: &str) -> Ticket {
        self.change(Query::new(FAILED).bind(account).bind(tag).bind(now.0).bind(why))
    }

    /// Nothing is to be sent any more.
    pub fn settled(&self, account: &BareJid, tag: i64) -> Ticket {
        self.change(Query::new(SETTLED).bind(account).bind(tag))
    }

    /// The notification could not be delivered, and is not tried again.
    pub fn given_up(&self, account: &BareJid, tag: i64) -> Ticket {
        self.change(Query::new(GIVEN_UP).bind(account).bind(tag))
    }

    fn change(&self, query: Query) -> Ticket {
        self.0.write_later(move |tx| {
            let query = query.clone();
            Box::pin(async move { tx.execute(query).await.map(drop) })
        })
    }

    /// The notifications that are due first, at most so many.
    pub async fn next(&self, rows_max: usize) -> Result<Vec<DueRow>, DbError> {
        // Behind all that was queued before: what was settled a moment ago is not found here.
        let rows = self.0.write(move |tx| {
            let query = next_query(rows_max);
            Box::pin(async move { tx.fetch_all(query).await })
        });
        let row = |row: &kim_core::db::Row| {
            let account = BareJid::parse(&row.text(0)?).ok();
            let (tag, due_at, tries) = (row.i64(1)?, Timestamp(row.i64(2)?), row.i64(3)?);
            Ok(account.map(|account| DueRow {
                account,
                tag,
                due_at,
                tries: u32::try_from(tries).unwrap_or(u32::MAX),
            }))
        };
        rows.await?
            .iter()
            .filter_map(|one| row(one).transpose())
            .collect()
    }
}

/// The query of [`PushStore::of`], for the test of its plan.
pub(super) fn of_query(account: &BareJid) -> Query {
    Query::new(OF).bind(account)
}

/// The query of [`PushStore::next`], for the test of its plan.
pub(super) fn next_query(rows_max: usize) -> Query {
    Query::new(NEXT).bind(i64::try_from(rows_max).unwrap_or(i64::MAX))
}

/// Erases an account's registrations.
pub(super) fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move { tx.execute(Query::new(ERASE).bind(account)).await.map(drop) })
}
