//! The ledger of migrations: each step once, none edited, none unknown.

use super::*;
use futures_util::future::join_all;

const STEP_1: Migration = Migration {
    module: "a",
    name: "0001_first",
    sql: "CREATE TABLE a1 (id BIGINT)",
};
const STEP_2: Migration = Migration {
    module: "a",
    name: "0002_second",
    sql: "CREATE TABLE a2 (id BIGINT);\nINSERT INTO a2 VALUES (1);",
};
const OTHER: Migration = Migration {
    module: "b",
    name: "0001_first",
    sql: "CREATE TABLE b1 (id BIGINT)",
};

fn line(result: Result<usize, DbError>) -> String {
    match result {
        Err(error @ DbError::Migration(_)) => error.to_string(),
        other => panic!("expected a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn each_step_is_applied_once_and_new_steps_follow() {
    for db in databases().await {
        assert_eq!(db.migrate(&[&[STEP_1]]).await, Ok(1));
        assert_eq!(db.migrate(&[&[STEP_1]]).await, Ok(0));
        assert_eq!(db.migrate(&[&[STEP_1, STEP_2], &[OTHER]]).await, Ok(2));
        assert_eq!(number(&db, Query::new("SELECT COUNT(*) FROM a2")).await, 1);
        let rows = db.fetch_all(Query::new(
            "SELECT room, name FROM kim_migrations ORDER BY room, version",
        ));
        let names: Vec<String> = rows
            .await
            .unwrap()
            .iter()
            .map(|row| row.text(1).unwrap())
            .collect();
        assert_eq!(names, ["0001_first", "0002_second", "0001_first"]);
    }
}

#[tokio::test]
async fn an_edited_step_is_refused() {
    for db in databases().await {
        db.migrate(&[&[STEP_1]]).await.unwrap();
        let edited = Migration {
            sql: "CREATE TABLE a1 (id BIGINT, more TEXT)",
            ..STEP_1
        };
        let refusal = line(db.migrate(&[&[edited]]).await);
        assert!(
            refusal.contains("a/0001_first") && refusal.contains("must not be edited"),
            "{refusal}"
        );
        let renamed = Migration {
            name: "0001_renamed",
            ..STEP_1
        };
        line(db.migrate(&[&[renamed]]).await);
    }
}

#[tokio::test]
async fn line_ends_of_the_checkout_do_not_matter() {
    let db = TestDb::sqlite().await;
    db.migrate(&[&[STEP_1, STEP_2]]).await.unwrap();
    let crlf = Migration {
        sql: "CREATE TABLE a2 (id BIGINT);\r\nINSERT INTO a2 VALUES (1);",
        ..STEP_2
    };
    assert_eq!(db.migrate(&[&[STEP_1, crlf]]).await, Ok(0));
}

#[tokio::test]
async fn a_newer_database_is_refused_by_an_older_binary() {
    for db in databases().await {
        db.migrate(&[&[STEP_1, STEP_2], &[OTHER]]).await.unwrap();
        for older in [&[&[STEP_1][..], &[OTHER]][..], &[&[STEP_1, STEP_2]]] {
            let refusal = line(db.migrate(older).await);
            assert!(refusal.contains("newer than this kim"), "{refusal}");
        }
    }
}

#[tokio::test]
async fn sets_with_gaps_or_odd_names_are_refused_before_anything_happens() {
    let db = TestDb::sqlite().await;
    for (sets, says) in [
        (vec![STEP_2], "expected number 0001"),
        (vec![STEP_1, STEP_1], "expected number 0002"),
        (vec![STEP_2, STEP_1], "expected number 0001"),
        (
            vec![Migration {
                name: "first",
                ..STEP_1
            }],
            "four digits",
        ),
        (
            vec![Migration {
                name: "1_first",
                ..STEP_1
            }],
            "four digits",
        ),
    ] {
        let refusal = line(db.migrate(&[&sets]).await);
        assert!(refusal.contains(says), "{refusal}");
    }
    assert!(
        db.fetch_all(Query::new("SELECT 1 FROM kim_migrations"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_step_that_fails_half_way_leaves_nothing() {
    for db in databases().await {
        let broken = Migration {
            sql: "CREATE TABLE a2 (id BIGINT); INSERT INTO absent VALUES (1);",
            ..STEP_2
        };
        let refusal = line(db.migrate(&[&[STEP_1, broken]]).await);
        assert!(refusal.contains("a/0002_second"), "{refusal}");
        assert!(
            db.fetch_all(Query::new("SELECT 1 FROM a2")).await.is_err(),
            "rolled back"
        );
        assert_eq!(
            number(&db, Query::new("SELECT COUNT(*) FROM a1")).await,
            0,
            "the step before it stands"
        );
        assert_eq!(db.migrate(&[&[STEP_1, STEP_2]]).await, Ok(1));
    }
}

#[tokio::test]
async fn of_several_processes_that_start_at_once_one_migrates() {
    for db in [Some(TestDb::sqlite_file().await), TestDb::postgres().await]
        .into_iter()
        .flatten()
    {
        let options = DbOptions::default();
        let opened = join_all((0..4).map(|_| Db::open(db.url(), &options))).await;
        let processes: Vec<Db> = opened.into_iter().map(Result::unwrap).collect();
        let sets: &[&[Migration]] = &[&[STEP_1, STEP_2], &[OTHER]];
        let applied = join_all(processes.iter().map(|db| db.migrate(sets))).await;
        let total: usize = applied.into_iter().map(Result::unwrap).sum();
        assert_eq!(total, 3);
        join_all(processes.iter().map(Db::close)).await;
    }
}

#[tokio::test]
async fn the_core_tables_are_made_on_both() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        assert_eq!(number(&db, Query::new("SELECT COUNT(*) FROM accounts")).await, 0);
        let secret = db.secret("story").await.unwrap();
        assert_eq!(secret.len(), SECRET_BYTES);
        assert_eq!(
            db.secret("story").await.unwrap(),
            secret,
            "the same when asked again"
        );
        assert_ne!(db.secret("another").await.unwrap(), secret);
    }
}
