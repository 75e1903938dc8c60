//! Stories of the database layer, told on SQLite and, where `KIM_TEST_POSTGRES` is set, on PostgreSQL.

mod batches;
mod ledger;
mod lost;
mod measure;
mod opening;
mod queries;
mod space;
mod units;

use super::*;
use crate::testing::{TestDb, databases, migrated_databases};

/// A row of the table that the stories write.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    id: i64,
    body: Vec<u8>,
}

impl SinkRow for Note {
    fn row_bytes(&self) -> usize {
        8 + self.body.len()
    }
}

const NOTES: &[Migration] = &[Migration {
    module: "notes",
    name: "0001_notes",
    sql: "CREATE TABLE notes (id BIGINT PRIMARY KEY, body BYTEA NOT NULL, place TEXT);
          CREATE INDEX notes_by_place ON notes (place);
          CREATE TABLE counters (name TEXT PRIMARY KEY, n BIGINT NOT NULL);
          INSERT INTO counters VALUES ('runs', 0);",
}];

fn insert_notes<'a>(tx: &'a mut Tx, notes: &'a [Note]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        let rows = notes
            .iter()
            .map(|note| [note.id.into(), note.body.as_slice().into()]);
        tx.insert_rows("INSERT INTO notes (id, body)", rows, "").await?;
        Ok(())
    })
}

fn note(id: i64) -> Note {
    Note {
        id,
        body: format!("note {id}").into_bytes(),
    }
}

fn insert_one(id: i64) -> Query {
    Query::new("INSERT INTO notes (id, body) VALUES ($1, $2)")
        .bind(id)
        .bind(note(id).body)
}

/// A job that inserts one note.
fn one(id: i64) -> impl for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<(), DbError>> + Send + 'static {
    move |tx: &mut Tx| Box::pin(async move { tx.execute(insert_one(id)).await.map(|_| ()) })
}

/// A job that counts how often it was committed.
fn bump(tx: &mut Tx) -> BoxFuture<'_, Result<(), DbError>> {
    Box::pin(async move {
        tx.execute(Query::new("UPDATE counters SET n = n + 1 WHERE name = 'runs'"))
            .await
            .map(|_| ())
    })
}

async fn number(db: &Db, query: Query) -> i64 {
    db.fetch_optional(query).await.unwrap().unwrap().i64(0).unwrap()
}

async fn count(db: &Db) -> i64 {
    number(db, Query::new("SELECT COUNT(*) FROM notes")).await
}

async fn bumps(db: &Db) -> i64 {
    number(db, Query::new("SELECT n FROM counters WHERE name = 'runs'")).await
}

/// Databases that a second `Db` can be opened on.
async fn shared_databases(options: &DbOptions) -> Vec<TestDb> {
    let mut all = vec![TestDb::sqlite_file_with(options).await];
    all.extend(TestDb::postgres_with(options).await);
    for db in &all {
        db.migrate(&[NOTES]).await.unwrap();
    }
    all
}
