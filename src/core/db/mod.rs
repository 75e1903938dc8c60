//! The database: SQLite inside the process, or PostgreSQL, behind one façade.
//!
//! Reading goes to a pool whose connections cannot write. Everything that writes goes through one committer task,
//! which takes what queued up while the last commit ran and commits it together ("group commit"): rows by a
//! [`Sink`], anything else by [`Db::write`]. One SQL text serves both databases: `$1` placeholders, the column types
//! BIGINT, TEXT and BYTEA, times in microseconds, ids made by kIM.

mod commit;
mod connect;
mod error;
mod migrate;
mod query;
mod queue;
mod read;
mod schema;
mod scrub;
mod secret;
mod ticket;
mod tx;
mod unit;

#[cfg(test)]
mod tests;

pub use error::DbError;
pub use futures_util::future::BoxFuture;
pub use migrate::Migration;
pub use query::{Column, Query, Row, Value};
pub use queue::{InsertFn, Sink, SinkRow};
pub use schema::CORE_MIGRATIONS;
pub use scrub::Traces;
pub use secret::SECRET_BYTES;
pub use ticket::{Promise, Ticket};
pub use tx::{STATEMENT_ROWS_MAX, Tx};
pub use unit::Unit;

use commit::{Committer, Counters};
use connect::{Pool, Target};
use queue::{Queue, QueueLimits};
use scrub::Scrubber;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Limits of a [`Db`], each with its unit.
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// Connections that read at the same time.
    pub read_connections_max: u32,
    /// Rows and jobs that may wait for their commit; above it a write fails with [`DbError::Busy`].
    pub queue_rows_max: usize,
    /// Bytes of rows that may wait for their commit.
    pub queue_bytes_max: usize,
    /// Rows and jobs in one transaction.
    pub batch_rows_max: usize,
    /// Bytes of rows in one transaction.
    pub batch_bytes_max: usize,
    /// How long a lost connection is tried again before the writes that wait for it fail.
    pub reconnect_seconds_max: u64,
}

impl Default for DbOptions {
    fn default() -> DbOptions {
        DbOptions {
            read_connections_max: 8,
            queue_rows_max: 65_536,
            queue_bytes_max: 64 * 1024 * 1024,
            batch_rows_max: 1_024,
            batch_bytes_max: 4 * 1024 * 1024,
            reconnect_seconds_max: 15,
        }
    }
}

/// Figures for the metrics page and the readiness check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DbStats {
    /// Rows and jobs that wait or are being committed.
    pub queued_rows: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Transactions committed since the start.
    pub commits: u64,
    /// Microseconds that they took, statements included.
    pub commit_us: u64,
    /// Rows and jobs committed since the start.
    pub committed_rows: u64,
    /// Rows and jobs that were refused or failed since the start.
    pub failed_rows: u64,
    /// False while the database is away and could not be reached again.
    pub reachable: bool,
}

/// Rows that are over and deleted in one transaction.
const CLEARED_ROWS_MAX: u32 = 500;
/// Free pages that are given back in one transaction, a megabyte, and the pause before the next.
const GIVEN_PAGES_MAX: u32 = 256;
const GIVEN_PAUSE: Duration = Duration::from_millis(50);

struct Inner {
    pool: Pool,
    target: Target,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    committer: Mutex<Option<JoinHandle<()>>>,
    scrubber: Arc<Scrubber>,
    read_connections_max: u32,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The committer drains what is queued and ends by itself.
        self.queue.close();
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

impl Db {
    /// Opens `sqlite://path` (made if absent, readable by its owner only), `sqlite::memory:` (for tests: a fresh
    /// database shared by the clones of this `Db`) or `postgres://…`, and starts the committer on the current
    /// runtime. The error is one line for the operator and never holds a password.
    pub async fn open(url: &str, options: &DbOptions) -> Result<Db, DbError> {
        Db::start(Target::parse(url)?, options).await
    }

    async fn start(target: Target, options: &DbOptions) -> Result<Db, DbError> {
        target.prepare()?;
        let conn = target.connect_writer().await?;
        let queue = Arc::new(Queue::new(QueueLimits {
            rows_max: options.queue_rows_max,
            bytes_max: options.queue_bytes_max,
            batch_rows_max: options.batch_rows_max,
            batch_bytes_max: options.batch_bytes_max,
        }));
        let counters = Arc::new(Counters::default());
        let patience = Duration::from_secs(options.reconnect_seconds_max);
        let scrubber = Arc::new(Scrubber::new(target.clone()));
        let committer = Committer::new(
            target.clone(),
            conn,
            queue.clone(),
            counters.clone(),
            patience,
            scrubber.clone(),
        );
        let committer = Mutex::new(Some(tokio::spawn(committer.run())));
        let pool = target.pool(options.read_connections_max);
        let read_connections_max = options.read_connections_max;
        Ok(Db {
            inner: Arc::new(Inner {
                pool,
                target,
                queue,
                counters,
                committer,
                scrubber,
                read_connections_max,
            }),
        })
    }

    /// True when this is PostgreSQL, for the few things that differ (messages, tests); SQL texts do not.
    pub fn is_postgres(&self) -> bool {
        matches!(self.inner.target, Target::Pg(_))
    }

    /// Applies what is missing of the given sets of migrations, one set for each module; see [`Migration`].
    /// Returns how many were applied. All modules compiled into the binary belong in here, also those switched off.
    pub async fn migrate(&self, sets: &[&[Migration]]) -> Result<usize, DbError> {
        migrate::migrate(&self.inner.target, sets).await
    }

    /// Registers a kind of row that is written by `insert`. Consecutive rows of one sink become one call of it
    /// (at most [`STATEMENT_ROWS_MAX`] rows); the order of everything queued is kept.
    pub fn sink<R: SinkRow>(&self, insert: InsertFn<R>) -> Sink<R> {
        Sink::new(self.inner.queue.clone(), insert)
    }

    /// Executes one statement that stands for itself, with the other writes of the moment, and tells how many rows it touched
    /// once it is committed.
    pub async fn execute(&self, query: Query) -> Result<u64, DbError> {
        self.write(move |tx| {
            let query = query.clone();
            Box::pin(async move { tx.execute(query).await })
        })
        .await
    }

    /// Runs a job in a write transaction and returns its value once that is committed.
    ///
    /// The job may share its transaction with others and may be run again (after a lost connection, or alone when
    /// the batch failed), so it is an `Fn` that changes nothing but the database, and it must not await anything
    /// but its `Tx`: everybody who writes waits meanwhile. All of it is stored or, on any error, nothing.
    /// Dropping the returned future after it was polled does not cancel the job.
    pub async fn write<T, F>(&self, job: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<T, DbError>> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let done = Box::new(move |outcome| {
            // The caller may have gone away.
            let _ = sender.send(outcome);
        });
        self.inner.queue.put_job(job, done).hurry();
        receiver.await.unwrap_or(Err(DbError::Closed))
    }

    /// Queues a job like [`Db::write`] and returns at once.
    pub fn write_later<F>(&self, job: F) -> Ticket
    where
        F: for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<(), DbError>> + Send + 'static,
    {
        self.inner.queue.put_job(job, Box::new(|_| ()))
    }

    /// Deletes what is over, a page of rows in each transaction so that others write between two of them; tells how many
    /// rows. `sql` is a `DELETE` that takes the time as `$1` and the most rows as `$2`.
    pub async fn clear_away(&self, sql: &'static str, now: i64) -> Result<u64, DbError> {
        let mut cleared = 0;
        loop {
            let deleted = self
                .execute(Query::new(sql).bind(now).bind(CLEARED_ROWS_MAX))
                .await?;
            cleared += deleted;
            if deleted < u64::from(CLEARED_ROWS_MAX) {
                return Ok(cleared);
            }
        }
    }

    /// Sees to it that deleted rows leave no traces in the database's files; when this returns, they are gone. A job says
    /// what it deletes by [`Tx::leaves`], and then it is seen to soon after the commit.
    pub async fn scrub(&self, traces: Traces) -> Result<(), DbError> {
        self.inner.scrubber.now_with(traces).await
    }

    /// Gives free pages of SQLite's file back to the disk in small steps; tells how many pages.
    pub async fn give_back_space(&self) -> Result<u64, DbError> {
        self.inner.scrubber.give_back(GIVEN_PAGES_MAX, GIVEN_PAUSE).await
    }

    /// Writes SQLite's file anew, without the space that deleted rows left; on PostgreSQL it is a plain VACUUM. Who writes
    /// waits until it is done. Tells by how many bytes the file became smaller.
    pub async fn compact(&self) -> Result<u64, DbError> {
        self.inner.scrubber.compact().await
    }

    /// Figures since the start.
    pub fn stats(&self) -> DbStats {
        let (queued_rows, queued_bytes) = self.inner.queue.load();
        let counters = &self.inner.counters;
        DbStats {
            queued_rows,
            queued_bytes,
            commits: counters.commits.load(Ordering::Relaxed),
            commit_us: counters.commit_us.load(Ordering::Relaxed),
            committed_rows: counters.rows.load(Ordering::Relaxed),
            failed_rows: counters.failed_rows.load(Ordering::Relaxed),
            reachable: !counters.down.load(Ordering::Relaxed),
        }
    }

    /// For shutdown: takes no more writes, commits what is queued, closes all connections.
    pub async fn close(&self) {
        self.inner.queue.close();
        let committer = self
            .inner
            .committer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(committer) = committer {
            // It catches the panics of jobs; an error here means that the runtime is going down.
            let _ = committer.await;
        }
        // A command that removes an account and ends has no later.
        if let Err(error) = self.inner.scrubber.close().await {
            tracing::error!(event = "traces_not_removed", %error);
        }
        match &self.inner.pool {
            Pool::Lite(pool) => pool.close().await,
            Pool::Pg(pool) => pool.close().await,
        }
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db")
            .field("postgres", &self.is_postgres())
            .field("stats", &self.stats())
            .finish()
    }
}

/// The time for `created_at` and similar columns, in microseconds since 1970.
pub fn now_us() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
