//! Space that deleted rows leave: overwritten, and given back to the disk.

use std::path::Path;
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};

use super::*;
use crate::db::Traces;
use crate::testing::TestDb;

/// The database's file, and its log.
fn files(db: &TestDb) -> [std::path::PathBuf; 2] {
    let file = db.url().strip_prefix("sqlite://").unwrap();
    [file.into(), format!("{file}-wal").into()]
}

fn bytes_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn holds(db: &TestDb, words: &str) -> bool {
    files(db).iter().any(|file| {
        let bytes = std::fs::read(file).unwrap_or_default();
        bytes
            .windows(words.len())
            .any(|window| window == words.as_bytes())
    })
}

/// Ten megabytes of rows that say the words, and then none.
async fn fill_and_empty(db: &Db, traces: Option<Traces>) {
    db.execute(Query::new(
        "CREATE TABLE diary (day BIGINT PRIMARY KEY, page TEXT NOT NULL)",
    ))
    .await
    .unwrap();
    for part in 0..10_i64 {
        db.write(move |tx| {
            Box::pin(async move {
                let page = "SECRET-WORDS ".repeat(80);
                let rows = (0..1_000_i64).map(|n| [(part * 1_000 + n).into(), page.as_str().into()]);
                tx.insert_rows("INSERT INTO diary (day, page)", rows, "")
                    .await
                    .map(drop)
            })
        })
        .await
        .unwrap();
    }
    db.write(move |tx| {
        Box::pin(async move {
            tx.execute(Query::new("DELETE FROM diary WHERE day > 0")).await?;
            if let Some(traces) = traces {
                tx.leaves(traces);
            }
            Ok(())
        })
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn free_pages_of_a_new_file_are_given_back() {
    let db = TestDb::sqlite_file().await;
    fill_and_empty(&db, None).await;
    db.scrub(Traces::Keys).await.unwrap();
    let [file, log] = files(&db);
    assert!(bytes_of(&file) > 8_000_000, "{}", bytes_of(&file));
    assert!(db.give_back_space().await.unwrap() > 2_000);
    assert!(
        bytes_of(&file) < 200_000 && bytes_of(&log) == 0,
        "{}",
        bytes_of(&file)
    );
    assert_eq!(db.give_back_space().await.unwrap(), 0);
    let left = db.fetch_all(Query::new("SELECT day FROM diary")).await.unwrap();
    assert_eq!(left.len(), 1);
}

/// A file that was made before kIM could do this.
#[tokio::test]
async fn an_old_file_shrinks_when_it_is_compacted_and_by_itself_from_then_on() {
    let folder = std::env::temp_dir().join(format!("kim-space-{}", crate::random::token()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("kim.db");
    let url = format!("sqlite://{}", path.display());
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .auto_vacuum(sqlx::sqlite::SqliteAutoVacuum::None)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("CREATE TABLE old (a BIGINT)")
        .execute(&mut old)
        .await
        .unwrap();
    old.close().await.unwrap();

    let db = Db::open(&url, &DbOptions::default()).await.unwrap();
    fill_and_empty(&db, None).await;
    assert_eq!(db.give_back_space().await.unwrap(), 0, "not in steps");
    // Somebody writes meanwhile, and nobody is refused.
    let writing = db.execute(Query::new("INSERT INTO old (a) VALUES (1)"));
    let (freed, written) = tokio::join!(db.compact(), writing);
    assert!(freed.unwrap() > 8_000_000);
    written.unwrap();
    assert!(bytes_of(&path) < 200_000, "{}", bytes_of(&path));
    db.execute(Query::new("DROP TABLE diary")).await.unwrap();
    fill_and_empty(&db, None).await;
    assert!(db.give_back_space().await.unwrap() > 2_000);
    db.close().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn what_leaves_no_traces_is_gone_from_file_and_log_while_both_are_open() {
    for traces in [Traces::Owner, Traces::Rows(&["diary"]), Traces::Account] {
        let db = TestDb::sqlite_file().await;
        fill_and_empty(&db, None).await;
        assert!(holds(&db, "SECRET-WORDS"), "it is in the log");
        db.execute(Query::new("DELETE FROM diary")).await.unwrap();
        db.scrub(traces).await.unwrap();
        assert!(!holds(&db, "SECRET-WORDS"), "{traces:?}");
    }
}

#[tokio::test]
async fn a_job_that_says_what_it_deletes_has_it_seen_to() {
    let db = TestDb::sqlite_file().await;
    fill_and_empty(&db, None).await;
    // Also the last row, which the cleaning must not meet while it is still there.
    db.write(|tx| {
        Box::pin(async move {
            tx.execute(Query::new("DELETE FROM diary")).await?;
            tx.leaves(Traces::Owner);
            Ok(())
        })
    })
    .await
    .unwrap();
    // It happens beside the commits, so it is waited for.
    for _ in 0..3_000 {
        if !holds(&db, "SECRET-WORDS") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the words are still there");
}

#[tokio::test]
async fn a_database_that_is_closed_leaves_nothing_to_do() {
    for db in databases().await {
        fill_and_empty(&db, Some(Traces::Account)).await;
        db.close().await;
    }
}
