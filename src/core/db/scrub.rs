//! What was deleted stays nowhere in the database's own files: not in a page, not in the write-ahead log, not in a dead row.
//!
//! SQLite overwrites freed pages and cells itself (`secure_delete`); what is left to do is to fold the log into the file and
//! cut it off, and, where readable names were deleted, to write a small file anew, because a page that was split keeps
//! remains of what moved. PostgreSQL keeps dead rows until VACUUM; the table of data keys is small, so it is written anew.
//!
//! All of it happens beside the commits, by a task that ends when nothing is left to do. It is repeated rarely enough to
//! leave the disk to others.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;

use super::connect::{self, Target};
use super::error::DbError;
use super::query::Query;
use super::tx::Conn;

/// The table whose rows must not be found anywhere any more: without a data key, what it sealed opens for nobody.
const KEYS: &str = "kim_data_keys";
/// A file of SQLite up to this size is written anew where names were deleted, in bytes. Commits wait for that, well below a
/// second; a larger file is left to `kim storage compact`.
const REWRITTEN_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// How long the log is waited for while somebody reads from it, in milliseconds for each try, and how often.
const CHECKPOINT_TRY_MS: u64 = 250;
const CHECKPOINT_TRIES: u32 = 40;
/// The shortest pause between two rounds, and how many times as long as the round before it is at least.
const LITE_PAUSE_MIN: Duration = Duration::from_secs(1);
const PG_PAUSE_MIN: Duration = Duration::from_secs(10);
const PAUSE_FACTOR: u32 = 10;

/// What has to leave no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traces {
    /// Data keys as they were before they were wrapped anew.
    Keys,
    /// An owner whose data key was destroyed, such as a room: with the key goes what it sealed.
    Owner,
    /// Rows of these tables that were overwritten, though their data key lives on.
    Rows(&'static [&'static str]),
    /// An account, with names and addresses that were not sealed in many tables.
    Account,
}

/// What is asked for and not begun.
#[derive(Debug, Default)]
struct Wanted {
    tables: BTreeSet<&'static str>,
    /// All tables.
    everywhere: bool,
    /// SQLite's file is to be written anew, if it is small.
    rewrite: bool,
    /// Whether the task runs.
    is_running: bool,
    /// The database is closed: what is not done by then is not tried any more.
    is_closed: bool,
}

impl Wanted {
    fn add(&mut self, traces: Traces) {
        match traces {
            Traces::Keys => _ = self.tables.insert(KEYS),
            Traces::Rows(tables) => self.tables.extend(tables),
            Traces::Owner => self.everywhere = true,
            Traces::Account => (self.everywhere, self.rewrite) = (true, true),
        }
    }

    /// Takes what is to be done, if anything is.
    fn take(&mut self) -> Option<Wanted> {
        let is_empty = self.tables.is_empty() && !self.everywhere;
        (!is_empty).then(|| Wanted {
            tables: std::mem::take(&mut self.tables),
            everywhere: std::mem::take(&mut self.everywhere),
            rewrite: std::mem::take(&mut self.rewrite),
            ..Wanted::default()
        })
    }

    /// Wants again what could not be done.
    fn put_back(&mut self, mut failed: Wanted) {
        self.tables.append(&mut failed.tables);
        self.everywhere |= failed.everywhere;
        self.rewrite |= failed.rewrite;
    }
}

/// Sees to it that deleted rows leave no traces.
pub(super) struct Scrubber {
    target: Target,
    wanted: Mutex<Wanted>,
    /// One round at a time.
    round: tokio::sync::Mutex<()>,
    /// Held by the committer while it commits, and here by what must not meet a commit.
    quiet: tokio::sync::Mutex<()>,
}

impl Scrubber {
    pub fn new(target: Target) -> Scrubber {
        Scrubber {
            target,
            wanted: Mutex::default(),
            round: tokio::sync::Mutex::default(),
            quiet: tokio::sync::Mutex::default(),
        }
    }

    /// To be held while something is committed.
    pub async fn commit_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.quiet.lock().await
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it done soon, beside everything else.
    pub fn later(self: &Arc<Self>, traces: Traces) {
        if self.target.is_memory() {
            return;
        }
        let mut wanted = self.lock();
        wanted.add(traces);
        if !std::mem::replace(&mut wanted.is_running, true) {
            let scrubber = self.clone();
            tokio::spawn(async move { scrubber.go_on().await });
        }
    }

    async fn go_on(&self) {
        loop {
            let began = Instant::now();
            if let Err(error) = self.now().await {
                tracing::error!(event = "traces_not_removed", %error);
            }
            let pause_min = match self.target {
                Target::Lite(_) => LITE_PAUSE_MIN,
                Target::Pg(_) => PG_PAUSE_MIN,
            };
            tokio::time::sleep(pause_min.max(began.elapsed() * PAUSE_FACTOR)).await;
            let mut wanted = self.lock();
            if wanted.is_closed || (wanted.tables.is_empty() && !wanted.everywhere) {
                wanted.is_running = false;
                return;
            }
        }
    }

    /// Does what was asked for, now. When this returns, all that was asked for before is done.
    pub async fn now(&self) -> Result<(), DbError> {
        let _one = self.round.lock().await;
        let Some(wanted) = self.lock().take() else {
            return Ok(());
        };
        let scrubbed = self.scrub(&wanted).await;
        if scrubbed.is_err() {
            self.lock().put_back(wanted);
        }
        scrubbed
    }

    async fn scrub(&self, wanted: &Wanted) -> Result<(), DbError> {
        let mut conn = self.target.connect_writer().await?;
        let scrubbed = match &mut conn {
            Conn::Lite(_) => self.scrub_file(&mut conn, wanted).await,
            Conn::Pg(_) => vacuum(&mut conn, wanted).await,
        };
        connect::close(conn).await;
        scrubbed
    }

    /// Does what is left to do, for the last time.
    pub async fn close(&self) -> Result<(), DbError> {
        let done = self.now().await;
        self.lock().is_closed = true;
        done
    }

    /// The same, with these traces among it.
    pub async fn now_with(&self, traces: Traces) -> Result<(), DbError> {
        if self.target.is_memory() {
            return Ok(());
        }
        self.lock().add(traces);
        self.now().await
    }

    async fn scrub_file(&self, conn: &mut Conn, wanted: &Wanted) -> Result<(), DbError> {
        if wanted.rewrite && file_bytes(conn).await? <= REWRITTEN_BYTES_MAX {
            let _quiet = self.quiet.lock().await;
            conn.run_text("VACUUM").await?;
        }
        cut_log(conn).await
    }

    /// Writes the whole database anew (SQLite), or gives back what can be without locking anybody out (PostgreSQL).
    /// Commits wait meanwhile. Tells how many bytes SQLite's file has lost.
    pub async fn compact(&self) -> Result<u64, DbError> {
        if self.target.is_memory() {
            return Ok(0);
        }
        let _one = self.round.lock().await;
        let mut conn = self.target.connect_writer().await?;
        let compacted = match &mut conn {
            Conn::Lite(_) => self.rewrite(&mut conn).await,
            Conn::Pg(_) => conn.run_text("VACUUM").await.map(|()| 0),
        };
        connect::close(conn).await;
        compacted
    }

    async fn rewrite(&self, conn: &mut Conn) -> Result<u64, DbError> {
        let before = file_bytes(conn).await?;
        {
            let _quiet = self.quiet.lock().await;
            // Of a file from before, this makes one that can shrink in steps.
            conn.run_text("PRAGMA auto_vacuum = INCREMENTAL; VACUUM").await?;
        }
        cut_log(conn).await?;
        let after = file_bytes(conn).await?;
        Ok(u64::try_from(before - after).unwrap_or(0))
    }

    /// Gives free pages of SQLite's file back to the disk, some at a time with pauses between; tells how many. A file that was
    /// made before kIM could do this stays as it is until it is compacted.
    pub async fn give_back(&self, pages_in_step: u32, pause: Duration) -> Result<u64, DbError> {
        if self.target.is_memory() || matches!(self.target, Target::Pg(_)) {
            return Ok(0);
        }
        let _one = self.round.lock().await;
        let mut conn = self.target.connect_writer().await?;
        let given = give_back(&mut conn, pages_in_step, pause).await;
        connect::close(conn).await;
        given
    }
}

async fn give_back(conn: &mut Conn, pages_in_step: u32, pause: Duration) -> Result<u64, DbError> {
    /// `PRAGMA auto_vacuum` of a file that shrinks in steps.
    const INCREMENTAL: i64 = 2;
    if number(conn, "PRAGMA auto_vacuum").await? != INCREMENTAL {
        return Ok(0);
    }
    let free = number(conn, "PRAGMA freelist_count").await?;
    let mut left = free;
    while left > 0 {
        conn.run_built(format!("PRAGMA incremental_vacuum({pages_in_step})"))
            .await?;
        let now = number(conn, "PRAGMA freelist_count").await?;
        if now >= left {
            break;
        }
        left = now;
        tokio::time::sleep(pause).await;
    }
    if left < free {
        cut_log(conn).await?;
    }
    Ok(u64::try_from(free - left).unwrap_or(0))
}

/// Folds the log into the file and cuts it off. Most of the copying meets nobody; for the end, writers wait a moment. Should
/// somebody read from the log all the time, it is cut another time.
async fn cut_log(conn: &mut Conn) -> Result<(), DbError> {
    conn.run_text("PRAGMA wal_checkpoint(PASSIVE)").await?;
    conn.run_built(format!("PRAGMA busy_timeout = {CHECKPOINT_TRY_MS}"))
        .await?;
    for _ in 0..CHECKPOINT_TRIES {
        if number(conn, "PRAGMA wal_checkpoint(TRUNCATE)").await? == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(CHECKPOINT_TRY_MS)).await;
    }
    Err(DbError::Refused(
        "somebody keeps reading from the log of the database file",
    ))
}

async fn vacuum(conn: &mut Conn, wanted: &Wanted) -> Result<(), DbError> {
    // A row of a data key is what everything sealed hangs on: its bytes go too, not only its place in the index.
    if wanted.everywhere || wanted.tables.contains(KEYS) {
        conn.run_text("VACUUM FULL kim_data_keys").await?;
    }
    let tables = match wanted.everywhere {
        true => {
            let all =
                "SELECT CAST(relname AS TEXT) FROM pg_stat_user_tables WHERE schemaname = current_schema()";
            let rows = conn.fetch_all(Query::new(all)).await?;
            rows.iter()
                .map(|row| row.text(0))
                .collect::<Result<Vec<_>, _>>()?
        }
        false => wanted.tables.iter().map(|table| (*table).to_owned()).collect(),
    };
    for table in tables.iter().filter(|table| *table != KEYS) {
        let table = table.replace('"', "\"\"");
        // Indexes hold names too, so theirs are cleaned however few they are.
        conn.run_built(format!("VACUUM (INDEX_CLEANUP ON) \"{table}\""))
            .await?;
    }
    Ok(())
}

async fn file_bytes(conn: &mut Conn) -> Result<i64, DbError> {
    Ok(number(conn, "PRAGMA page_count").await? * number(conn, "PRAGMA page_size").await?)
}

/// The first column of the first row.
async fn number(conn: &mut Conn, sql: &'static str) -> Result<i64, DbError> {
    let rows = conn.fetch_all(Query::new(sql)).await?;
    rows.first().map_or(Ok(0), |row| row.i64(0))
}

impl Conn {
    /// Runs a text that was made of constants, and of names that the database itself told.
    async fn run_built(&mut self, sql: String) -> Result<(), DbError> {
        let sql = AssertSqlSafe(sql);
        match self {
            Conn::Lite(conn) => sqlx::raw_sql(sql).execute(&mut *conn).await.map(drop)?,
            Conn::Pg(conn) => sqlx::raw_sql(sql).execute(&mut *conn).await.map(drop)?,
        }
        Ok(())
    }
}
