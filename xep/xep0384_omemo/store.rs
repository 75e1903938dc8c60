//! The tables of OMEMO: which devices were seen, and what their owners were told.

use kim_core::clock::Timestamp;
use kim_core::db::{BoxFuture, Db, DbError, Query, Tx};
use kim_core::jid::BareJid;

use super::nodes::Protocol;

/// Devices remembered for an account; the oldest are forgotten.
const DEVICES_KEPT_MAX: i64 = 500;

/// The tables.
#[derive(Clone)]
pub(super) struct DeviceStore {
    db: Db,
}

impl DeviceStore {
    pub fn new(db: Db) -> DeviceStore {
        DeviceStore { db }
    }

    /// Whether a device of an account was seen with this identity before.
    pub async fn is_known(&self, owner: &BareJid, device: u32, fingerprint: &str) -> Result<bool, DbError> {
        let query = Query::new(
            "SELECT since FROM omemo_devices WHERE owner = $1 AND device = $2 AND fingerprint = $3",
        );
        let query = query
            .bind(owner.as_str())
            .bind(i64::from(device))
            .bind(fingerprint);
        Ok(self.db.fetch_optional(query).await?.is_some())
    }

    /// The devices of an account that were seen, with when and with which identity, oldest first.
    pub async fn known(&self, owner: &BareJid) -> Result<Vec<(u32, String, Timestamp)>, DbError> {
        let query = Query::new(
            "SELECT device, fingerprint, since FROM omemo_devices WHERE owner = $1 ORDER BY since",
        );
        let rows = self.db.fetch_all(query.bind(owner.as_str())).await?;
        rows.iter()
            .map(|row| {
                let device = u32::try_from(row.i64(0)?).unwrap_or(u32::MAX);
                Ok((device, row.text(1)?, Timestamp(row.i64(2)?)))
            })
            .collect()
    }

    /// Remembers a device and tells whether it is new: of those who ask at once, one hears so.
    pub async fn learn(
        &self,
        owner: &BareJid,
        device: u32,
        fingerprint: &str,
        now: Timestamp,
    ) -> Result<bool, DbError> {
        let (owner, fingerprint) = (owner.clone(), fingerprint.to_owned());
        self.db
            .write(move |tx| {
                let (owner, fingerprint) = (owner.clone(), fingerprint.clone());
                Box::pin(async move {
                    let insert = Query::new(
                        "INSERT INTO omemo_devices (owner, device, fingerprint, since) VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (owner, device, fingerprint) DO NOTHING",
                    );
                    let insert = insert.bind(owner.as_str()).bind(i64::from(device));
                    let is_new = tx.execute(insert.bind(&fingerprint).bind(now.0)).await? > 0;
                    if is_new {
                        let forget = Query::new(
                            "DELETE FROM omemo_devices WHERE owner = $1 AND since < (SELECT MIN(since) FROM \
                             (SELECT since FROM omemo_devices WHERE owner = $2 ORDER BY since DESC LIMIT $3) AS newest)",
                        );
                        let forget = forget.bind(owner.as_str()).bind(owner.as_str());
                        tx.execute(forget.bind(DEVICES_KEPT_MAX)).await?;
                    }
                    Ok(is_new)
                })
            })
            .await
    }

    /// Whether an owner is to be told now that a bundle is missing, which they were not since `before`. Of those who ask at
    /// once, one hears so.
    pub async fn is_due(
        &self,
        owner: &BareJid,
        protocol: Protocol,
        device: u32,
        now: Timestamp,
        before: Timestamp,
    ) -> Result<bool, DbError> {
        // Whoever asks again and again makes nobody write.
        let told =
            Query::new("SELECT told FROM omemo_reports WHERE owner = $1 AND version = $2 AND device = $3");
        let told = told
            .bind(owner.as_str())
            .bind(version(protocol))
            .bind(i64::from(device));
        if let Some(row) = self.db.fetch_optional(told).await?
            && row.i64(0)? > before.0
        {
            return Ok(false);
        }
        let owner = owner.clone();
        self.db
            .write(move |tx| {
                let owner = owner.clone();
                Box::pin(async move {
                    let note = Query::new(
                        "INSERT INTO omemo_reports (owner, version, device, told) VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (owner, version, device) DO UPDATE SET told = excluded.told \
                         WHERE omemo_reports.told <= $5",
                    );
                    let note = note
                        .bind(owner.as_str())
                        .bind(version(protocol))
                        .bind(i64::from(device));
                    let is_due = tx.execute(note.bind(now.0).bind(before.0)).await? > 0;
                    if is_due {
                        let old = Query::new("DELETE FROM omemo_reports WHERE owner = $1 AND told <= $2");
                        tx.execute(old.bind(owner.as_str()).bind(before.0)).await?;
                    }
                    Ok(is_due)
                })
            })
            .await
    }
}

fn version(protocol: Protocol) -> i64 {
    match protocol {
        Protocol::Legacy => 0,
        Protocol::Two => 2,
    }
}

/// Erases what is known about an account.
pub(super) fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for erase in [
            "DELETE FROM omemo_devices WHERE owner = $1",
            "DELETE FROM omemo_reports WHERE owner = $1",
        ] {
            tx.execute(Query::new(erase).bind(account.as_str())).await?;
        }
        Ok(())
    })
}
