//! Every SQL statement about sealing.

use crate::db::{BoxFuture, Db, DbError, Query, Traces, Tx};
use crate::jid::BareJid;

/// A data key as it lies in the table.
#[derive(Clone, Debug)]
pub(super) struct Wrapped {
    pub owner: String,
    /// Which key-encryption key opens it.
    pub kek: String,
    pub bytes: Vec<u8>,
}

const FIND: &str = "SELECT owner, kek, wrapped FROM kim_data_keys WHERE owner = $1";
const PAGE: &str = "SELECT owner, kek, wrapped FROM kim_data_keys WHERE owner > $1 ORDER BY owner LIMIT $2";
/// A key may be wrapped only by one that is in use: during a rotation another node could still hold the old one.
const MAKE: &str = "INSERT INTO kim_data_keys (owner, kek, wrapped) SELECT $1, kek, $3 FROM kim_keks WHERE kek = $2 \
     ON CONFLICT (owner) DO NOTHING";
const REWRAP: &str = "UPDATE kim_data_keys SET kek = $1, wrapped = $2 WHERE owner = $3 AND kek = $4";
const ERASE: &str = "DELETE FROM kim_data_keys WHERE owner = $1";
const ALL: &str = "SELECT owner, kek, wrapped FROM kim_data_keys ORDER BY owner";
const EMPTY: &str = "DELETE FROM kim_data_keys";
const FILL: &str = "INSERT INTO kim_data_keys (owner, kek, wrapped)";
const PROOFS: &str = "SELECT kek, proof FROM kim_keks ORDER BY kek";
const FIRST_PROOF: &str =
    "INSERT INTO kim_keks (kek, proof) SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM kim_keks)";
const ADD_PROOF: &str = "INSERT INTO kim_keks (kek, proof) VALUES ($1, $2) ON CONFLICT (kek) DO NOTHING";
const OTHERS_LEFT: &str = "SELECT 1 FROM kim_data_keys WHERE kek <> $1 LIMIT 1";
const DROP_OTHER_PROOFS: &str = "DELETE FROM kim_keks WHERE kek <> $1";

fn wrapped(row: &crate::db::Row) -> Result<Wrapped, DbError> {
    Ok(Wrapped {
        owner: row.text(0)?,
        kek: row.text(1)?,
        bytes: row.bytes(2)?,
    })
}

pub(super) async fn find(db: &Db, owner: &str) -> Result<Option<Wrapped>, DbError> {
    let row = db.fetch_optional(Query::new(FIND).bind(owner)).await?;
    row.as_ref().map(wrapped).transpose()
}

pub(super) async fn page(db: &Db, after: &str, rows_max: u32) -> Result<Vec<Wrapped>, DbError> {
    let rows = db.fetch_all(Query::new(PAGE).bind(after).bind(rows_max)).await?;
    rows.iter().map(wrapped).collect()
}

/// Keeps a new key unless there is one, and tells which there is now. `None`: the key-encryption key is not in use any
/// more.
pub(super) async fn make(db: &Db, fresh: Wrapped) -> Result<Option<Wrapped>, DbError> {
    db.write(move |tx| {
        let fresh = fresh.clone();
        Box::pin(async move {
            let query = Query::new(MAKE)
                .bind(&fresh.owner)
                .bind(&fresh.kek)
                .bind(&fresh.bytes);
            tx.execute(query).await?;
            let row = tx.fetch_optional(Query::new(FIND).bind(&fresh.owner)).await?;
            row.as_ref().map(wrapped).transpose()
        })
    })
    .await
}

/// Replaces wrapped keys, each only if it is still wrapped by `old`.
pub(super) async fn rewrap(db: &Db, fresh: Vec<Wrapped>, old: Vec<String>) -> Result<u64, DbError> {
    db.write(move |tx| {
        let (fresh, old) = (fresh.clone(), old.clone());
        Box::pin(async move {
            let mut changed = 0;
            for (row, old) in fresh.iter().zip(&old) {
                let query = Query::new(REWRAP)
                    .bind(&row.kek)
                    .bind(&row.bytes)
                    .bind(&row.owner)
                    .bind(old);
                changed += tx.execute(query).await?;
            }
            Ok(changed)
        })
    })
    .await
}

pub(super) async fn proofs(db: &Db) -> Result<Vec<(String, Vec<u8>)>, DbError> {
    let rows = db.fetch_all(Query::new(PROOFS)).await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.bytes(1)?))).collect()
}

/// Makes this the database's first key-encryption key unless another one was faster.
pub(super) async fn prove_first(db: &Db, kek: String, proof: Vec<u8>) -> Result<(), DbError> {
    db.write(move |tx| {
        let query = Query::new(FIRST_PROOF).bind(&kek).bind(&proof);
        Box::pin(async move { tx.execute(query).await.map(|_| ()) })
    })
    .await
}

pub(super) async fn prove(db: &Db, kek: String, proof: Vec<u8>) -> Result<(), DbError> {
    db.write(move |tx| {
        let query = Query::new(ADD_PROOF).bind(&kek).bind(&proof);
        Box::pin(async move { tx.execute(query).await.map(|_| ()) })
    })
    .await
}

/// Retires all key-encryption keys but this one, unless a data key still needs another; tells whether it did.
pub(super) async fn retire_others(db: &Db, kek: String) -> Result<bool, DbError> {
    db.write(move |tx| {
        let kek = kek.clone();
        Box::pin(async move {
            if tx
                .fetch_optional(Query::new(OTHERS_LEFT).bind(&kek))
                .await?
                .is_some()
            {
                return Ok(false);
            }
            tx.execute(Query::new(DROP_OTHER_PROOFS).bind(&kek)).await?;
            Ok(true)
        })
    })
    .await
}

/// Destroys an owner's data key: what was sealed with it is gone, also from every copy of the database that is newer
/// than its key.
pub fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        if tx.execute(Query::new(ERASE).bind(account)).await? > 0 {
            tx.leaves(Traces::Owner);
        }
        Ok(())
    })
}

/// Puts every wrapped key onto a page that held none before. SQLite leaves remains of rows in pages that it has split or
/// joined, and overwrites a page as a whole when it is freed: so the table is emptied and filled again. One process writes to
/// the file at a time, so nothing comes between; PostgreSQL writes the table anew by itself ([`Traces::Keys`]).
pub(super) async fn repage(db: &Db) -> Result<(), DbError> {
    if db.is_postgres() {
        return Ok(());
    }
    db.write(|tx| {
        Box::pin(async move {
            let rows = tx.fetch_all(Query::new(ALL)).await?;
            let rows: Vec<_> = rows.iter().map(wrapped).collect::<Result<_, _>>()?;
            tx.execute(Query::new(EMPTY)).await?;
            let rows = rows
                .iter()
                .map(|row| [(&row.owner).into(), (&row.kek).into(), (&row.bytes).into()]);
            tx.insert_rows(FILL, rows, "").await.map(drop)
        })
    })
    .await
}
