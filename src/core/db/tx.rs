//! A running write transaction, and the connection under it.

use super::error::DbError;
use super::query::{Query, Row, RowOf, Value, lite_arguments, pg_arguments};
use super::scrub::Traces;
use sqlx::{AssertSqlSafe, PgConnection, SqliteConnection};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows that one multi-row INSERT carries at most; a power of two.
pub const STATEMENT_ROWS_MAX: usize = 128;

/// A connection to either database.
pub(super) enum Conn {
    Lite(SqliteConnection),
    Pg(PgConnection),
}

/// One expression for both arms of a two-armed enum.
macro_rules! both {
    ($enum:ident, $on:expr, $conn:ident => $body:expr) => {
        match $on {
            $enum::Lite($conn) => $body,
            $enum::Pg($conn) => $body,
        }
    };
}
pub(super) use both;

impl Conn {
    /// Runs text that is not worth a prepared statement (may hold several statements).
    pub(super) async fn run_text(&mut self, sql: &'static str) -> Result<(), DbError> {
        both!(Conn, self, conn => { sqlx::raw_sql(sql).execute(&mut *conn).await?; });
        Ok(())
    }

    pub(super) async fn execute(&mut self, query: Query) -> Result<u64, DbError> {
        let (sql, values) = query.into_parts();
        Ok(match self {
            Conn::Lite(conn) => sqlx::query_with(sql, lite_arguments(values)?)
                .execute(&mut *conn)
                .await?
                .rows_affected(),
            Conn::Pg(conn) => sqlx::query_with(sql, pg_arguments(values)?)
                .execute(&mut *conn)
                .await?
                .rows_affected(),
        })
    }

    async fn execute_built(&mut self, sql: Arc<str>, values: Vec<Value>) -> Result<u64, DbError> {
        // The text is made of two static parts and placeholders only, see `placeholders`.
        let sql = AssertSqlSafe(sql);
        Ok(match self {
            Conn::Lite(conn) => sqlx::query_with(sql, lite_arguments(values)?)
                .execute(&mut *conn)
                .await?
                .rows_affected(),
            Conn::Pg(conn) => sqlx::query_with(sql, pg_arguments(values)?)
                .execute(&mut *conn)
                .await?
                .rows_affected(),
        })
    }

    pub(super) async fn fetch_all(&mut self, query: Query) -> Result<Vec<Row>, DbError> {
        let (sql, values) = query.into_parts();
        Ok(match self {
            Conn::Lite(conn) => {
                let rows = sqlx::query_with(sql, lite_arguments(values)?)
                    .fetch_all(&mut *conn)
                    .await?;
                rows.into_iter().map(|row| Row(RowOf::Lite(row))).collect()
            }
            Conn::Pg(conn) => {
                let rows = sqlx::query_with(sql, pg_arguments(values)?)
                    .fetch_all(&mut *conn)
                    .await?;
                rows.into_iter().map(|row| Row(RowOf::Pg(row))).collect()
            }
        })
    }
}

/// Identifies the text of a multi-row INSERT: prefix, suffix, columns, rows.
type ShapeKey = (&'static str, &'static str, usize, usize);

/// A running write transaction. Only the committer makes one; jobs and sinks borrow it.
///
/// A statement that fails spoils the whole transaction, also where SQLite would let it go on: the two databases
/// must not differ. To expect a conflict, write `ON CONFLICT …` and look at the number of rows.
pub struct Tx {
    pub(super) conn: Conn,
    pub(super) failed: Option<DbError>,
    pub(super) wrote: bool,
    pub(super) traces: Vec<Traces>,
    shapes: HashMap<ShapeKey, Arc<str>>,
}

impl Tx {
    pub(super) fn new(conn: Conn) -> Tx {
        Tx {
            conn,
            failed: None,
            wrote: false,
            traces: Vec::new(),
            shapes: HashMap::new(),
        }
    }

    /// Runs a statement and tells how many rows it changed.
    pub async fn execute(&mut self, query: Query) -> Result<u64, DbError> {
        self.wrote = true;
        let result = self.conn.execute(query).await;
        self.note(result)
    }

    /// Says that what this transaction deletes or overwrites must leave no traces in the database's files. It is seen to soon
    /// after the commit, beside the commits that follow.
    pub fn leaves(&mut self, traces: Traces) {
        if !self.traces.contains(&traces) {
            self.traces.push(traces);
        }
    }

    /// Runs a query and returns all its rows. `RETURNING` works here.
    pub async fn fetch_all(&mut self, query: Query) -> Result<Vec<Row>, DbError> {
        if !query.sql().trim_start().starts_with("SELECT") {
            self.wrote = true;
        }
        let result = self.conn.fetch_all(query).await;
        self.note(result)
    }

    /// Runs a query that yields at most one row (a second one would be ignored).
    pub async fn fetch_optional(&mut self, query: Query) -> Result<Option<Row>, DbError> {
        Ok(self.fetch_all(query).await?.into_iter().next())
    }

    /// Inserts many rows with few statements: `prefix VALUES (…),(…) suffix`.
    ///
    /// `prefix` is `INSERT INTO table (a, b)`, `suffix` is empty or `ON CONFLICT …`. Rows are cut into powers of
    /// two up to [`STATEMENT_ROWS_MAX`], so that a prepared statement exists for every cut after a short while.
    pub async fn insert_rows<const WIDTH: usize>(
        &mut self,
        prefix: &'static str,
        rows: impl IntoIterator<Item = [Value; WIDTH]>,
        suffix: &'static str,
    ) -> Result<u64, DbError> {
        let mut values: Vec<Value> = Vec::new();
        let mut rows_left = 0;
        for row in rows {
            values.extend(row);
            rows_left += 1;
        }
        let mut changed = 0;
        while rows_left > 0 {
            let take = rows_in_statement(rows_left);
            let rest = values.split_off(take * WIDTH);
            let part = std::mem::replace(&mut values, rest);
            let sql = self.shape(prefix, suffix, WIDTH, take);
            self.wrote = true;
            let result = self.conn.execute_built(sql, part).await;
            changed += self.note(result)?;
            rows_left -= take;
        }
        Ok(changed)
    }

    fn shape(&mut self, prefix: &'static str, suffix: &'static str, width: usize, rows: usize) -> Arc<str> {
        let key = (prefix, suffix, width, rows);
        let numbered = matches!(self.conn, Conn::Pg(_));
        self.shapes
            .entry(key)
            .or_insert_with(|| placeholders(prefix, suffix, width, rows, numbered).into())
            .clone()
    }

    fn note<T>(&mut self, result: Result<T, DbError>) -> Result<T, DbError> {
        if let Err(error) = &result
            && self.failed.is_none()
            && !matches!(error, DbError::Column(_))
        {
            self.failed = Some(error.clone());
        }
        result
    }
}

/// The largest power of two that is not more than `rows` nor the limit.
fn rows_in_statement(rows: usize) -> usize {
    let rows = rows.clamp(1, STATEMENT_ROWS_MAX);
    1 << rows.ilog2()
}

/// The one place where SQL text is assembled: two static parts around placeholders. For PostgreSQL they have numbers. For SQLite
/// they have none: it would look up each by walking through those before it, which took a third of what a busy server does.
fn placeholders(
    prefix: &'static str,
    suffix: &'static str,
    width: usize,
    rows: usize,
    numbered: bool,
) -> String {
    use std::fmt::Write;
    let mut sql = String::with_capacity(prefix.len() + suffix.len() + 10 + rows * width * 6);
    sql.push_str(prefix);
    sql.push_str(" VALUES ");
    let mut number = 0;
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..width {
            number += 1;
            let comma = if column == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = match numbered {
                true => write!(sql, "{comma}${number}"),
                false => write!(sql, "{comma}?"),
            };
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(suffix);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_powers_of_two() {
        let mut left = 100;
        let mut cuts = Vec::new();
        while left > 0 {
            let take = rows_in_statement(left);
            cuts.push(take);
            left -= take;
        }
        assert_eq!(cuts, [64, 32, 4]);
        assert_eq!(rows_in_statement(1000), STATEMENT_ROWS_MAX);
    }

    #[test]
    fn the_text_holds_only_static_parts_and_numbers() {
        let sql = |numbered| placeholders("INSERT INTO t (a, b)", "ON CONFLICT DO NOTHING", 2, 2, numbered);
        assert_eq!(
            sql(true),
            "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            sql(false),
            "INSERT INTO t (a, b) VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING"
        );
    }
}
