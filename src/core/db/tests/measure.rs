//! The measurement behind `docs/decisions/0004-group-commit.md`; not run by default:
//! `cargo test --release -p kim-core measure -- --ignored --nocapture --test-threads=1`

use super::*;
use crate::db::connect::Target;
use std::time::Instant;

/// Like a sealed stanza in an archive.
struct Stored {
    owner: String,
    id: i64,
    body: Vec<u8>,
}

impl SinkRow for Stored {
    fn row_bytes(&self) -> usize {
        self.owner.len() + 8 + self.body.len()
    }
}

const ARCHIVE: &[Migration] = &[Migration {
    module: "archive",
    name: "0001_archive",
    sql: "CREATE TABLE archive (owner TEXT NOT NULL, id BIGINT NOT NULL, body BYTEA NOT NULL, PRIMARY KEY (owner, id))",
}];

const BODY_BYTES: usize = 1_200;
const SECONDS: u64 = 4;

fn insert_stored<'a>(tx: &'a mut Tx, rows: &'a [Stored]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        let rows = rows.iter().map(|row| {
            [
                row.owner.as_str().into(),
                row.id.into(),
                row.body.as_slice().into(),
            ]
        });
        tx.insert_rows("INSERT INTO archive (owner, id, body)", rows, "")
            .await
            .map(|_| ())
    })
}

/// Every sender puts a row, awaits its commit, and puts the next.
async fn rows_through_a_sink(what: &str, db: &Db, senders: usize) {
    let sink = db.sink(insert_stored);
    let (started, before) = (Instant::now(), db.stats());
    let tasks: Vec<_> = (0..senders)
        .map(|sender| {
            let sink = sink.clone();
            tokio::spawn(async move {
                let mut micros = Vec::new();
                let mut id = now_us();
                while started.elapsed().as_secs() < SECONDS {
                    let put = Instant::now();
                    let body = (0..BODY_BYTES).map(|at| (at as u64 ^ id as u64) as u8).collect();
                    sink.put(Stored {
                        owner: format!("user{sender}@example.org"),
                        id,
                        body,
                    })
                    .await
                    .unwrap();
                    micros.push(put.elapsed().as_micros());
                    id += 1;
                }
                micros
            })
        })
        .collect();
    let mut micros: Vec<u128> = Vec::new();
    for task in tasks {
        micros.extend(task.await.unwrap());
    }
    micros.sort_unstable();
    let at = |share: usize| micros[(micros.len() - 1) * share / 100];
    let seconds = started.elapsed().as_secs_f64();
    let commits = db.stats().commits - before.commits;
    println!(
        "{what:<28} {senders:>5} senders {:>8.0} rows/s {:>7.0} commits/s {:>6.1} rows/commit  p50 {:>6} us  p99 {:>6} us",
        micros.len() as f64 / seconds,
        commits as f64 / seconds,
        micros.len() as f64 / commits as f64,
        at(50),
        at(99),
    );
}

#[tokio::test]
#[ignore = "a measurement"]
async fn measure_rows_through_a_sink() {
    let folder = std::env::temp_dir().join(format!("kim-test-{}", crate::random::token()));
    let mut all: Vec<(&str, Db)> = Vec::new();
    for (what, pragma) in [
        ("SQLite WAL FULL", None),
        ("SQLite WAL NORMAL", Some(("synchronous", "NORMAL"))),
        ("SQLite WAL OFF", Some(("synchronous", "OFF"))),
    ] {
        let url = format!("sqlite://{}/{}.db", folder.display(), what.replace(' ', "-"));
        let mut target = Target::parse(&url).unwrap();
        if let (Target::Lite(options), Some((key, value))) = (&mut target, pragma) {
            **options = options.as_ref().clone().pragma(key, value);
        }
        all.push((what, Db::start(target, &DbOptions::default()).await.unwrap()));
    }
    let pg = TestDb::postgres().await;
    all.extend(pg.iter().map(|pg| ("PostgreSQL", pg.db())));
    for (what, db) in &all {
        db.migrate(&[ARCHIVE]).await.unwrap();
        for senders in [1, 16, 128, 1_024, 4_096] {
            rows_through_a_sink(what, db, senders).await;
        }
        if pg.is_none() || !db.is_postgres() {
            db.close().await;
        }
    }
    let _ = std::fs::remove_dir_all(folder);
}
