//! The tables of every module, step by step, with a ledger of the steps that were taken.

use super::connect::Target;
use super::error::DbError;
use super::query::Query;
use super::tx::Conn;
use super::{connect, now_us};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Serialises the migrations of several processes on one PostgreSQL database: "kIM migr" in ASCII.
const PG_LOCK: i64 = 0x6b49_4d20_6d69_6772;

/// One step of a module's tables.
///
/// A step that was released is never edited (its checksum is in the ledger); a change is a further step.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The module that owns the tables, such as `xep0313_mam`; `core` for tables that no XEP owns.
    pub module: &'static str,
    /// Four digits that count up from `0001` within the module, and a word: `0001_roster`.
    pub name: &'static str,
    /// The statements, by `include_str!`. One text for both databases; it runs inside a transaction.
    pub sql: &'static str,
}

impl Migration {
    fn version(&self) -> Result<i64, DbError> {
        let digits = self.name.split('_').next().unwrap_or_default();
        match digits.parse() {
            Ok(version) if digits.len() == 4 => Ok(version),
            _ => Err(wrong(format!(
                "{}: the name must begin with four digits, as in 0001_word",
                self.title()
            ))),
        }
    }

    fn title(&self) -> String {
        format!("migration {}/{}", self.module, self.name)
    }

    /// SHA-256 of the text. A checkout that turned LF into CRLF is still the same step.
    fn checksum(&self) -> String {
        let mut hash = Sha256::new();
        for line in self.sql.lines() {
            hash.update(line.as_bytes());
            hash.update(b"\n");
        }
        data_encoding::HEXLOWER.encode(&hash.finalize())
    }
}

fn wrong(text: String) -> DbError {
    DbError::Migration(text.into())
}

/// What the ledger knows: (module, version) → (name, checksum).
type Ledger = HashMap<(String, i64), (String, String)>;

pub(super) async fn migrate(target: &Target, sets: &[&[Migration]]) -> Result<usize, DbError> {
    let steps = in_order(sets)?;
    // A connection of its own: the committer may be busy, and the lock must not be held by it.
    let mut conn = target.connect_writer().await?;
    let result = migrate_on(&mut conn, &steps).await;
    // Closing also gives up the lock.
    connect::close(conn).await;
    result
}

async fn migrate_on(conn: &mut Conn, steps: &[(i64, Migration)]) -> Result<usize, DbError> {
    if let Conn::Pg(_) = conn {
        conn.fetch_all(Query::new("SELECT CAST(pg_advisory_lock($1) AS TEXT)").bind(PG_LOCK))
            .await?;
    }
    // The column `room` holds the module: it keeps its first name because existing databases have it.
    conn.run_text(
        "CREATE TABLE IF NOT EXISTS kim_migrations (
             room TEXT NOT NULL, version BIGINT NOT NULL, name TEXT NOT NULL, checksum TEXT NOT NULL,
             applied_at BIGINT NOT NULL, PRIMARY KEY (room, version))",
    )
    .await?;
    let ledger = read_ledger(conn).await?;
    check(&ledger, steps)?;
    let mut applied = 0;
    for (version, step) in steps {
        if !ledger.contains_key(&(step.module.to_owned(), *version)) && apply(conn, *version, step).await? {
            applied += 1;
        }
    }
    // One line: the first start has some thirty steps, and an operator looks for what stands below them.
    if applied > 0 {
        tracing::info!(
            event = "database_migrated",
            steps = applied,
            is_new = ledger.is_empty()
        );
    }
    Ok(applied)
}

/// The steps in the order given, with their versions, after a look for mistakes in the sets themselves.
fn in_order(sets: &[&[Migration]]) -> Result<Vec<(i64, Migration)>, DbError> {
    let mut last: HashMap<&'static str, i64> = HashMap::new();
    let mut steps = Vec::new();
    for step in sets.iter().flat_map(|set| set.iter()) {
        let version = step.version()?;
        let before = last.insert(step.module, version).unwrap_or(0);
        if version != before + 1 {
            return Err(wrong(format!(
                "{}: expected number {:04} here",
                step.title(),
                before + 1
            )));
        }
        steps.push((version, *step));
    }
    Ok(steps)
}

/// Refuses a ledger that this binary cannot vouch for.
fn check(ledger: &Ledger, steps: &[(i64, Migration)]) -> Result<(), DbError> {
    for ((module, version), (name, checksum)) in ledger {
        let known = steps
            .iter()
            .find(|(number, step)| step.module == module && number == version);
        let Some((_, step)) = known else {
            return Err(wrong(format!(
                "the database schema is newer than this kim: it has migration {module}/{name}, \
                 which this binary does not know; start the newer kim again"
            )));
        };
        if step.name != name || step.checksum() != *checksum {
            return Err(wrong(format!(
                "migration {module}/{name} was applied to this database with another text than this kim has; \
                 applied migrations must not be edited"
            )));
        }
    }
    Ok(())
}

async fn read_ledger(conn: &mut Conn) -> Result<Ledger, DbError> {
    let rows = conn
        .fetch_all(Query::new(
            "SELECT room, version, name, checksum FROM kim_migrations",
        ))
        .await?;
    let mut ledger = Ledger::new();
    for row in rows {
        ledger.insert((row.text(0)?, row.i64(1)?), (row.text(2)?, row.text(3)?));
    }
    Ok(ledger)
}

/// Applies one step in a transaction. False when another process did it in the meantime.
async fn apply(conn: &mut Conn, version: i64, step: &Migration) -> Result<bool, DbError> {
    let begin = if let Conn::Lite(_) = conn {
        "BEGIN IMMEDIATE"
    } else {
        "BEGIN"
    };
    conn.run_text(begin).await?;
    let result = apply_inside(conn, version, step).await;
    let end = if let Ok(true) = result {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    let ended = conn.run_text(end).await;
    let applied = result.and_then(|applied| ended.map(|()| applied));
    applied.map_err(|error| match error {
        DbError::Migration(_) => error,
        other => wrong(format!("{} failed: {other}", step.title())),
    })
}

async fn apply_inside(conn: &mut Conn, version: i64, step: &Migration) -> Result<bool, DbError> {
    // SQLite has no advisory lock: another process may have been here since the ledger was read.
    let ledger = read_ledger(conn).await?;
    if ledger.contains_key(&(step.module.to_owned(), version)) {
        return Ok(false);
    }
    conn.run_text(step.sql).await?;
    let row = Query::new("INSERT INTO kim_migrations VALUES ($1, $2, $3, $4, $5)")
        .bind(step.module)
        .bind(version)
        .bind(step.name)
        .bind(step.checksum())
        .bind(now_us());
    conn.execute(row).await?;
    tracing::debug!(
        event = "migration_applied",
        module = step.module,
        name = step.name
    );
    Ok(true)
}
