//! Group commit: what shares a transaction, what order holds, who fails when one item is bad.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

#[tokio::test]
async fn rows_put_into_a_sink_are_there_when_the_ticket_resolves() {
    for db in migrated_databases(&[NOTES]).await {
        let sink = db.sink(insert_notes);
        let tickets: Vec<Ticket> = (0..300).map(|id| sink.put(note(id))).collect();
        for ticket in tickets {
            ticket.await.unwrap();
        }
        assert_eq!(count(&db).await, 300);
        assert_eq!(
            db.stats().commits,
            1,
            "rows that are put before anybody waits share a commit"
        );
    }
}

#[tokio::test]
async fn nothing_is_visible_and_no_ticket_resolves_before_the_commit() {
    for db in shared_databases(&DbOptions::default()).await {
        let other = Db::open(db.url(), &DbOptions::default()).await.unwrap();
        let (inside, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let ticket = db.sink(insert_notes).put(note(1));
        // A job that holds the transaction open after the row was inserted.
        let (inside_job, go_job) = (inside.clone(), go.clone());
        let holder = db.write_later(move |_| {
            let (inside, go) = (inside_job.clone(), go_job.clone());
            Box::pin(async move {
                inside.notify_one();
                go.notified().await;
                Ok(())
            })
        });
        holder.hurry();
        inside.notified().await;
        assert!(!ticket.is_done());
        assert_eq!(count(&other).await, 0);
        go.notify_one();
        ticket.await.unwrap();
        assert_eq!(count(&other).await, 1, "seen from a second connection at once");
        holder.await.unwrap();
        other.close().await;
    }
}

#[tokio::test]
async fn the_order_of_everything_queued_is_kept() {
    for db in migrated_databases(&[NOTES]).await {
        let (first, second) = (db.sink(insert_notes), db.sink(insert_notes));
        let mut tickets = Vec::new();
        // Each step only works after the one before it: the id is inserted, deleted, inserted by another sink …
        for round in 0..50 {
            tickets.push(if round % 2 == 0 {
                first.put(note(7))
            } else {
                second.put(note(7))
            });
            tickets.push(first.put(note(100 + round)));
            tickets.push(db.write_later(move |tx| {
                Box::pin(async move {
                    let deleted = tx.execute(Query::new("DELETE FROM notes WHERE id = 7")).await?;
                    if deleted == 1 {
                        Ok(())
                    } else {
                        Err(DbError::Refused("nothing to delete"))
                    }
                })
            }));
        }
        for ticket in tickets {
            ticket.await.unwrap();
        }
        assert_eq!(count(&db).await, 50);
        assert_eq!(db.stats().commits, 1);
    }
}

#[tokio::test]
async fn only_the_guilty_row_fails() {
    for db in migrated_databases(&[NOTES]).await {
        db.write(one(40)).await.unwrap();
        let sink = db.sink(insert_notes);
        let tickets: Vec<(i64, Ticket)> = (0..100).map(|id| (id, sink.put(note(id)))).collect();
        let job = db.write_later(bump);
        for (id, ticket) in tickets {
            match (id, ticket.await) {
                (40, Err(DbError::Unique(_))) => {}
                (40, other) => panic!("the second note 40 must fail: {other:?}"),
                (_, result) => result.unwrap(),
            }
        }
        job.await.unwrap();
        assert_eq!((count(&db).await, bumps(&db).await), (100, 1));
        let stats = db.stats();
        assert!(stats.commits < 20, "found by halving, not one by one: {stats:?}");
        assert_eq!(stats.failed_rows, 1);
        assert_eq!((stats.queued_rows, stats.queued_bytes), (0, 0));
    }
}

#[tokio::test]
async fn order_is_kept_also_around_a_guilty_item() {
    for db in migrated_databases(&[NOTES]).await {
        let put = db.write_later(one(1));
        let guilty = db.write_later(one(1));
        let delete = db.write_later(|tx| {
            Box::pin(async move {
                tx.execute(Query::new("DELETE FROM notes WHERE id = 1"))
                    .await
                    .map(|_| ())
            })
        });
        let again = db.write_later(one(1));
        assert_eq!(put.await, Ok(()));
        assert!(guilty.await.unwrap_err().is_unique());
        assert_eq!(delete.await, Ok(()));
        assert_eq!(again.await, Ok(()));
    }
}

#[tokio::test]
async fn a_job_that_refuses_before_it_writes_costs_the_others_nothing() {
    for db in migrated_databases(&[NOTES]).await {
        let good = db.write_later(one(1));
        let quota = db.write(|tx| {
            Box::pin(async move {
                tx.fetch_all(Query::new("SELECT id FROM notes")).await?;
                Err::<(), _>(DbError::Refused("over quota"))
            })
        });
        assert_eq!(quota.await, Err(DbError::Refused("over quota")));
        good.await.unwrap();
        assert_eq!(db.stats().commits, 1);
    }
}

#[tokio::test]
async fn a_job_that_fails_after_it_wrote_leaves_nothing_behind() {
    for db in migrated_databases(&[NOTES]).await {
        let good = db.write_later(one(1));
        let bad = db.write(|tx| {
            Box::pin(async move {
                tx.execute(insert_one(2)).await?;
                Err::<(), _>(DbError::Refused("on second thought"))
            })
        });
        assert_eq!(bad.await, Err(DbError::Refused("on second thought")));
        good.await.unwrap();
        assert_eq!(count(&db).await, 1);
    }
}

/// PostgreSQL aborts a transaction at the first failed statement and answers COMMIT with ROLLBACK and no error.
/// A job that swallows the failure must not be told that it was stored, on either database.
#[tokio::test]
async fn a_swallowed_failure_is_not_reported_as_stored() {
    for db in migrated_databases(&[NOTES]).await {
        let good = db.write_later(one(1));
        let sly = db.write(|tx| {
            Box::pin(async move {
                tx.execute(insert_one(2)).await?;
                let _ = tx.execute(insert_one(2)).await;
                Ok(())
            })
        });
        assert!(matches!(sly.await, Err(DbError::Aborted(_))));
        good.await.unwrap();
        assert_eq!(count(&db).await, 1);
    }
}

#[tokio::test]
async fn a_panicking_job_fails_alone() {
    for db in migrated_databases(&[NOTES]).await {
        let good = db.write_later(one(1));
        let bad = db.write(|tx| {
            Box::pin(async move {
                tx.execute(insert_one(2)).await?;
                let row = tx
                    .fetch_optional(Query::new("SELECT id FROM notes WHERE id = 99"))
                    .await?;
                row.expect("this panic belongs to the story");
                Ok(())
            })
        });
        let after = db.write_later(one(3));
        assert_eq!(bad.await, Err(DbError::Panicked));
        good.await.unwrap();
        after.await.unwrap();
        assert_eq!(count(&db).await, 2);
    }
}

#[tokio::test]
async fn a_job_returns_its_value_after_the_commit() {
    for db in migrated_databases(&[NOTES]).await {
        let runs = Arc::new(AtomicUsize::new(0));
        let runs_in_job = runs.clone();
        let value = db.write(move |tx| {
            runs_in_job.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                let sql = "UPDATE counters SET n = n + 41 WHERE name = $1 RETURNING n";
                let row = tx.fetch_optional(Query::new(sql).bind("runs")).await?;
                row.map(|row| row.i64("n")).transpose()
            })
        });
        assert_eq!(value.await, Ok(Some(41)));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(bumps(&db).await, 41);
    }
}

#[tokio::test]
async fn a_dropped_ticket_does_not_cancel_the_write() {
    for db in migrated_databases(&[NOTES]).await {
        let sink = db.sink(insert_notes);
        drop(sink.put(note(1)));
        drop(db.write_later(one(2)));
        drop(db.write(one(3)));
        // A future does nothing before it is polled, so note 3 was never asked for.
        db.write(one(4)).await.unwrap();
        assert_eq!(count(&db).await, 3);
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let options = DbOptions {
        queue_rows_max: 3,
        queue_bytes_max: 4_000,
        ..DbOptions::default()
    };
    for db in shared_databases(&options).await {
        let sink = db.sink(insert_notes);
        let kept: Vec<Ticket> = (0..3).map(|id| sink.put(note(id))).collect();
        let refused = sink.put(note(3));
        assert_eq!(refused.result(), Some(Err(DbError::Busy)));
        assert_eq!(db.write(one(4)).await, Err(DbError::Busy));
        for ticket in kept {
            ticket.await.unwrap();
        }
        // The place is given back when the batch is over, not when its first ticket resolves.
        db_is_idle(&db).await;
        let fat = sink.put(Note {
            id: 5,
            body: vec![0; 5_000],
        });
        assert_eq!(fat.await, Err(DbError::Busy), "the bytes are limited too");
        sink.put(note(6)).await.unwrap();
        assert_eq!(count(&db).await, 4);
    }
}

async fn db_is_idle(db: &Db) {
    while db.stats().queued_rows > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn closing_commits_what_is_queued_and_takes_no_more() {
    for db in shared_databases(&DbOptions::default()).await {
        let sink = db.sink(insert_notes);
        let tickets: Vec<Ticket> = (0..200).map(|id| sink.put(note(id))).collect();
        db.close().await;
        for ticket in &tickets {
            assert_eq!(ticket.result(), Some(Ok(())));
        }
        assert_eq!(sink.put(note(900)).await, Err(DbError::Closed));
        assert_eq!(db.write(one(901)).await, Err(DbError::Closed));
        let again = Db::open(db.url(), &DbOptions::default()).await.unwrap();
        assert_eq!(count(&again).await, 200);
        again.close().await;
    }
}

#[tokio::test]
async fn more_than_one_batch_holds_is_committed_in_several() {
    let options = DbOptions {
        batch_rows_max: 256,
        ..DbOptions::default()
    };
    for db in shared_databases(&options).await {
        let sink = db.sink(insert_notes);
        let tickets: Vec<Ticket> = (0..1_000).map(|id| sink.put(note(id))).collect();
        for ticket in tickets {
            ticket.await.unwrap();
        }
        assert_eq!(count(&db).await, 1_000);
        assert_eq!(db.stats().commits, 4);
    }
}
