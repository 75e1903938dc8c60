//! Reading: from the pool, with a time limit, and again when the connection turned out to be dead.

use super::connect::Pool;
use super::error::{DbError, Remedy};
use super::query::{Query, Row, RowOf, lite_arguments, pg_arguments};
use super::{Db, Target};
use sqlx::AssertSqlSafe;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The longest a query may take before its connection is given up, in seconds.
const READ_SECONDS_MAX: u64 = 30;
/// A query that takes longer is logged (its text, never its values), in milliseconds.
const SLOW_READ_MS: u128 = 1_000;

/// What came of one try to read.
enum Tried {
    Done(Result<Vec<Row>, DbError>),
    /// The connection that the pool had kept was dead; another one may not be.
    DeadConnection(DbError),
}

/// Runs `$body` on a connection of the pool; on a lost connection, or cut off by the time limit, it is dropped.
macro_rules! pooled {
    ($pool:expr, $kind:path, $conn:ident => $body:expr) => {{
        let mut $conn = match $pool.acquire().await {
            Ok(conn) => conn,
            Err(error) => return Tried::Done(Err(error.into())),
        };
        let limit = Duration::from_secs(READ_SECONDS_MAX);
        match tokio::time::timeout(limit, $body).await {
            Ok(Ok(rows)) => Tried::Done(Ok(rows.into_iter().map(|row| Row($kind(row))).collect())),
            Ok(Err(error)) => {
                let error = DbError::from(error);
                if error.remedy() == Remedy::Reconnect {
                    $conn.close_on_drop();
                    return Tried::DeadConnection(error);
                }
                Tried::Done(Err(error))
            }
            Err(_) => {
                $conn.close_on_drop();
                Tried::Done(Err(DbError::TimedOut))
            }
        }
    }};
}

impl Db {
    /// Runs a query on a reading connection and returns all its rows. What was committed before the call is seen.
    pub async fn fetch_all(&self, query: Query) -> Result<Vec<Row>, DbError> {
        self.inner.reads.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let sql = query.sql();
        // The pool does not test connections before use (it would double the cost of a query), so after a restart
        // of the server each idle one fails once.
        let mut tries_left = self.inner.read_connections_max;
        let result = loop {
            // Boxed: it is as big as all other futures on a stanza's way together, and mostly not needed there.
            match Box::pin(self.fetch_once(query.clone())).await {
                Tried::DeadConnection(_) if tries_left > 0 => tries_left -= 1,
                Tried::DeadConnection(error) => break Err(error),
                Tried::Done(result) => break result,
            }
        };
        let elapsed_ms = started.elapsed().as_millis();
        if elapsed_ms >= SLOW_READ_MS {
            tracing::warn!(event = "slow_query", sql, elapsed_ms);
        }
        result
    }

    /// Runs a query that yields at most one row (a second one would be ignored).
    pub async fn fetch_optional(&self, query: Query) -> Result<Option<Row>, DbError> {
        Ok(self.fetch_all(query).await?.into_iter().next())
    }

    async fn fetch_once(&self, query: Query) -> Tried {
        let (sql, values) = query.into_parts();
        match &self.inner.pool {
            Pool::Lite(pool) => match lite_arguments(values) {
                Ok(values) => {
                    pooled!(pool, RowOf::Lite, conn => sqlx::query_with(sql, values).fetch_all(&mut *conn))
                }
                Err(error) => Tried::Done(Err(error)),
            },
            Pool::Pg(pool) => match pg_arguments(values) {
                Ok(values) => {
                    pooled!(pool, RowOf::Pg, conn => sqlx::query_with(sql, values).fetch_all(&mut *conn))
                }
                Err(error) => Tried::Done(Err(error)),
            },
        }
    }

    /// The plan of a query, line by line, so that a test can assert that an index is used. PostgreSQL is told not
    /// to scan whole tables where it can help it, because it would on a table as small as a test's.
    pub async fn explain(&self, query: Query) -> Result<Vec<String>, DbError> {
        let (sql, values) = query.into_parts();
        match &self.inner.pool {
            Pool::Lite(pool) => {
                let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
                let query = sqlx::query_with(sql, lite_arguments(values)?);
                let rows = query.fetch_all(pool).await?;
                rows.into_iter()
                    .map(|row| Row(RowOf::Lite(row)).text("detail"))
                    .collect()
            }
            Pool::Pg(pool) => {
                let sql = AssertSqlSafe(format!("EXPLAIN {sql}"));
                let query = sqlx::query_with(sql, pg_arguments(values)?);
                let mut tx = pool.begin().await?;
                sqlx::raw_sql("SET LOCAL enable_seqscan = off")
                    .execute(&mut *tx)
                    .await?;
                let rows = query.fetch_all(&mut *tx).await?;
                tx.rollback().await?;
                rows.into_iter().map(|row| Row(RowOf::Pg(row)).text(0)).collect()
            }
        }
    }

    /// A query that reads nothing, for the readiness check.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.fetch_all(Query::new("SELECT 1")).await.map(|_| ())
    }

    /// Which database this is, in one line without a password.
    pub fn describe(&self) -> String {
        Target::describe(&self.inner.target)
    }
}
