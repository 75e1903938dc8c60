//! The table of what was acknowledged. A row for each session that can be resumed: its number is never lower than what
//! its client was told, whatever happens to the process.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use kim_core::clock::Timestamp;
use kim_core::db::{BoxFuture, Db, DbError, Query, Sink, SinkRow, Ticket, Tx};
use kim_core::jid::BareJid;
use sha2::{Digest, Sha256};

/// Stands for a number that is not known: nothing was promised yet, and the session has not ended in order. Were the
/// process killed then, more might have arrived than nothing.
const UNKNOWN: i64 = -1;
/// Sessions of one account that are remembered, the newest.
const SESSIONS_MAX: i64 = 32;

/// Rows looked at in one go where all are looked at.
const PAGE_ROWS: i64 = 500;
const WALK: &str = "SELECT id_hash, seen_at FROM sm_session WHERE id_hash > $1 ORDER BY id_hash LIMIT $2";
const FORGET: &str = "DELETE FROM sm_session WHERE id_hash > $1 AND id_hash <= $2 AND seen_at < $3";

/// How a session is named in the table: the hash of its id, so that reading the table lets nobody resume.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionKey(String);

impl SessionKey {
    /// The key of a session's id, or of what a client takes for one.
    pub fn of(id: &str) -> SessionKey {
        SessionKey(HEXLOWER.encode(&Sha256::digest(id.as_bytes())))
    }
}

/// So many stanzas of a session are handled.
struct Handled {
    key: SessionKey,
    account: BareJid,
    handled: u32,
    seen: Timestamp,
}

impl SinkRow for Handled {
    fn row_bytes(&self) -> usize {
        self.key.0.len() + self.account.as_str().len() + 16
    }
}

fn insert<'a>(tx: &'a mut Tx, rows: &'a [Handled]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        // One statement may change a row once only: of each session, the last number counts.
        let mut last: HashMap<&SessionKey, &Handled> = HashMap::new();
        for row in rows {
            last.insert(&row.key, row);
        }
        let rows = last.into_values().map(|row| {
            [
                row.key.0.as_str().into(),
                row.account.as_str().into(),
                i64::from(row.handled).into(),
                row.seen.0.into(),
            ]
        });
        tx.insert_rows(
            "INSERT INTO sm_session (id_hash, account, handled, seen_at)",
            rows,
            "ON CONFLICT (id_hash) DO UPDATE SET handled = excluded.handled, seen_at = excluded.seen_at",
        )
        .await?;
        Ok(())
    })
}

/// What was acknowledged to whom.
pub(super) struct SmStore {
    db: Db,
    sink: Sink<Handled>,
    remember_days: u32,
}

impl SmStore {
    /// The table in a database. Rows that were not touched for so many days are forgotten.
    pub fn new(db: &Db, remember_days: u32) -> SmStore {
        SmStore {
            sink: db.sink(insert),
            db: db.clone(),
            remember_days,
        }
    }

    /// Queues a new session for the next commit, and forgets old ones of the account.
    pub fn begin(&self, key: &SessionKey, account: &BareJid, now: Timestamp) -> Ticket {
        let (key, account) = (key.clone(), account.clone());
        let too_old = now.0 - i64::from(self.remember_days) * 86_400 * 1_000_000;
        self.db.write_later(move |tx| {
            let (key, account) = (key.clone(), account.clone());
            Box::pin(async move {
                tx.execute(
                    Query::new(
                        "INSERT INTO sm_session (id_hash, account, handled, seen_at) VALUES ($1, $2, $3, $4)",
                    )
                    .bind(key.0.as_str())
                    .bind(account.as_str())
                    .bind(UNKNOWN)
                    .bind(now.0),
                )
                .await?;
                let old = Query::new(
                    "DELETE FROM sm_session WHERE account = $1 AND (seen_at < $2 OR id_hash NOT IN
                     (SELECT id_hash FROM sm_session WHERE account = $1 ORDER BY seen_at DESC LIMIT $3))",
                );
                let old = old.bind(account.as_str()).bind(too_old).bind(SESSIONS_MAX);
                tx.execute(old).await.map(drop)
            })
        })
    }

    /// Queues for the next commit how many stanzas of a session are handled.
    pub fn put(&self, key: &SessionKey, account: &BareJid, handled: u32, seen: Timestamp) -> Ticket {
        self.sink.put(Handled {
            key: key.clone(),
            account: account.clone(),
            handled,
            seen,
        })
    }

    /// How many stanzas of a session of this account are handled, where that is known. Reads in the order of writing, so that
    /// what was put before is seen.
    pub async fn get(&self, key: &SessionKey, account: &BareJid) -> Result<Option<u32>, DbError> {
        let (key, account) = (key.clone(), account.clone());
        let read = self.db.write(move |tx| {
            let query = Query::new("SELECT handled FROM sm_session WHERE id_hash = $1 AND account = $2");
            let query = query.bind(key.0.as_str()).bind(account.as_str());
            Box::pin(async move { tx.fetch_optional(query).await?.map(|row| row.i64(0)).transpose() })
        });
        Ok(read.await?.and_then(|handled| u32::try_from(handled).ok()))
    }
}

impl SmStore {
    /// Forgets the sessions of everybody that were not touched for too long. The table is walked by its key, a page in each
    /// transaction: an index by age would have to be changed with every acknowledgement.
    pub async fn tidy(&self, now: Timestamp) -> Result<u64, DbError> {
        let too_old = now.0 - i64::from(self.remember_days) * 86_400 * 1_000_000;
        let (mut after, mut forgotten) = (String::new(), 0);
        loop {
            let page = Query::new(WALK).bind(&after).bind(PAGE_ROWS);
            let rows = self.db.fetch_all(page).await?;
            let Some(last) = rows.last() else {
                return Ok(forgotten);
            };
            let before = after;
            after = last.text(0)?;
            let mut is_any_old = false;
            for row in &rows {
                is_any_old |= row.i64(1)? < too_old;
            }
            if is_any_old {
                let old = Query::new(FORGET).bind(&before).bind(&after).bind(too_old);
                forgotten += self.db.execute(old).await?;
            }
        }
    }
}

/// Erases an account's rows.
pub(super) fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        tx.execute(Query::new("DELETE FROM sm_session WHERE account = $1").bind(account.as_str()))
            .await?;
        Ok(())
    })
}
