//! Stories of the database layer, told on SQLite and, where `KIM_TEST_POSTGRES` is set, on PostgreSQL.

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
    room: "notes",
    name: "0001_notes",
    sql: "CREATE TABLE notes (id BIGINT PRIMARY KEY, body BYTEA NOT NULL, place BIGINT);
          CREATE INDEX notes_by_place ON notes (place);",
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

async fn count(db: &Db) -> i64 {
    let row = db
        .fetch_optional(Query::new("SELECT COUNT(*) FROM notes"))
        .await
        .unwrap()
        .unwrap();
    row.i64(0).unwrap()
}

#[tokio::test]
async fn rows_put_into_a_sink_are_there_when_the_ticket_resolves() {
    for db in migrated_databases(&[NOTES]).await {
        let sink = db.sink(insert_notes);
        let tickets: Vec<Ticket> = (0..300).map(|id| sink.put(note(id))).collect();
        for ticket in tickets {
            ticket.await.unwrap();
        }
        assert_eq!(count(&db).await, 300);
        assert!(
            db.stats().commits <= 3,
            "rows that are put together share a commit: {:?}",
            db.stats()
        );
    }
}
