//! The tables of this module: whom accounts have written to, the domains where somebody knows somebody, the requests that
//! wait, and what accounts chose.

use kim_core::clock::Timestamp;
use kim_core::db::{BoxFuture, Db, DbError, Query, Row, Sink, SinkRow, Tx};
use kim_core::jid::BareJid;

/// Peers that are remembered for one account. The oldest go first.
pub(super) const WRITTEN_PER_ACCOUNT_MAX: i64 = 10_000;
/// Requests that are judged again in one go.
pub(super) const DUE_AT_ONCE_MAX: i64 = 64;

const WAS_WRITTEN: &str = "SELECT 1 FROM strangers_written WHERE account = $1 AND peer = $2";
const OF_PEER: &str = "SELECT account, id, received_at, due_at, stanza FROM strangers_requests
                       WHERE account = $1 AND peer = $2 ORDER BY received_at, id";
const DUE: &str = "SELECT account, id, received_at, due_at, stanza FROM strangers_requests
                   WHERE due_at <= $1 ORDER BY due_at LIMIT $2";
const EXPIRED: &str = "DELETE FROM strangers_requests WHERE (account, id) IN (
                       SELECT account, id FROM strangers_requests WHERE received_at < $1 ORDER BY received_at LIMIT $2)";

/// An account has written to a peer.
pub(super) struct WrittenTo {
    pub account: BareJid,
    pub peer: i64,
    pub at: Timestamp,
}

impl SinkRow for WrittenTo {
    fn row_bytes(&self) -> usize {
        self.account.as_str().len() + 16
    }
}

fn insert_written<'a>(tx: &'a mut Tx, rows: &'a [WrittenTo]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        let values = rows
            .iter()
            .map(|row| [(&row.account).into(), row.peer.into(), row.at.0.into()]);
        tx.insert_rows(
            "INSERT INTO strangers_written (account, peer, written_at)",
            values,
            "ON CONFLICT (account, peer) DO NOTHING",
        )
        .await?;
        let mut accounts: Vec<&BareJid> = rows.iter().map(|row| &row.account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        for account in accounts {
            let query = Query::new(
                "DELETE FROM strangers_written WHERE account = $1 AND written_at <= (
                 SELECT written_at FROM strangers_written WHERE account = $1
                 ORDER BY written_at DESC LIMIT 1 OFFSET $2)",
            );
            tx.execute(query.bind(account).bind(WRITTEN_PER_ACCOUNT_MAX))
                .await?;
        }
        Ok(())
    })
}

/// A request as it is stored.
pub(super) struct StoredRequest {
    pub account: BareJid,
    pub id: i64,
    pub peer: i64,
    pub received: Timestamp,
    /// When it is judged again, if it waits for the end of a wave.
    pub due: Option<Timestamp>,
    /// Sealed.
    pub stanza: Vec<u8>,
}

impl SinkRow for StoredRequest {
    fn row_bytes(&self) -> usize {
        self.account.as_str().len() + self.stanza.len() + 40
    }
}

fn insert_requests<'a>(tx: &'a mut Tx, rows: &'a [StoredRequest]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        let rows = rows.iter().map(|row| {
            [
                (&row.account).into(),
                row.id.into(),
                row.peer.into(),
                row.received.0.into(),
                row.due.map(|due| due.0).into(),
                row.stanza.as_slice().into(),
            ]
        });
        let prefix = "INSERT INTO strangers_requests (account, id, peer, received_at, due_at, stanza)";
        tx.insert_rows(prefix, rows, "").await.map(drop)
    })
}

/// A request that is no longer one. It goes in the commit that stores what became of it.
pub(super) struct Settled {
    pub account: BareJid,
    pub id: i64,
}

impl SinkRow for Settled {
    fn row_bytes(&self) -> usize {
        self.account.as_str().len() + 8
    }
}

fn delete_requests<'a>(tx: &'a mut Tx, rows: &'a [Settled]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for row in rows {
            let query = Query::new("DELETE FROM strangers_requests WHERE account = $1 AND id = $2");
            tx.execute(query.bind(&row.account).bind(row.id)).await?;
        }
        Ok(())
    })
}

/// An account was told of requests.
pub(super) struct ToldOfRequests {
    pub account: BareJid,
    pub at: Timestamp,
}

impl SinkRow for ToldOfRequests {
    fn row_bytes(&self) -> usize {
        self.account.as_str().len() + 8
    }
}

fn insert_told<'a>(tx: &'a mut Tx, rows: &'a [ToldOfRequests]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for row in rows {
            let query = Query::new(
                "INSERT INTO strangers_accounts (account, messages, told_at) VALUES ($1, NULL, $2)
                 ON CONFLICT (account) DO UPDATE SET told_at = excluded.told_at",
            );
            tx.execute(query.bind(&row.account).bind(row.at.0)).await?;
        }
        Ok(())
    })
}

/// How much waits in an account's request box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BoxUsage {
    pub requests: usize,
    pub bytes: usize,
}

/// The tables in a database.
pub(super) struct Store {
    db: Db,
    pub written: Sink<WrittenTo>,
    pub requests: Sink<StoredRequest>,
    pub settled: Sink<Settled>,
    pub told: Sink<ToldOfRequests>,
}

impl Store {
    pub(super) fn new(db: &Db) -> Store {
        Store {
            written: db.sink(insert_written),
            requests: db.sink(insert_requests),
            settled: db.sink(delete_requests),
            told: db.sink(insert_told),
            db: db.clone(),
        }
    }

    /// Whether an account has written to a peer.
    pub(super) async fn was_written(&self, account: &BareJid, peer: i64) -> Result<bool, DbError> {
        let row = self.db.fetch_optional(was_written_query(account, peer)).await?;
        Ok(row.is_some())
    }

    /// Whether somebody here knows somebody at a domain.
    pub(super) async fn is_known_domain(&self, domain: &str) -> Result<bool, DbError> {
        let query = Query::new("SELECT 1 FROM strangers_domains WHERE domain = $1").bind(domain);
        Ok(self.db.fetch_optional(query).await?.is_some())
    }

    /// From now on somebody does.
    pub(super) async fn add_domain(&self, domain: &str, now: Timestamp) -> Result<(), DbError> {
        let query = Query::new(
            "INSERT INTO strangers_domains (domain, known_since) VALUES ($1, $2)
             ON CONFLICT (domain) DO NOTHING",
        );
        self.db.execute(query.bind(domain).bind(now.0)).await.map(drop)
    }

    /// How much waits for an account. It reads in the order of writing, so everything that was put before is counted, committed
    /// or not: a burst must not get past the limit.
    pub(super) async fn usage(&self, account: &BareJid) -> Result<BoxUsage, DbError> {
        let account = account.clone();
        self.db
            .write(move |tx| {
                let query = Query::new(
                    "SELECT COUNT(*), SUM(LENGTH(stanza)) FROM strangers_requests WHERE account = $1",
                );
                let query = query.bind(&account);
                Box::pin(async move {
                    let Some(row) = tx.fetch_optional(query).await? else {
                        return Ok(BoxUsage::default());
                    };
                    let number = |value: Option<i64>| usize::try_from(value.unwrap_or(0)).unwrap_or(0);
                    Ok(BoxUsage {
                        requests: number(row.opt_i64(0)?),
                        bytes: number(row.opt_i64(1)?),
                    })
                })
            })
            .await
    }

    /// What waits for an account to decide, oldest first.
    pub(super) async fn waiting(&self, account: &BareJid) -> Result<Vec<StoredRequest>, DbError> {
        let query = Query::new(
            "SELECT account, id, received_at, due_at, stanza FROM strangers_requests
             WHERE account = $1 AND due_at IS NULL ORDER BY received_at, id",
        );
        read_all(&self.db.fetch_all(query.bind(account)).await?)
    }

    /// One request of an account.
    pub(super) async fn request(&self, account: &BareJid, id: i64) -> Result<Option<StoredRequest>, DbError> {
        let query = Query::new(
            "SELECT account, id, received_at, due_at, stanza FROM strangers_requests
             WHERE account = $1 AND id = $2",
        );
        let row = self.db.fetch_optional(query.bind(account).bind(id)).await?;
        row.as_ref().map(read).transpose()
    }

    /// What a peer has waiting at an account, oldest first.
    pub(super) async fn of_peer(&self, account: &BareJid, peer: i64) -> Result<Vec<StoredRequest>, DbError> {
        read_all(&self.db.fetch_all(of_peer_query(account, peer)).await?)
    }

    /// What is to be judged again by now, oldest first; a bounded number.
    pub(super) async fn due(&self, now: Timestamp) -> Result<Vec<StoredRequest>, DbError> {
        read_all(&self.db.fetch_all(due_query(now)).await?)
    }

    /// When the next request is to be judged again.
    pub(super) async fn next_due(&self) -> Result<Option<Timestamp>, DbError> {
        let query = Query::new(
            "SELECT due_at FROM strangers_requests WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1",
        );
        let row = self.db.fetch_optional(query).await?;
        row.map(|row| row.i64(0).map(Timestamp)).transpose()
    }

    /// A request that waited for the end of a wave is the account's to decide.
    pub(super) async fn keep(&self, account: &BareJid, id: i64) -> Result<(), DbError> {
        let query = Query::new("UPDATE strangers_requests SET due_at = NULL WHERE account = $1 AND id = $2");
        self.db.execute(query.bind(account).bind(id)).await.map(drop)
    }

    /// What an account chose, and when it was last told of requests.
    pub(super) async fn account(
        &self,
        account: &BareJid,
    ) -> Result<(Option<String>, Option<Timestamp>), DbError> {
        let query = Query::new("SELECT messages, told_at FROM strangers_accounts WHERE account = $1");
        match self.db.fetch_optional(query.bind(account)).await? {
            Some(row) => Ok((row.opt_text(0)?, Some(Timestamp(row.i64(1)?)))),
            None => Ok((None, None)),
        }
    }

    /// An account has chosen; nothing chosen is the server's choice.
    pub(super) async fn choose(
        &self,
        account: &BareJid,
        messages: Option<&'static str>,
    ) -> Result<(), DbError> {
        let query = Query::new(
            "INSERT INTO strangers_accounts (account, messages, told_at) VALUES ($1, $2, 0)
             ON CONFLICT (account) DO UPDATE SET messages = excluded.messages",
        );
        self.db
            .execute(query.bind(account).bind(messages))
            .await
            .map(drop)
    }

    /// Deletes what is older than that.
    pub(super) async fn expire(&self, before: Timestamp) -> Result<u64, DbError> {
        self.db.clear_away(EXPIRED, before.0).await
    }
}

fn read(row: &Row) -> Result<StoredRequest, DbError> {
    let account = row.text(0)?;
    Ok(StoredRequest {
        account: BareJid::parse(&account).map_err(|_| DbError::Column("account".into()))?,
        id: row.i64(1)?,
        peer: 0,
        received: Timestamp(row.i64(2)?),
        due: row.opt_i64(3)?.map(Timestamp),
        stanza: row.bytes(4)?,
    })
}

fn read_all(rows: &[Row]) -> Result<Vec<StoredRequest>, DbError> {
    rows.iter().map(read).collect()
}

pub(super) fn was_written_query(account: &BareJid, peer: i64) -> Query {
    Query::new(WAS_WRITTEN).bind(account).bind(peer)
}

pub(super) fn of_peer_query(account: &BareJid, peer: i64) -> Query {
    Query::new(OF_PEER).bind(account).bind(peer)
}

pub(super) fn due_query(now: Timestamp) -> Query {
    Query::new(DUE).bind(now.0).bind(DUE_AT_ONCE_MAX)
}

/// Erases what belongs to an account.
pub(super) fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for sql in [
            "DELETE FROM strangers_written WHERE account = $1",
            "DELETE FROM strangers_requests WHERE account = $1",
            "DELETE FROM strangers_accounts WHERE account = $1",
        ] {
            tx.execute(Query::new(sql).bind(account)).await?;
        }
        Ok(())
    })
}
