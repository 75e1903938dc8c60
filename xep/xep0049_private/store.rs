//! The table of private XML.

use std::sync::Arc;

use kim_core::config::LimitsInForce;
use kim_core::db::{BoxFuture, Db, DbError, Query, Tx};
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::seal::Seals;

/// What an entry costs beside its texts, in bytes, so that many small ones weigh too.
const ENTRY_BYTES: usize = 100;

/// What a client keeps under one name of a namespace.
pub(super) struct PrivateEntry {
    pub name: String,
    /// Elements of that name, one after the other; nothing erases the entry.
    pub xml: String,
}

impl PrivateEntry {
    fn weight_bytes(&self, ns: &str) -> i64 {
        if self.xml.is_empty() {
            return 0;
        }
        i64::try_from(ns.len() + self.name.len() + self.xml.len() + ENTRY_BYTES).unwrap_or(i64::MAX)
    }
}

/// All accounts' private XML.
pub(super) struct PrivateStore {
    db: Db,
    seals: Seals,
    limits: LimitsInForce,
}

/// An entry belongs where it is.
fn aad<'a>(account: &'a BareJid, ns: &'a str, name: &'a str) -> [&'a [u8]; 4] {
    [
        b"private xml",
        account.as_str().as_bytes(),
        ns.as_bytes(),
        name.as_bytes(),
    ]
}

impl PrivateStore {
    pub fn new(db: &Db, seals: &Seals, limits: &LimitsInForce) -> PrivateStore {
        PrivateStore {
            db: db.clone(),
            seals: seals.clone(),
            limits: limits.clone(),
        }
    }

    /// An entry of an account.
    pub async fn get(&self, account: &BareJid, ns: &str, name: &str) -> Result<Option<String>, Fault> {
        let query =
            Query::new("SELECT xml, sealed FROM private_xml WHERE account = $1 AND ns = $2 AND name = $3");
        let row = self
            .db
            .fetch_optional(query.bind(account.as_str()).bind(ns).bind(name))
            .await?;
        let Some(row) = row else { return Ok(None) };
        let Some(sealed) = row.opt_bytes(1)? else {
            return Ok(Some(row.text(0)?));
        };
        let key = self.seals.key(account.as_str()).await?;
        let opened = key.open(&aad(account, ns, name), &sealed).ok();
        let xml = opened.and_then(|bytes| String::from_utf8(bytes).ok());
        if xml.is_none() {
            tracing::error!(event = "private_xml_unreadable", %account, ns);
        }
        Ok(xml)
    }

    /// Replaces entries of one namespace and returns when that is committed. False: the account would exceed its limit,
    /// and nothing was changed.
    pub async fn put(&self, account: &BareJid, ns: &str, entries: Vec<PrivateEntry>) -> Result<bool, Fault> {
        let key = self.seals.key(account.as_str()).await?;
        let seal = |entry: &PrivateEntry| key.seal(&aad(account, ns, &entry.name), entry.xml.as_bytes());
        let change = Arc::new(Change {
            account: account.clone(),
            ns: ns.to_owned(),
            sealed: entries.iter().map(seal).collect(),
            entries,
            bytes_max: i64::try_from(self.limits.now().private_bytes_max).unwrap_or(i64::MAX),
        });
        let written = self.db.write(move |tx| {
            let change = change.clone();
            Box::pin(async move { change.write(tx).await })
        });
        match written.await {
            Ok(()) => Ok(true),
            Err(DbError::Refused(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

struct Change {
    account: BareJid,
    ns: String,
    entries: Vec<PrivateEntry>,
    /// Their XML.
    sealed: Vec<Vec<u8>>,
    bytes_max: i64,
}

impl Change {
    async fn write(&self, tx: &mut Tx) -> Result<(), DbError> {
        // Refused before anything is written, the commit of others is not disturbed.
        if self.grows_too_large(tx).await? {
            return Err(DbError::Refused("private storage is full"));
        }
        let account = self.account.as_str();
        for entry in &self.entries {
            let erase = Query::new("DELETE FROM private_xml WHERE account = $1 AND ns = $2 AND name = $3");
            tx.execute(erase.bind(account).bind(&self.ns).bind(&entry.name))
                .await?;
        }
        let kept = self.entries.iter().zip(&self.sealed);
        let rows = kept
            .filter(|(entry, _)| !entry.xml.is_empty())
            .map(|(entry, sealed)| {
                let bytes = entry.weight_bytes(&self.ns);
                [
                    account.into(),
                    (&self.ns).into(),
                    (&entry.name).into(),
                    "".into(),
                    bytes.into(),
                    sealed.as_slice().into(),
                ]
            });
        tx.insert_rows(
            "INSERT INTO private_xml (account, ns, name, xml, bytes, sealed)",
            rows,
            "",
        )
        .await?;
        Ok(())
    }

    /// Who is above the limit already, because it was lowered, may still make less of it.
    async fn grows_too_large(&self, tx: &mut Tx) -> Result<bool, DbError> {
        let sum =
            Query::new("SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM private_xml WHERE account = $1");
        let row = tx.fetch_optional(sum.bind(self.account.as_str())).await?;
        let total = row.map_or(Ok(0), |row| row.i64(0))?;
        let replaced = Query::new("SELECT name, bytes FROM private_xml WHERE account = $1 AND ns = $2");
        let mut growth: i64 = self
            .entries
            .iter()
            .map(|entry| entry.weight_bytes(&self.ns))
            .sum();
        for row in tx
            .fetch_all(replaced.bind(self.account.as_str()).bind(&self.ns))
            .await?
        {
            let (name, bytes) = (row.text(0)?, row.i64(1)?);
            if self.entries.iter().any(|entry| entry.name == name) {
                growth -= bytes;
            }
        }
        Ok(growth > 0 && total + growth > self.bytes_max)
    }
}

/// Erases an account's entries.
pub(super) fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        tx.execute(Query::new("DELETE FROM private_xml WHERE account = $1").bind(account.as_str()))
            .await?;
        Ok(())
    })
}
