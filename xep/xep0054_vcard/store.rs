//! The table of vCards.

use kim_core::db::{BoxFuture, Db, DbError, Query, Tx};
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::seal::Seals;

/// All accounts' vCards.
pub(super) struct Cards {
    db: Db,
    seals: Seals,
}

fn aad(account: &BareJid) -> [&[u8]; 2] {
    [b"vcard", account.as_str().as_bytes()]
}

impl Cards {
    pub fn new(db: &Db, seals: &Seals) -> Cards {
        Cards {
            db: db.clone(),
            seals: seals.clone(),
        }
    }

    /// An account's vCard.
    pub async fn get(&self, account: &BareJid) -> Result<Option<String>, Fault> {
        let query = Query::new("SELECT xml, sealed FROM vcard WHERE account = $1").bind(account.as_str());
        let Some(row) = self.db.fetch_optional(query).await? else {
            return Ok(None);
        };
        let Some(sealed) = row.opt_bytes(1)? else {
            return Ok(Some(row.text(0)?));
        };
        let key = self.seals.key(account.as_str()).await?;
        let opened = key.open(&aad(account), &sealed).ok();
        let xml = opened.and_then(|bytes| String::from_utf8(bytes).ok());
        if xml.is_none() {
            tracing::error!(event = "vcard_unreadable", %account);
        }
        Ok(xml)
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
    ) -> Result<(), Fault> {
        let query = match xml {
            Some(xml) => {
                let key = self.seals.key(account.as_str()).await?;
                Query::new(
                    "INSERT INTO vcard (account, xml, photo, sealed) VALUES ($1, '', $2, $3) \
                     ON CONFLICT (account) DO UPDATE SET xml = '', photo = excluded.photo, sealed = excluded.sealed",
                )
                .bind(account.as_str())
                .bind(photo)
                .bind(key.seal(&aad(account), xml.as_bytes()))
            }
            None => Query::new("DELETE FROM vcard WHERE account = $1").bind(account.as_str()),
        };
        self.db.execute(query).await?;
        Ok(())
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
