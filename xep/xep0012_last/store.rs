//! The table of who was last seen when.

use kim_core::clock::Timestamp;
use kim_core::db::{BoxFuture, Db, DbError, Query, Ticket, Tx};
use kim_core::jid::BareJid;

/// When accounts were last seen.
pub(super) struct Seen {
    db: Db,
}

impl Seen {
    pub fn new(db: Db) -> Seen {
        Seen { db }
    }

    /// When an account left last, and its words then.
    pub async fn get(&self, account: &BareJid) -> Result<Option<(Timestamp, String)>, DbError> {
        let query = Query::new("SELECT left_at, status FROM last_activity WHERE account = $1");
        let row = self.db.fetch_optional(query.bind(account.as_str())).await?;
        row.map(|row| Ok((Timestamp(row.i64(0)?), row.text(1)?)))
            .transpose()
    }

    /// Queues for the next commit that an account has left.
    pub fn put(&self, account: &BareJid, left: Timestamp, status: String) -> Ticket {
        let query = Query::new(
            "INSERT INTO last_activity (account, left_at, status) VALUES ($1, $2, $3)
             ON CONFLICT (account) DO UPDATE SET left_at = excluded.left_at, status = excluded.status",
        );
        let query = query.bind(account.as_str()).bind(left.0).bind(status);
        self.db.write_later(move |tx| {
            let query = query.clone();
            Box::pin(async move { tx.execute(query).await.map(drop) })
        })
    }
}

/// Erases what is known about an account.
pub(super) fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        tx.execute(Query::new("DELETE FROM last_activity WHERE account = $1").bind(account.as_str()))
            .await?;
        Ok(())
    })
}
