//! The tables of files, of what was uploaded on a day, and of objects that nobody needs.

use std::sync::Arc;

use kim_core::db::{BoxFuture, Db, DbError, Query, Tx};
use kim_core::jid::BareJid;

const COLUMNS: &str = "id, account, object, bytes, meta, created_at, expires_at";
/// Files that expire in one transaction; others write between two of them.
const EXPIRED_ROWS_MAX: i64 = 500;

/// A file.
#[derive(Clone)]
pub(super) struct FileRow {
    pub id: String,
    pub account: String,
    pub object: String,
    pub bytes: u64,
    pub meta: Vec<u8>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
}

impl FileRow {
    fn read(row: &kim_core::db::Row) -> Result<FileRow, DbError> {
        Ok(FileRow {
            id: row.text(0)?,
            account: row.text(1)?,
            object: row.text(2)?,
            bytes: unsigned(row.i64(3)?),
            meta: row.bytes(4)?,
            created_at: row.i64(5)?,
            expires_at: row.opt_i64(6)?,
        })
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) struct UploadStore {
    db: Db,
}

impl UploadStore {
    pub fn new(db: Db) -> UploadStore {
        UploadStore { db }
    }

    /// Bytes of all files of an account, and of those it uploaded on a day.
    pub async fn usage(&self, account: &BareJid, day: i64) -> Result<(u64, u64), DbError> {
        let row = self.db.fetch_optional(usage_of_account(account.as_str())).await?;
        let all = row.map_or(Ok(0), |row| row.i64(0))?;
        let row = self
            .db
            .fetch_optional(usage_of_day(account.as_str(), day))
            .await?;
        let today = row.map_or(Ok(0), |row| row.i64(0))?;
        Ok((unsigned(all), unsigned(today)))
    }

    pub async fn find(&self, id: &str) -> Result<Option<FileRow>, DbError> {
        const FIND: &str =
            "SELECT id, account, object, bytes, meta, created_at, expires_at FROM upload_files WHERE id = $1";
        debug_assert!(FIND.contains(COLUMNS));
        let row = self.db.fetch_optional(Query::new(FIND).bind(id)).await?;
        row.as_ref().map(FileRow::read).transpose()
    }

    pub async fn list(&self, account: &BareJid, before: i64, rows_max: u32) -> Result<Vec<FileRow>, DbError> {
        const LIST: &str = "SELECT id, account, object, bytes, meta, created_at, expires_at FROM upload_files \
                            WHERE account = $1 AND created_at < $2 ORDER BY created_at DESC LIMIT $3";
        let query = Query::new(LIST)
            .bind(account.as_str())
            .bind(before)
            .bind(i64::from(rows_max));
        self.db
            .fetch_all(query)
            .await?
            .iter()
            .map(FileRow::read)
            .collect()
    }

    /// Makes a file of an object, if its id is new and the account has room.
    pub async fn insert(
        &self,
        row: FileRow,
        day: i64,
        (account_max, day_max): (u64, u64),
    ) -> Result<(), DbError> {
        let row = Arc::new(row);
        let write = self.db.write(move |tx| {
            let row = row.clone();
            Box::pin(async move { insert(tx, &row, day, account_max, day_max).await })
        });
        write.await
    }

    /// Deletes a file of an account; its object is waste.
    pub async fn delete(&self, account: &BareJid, id: &str) -> Result<bool, DbError> {
        let (account, id) = (account.clone(), id.to_owned());
        let write = self.db.write(move |tx| {
            let (account, id) = (account.clone(), id.clone());
            Box::pin(async move {
                const WASTE: &str = "INSERT INTO upload_waste (object, since) SELECT object, 0 FROM upload_files \
                                     WHERE account = $1 AND id = $2 ON CONFLICT (object) DO NOTHING";
                tx.execute(Query::new(WASTE).bind(account.as_str()).bind(&id)).await?;
                let delete = Query::new("DELETE FROM upload_files WHERE account = $1 AND id = $2");
                Ok(tx.execute(delete.bind(account.as_str()).bind(&id)).await? > 0)
            })
        });
        write.await
    }

    /// Files that are over become waste.
    pub async fn expire(&self, now: i64) -> Result<u64, DbError> {
        let mut all = 0;
        loop {
            let write = self.db.write(move |tx| {
                Box::pin(async move {
                    const OVER: &str = "SELECT id, object FROM upload_files WHERE expires_at <= $1 LIMIT $2";
                    let rows = tx
                        .fetch_all(Query::new(OVER).bind(now).bind(EXPIRED_ROWS_MAX))
                        .await?;
                    for row in &rows {
                        put_waste(tx, &row.text(1)?, 0).await?;
                        let delete = Query::new("DELETE FROM upload_files WHERE id = $1");
                        tx.execute(delete.bind(row.text(0)?)).await?;
                    }
                    Ok(rows.len() as u64)
                })
            });
            match write.await? {
                0 => return Ok(all),
                rows => all += rows,
            }
        }
    }

    /// Days before that one are over.
    pub async fn forget_days(&self, day: i64) -> Result<(), DbError> {
        let write = self.db.write(move |tx| {
            let delete = Query::new("DELETE FROM upload_days WHERE day < $1").bind(day);
            Box::pin(async move { tx.execute(delete).await.map(|_| ()) })
        });
        write.await
    }

    /// An object is waste from then on.
    pub async fn waste(&self, object: &str, since: i64) -> Result<(), DbError> {
        let object = object.to_owned();
        let write = self.db.write(move |tx| {
            let object = object.clone();
            Box::pin(async move { put_waste(tx, &object, since).await })
        });
        write.await
    }

    /// Objects that are waste by now.
    pub async fn wasted(&self, now: i64, rows_max: u32) -> Result<Vec<String>, DbError> {
        let query = Query::new("SELECT object FROM upload_waste WHERE since <= $1 LIMIT $2");
        let rows = self
            .db
            .fetch_all(query.bind(now).bind(i64::from(rows_max)))
            .await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// An object is gone.
    pub async fn forget_waste(&self, object: &str) -> Result<(), DbError> {
        let object = object.to_owned();
        let write = self.db.write(move |tx| {
            let delete = Query::new("DELETE FROM upload_waste WHERE object = $1").bind(&object);
            Box::pin(async move { tx.execute(delete).await.map(|_| ()) })
        });
        write.await
    }
}

async fn put_waste(tx: &mut Tx, object: &str, since: i64) -> Result<(), DbError> {
    const PUT: &str = "INSERT INTO upload_waste (object, since) VALUES ($1, $2) \
                       ON CONFLICT (object) DO UPDATE SET since = excluded.since";
    tx.execute(Query::new(PUT).bind(object).bind(since))
        .await
        .map(|_| ())
}

fn usage_of_account(account: &str) -> Query {
    const USAGE: &str = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM upload_files WHERE account = $1";
    Query::new(USAGE).bind(account)
}

fn usage_of_day(account: &str, day: i64) -> Query {
    Query::new("SELECT bytes FROM upload_days WHERE account = $1 AND day = $2")
        .bind(account)
        .bind(day)
}

async fn number(tx: &mut Tx, query: Query) -> Result<u64, DbError> {
    let row = tx.fetch_optional(query).await?;
    Ok(unsigned(row.map_or(Ok(0), |row| row.i64(0))?))
}

async fn insert(tx: &mut Tx, row: &FileRow, day: i64, account_max: u64, day_max: u64) -> Result<(), DbError> {
    // Refused before anything is written, the commit of others is not disturbed.
    let known = Query::new("SELECT 1 FROM upload_files WHERE id = $1").bind(&row.id);
    if tx.fetch_optional(known).await?.is_some() {
        return Err(DbError::Refused("used"));
    }
    let all = number(tx, usage_of_account(&row.account)).await?;
    let today = number(tx, usage_of_day(&row.account, day)).await?;
    if all.saturating_add(row.bytes) > account_max || today.saturating_add(row.bytes) > day_max {
        return Err(DbError::Refused("full"));
    }
    const INSERT: &str = "INSERT INTO upload_files (id, account, object, bytes, meta, created_at, expires_at) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let insert = Query::new(INSERT)
        .bind(&row.id)
        .bind(&row.account)
        .bind(&row.object)
        .bind(signed(row.bytes))
        .bind(row.meta.clone())
        .bind(row.created_at)
        .bind(row.expires_at);
    tx.execute(insert).await?;
    const DAY: &str = "INSERT INTO upload_days (account, day, bytes) VALUES ($1, $2, $3) \
                       ON CONFLICT (account, day) DO UPDATE SET bytes = upload_days.bytes + excluded.bytes";
    tx.execute(
        Query::new(DAY)
            .bind(&row.account)
            .bind(day)
            .bind(signed(row.bytes)),
    )
    .await?;
    let needed = Query::new("DELETE FROM upload_waste WHERE object = $1").bind(&row.object);
    tx.execute(needed).await.map(|_| ())
}

/// Of an account that goes nothing stays but waste, which opens for nobody: the keys go with it.
pub(super) fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        const WASTE: &str = "INSERT INTO upload_waste (object, since) SELECT object, 0 FROM upload_files \
                             WHERE account = $1 ON CONFLICT (object) DO NOTHING";
        tx.execute(Query::new(WASTE).bind(account.as_str())).await?;
        for delete in [
            "DELETE FROM upload_files WHERE account = $1",
            "DELETE FROM upload_days WHERE account = $1",
        ] {
            tx.execute(Query::new(delete).bind(account.as_str())).await?;
        }
        Ok(())
    })
}
