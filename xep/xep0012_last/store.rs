//! The table of who was last seen when. The words of the last status are sealed.

use kim_core::clock::Timestamp;
use kim_core::db::{BoxFuture, Db, DbError, Query, Ticket, Tx};
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::seal::{SealError, Seals};

/// When accounts were last seen.
pub(super) struct Seen {
    db: Db,
    seals: Seals,
}

/// What the words are bound to.
fn aad(account: &BareJid) -> [&[u8]; 2] {
    [b"last status", account.as_str().as_bytes()]
}

impl Seen {
    pub fn new(db: Db, seals: Seals) -> Seen {
        Seen { db, seals }
    }

    /// When an account left last, and its words then.
    pub async fn get(&self, account: &BareJid) -> Result<Option<(Timestamp, String)>, Fault> {
        let query = Query::new("SELECT left_at, sealed FROM last_activity WHERE account = $1");
        let Some(row) = self.db.fetch_optional(query.bind(account.as_str())).await? else {
            return Ok(None);
        };
        let words = match row.opt_bytes(1)? {
            Some(sealed) => self.open(account, &sealed).await?,
            None => String::new(),
        };
        Ok(Some((Timestamp(row.i64(0)?), words)))
    }

    /// Words that do not open are lost; the time is not.
    async fn open(&self, account: &BareJid, sealed: &[u8]) -> Result<String, Fault> {
        match self
            .seals
            .open_sealed(account.as_str(), &aad(account), sealed)
            .await
        {
            Ok(words) => Ok(String::from_utf8_lossy(&words).into_owned()),
            Err(SealError::Db(error)) => Err(error.into()),
            Err(error) => {
                tracing::error!(event = "last_status_unreadable", %account, %error);
                Ok(String::new())
            }
        }
    }

    /// Queues for the next commit that an account has left.
    pub async fn put(&self, account: &BareJid, left: Timestamp, status: &str) -> Result<Ticket, Fault> {
        let sealed = match status {
            "" => None,
            words => Some(
                self.seals
                    .seal(account.as_str(), &aad(account), words.as_bytes())
                    .await?,
            ),
        };
        let query = Query::new(
            "INSERT INTO last_activity (account, left_at, status, sealed) VALUES ($1, $2, '', $3)
             ON CONFLICT (account) DO UPDATE SET left_at = excluded.left_at, sealed = excluded.sealed",
        );
        let query = query.bind(account.as_str()).bind(left.0).bind(sealed);
        Ok(self.db.write_later(move |tx| {
            let query = query.clone();
            Box::pin(async move { tx.execute(query).await.map(drop) })
        }))
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
