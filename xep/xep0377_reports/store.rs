//! Every SQL statement about reports. What a report says is sealed with the reporter's key.

use kim_core::db::{BoxFuture, Db, DbError, Migration, Query, Row, Tx};
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::seal::Seals;

use super::report::ReportContent;

pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    module: "xep0377_reports",
    name: "0001_reports",
    sql: include_str!("migrations/0001_reports.sql"),
}];

/// A report that an administrator has dealt with.
const CLOSED: i64 = 2;

const ADD: &str = "INSERT INTO abuse_reports (id, reporter, state, content) VALUES ($1, $2, 0, $3) ON CONFLICT (id) DO NOTHING";
/// The oldest go.
const BOUND: &str =
    "DELETE FROM abuse_reports WHERE id <= (SELECT id FROM abuse_reports ORDER BY id DESC LIMIT 1 OFFSET $1)";
pub(super) const PAGE: &str = "SELECT id, reporter, state, outcome, content FROM abuse_reports \
     WHERE id < $1 AND state <= $2 ORDER BY id DESC LIMIT $3";
pub(super) const ONE: &str = "SELECT id, reporter, state, outcome, content FROM abuse_reports WHERE id = $1";
const SEEN: &str = "UPDATE abuse_reports SET state = 1 WHERE id = $1 AND state = 0";
const CLOSE: &str = "UPDATE abuse_reports SET state = 2, outcome = $2 WHERE id = $1";
pub(super) const ERASE: &str = "DELETE FROM abuse_reports WHERE reporter = $1";
const EXPIRE: &str =
    "DELETE FROM abuse_reports WHERE id IN (SELECT id FROM abuse_reports WHERE id < $1 ORDER BY id LIMIT $2)";

/// A report as it is kept.
#[derive(Clone, Debug)]
pub struct KeptReport {
    /// Names it; the time of the report in microseconds since 1970.
    pub id: i64,
    /// Who reported.
    pub reporter: BareJid,
    /// Whether an administrator has looked at it.
    pub is_seen: bool,
    /// What an administrator did, if one has dealt with it.
    pub outcome: Option<String>,
    /// What it says.
    pub content: ReportContent,
}

/// The table.
pub(super) struct ReportStore {
    pub db: Db,
    pub seals: Seals,
}

fn aad<'a>(reporter: &'a BareJid, id: &'a [u8; 8]) -> [&'a [u8]; 3] {
    [b"abuse report", reporter.as_str().as_bytes(), id]
}

impl ReportStore {
    /// Keeps a report, and no more than so many; returns once that is committed.
    pub async fn add(
        &self,
        id: i64,
        reporter: &BareJid,
        content: &ReportContent,
        reports_max: usize,
    ) -> Result<(), Fault> {
        let place = id.to_be_bytes();
        let (text, aad) = (content.to_xml(), aad(reporter, &place));
        let sealed = self.seals.seal(reporter.as_str(), &aad, text.as_bytes()).await?;
        let add = Query::new(ADD).bind(id).bind(reporter).bind(sealed);
        let bound = Query::new(BOUND).bind(i64::try_from(reports_max).unwrap_or(i64::MAX));
        let write = self.db.write(move |tx| {
            let (add, bound) = (add.clone(), bound.clone());
            Box::pin(async move {
                tx.execute(add).await?;
                tx.execute(bound).await.map(drop)
            })
        });
        Ok(write.await?)
    }

    /// The newest reports before one, newest first; with `open_only` those that nobody has dealt with. `None`: that was the
    /// last page. A report that cannot be opened is logged and left out.
    pub async fn page(
        &self,
        before: i64,
        open_only: bool,
        rows_max: usize,
    ) -> Result<(Vec<KeptReport>, Option<i64>), Fault> {
        let state_max = if open_only { CLOSED - 1 } else { CLOSED };
        let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let query = Query::new(PAGE).bind(before).bind(state_max).bind(limit);
        let rows = self.db.fetch_all(query).await?;
        let next = match rows.last() {
            Some(last) if rows.len() == rows_max => Some(last.i64(0)?),
            _ => None,
        };
        let mut page = Vec::with_capacity(rows.len());
        for row in &rows {
            page.extend(self.open(row).await?);
        }
        Ok((page, next))
    }

    /// One report.
    pub async fn find(&self, id: i64) -> Result<Option<KeptReport>, Fault> {
        match self.db.fetch_optional(Query::new(ONE).bind(id)).await? {
            Some(row) => self.open(&row).await,
            None => Ok(None),
        }
    }

    async fn open(&self, row: &Row) -> Result<Option<KeptReport>, Fault> {
        let (id, reporter) = (row.i64(0)?, row.text(1)?);
        let Ok(reporter) = BareJid::parse(&reporter) else {
            return Ok(None);
        };
        let place = id.to_be_bytes();
        let sealed = row.bytes(4)?;
        let aad = aad(&reporter, &place);
        let opened = self.seals.open_sealed(reporter.as_str(), &aad, &sealed).await;
        let text = opened.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(content) = text.as_deref().and_then(ReportContent::from_xml) else {
            tracing::error!(event = "abuse_report_unreadable", id);
            return Ok(None);
        };
        Ok(Some(KeptReport {
            id,
            reporter,
            is_seen: row.i64(2)? > 0,
            outcome: row.opt_text(3)?,
            content,
        }))
    }

    /// An administrator has seen these.
    pub async fn seen(&self, ids: Vec<i64>) -> Result<(), DbError> {
        if ids.is_empty() {
            return Ok(());
        }
        let write = self.db.write(move |tx| {
            let ids = ids.clone();
            Box::pin(async move {
                for id in ids {
                    tx.execute(Query::new(SEEN).bind(id)).await?;
                }
                Ok(())
            })
        });
        write.await
    }

    /// An administrator has dealt with it.
    pub async fn close(&self, id: i64, outcome: &str) -> Result<(), DbError> {
        let query = Query::new(CLOSE).bind(id).bind(outcome);
        self.db.execute(query).await.map(drop)
    }

    /// Deletes what is older; tells how many.
    pub async fn expire(&self, before: i64) -> Result<u64, DbError> {
        self.db.clear_away(EXPIRE, before).await
    }
}

/// Deletes the reports of an account.
pub(super) fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move { tx.execute(Query::new(ERASE).bind(account)).await.map(drop) })
}
