//! Every SQL statement about messages that wait for other servers.

use crate::db::{BoxFuture, Db, DbError, Query, Row, SinkRow, Tx};
use crate::jid::BareJid;

use super::RowId;

pub(super) const USAGE: &str = "SELECT COUNT(*), CAST(SUM(bytes) AS BIGINT) FROM s2s_queue WHERE domain = $1";
pub(super) const PAGE: &str = "SELECT id, owner, received_at, stanza FROM s2s_queue \
     WHERE id > $1 AND process <> $2 ORDER BY id LIMIT $3";
pub(super) const DELETE: &str = "DELETE FROM s2s_queue WHERE id = $1 RETURNING domain, bytes";
pub(super) const ERASE: &str = "DELETE FROM s2s_queue WHERE owner = $1";
const INSERT: &str = "INSERT INTO s2s_queue (id, owner, domain, process, received_at, bytes, stanza)";

/// A message as it is stored.
pub(super) struct Waiting {
    pub id: RowId,
    pub owner: BareJid,
    pub domain: String,
    pub process: i64,
    pub received_at: i64,
    /// Sealed.
    pub stanza: Vec<u8>,
}

impl SinkRow for Waiting {
    fn row_bytes(&self) -> usize {
        self.owner.as_str().len() + self.domain.len() + self.stanza.len() + 32
    }
}

pub(super) fn insert<'a>(tx: &'a mut Tx, rows: &'a [Waiting]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        let rows = rows.iter().map(|row| {
            [
                row.id.0.into(),
                (&row.owner).into(),
                (&row.domain).into(),
                row.process.into(),
                row.received_at.into(),
                i64::try_from(row.stanza.len()).unwrap_or(i64::MAX).into(),
                row.stanza.as_slice().into(),
            ]
        });
        tx.insert_rows(INSERT, rows, "").await.map(drop)
    })
}

/// How much waits for a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub messages: usize,
    pub bytes: usize,
}

/// How much waits for a domain. It reads in the order of writing, so everything that was queued for its commit before is
/// counted.
pub(super) async fn usage(db: &Db, domain: &str) -> Result<Usage, DbError> {
    let query = Query::new(USAGE).bind(domain);
    db.write(move |tx| {
        let query = query.clone();
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

/// A message that an earlier process left.
pub(super) struct Left {
    pub id: RowId,
    pub owner: String,
    pub received_at: i64,
    pub stanza: Vec<u8>,
}

fn left(row: &Row) -> Result<Left, DbError> {
    Ok(Left {
        id: RowId(row.i64(0)?),
        owner: row.text(1)?,
        received_at: row.i64(2)?,
        stanza: row.bytes(3)?,
    })
}

/// The messages after a row that other processes than this one stored, in order.
pub(super) async fn page(db: &Db, after: RowId, process: i64, limit: u32) -> Result<Vec<Left>, DbError> {
    let query = Query::new(PAGE).bind(after.0).bind(process).bind(limit);
    db.fetch_all(query).await?.iter().map(left).collect()
}

/// Deletes messages; gives the domain and the bytes of each that was there.
pub(super) async fn delete(db: &Db, ids: Vec<RowId>) -> Result<Vec<(String, usize)>, DbError> {
    db.write(move |tx| {
        let ids = ids.clone();
        Box::pin(async move {
            let mut deleted = Vec::with_capacity(ids.len());
            for id in ids {
                if let Some(row) = tx.fetch_optional(Query::new(DELETE).bind(id.0)).await? {
                    deleted.push((row.text(0)?, usize::try_from(row.i64(1)?).unwrap_or(0)));
                }
            }
            Ok(deleted)
        })
    })
    .await
}

/// Deletes what an account has sent and no other server has yet.
pub fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move { tx.execute(Query::new(ERASE).bind(account)).await.map(drop) })
}
