//! Every SQL statement about messages that wait for other servers.

use crate::db::{BoxFuture, Db, DbError, Query, Row, SinkRow, Tx};
use crate::jid::BareJid;

use super::RowId;

pub(super) const USAGE: &str = "SELECT COUNT(*), CAST(SUM(bytes) AS BIGINT) FROM s2s_queue WHERE domain = $1";
pub(super) const CLAIM: &str = "UPDATE s2s_queue SET process = $1 WHERE process = $2 AND id IN \
     (SELECT id FROM s2s_queue WHERE process = $2 ORDER BY id LIMIT $3) RETURNING id, owner, received_at, stanza";
pub(super) const READ: &str = "SELECT id, owner, received_at, stanza FROM s2s_queue WHERE id = $1";
pub(super) const PROCESS: &str = "SELECT process FROM s2s_queue WHERE id = $1";
pub(super) const OLDEST: &str = "SELECT id, owner, received_at, stanza FROM s2s_queue \
     WHERE process = $1 AND id > $2 ORDER BY id LIMIT $3";
pub(super) const NEXT_PROCESS: &str = "SELECT MIN(process) FROM s2s_queue WHERE process > $1";
pub(super) const FIRST_OF: &str = "SELECT MIN(id) FROM s2s_queue WHERE process = $1";
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

/// A message as it was stored.
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

/// Makes the oldest messages of a process that is gone those of another, at most `limit`, and gives them in order. Of several
/// processes that want the same message one gets it: the statement names whose it was.
pub(super) async fn claim(db: &Db, mine: i64, gone: i64, limit: u32) -> Result<Vec<Left>, DbError> {
    let query = Query::new(CLAIM).bind(mine).bind(gone).bind(limit);
    let mut claimed = db
        .write(move |tx| {
            let query = query.clone();
            Box::pin(async move {
                tx.fetch_all(query)
                    .await?
                    .iter()
                    .map(left)
                    .collect::<Result<Vec<_>, _>>()
            })
        })
        .await?;
    claimed.sort_by_key(|row| row.id);
    Ok(claimed)
}

/// These messages, as far as they are still there.
pub(super) async fn read(db: &Db, ids: &[RowId]) -> Result<Vec<Left>, DbError> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let row = db.fetch_optional(Query::new(READ).bind(id.0)).await?;
        found.extend(row.as_ref().map(left).transpose()?);
    }
    Ok(found)
}

/// Which process sends a message, if it is still there.
pub(super) async fn process_of(db: &Db, id: RowId) -> Result<Option<i64>, DbError> {
    let row = db.fetch_optional(Query::new(PROCESS).bind(id.0)).await?;
    row.map(|row| row.i64(0)).transpose()
}

/// The oldest messages of a process after a row, in order.
pub(super) async fn oldest(db: &Db, process: i64, after: RowId, limit: u32) -> Result<Vec<Left>, DbError> {
    let query = Query::new(OLDEST).bind(process).bind(after.0).bind(limit);
    db.fetch_all(query).await?.iter().map(left).collect()
}

// ——— processes ———

/// Enters a process, and strikes out those that ran in its place before.
pub(super) async fn enter(db: &Db, process: i64, home: i64) -> Result<(), DbError> {
    let queries = [
        Query::new("DELETE FROM s2s_processes WHERE home = $1").bind(home),
        Query::new("INSERT INTO s2s_processes (process, home, beat) VALUES ($1, $2, 0)")
            .bind(process)
            .bind(home),
    ];
    db.write(move |tx| {
        let queries = queries.clone();
        Box::pin(async move {
            for query in queries {
                tx.execute(query).await?;
            }
            Ok(())
        })
    })
    .await
}

/// Shows that a process lives. `false` if it was struck out.
pub(super) async fn beat(db: &Db, process: i64) -> Result<bool, DbError> {
    let query = Query::new("UPDATE s2s_processes SET beat = beat + 1 WHERE process = $1").bind(process);
    Ok(db.execute(query).await? > 0)
}

/// All processes, with what they have counted.
pub(super) async fn beats(db: &Db) -> Result<Vec<(i64, i64)>, DbError> {
    let rows = db
        .fetch_all(Query::new("SELECT process, beat FROM s2s_processes"))
        .await?;
    rows.iter().map(|row| Ok((row.i64(0)?, row.i64(1)?))).collect()
}

/// Strikes out a process, if it has not counted on meanwhile.
pub(super) async fn strike(db: &Db, process: i64, beat: i64) -> Result<bool, DbError> {
    let query = Query::new("DELETE FROM s2s_processes WHERE process = $1 AND beat = $2");
    Ok(db.execute(query.bind(process).bind(beat)).await? > 0)
}

/// Strikes out a process that ends.
pub(super) async fn leave(db: &Db, process: i64) -> Result<(), DbError> {
    let query = Query::new("DELETE FROM s2s_processes WHERE process = $1").bind(process);
    db.execute(query).await.map(drop)
}

/// Processes that have messages and are entered nowhere, those with the oldest messages first.
pub(super) async fn gone(db: &Db) -> Result<Vec<i64>, DbError> {
    let mut all = Vec::new();
    let mut last = None;
    loop {
        // Which messages there are is read before who lives: whoever stores one was entered before.
        let query = match last {
            None => Query::new("SELECT MIN(process) FROM s2s_queue"),
            Some(last) => Query::new(NEXT_PROCESS).bind(last),
        };
        let row = db.fetch_optional(query).await?;
        let Some(process) = row.map(|row| row.opt_i64(0)).transpose()?.flatten() else {
            break;
        };
        last = Some(process);
        all.push(process);
    }
    let living: Vec<i64> = beats(db).await?.into_iter().map(|(process, _)| process).collect();
    let mut gone = Vec::new();
    for process in all.into_iter().filter(|process| !living.contains(process)) {
        let row = db.fetch_optional(Query::new(FIRST_OF).bind(process)).await?;
        gone.push((row.map(|row| row.opt_i64(0)).transpose()?.flatten(), process));
    }
    gone.sort_unstable();
    Ok(gone.into_iter().map(|(_, process)| process).collect())
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
