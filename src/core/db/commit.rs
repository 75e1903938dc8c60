//! The one task that writes: takes what is queued, commits it in one transaction, then resolves the tickets.

use super::connect::Target;
use super::error::{DbError, Remedy};
use super::query::Query;
use super::queue::{Queue, QueueEntry, run_caught};
use super::scrub::{Scrubber, Traces};
use super::tx::{Conn, Tx};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The longest the statements of a transaction, or PostgreSQL's COMMIT, may take before the connection is given
/// up, in seconds. SQLite's COMMIT has no limit: it is a local disk, and its outcome must be known.
const TRANSACTION_SECONDS_MAX: u64 = 30;
/// Pauses between two tries to connect, in milliseconds.
const RECONNECT_PAUSE_MS: (u64, u64) = (50, 1_000);
/// How often one batch is run again for a lost connection or a conflict with another writer.
const RERUNS_MAX: u32 = 4;

/// Figures of the committer since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) commit_us: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) failed_rows: AtomicU64,
    pub(super) down: AtomicBool,
}

/// One entry of a batch; `refusal` is set when it gave up by itself, before it wrote anything.
struct Item {
    entry: Box<dyn QueueEntry>,
    refusal: Option<DbError>,
}

type Part = Vec<Item>;

/// A failed try to commit.
struct Failure {
    error: DbError,
    /// The transaction's id if COMMIT had been sent and got no answer, so that its outcome must be asked for.
    unsettled: Option<String>,
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Failure {
        Failure {
            error,
            unsettled: None,
        }
    }
}

pub(super) struct Committer {
    target: Target,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    /// How long a lost connection is tried again.
    patience: Duration,
    scrubber: Arc<Scrubber>,
    /// What the transaction that is being committed deleted.
    traces: Vec<Traces>,
    tx: Option<Tx>,
}

impl Committer {
    pub(super) fn new(
        target: Target,
        conn: Conn,
        queue: Arc<Queue>,
        counters: Arc<Counters>,
        patience: Duration,
        scrubber: Arc<Scrubber>,
    ) -> Committer {
        Committer {
            target,
            queue,
            counters,
            patience,
            scrubber,
            traces: Vec::new(),
            tx: Some(Tx::new(conn)),
        }
    }

    /// Runs until the queue is closed and drained.
    pub(super) async fn run(mut self) {
        while let Some(batch) = self.queue.take().await {
            let rows = batch.iter().map(|entry| entry.rows()).sum();
            let bytes = batch.iter().map(|entry| entry.bytes()).sum();
            {
                let scrubber = self.scrubber.clone();
                let _turn = scrubber.commit_turn().await;
                self.settle(batch).await;
            }
            self.queue.release(rows, bytes);
        }
        if let Some(tx) = self.tx.take() {
            super::connect::close(tx.conn).await;
        }
    }

    /// Brings every item of a batch to its end. A batch that fails is halved until the guilty item stands alone,
    /// always the earlier half first, so that the order is kept.
    async fn settle(&mut self, batch: Vec<Box<dyn QueueEntry>>) {
        let whole = batch
            .into_iter()
            .map(|entry| Item { entry, refusal: None })
            .collect();
        let mut parts: Vec<Part> = vec![whole];
        while let Some(mut part) = parts.pop() {
            match self.commit_part(&mut part).await {
                Ok(()) => {
                    for traces in self.traces.drain(..) {
                        self.scrubber.later(traces);
                    }
                    self.resolve(part, &Ok(()));
                }
                Err(error) if error.remedy() == Remedy::Isolate => match halve(&mut part) {
                    Some(second) => {
                        parts.push(second);
                        parts.push(part);
                    }
                    None => {
                        if matches!(
                            error,
                            DbError::Statement(_) | DbError::Aborted(_) | DbError::Panicked
                        ) {
                            tracing::error!(event = "write_failed", %error);
                        }
                        self.resolve(part, &Err(error));
                    }
                },
                Err(error) => {
                    tracing::error!(event = "commit_failed", %error, rows = rows_of(&part));
                    self.resolve(part, &Err(error));
                }
            }
        }
    }

    fn resolve(&self, part: Part, result: &Result<(), DbError>) {
        for Item { entry, refusal } in part {
            let result = refusal.map_or_else(|| result.clone(), Err);
            let counter = if result.is_ok() {
                &self.counters.rows
            } else {
                &self.counters.failed_rows
            };
            counter.fetch_add(entry.rows() as u64, Ordering::Relaxed);
            entry.resolve(result);
        }
    }

    /// Commits the part, with new connections and further tries where they help.
    async fn commit_part(&mut self, part: &mut Part) -> Result<(), DbError> {
        let mut reruns = 0;
        loop {
            self.connected().await?;
            let began = Instant::now();
            let failure = match self.try_once(part).await {
                Ok(()) => {
                    let us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.counters.commit_us.fetch_add(us, Ordering::Relaxed);
                    self.counters.commits.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(failure) => failure,
            };
            if let Some(id) = failure.unsettled
                && self.was_committed(&id).await?
            {
                return Ok(());
            }
            let again = matches!(failure.error.remedy(), Remedy::Again | Remedy::Reconnect);
            if !again || reruns >= RERUNS_MAX {
                return Err(failure.error);
            }
            reruns += 1;
        }
    }

    /// Runs the part once. Afterwards either the transaction is over or the connection is given up.
    async fn try_once(&mut self, part: &mut Part) -> Result<(), Failure> {
        let Some(mut tx) = self.tx.take() else {
            return Err(DbError::Closed.into());
        };
        let id = match in_time(statements(&mut tx, part)).await {
            Ok(id) => id,
            Err(error) => {
                let usable = error.remedy() != Remedy::Reconnect && error != DbError::TimedOut;
                if usable && roll_back(&mut tx).await {
                    self.tx = Some(tx);
                } else {
                    tracing::warn!(event = "database_lost", %error);
                }
                return Err(error.into());
            }
        };
        self.traces = std::mem::take(&mut tx.traces);
        match commit(&mut tx).await {
            Ok(()) => {
                self.tx = Some(tx);
                Ok(())
            }
            Err(DbError::Unavailable(text)) => {
                tracing::warn!(event = "database_lost", error = %text, during = "commit");
                Err(Failure {
                    error: DbError::Unavailable(text),
                    unsettled: id,
                })
            }
            Err(error) => {
                if roll_back(&mut tx).await {
                    self.tx = Some(tx);
                }
                Err(error.into())
            }
        }
    }

    /// Makes sure there is a connection. While the database stays away only the first batch waits for it; each
    /// further one gets a single try, so that the queue does not stand still.
    async fn connected(&mut self) -> Result<(), DbError> {
        if self.tx.is_some() {
            return Ok(());
        }
        let down = self.counters.down.load(Ordering::Relaxed);
        let deadline = Instant::now() + if down { Duration::ZERO } else { self.patience };
        let mut pause_ms = RECONNECT_PAUSE_MS.0;
        loop {
            match self.target.connect_writer().await {
                Ok(conn) => {
                    self.tx = Some(Tx::new(conn));
                    if self.counters.down.swap(false, Ordering::Relaxed) {
                        tracing::info!(event = "database_back");
                    }
                    return Ok(());
                }
                Err(error) if Instant::now() >= deadline => {
                    self.counters.down.store(true, Ordering::Relaxed);
                    return Err(DbError::Unavailable(error.to_string().into()));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(pause_ms)).await,
            }
            pause_ms = (pause_ms * 2).min(RECONNECT_PAUSE_MS.1);
        }
    }

    /// Asks PostgreSQL what became of a transaction whose COMMIT got no answer.
    async fn was_committed(&mut self, id: &str) -> Result<bool, DbError> {
        for _ in 0..RERUNS_MAX {
            self.connected().await.map_err(|_| DbError::OutcomeUnknown)?;
            let Some(tx) = self.tx.as_mut() else {
                return Err(DbError::OutcomeUnknown);
            };
            let query = Query::new("SELECT pg_xact_status(CAST($1 AS xid8))").bind(id);
            let status = match tx.conn.fetch_all(query).await {
                Ok(rows) => rows.first().and_then(|row| row.opt_text(0).ok().flatten()),
                Err(error) => {
                    if error.remedy() == Remedy::Reconnect {
                        self.tx = None;
                        continue;
                    }
                    return Err(DbError::OutcomeUnknown);
                }
            };
            match status.as_deref() {
                Some("committed") => return Ok(true),
                Some("aborted") => return Ok(false),
                Some(_) => tokio::time::sleep(Duration::from_millis(RECONNECT_PAUSE_MS.1)).await,
                None => return Err(DbError::OutcomeUnknown),
            }
        }
        Err(DbError::OutcomeUnknown)
    }
}

/// Cuts a future off after the time limit.
async fn in_time<T>(work: impl Future<Output = Result<T, DbError>>) -> Result<T, DbError> {
    let limit = Duration::from_secs(TRANSACTION_SECONDS_MAX);
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(DbError::TimedOut))
}

/// Runs all items in one transaction, up to but without COMMIT; returns PostgreSQL's id of the transaction.
async fn statements(tx: &mut Tx, part: &mut Part) -> Result<Option<String>, DbError> {
    tx.failed = None;
    tx.traces.clear();
    let id = begin(&mut tx.conn).await?;
    for item in part.iter_mut() {
        item.refusal = None;
        tx.wrote = false;
        let result = run_caught(item.entry.as_mut(), tx).await;
        if let Some(error) = tx.failed.take() {
            return Err(match result {
                Err(own) if own.remedy() == error.remedy() => own,
                Err(_) => error,
                Ok(()) if error.remedy() == Remedy::Isolate => DbError::Aborted(error.to_string().into()),
                Ok(()) => error,
            });
        }
        match result {
            Ok(()) => {}
            // It decided against itself before it changed anything: the others need not be rolled back.
            Err(error) if !tx.wrote && error.remedy() == Remedy::Isolate => item.refusal = Some(error),
            Err(error) => return Err(error),
        }
    }
    Ok(id)
}

/// Commits. A connection that is lost now, or does not answer in time, leaves the outcome open: `Unavailable`.
async fn commit(tx: &mut Tx) -> Result<(), DbError> {
    match &mut tx.conn {
        Conn::Lite(_) => tx.conn.execute(Query::new("COMMIT")).await.map(|_| ()),
        Conn::Pg(_) => match in_time(tx.conn.run_text("COMMIT")).await {
            Err(DbError::TimedOut) => Err(DbError::Unavailable("no answer to COMMIT".into())),
            result => result,
        },
    }
}

/// Begins a transaction; on PostgreSQL also learns its id, in the same round trip.
async fn begin(conn: &mut Conn) -> Result<Option<String>, DbError> {
    match conn {
        Conn::Lite(_) => {
            conn.execute(Query::new("BEGIN IMMEDIATE")).await?;
            Ok(None)
        }
        Conn::Pg(conn) => {
            use sqlx::Row;
            let rows = sqlx::raw_sql("BEGIN; SELECT CAST(pg_current_xact_id() AS TEXT)")
                .fetch_all(conn)
                .await?;
            Ok(rows.first().and_then(|row| row.try_get::<String, _>(0).ok()))
        }
    }
}

/// False when the connection is not to be used any more.
async fn roll_back(tx: &mut Tx) -> bool {
    match &mut tx.conn {
        // SQLite ends the transaction by itself after some errors; then there is nothing to roll back.
        Conn::Lite(_) => match tx.conn.run_text("ROLLBACK").await {
            Ok(()) | Err(DbError::Statement(_)) => true,
            Err(_) => false,
        },
        Conn::Pg(_) => in_time(tx.conn.run_text("ROLLBACK")).await.is_ok(),
    }
}

fn rows_of(part: &Part) -> usize {
    part.iter().map(|item| item.entry.rows()).sum()
}

/// Takes the second half of the items; of a single item, the second half of its rows.
fn halve(part: &mut Part) -> Option<Part> {
    if part.len() > 1 {
        return Some(part.split_off(part.len() / 2));
    }
    let second = part.first_mut()?.entry.split()?;
    Some(vec![Item {
        entry: second,
        refusal: None,
    }])
}
