//! Opening: what the operator is told, what the files look like, what durability is switched on.

use super::*;

async fn refusal(url: &str) -> String {
    match Db::open(url, &DbOptions::default()).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{url} must not open"),
    }
}

#[tokio::test]
async fn an_unusable_address_is_told_in_one_line() {
    assert_eq!(
        refusal("mysql://x").await,
        "storage.url must begin with sqlite:// or postgres://"
    );
    assert!(refusal("sqlite://").await.contains("names no file"));
    assert!(
        refusal("postgres://user:hunter2@[broken")
            .await
            .contains("not a valid address")
    );
    // Not a folder, whoever is asking.
    let line = refusal("sqlite:///dev/null/kim.db").await;
    assert!(
        line.contains("/dev/null/kim.db") && line.contains("check the path"),
        "{line}"
    );
    assert!(!line.contains('\n'));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = std::env::temp_dir().join(format!("kim-test-{}", crate::random::token()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("kim.db");
    std::fs::write(&path, "certainly not a database, however long one looks at it").unwrap();
    let line = refusal(&format!("sqlite://{}", path.display())).await;
    assert!(line.contains("not a database"), "{line}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_password_is_never_told() {
    // Nobody listens on port 1.
    for url in [
        "postgres://alice:hunter2@127.0.0.1:1/kim",
        "postgres://alice@127.0.0.1:1/kim?password=hunter2",
        "postgres://alice:hunter2@127.0.0.1:notaport/kim",
        "postgres://alice:hunter2@127.0.0.1:1/kim?sslmode=hunter2",
    ] {
        let line = refusal(url).await;
        assert!(!line.contains("hunter2"), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
    let line = refusal("postgres://alice:hunter2@127.0.0.1:1/kim").await;
    assert!(
        line.contains("PostgreSQL at 127.0.0.1:1 (database kim, user alice)"),
        "{line}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn the_database_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let db = TestDb::sqlite_file().await;
    db.migrate(&[NOTES]).await.unwrap();
    db.write(one(1)).await.unwrap();
    let path = db.url().strip_prefix("sqlite://").unwrap().to_owned();
    for file in [path.clone(), format!("{path}-wal")] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// A setting of the connection that writes.
async fn setting(db: &Db, sql: &'static str) -> Row {
    let row = db.write(move |tx| Box::pin(async move { tx.fetch_optional(Query::new(sql)).await }));
    row.await.unwrap().unwrap()
}

/// What "acknowledged means stored" rests on: SQLite syncs the log at each COMMIT (2 is FULL), PostgreSQL answers
/// COMMIT after the sync.
#[tokio::test]
async fn durability_is_switched_on() {
    let lite = TestDb::sqlite_file().await;
    assert_eq!(setting(&lite, "PRAGMA synchronous").await.i64(0), Ok(2));
    assert_eq!(
        setting(&lite, "PRAGMA journal_mode").await.text(0),
        Ok("wal".to_owned())
    );
    assert_eq!(setting(&lite, "PRAGMA foreign_keys").await.i64(0), Ok(1));
    if let Some(pg) = TestDb::postgres().await {
        assert_eq!(
            setting(&pg, "SHOW synchronous_commit").await.text(0),
            Ok("on".to_owned())
        );
    }
}

#[tokio::test]
async fn a_role_that_switched_synchronous_commit_off_does_not_weaken_the_promise() {
    let Some(pg) = TestDb::postgres().await else {
        return;
    };
    let mark = if pg.url().contains('?') { '&' } else { '?' };
    let url = format!("{}{mark}options[synchronous_commit]=off", pg.url());
    let db = Db::open(&url, &DbOptions::default()).await.unwrap();
    let show = db
        .write(|tx| Box::pin(async move { tx.fetch_optional(Query::new("SHOW synchronous_commit")).await }));
    assert_eq!(show.await.unwrap().unwrap().text(0), Ok("on".to_owned()));
    db.close().await;
}

#[tokio::test]
async fn each_database_in_memory_is_its_own_and_survives_the_pool() {
    let (one_db, other) = (TestDb::sqlite().await, TestDb::sqlite().await);
    one_db.migrate(&[NOTES]).await.unwrap();
    one_db.write(one(1)).await.unwrap();
    // More readers at once than the pool holds.
    let readers = (0..50).map(|_| count(&one_db));
    assert!(
        futures_util::future::join_all(readers)
            .await
            .iter()
            .all(|n| *n == 1)
    );
    assert!(other.fetch_all(Query::new("SELECT 1 FROM notes")).await.is_err());
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let db = TestDb::sqlite_file().await;
    db.migrate(&[NOTES]).await.unwrap();
    db.write(one(1)).await.unwrap();
    db.close().await;
    let again = Db::open(db.url(), &DbOptions::default()).await.unwrap();
    assert_eq!(count(&again).await, 1);
    assert!(again.describe().starts_with("the database file "));
    again.close().await;
}
