//! A fresh database of each kind for a test: SQLite always, PostgreSQL where `KIM_TEST_POSTGRES` names a server.

use crate::db::{Db, DbOptions, Migration};
use crate::random;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::ops::Deref;
use std::path::PathBuf;

/// Names the PostgreSQL server for tests, as `postgres://user@host:port/database`.
pub const POSTGRES_ENV: &str = "KIM_TEST_POSTGRES";

/// A database that is gone when this is dropped.
pub struct TestDb {
    db: Db,
    url: String,
    rubbish: Rubbish,
}

/// What is to be cleared away.
enum Rubbish {
    Nothing,
    Folder(PathBuf),
    Schema { server: String, name: String },
}

impl TestDb {
    /// A fresh SQLite database in memory.
    pub async fn sqlite() -> TestDb {
        TestDb::open(
            "sqlite::memory:".to_owned(),
            &DbOptions::default(),
            Rubbish::Nothing,
        )
        .await
    }

    /// A fresh SQLite database in a file, as a server has it. A second `Db` may open its URL.
    pub async fn sqlite_file() -> TestDb {
        TestDb::sqlite_file_with(&DbOptions::default()).await
    }

    /// The same with other limits.
    pub async fn sqlite_file_with(options: &DbOptions) -> TestDb {
        let folder = std::env::temp_dir().join(format!("kim-test-{}", random::token()));
        let url = format!("sqlite://{}", folder.join("kim.db").display());
        TestDb::open(url, options, Rubbish::Folder(folder)).await
    }

    /// A fresh schema on the PostgreSQL server for tests; `None` when there is none.
    pub async fn postgres() -> Option<TestDb> {
        TestDb::postgres_with(&DbOptions::default()).await
    }

    /// The same with other limits.
    pub async fn postgres_with(options: &DbOptions) -> Option<TestDb> {
        let server = std::env::var(POSTGRES_ENV).ok().filter(|url| !url.is_empty())?;
        let name = format!("kim_test_{}", random::token());
        on_server(&server, format!("CREATE SCHEMA {name}")).await;
        let mark = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{mark}options[search_path]={name}");
        Some(TestDb::open(url, options, Rubbish::Schema { server, name }).await)
    }

    async fn open(url: String, options: &DbOptions, rubbish: Rubbish) -> TestDb {
        match Db::open(&url, options).await {
            Ok(db) => TestDb { db, url, rubbish },
            Err(error) => panic!("no database for the test: {error}"),
        }
    }

    /// The URL, for a second `Db` or a whole server on the same data (not for a database in memory).
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The database itself, to be given away.
    pub fn db(&self) -> Db {
        self.db.clone()
    }

    /// Asserts that a query is answered by an index (or the primary key) and reads no table from end to end.
    pub async fn assert_uses_index(&self, query: crate::db::Query) {
        let sql = query.sql();
        let plan = match self.db.explain(query).await {
            Ok(plan) => plan,
            Err(error) => panic!("no plan for {sql}: {error}"),
        };
        let scans = |line: &String| {
            (line.contains("SCAN") && !line.contains("USING") && !line.contains("CONSTANT"))
                || line.contains("Seq Scan")
        };
        assert!(
            !plan.iter().any(scans),
            "{sql}\nreads a whole table:\n{}",
            plan.join("\n")
        );
    }
}

impl Deref for TestDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.rubbish, Rubbish::Nothing) {
            Rubbish::Nothing => {}
            Rubbish::Folder(folder) => {
                let _ = std::fs::remove_dir_all(folder);
            }
            // A drop cannot wait for a future of the test's own runtime, so another one does it.
            Rubbish::Schema { server, name } => {
                let _ = std::thread::spawn(move || {
                    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
                        runtime.block_on(on_server(&server, format!("DROP SCHEMA {name} CASCADE")));
                    }
                })
                .join();
            }
        }
    }
}

/// Runs one statement on the server for tests.
async fn on_server(server: &str, sql: String) {
    let result = async {
        let mut conn = PgConnection::connect(server).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await?;
        conn.close().await
    };
    if let Err(error) = result.await {
        panic!("the server named by {POSTGRES_ENV} does not serve: {error}");
    }
}

/// A fresh, empty database of each available kind.
pub async fn databases() -> Vec<TestDb> {
    let mut all = vec![TestDb::sqlite().await];
    all.extend(TestDb::postgres().await);
    all
}

/// A fresh database of each available kind with these tables.
pub async fn migrated_databases(sets: &[&[Migration]]) -> Vec<TestDb> {
    let all = databases().await;
    for db in &all {
        if let Err(error) = db.migrate(sets).await {
            panic!("the tables for the test: {error}");
        }
    }
    all
}
