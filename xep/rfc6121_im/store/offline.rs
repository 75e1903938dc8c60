//! Messages that wait for their recipient (XEP-0160).

use kim_core::clock::Timestamp;
use kim_core::db::{BoxFuture, Db, DbError, Query, Sink, SinkRow, Tx};
use kim_core::jid::BareJid;
use kim_core::random;

/// Messages that are read at once; the most memory one account's arrival takes is this many stanzas.
pub const BATCH_MESSAGES_MAX: usize = 64;

/// A message that waits.
pub struct Waiting {
    account: BareJid,
    key: OfflineKey,
    /// Sealed.
    stanza: Vec<u8>,
}

/// Names one waiting message of an account. Keys are in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfflineKey {
    /// When it was received, in microseconds.
    pub received_at: i64,
    /// Tells messages of the same microsecond apart, which different nodes may receive.
    pub id: i64,
}

impl OfflineKey {
    /// A new key for a message of that time.
    pub fn new(received: Timestamp) -> OfflineKey {
        OfflineKey {
            received_at: received.0,
            id: i64::from_le_bytes(random::bytes()) & i64::MAX,
        }
    }
}

impl Waiting {
    /// A message that is to wait.
    pub fn new(account: &BareJid, key: OfflineKey, stanza: Vec<u8>) -> Waiting {
        Waiting {
            account: account.clone(),
            key,
            stanza,
        }
    }
}

impl SinkRow for Waiting {
    fn row_bytes(&self) -> usize {
        self.account.as_str().len() + self.stanza.len() + 16
    }
}

fn insert<'a>(tx: &'a mut Tx, rows: &'a [Waiting]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        let rows = rows.iter().map(|row| {
            [
                row.account.as_str().into(),
                row.key.received_at.into(),
                row.key.id.into(),
                row.stanza.as_slice().into(),
            ]
        });
        tx.insert_rows(
            "INSERT INTO im_offline (account, received_at, id, stanza)",
            rows,
            "",
        )
        .await?;
        Ok(())
    })
}

/// How much waits for an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Messages.
    pub messages: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// The table of waiting messages.
pub struct OfflineStore {
    db: Db,
    /// Where messages go.
    pub sink: Sink<Waiting>,
}

impl OfflineStore {
    /// The table in a database.
    pub fn new(db: Db) -> OfflineStore {
        OfflineStore {
            sink: db.sink(insert),
            db,
        }
    }

    /// How much waits for an account. It reads in the order of writing, so everything that was put before is counted,
    /// committed or not: a burst must not get past the limit.
    pub async fn usage(&self, account: &BareJid) -> Result<Usage, DbError> {
        let account = account.clone();
        self.db
            .write(move |tx| {
                let query =
                    Query::new("SELECT COUNT(*), SUM(LENGTH(stanza)) FROM im_offline WHERE account = $1");
                let query = query.bind(account.as_str());
                Box::pin(async move {
                    let Some(row) = tx.fetch_optional(query).await? else {
                        return Ok(Usage::default());
                    };
                    let number = |value: Option<i64>| usize::try_from(value.unwrap_or(0)).unwrap_or(0);
                    Ok(Usage {
                        messages: number(row.opt_i64(0)?),
                        bytes: number(row.opt_i64(1)?),
                    })
                })
            })
            .await
    }

    /// The first messages that wait, oldest first. It reads in the order of writing, so everything that was put before is
    /// seen, committed or not.
    pub async fn first(&self, account: &BareJid) -> Result<Vec<(OfflineKey, Vec<u8>)>, DbError> {
        let account = account.clone();
        let limit = i64::try_from(BATCH_MESSAGES_MAX).unwrap_or(i64::MAX);
        self.db
            .write(move |tx| {
                let query = Query::new(
                    "SELECT received_at, id, stanza FROM im_offline WHERE account = $1
                     ORDER BY received_at, id LIMIT $2",
                );
                let query = query.bind(account.as_str()).bind(limit);
                Box::pin(async move {
                    let mut found = Vec::new();
                    for row in tx.fetch_all(query).await? {
                        found.push((
                            OfflineKey {
                                received_at: row.i64(0)?,
                                id: row.i64(1)?,
                            },
                            row.bytes(2)?,
                        ));
                    }
                    Ok(found)
                })
            })
            .await
    }

    /// Forgets messages.
    pub async fn delete(&self, account: &BareJid, keys: Vec<OfflineKey>) -> Result<(), DbError> {
        let account = account.clone();
        self.db
            .write(move |tx| {
                let (account, keys) = (account.clone(), keys.clone());
                Box::pin(async move {
                    for key in keys {
                        let query = Query::new(
                            "DELETE FROM im_offline WHERE account = $1 AND received_at = $2 AND id = $3",
                        );
                        tx.execute(query.bind(account.as_str()).bind(key.received_at).bind(key.id))
                            .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Forgets everything that waits for an account.
    pub async fn clear(&self, account: &BareJid) -> Result<(), DbError> {
        let account = account.clone();
        self.db
            .write(move |tx| {
                let account = account.clone();
                Box::pin(async move { erase(tx, &account).await })
            })
            .await
    }
}

/// Erases an account's waiting messages.
pub fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        tx.execute(Query::new("DELETE FROM im_offline WHERE account = $1").bind(account.as_str()))
            .await?;
        Ok(())
    })
}
