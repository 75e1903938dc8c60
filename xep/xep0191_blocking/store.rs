//! Every SQL statement about block lists.

use kim_core::db::{BoxFuture, Db, DbError, Migration, Query, Tx, Value};
use kim_core::jid::{BareJid, Jid};

pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    module: "xep0191_blocking",
    name: "0001_blocklist",
    sql: include_str!("migrations/0001_blocklist.sql"),
}];

const LIST: &str = "SELECT jid FROM blocklist WHERE account = $1";
const ADD: &str = "INSERT INTO blocklist (account, jid)";
const REMOVE: &str = "DELETE FROM blocklist WHERE account = $1 AND jid = $2";
const CLEAR: &str = "DELETE FROM blocklist WHERE account = $1";

/// The addresses an account has blocked.
pub(super) async fn list(db: &Db, account: &BareJid) -> Result<Vec<Jid>, DbError> {
    let rows = db.fetch_all(Query::new(LIST).bind(account)).await?;
    // What no longer prepares as an address matches nobody either.
    Ok(rows
        .iter()
        .filter_map(|row| Jid::parse(&row.text(0).ok()?).ok())
        .collect())
}

/// Blocks addresses; those blocked already stay so.
pub(super) async fn add(db: &Db, account: &BareJid, jids: &[Jid]) -> Result<(), DbError> {
    let (account, jids) = (account.clone(), jids.to_vec());
    db.write(move |tx| {
        let rows: Vec<[Value; 2]> = jids.iter().map(|jid| [(&account).into(), jid.into()]).collect();
        Box::pin(async move {
            tx.insert_rows(ADD, rows, "ON CONFLICT (account, jid) DO NOTHING")
                .await
                .map(drop)
        })
    })
    .await
}

/// Unblocks addresses.
pub(super) async fn remove(db: &Db, account: &BareJid, jids: &[Jid]) -> Result<(), DbError> {
    let (account, jids) = (account.clone(), jids.to_vec());
    db.write(move |tx| {
        let (account, jids) = (account.clone(), jids.clone());
        Box::pin(async move {
            for jid in &jids {
                tx.execute(Query::new(REMOVE).bind(&account).bind(jid)).await?;
            }
            Ok(())
        })
    })
    .await
}

/// Unblocks everybody; also the eraser.
pub(super) fn clear<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move { tx.execute(Query::new(CLEAR).bind(account)).await.map(drop) })
}

/// The query of the hot path, for the test of its plan.
#[cfg(test)]
pub(super) fn list_query(account: &BareJid) -> Query {
    Query::new(LIST).bind(account)
}
