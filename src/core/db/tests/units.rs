//! Units: rows of several sinks that are stored together or not at all.

use super::*;

struct Mark(i64);

impl SinkRow for Mark {
    fn row_bytes(&self) -> usize {
        8
    }
}

/// Writes into the same table far away from the notes, and refuses a negative one.
fn insert_marks<'a>(tx: &'a mut Tx, marks: &'a [Mark]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        let rows = marks
            .iter()
            .map(|mark| [(1_000_000 + mark.0).into(), vec![0_u8].into()]);
        tx.insert_rows("INSERT INTO notes (id, body)", rows, "").await?;
        Ok(())
    })
}

#[tokio::test]
async fn units_share_statements_and_commits() {
    for db in migrated_databases(&[NOTES]).await {
        let (notes, marks) = (db.sink(insert_notes), db.sink(insert_marks));
        let tickets: Vec<Ticket> = (0..300)
            .map(|id| {
                let mut unit = Unit::default();
                if id % 3 == 0 {
                    unit.add(&marks, Mark(id));
                }
                unit.add(&notes, note(id));
                unit.put().unwrap()
            })
            .collect();
        for ticket in tickets {
            ticket.await.unwrap();
        }
        assert_eq!(count(&db).await, 400);
        assert_eq!(db.stats().commits, 1);
        assert_eq!((db.stats().queued_rows, db.stats().queued_bytes), (0, 0));
        assert!(Unit::default().put().is_none());
    }
}

#[tokio::test]
async fn a_unit_with_one_bad_row_leaves_nothing_and_harms_no_other() {
    for db in migrated_databases(&[NOTES]).await {
        db.write(one(40)).await.unwrap();
        let (notes, marks) = (db.sink(insert_notes), db.sink(insert_marks));
        let tickets: Vec<(i64, Ticket)> = (0..100)
            .map(|id| {
                let mut unit = Unit::default();
                unit.add(&marks, Mark(id));
                unit.add(&notes, note(id));
                (id, unit.put().unwrap())
            })
            .collect();
        for (id, ticket) in tickets {
            assert_eq!(ticket.await.is_err(), id == 40, "{id}");
        }
        assert_eq!(count(&db).await, 1 + 2 * 99);
        let mark = Query::new("SELECT COUNT(*) FROM notes WHERE id = 1000040");
        assert_eq!(
            number(&db, mark).await,
            0,
            "the good row of the bad unit is not there"
        );
    }
}

#[tokio::test]
async fn a_unit_is_refused_whole_when_the_queue_is_full() {
    let options = DbOptions {
        queue_rows_max: 4,
        ..DbOptions::default()
    };
    let db = TestDb::sqlite_file_with(&options).await;
    db.migrate(&[NOTES]).await.unwrap();
    let notes = db.sink(insert_notes);
    let held: Vec<Ticket> = (0..4).map(|id| notes.put(note(id))).collect();
    let mut unit = Unit::default();
    unit.add(&notes, note(10));
    unit.add(&notes, note(11));
    assert_eq!(unit.put().unwrap().await, Err(DbError::Busy));
    for ticket in held {
        ticket.await.unwrap();
    }
    assert_eq!(count(&db).await, 4);
}
