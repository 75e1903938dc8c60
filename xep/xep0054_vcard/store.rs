//! The table of vCards.

use kim_core::db::{BoxFuture, Db, DbError, Query, Tx};
use kim_core::jid::BareJid;

/// All accounts' vCards.
pub(super) struct Cards {
    db: Db,
}

impl Cards {
    pub fn new(db: Db) -> Cards {
        Cards { db }
    }

    /// An account's vCard.
    pub async fn get(&self, account: &BareJid) -> Result<Option<String>, DbError> {
        let query = Query::new("SELECT xml FROM vcard WHERE account = $1").bind(account.as_str());
        self.db
            .fetch_optional(query)
            .await?
            .map(|row| row.text(0))
            .transpose()
    }

    /// The hash of the picture in an account's vCard.
    pub async fn photo(&self, account: &BareJid) -> Result<Option<String>, DbError> {
        let query = Query::new("SELECT photo FROM vcard WHERE account = $1").bind(account.as_str());
        Ok(self
            .db
            .fetch_optional(query)
            .await?
            .map(|row| row.opt_text(0))
            .transpose()?
            .flatten())
    }

    /// Replaces an account's vCard, `None` removes it, and returns when that is committed.
    pub async fn put(
        &self,
        account: &BareJid,
        xml: Option<String>,
        photo: Option<String>,
    ) -> Result<(), DbError> {
        let query = match xml {
            Some(xml) => Query::new(
                "INSERT INTO vcard (account, xml, photo) VALUES ($1, $2, $3)
                 ON CONFLICT (account) DO UPDATE SET xml = excluded.xml, photo = excluded.photo",
            )
            .bind(account.as_str())
            .bind(xml)
            .bind(photo),
            None => Query::new("DELETE FROM vcard WHERE account = $1").bind(account.as_str()),
        };
        self.db.execute(query).await.map(drop)
    }
}

/// Erases an account's vCard.
pub(super) fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        tx.execute(Query::new("DELETE FROM vcard WHERE account = $1").bind(account.as_str()))
            .await?;
        Ok(())
    })
}
