//! Every SQL statement about server-wide blocks and block lists.

use kim_core::clock::Timestamp;
use kim_core::db::{Db, DbError, Migration, Query, Value};
use kim_core::jid::BareJid;

pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    module: "xep0191_server",
    name: "0001_blocks",
    sql: include_str!("migrations/0001_blocks.sql"),
}];

pub(super) const OWN: &str =
    "SELECT address, since FROM server_blocks WHERE address > $1 ORDER BY address LIMIT $2";
const ADD_OWN: &str =
    "INSERT INTO server_blocks (address, since) VALUES ($1, $2) ON CONFLICT (address) DO NOTHING";
pub(super) const REMOVE_OWN: &str = "DELETE FROM server_blocks WHERE address = $1";
const SOURCES: &str = "SELECT DISTINCT source FROM server_block_lists";
pub(super) const LISTED: &str =
    "SELECT hash FROM server_block_lists WHERE source = $1 ORDER BY hash LIMIT $2";
const ADD_LISTED: &str = "INSERT INTO server_block_lists (source, hash)";
pub(super) const REMOVE_LISTED: &str = "DELETE FROM server_block_lists WHERE source = $1 AND hash = $2";
const REMOVE_SOURCE: &str = "DELETE FROM server_block_lists WHERE source = $1";

/// Rows of one transaction, so that others write between two.
const ROWS_MAX: usize = 1_000;

/// The SHA-256 of an address.
pub(super) type Sum = [u8; 32];

/// The tables.
#[derive(Clone)]
pub(super) struct BlockStore(pub Db);

impl BlockStore {
    /// A page of the administrators' own blocks behind an address, in order.
    pub async fn own(&self, after: &str, rows_max: usize) -> Result<Vec<(String, Timestamp)>, DbError> {
        let query = Query::new(OWN).bind(after).bind(limit(rows_max));
        let rows = self.0.fetch_all(query).await?;
        rows.iter()
            .map(|row| Ok((row.text(0)?, Timestamp(row.i64(1)?))))
            .collect()
    }

    /// Blocks an address; returns once that is committed. `false` if it was blocked already.
    pub async fn add_own(&self, address: &BareJid, now: Timestamp) -> Result<bool, DbError> {
        let query = Query::new(ADD_OWN).bind(address).bind(now.0);
        Ok(self.0.execute(query).await? > 0)
    }

    /// Unblocks an address; `false` if it was not blocked.
    pub async fn remove_own(&self, address: &BareJid) -> Result<bool, DbError> {
        Ok(self.0.execute(Query::new(REMOVE_OWN).bind(address)).await? > 0)
    }

    /// Which lists have rows.
    pub async fn sources(&self) -> Result<Vec<String>, DbError> {
        let rows = self.0.fetch_all(Query::new(SOURCES)).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// What a list has.
    pub async fn listed(&self, source: &str, rows_max: usize) -> Result<Vec<Sum>, DbError> {
        let query = Query::new(LISTED).bind(source).bind(limit(rows_max));
        let mut sums = Vec::new();
        for row in self.0.fetch_all(query).await? {
            // A row of another length is nobody's sum.
            sums.extend(Sum::try_from(&row.bytes(0)?[..]).ok());
        }
        Ok(sums)
    }

    /// Adds to a list and removes from it.
    pub async fn change_listed(&self, source: &str, added: &[Sum], removed: &[Sum]) -> Result<(), DbError> {
        for part in added.chunks(ROWS_MAX) {
            let (source, part) = (source.to_owned(), part.to_vec());
            let write = self.0.write(move |tx| {
                let rows: Vec<[Value; 2]> = part
                    .iter()
                    .map(|sum| [source.as_str().into(), sum.into()])
                    .collect();
                Box::pin(async move {
                    let twice = "ON CONFLICT (source, hash) DO NOTHING";
                    tx.insert_rows(ADD_LISTED, rows, twice).await.map(drop)
                })
            });
            write.await?;
        }
        for part in removed.chunks(ROWS_MAX) {
            let (source, part) = (source.to_owned(), part.to_vec());
            let write = self.0.write(move |tx| {
                let (source, part) = (source.clone(), part.clone());
                Box::pin(async move {
                    for sum in part {
                        let query = Query::new(REMOVE_LISTED).bind(source.as_str()).bind(sum);
                        tx.execute(query).await?;
                    }
                    Ok(())
                })
            });
            write.await?;
        }
        Ok(())
    }

    /// Forgets a list.
    pub async fn remove_source(&self, source: &str) -> Result<(), DbError> {
        self.0
            .execute(Query::new(REMOVE_SOURCE).bind(source))
            .await
            .map(drop)
    }
}

fn limit(rows_max: usize) -> i64 {
    i64::try_from(rows_max).unwrap_or(i64::MAX)
}
