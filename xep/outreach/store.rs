//! Every SQL statement about whom accounts have written to, and who to them. Peers are tags made with the account's key.

use kim_core::clock::Timestamp;
use kim_core::db::{BoxFuture, Db, DbError, Migration, Query, Sink, SinkRow, Tx};
use kim_core::jid::BareJid;

pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    module: "outreach",
    name: "0001_outreach",
    sql: include_str!("migrations/0001_outreach.sql"),
}];

/// After so many days people count as new again who are still no contacts.
const KEPT_DAYS: i64 = 180;

const HAS_MET: &str = "SELECT met_at FROM outreach_people WHERE account = $1 AND peer = $2";
const MET_SINCE: &str = "SELECT met_at FROM outreach_people WHERE account = $1 AND ours = 1 AND met_at > $2 \
     ORDER BY met_at DESC LIMIT $3";
const MEET: &str = "INSERT INTO outreach_people (account, peer, met_at, ours) VALUES ($1, $2, $3, 1) \
     ON CONFLICT (account, peer) DO NOTHING";
const MEET_ALL: &str = "INSERT INTO outreach_people (account, peer, met_at, ours)";
const ERASE: &str = "DELETE FROM outreach_people WHERE account = $1";
const CLEAR_AWAY: &str = "DELETE FROM outreach_people WHERE (account, peer) IN \
     (SELECT account, peer FROM outreach_people WHERE met_at <= $1 LIMIT $2)";

/// Somebody who has written to an account first.
pub(super) struct Met {
    account: BareJid,
    peer: i64,
    at: i64,
}

impl Met {
    pub fn by_peer(account: &BareJid, peer: i64, at: Timestamp) -> Met {
        Met {
            account: account.clone(),
            peer,
            at: at.0,
        }
    }
}

impl SinkRow for Met {
    fn row_bytes(&self) -> usize {
        self.account.as_str().len() + 24
    }
}

fn insert<'a>(tx: &'a mut Tx, rows: &'a [Met]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        let rows = rows.iter().map(|row| {
            [
                row.account.as_str().into(),
                row.peer.into(),
                row.at.into(),
                0_i64.into(),
            ]
        });
        tx.insert_rows(MEET_ALL, rows, "ON CONFLICT (account, peer) DO NOTHING")
            .await?;
        Ok(())
    })
}

/// The table.
pub(super) struct OutreachStore {
    db: Db,
    /// Where those go who have written to an account.
    pub sink: Sink<Met>,
}

impl OutreachStore {
    pub fn new(db: Db) -> OutreachStore {
        OutreachStore {
            sink: db.sink(insert),
            db,
        }
    }

    /// Whether one of the two has written to the other.
    pub async fn has_met(&self, account: &BareJid, peer: i64) -> Result<bool, DbError> {
        let query = Query::new(HAS_MET).bind(account).bind(peer);
        Ok(self.db.fetch_optional(query).await?.is_some())
    }

    /// When the account wrote to new people after a moment: the latest first, at most so many.
    pub async fn met_since(&self, account: &BareJid, after: i64, rows_max: u32) -> Result<Vec<i64>, DbError> {
        let query = Query::new(MET_SINCE).bind(account).bind(after).bind(rows_max);
        let rows = self.db.fetch_all(query).await?;
        rows.iter().map(|row| row.i64(0)).collect()
    }

    /// The account writes to somebody new. Stored when this returns: a restart gives nobody a new budget.
    pub async fn meet(&self, account: &BareJid, peer: i64, at: Timestamp) -> Result<(), DbError> {
        let query = Query::new(MEET).bind(account).bind(peer).bind(at.0);
        self.db.execute(query).await.map(drop)
    }
}

/// Forgets everybody whom an account knew, in the transaction that removes it.
pub(super) fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move { tx.execute(Query::new(ERASE).bind(account)).await.map(drop) })
}

/// Deletes what is too old to matter; tells how much.
pub(super) async fn clear_away(db: &Db, now: Timestamp) -> Result<u64, DbError> {
    db.clear_away(CLEAR_AWAY, now.0 - KEPT_DAYS * 86_400_000_000)
        .await
}

/// The queries, for the test of their plans.
#[cfg(test)]
pub(super) fn queries(account: &BareJid) -> [Query; 3] {
    [
        Query::new(HAS_MET).bind(account).bind(1),
        Query::new(MET_SINCE).bind(account).bind(0).bind(5),
        Query::new("SELECT account, peer FROM outreach_people WHERE met_at <= $1 LIMIT $2")
            .bind(0)
            .bind(5),
    ]
}
