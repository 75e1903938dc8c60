//! Opening either database from the operator's URL, with errors that say in one line what to do.

use super::error::DbError;
use super::tx::{Conn, both};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, SqliteConnection, SqlitePool};
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a connection may take to come about, in seconds.
const CONNECT_SECONDS_MAX: u64 = 5;
/// How long SQLite waits for another process that writes, in seconds.
const LITE_BUSY_SECONDS_MAX: u64 = 5;
/// What the write-ahead log is cut to after a checkpoint, in bytes.
const LITE_WAL_BYTES_KEPT: &str = "67108864";
/// Prepared statements a connection keeps. A sink has up to eight, see `Tx::insert_rows`.
const STATEMENTS_KEPT: usize = 256;
/// The oldest PostgreSQL that knows `pg_current_xact_id` and `pg_xact_status(xid8)`.
const PG_VERSION_MIN: i64 = 130_000;

/// The pool of reading connections. Writing goes through the committer only, and the pool's connections refuse it.
pub(super) enum Pool {
    Lite(SqlitePool),
    Pg(PgPool),
}

/// What is needed to make connections again.
#[derive(Clone)]
pub(super) enum Target {
    Lite(Box<SqliteConnectOptions>),
    Pg(Box<PgConnectOptions>),
}

/// Closes a connection in order; SQLite folds its write-ahead log into the file when the last one closes.
pub(super) async fn close(conn: Conn) {
    let result = both!(Conn, conn, conn => conn.close().await);
    if let Err(error) = result {
        tracing::debug!(event = "database_close_failed", %error);
    }
}

impl Target {
    /// Reads a URL: `sqlite://path`, `sqlite::memory:` (a fresh database of its own), `postgres://…`.
    pub(super) fn parse(url: &str) -> Result<Target, DbError> {
        if url == "sqlite::memory:" {
            return Ok(Target::Lite(Box::new(memory())));
        }
        if let Some(rest) = url.strip_prefix("sqlite://") {
            let path = rest.split('?').next().unwrap_or(rest);
            if path.is_empty() {
                return Err(DbError::open(
                    "storage.url names no file: write sqlite://data/kim.db",
                ));
            }
            return Ok(Target::Lite(Box::new(file(path))));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            // The driver's own message could repeat parts of the URL, and with them the password.
            let options = PgConnectOptions::from_str(url).map_err(|_| {
                DbError::open(
                    "storage.url is not a valid address: write postgres://user:password@host:5432/database",
                )
            })?;
            let options = options
                .application_name("kim")
                .statement_cache_capacity(STATEMENTS_KEPT)
                .disable_statement_logging();
            return Ok(Target::Pg(Box::new(options)));
        }
        Err(DbError::open(
            "storage.url must begin with sqlite:// or postgres://",
        ))
    }

    /// One line that says which database is meant, without a password.
    pub(super) fn describe(&self) -> String {
        match self {
            Target::Lite(options) => format!("the database file {}", options.get_filename().display()),
            Target::Pg(options) => format!(
                "PostgreSQL at {}:{} (database {}, user {})",
                options.get_host(),
                options.get_port(),
                options.get_database().unwrap_or_else(|| options.get_username()),
                options.get_username()
            ),
        }
    }

    /// Whether it ends with the process, so that nothing of it lies on a disk.
    pub(super) fn is_memory(&self) -> bool {
        matches!(self, Target::Lite(options) if is_memory(options))
    }

    /// Prepares what must be there before the first connection.
    pub(super) fn prepare(&self) -> Result<(), DbError> {
        match self {
            Target::Lite(options) if !is_memory(options) => make_file(options.get_filename()),
            _ => Ok(()),
        }
    }

    /// The connection that writes.
    pub(super) async fn connect_writer(&self) -> Result<Conn, DbError> {
        let limit = Duration::from_secs(CONNECT_SECONDS_MAX);
        let connected = tokio::time::timeout(limit, self.connect_writer_untimed()).await;
        connected.unwrap_or_else(|_| {
            let what = self.describe();
            Err(DbError::open(format!(
                "cannot reach {what}: no answer within {CONNECT_SECONDS_MAX} seconds"
            )))
        })
    }

    async fn connect_writer_untimed(&self) -> Result<Conn, DbError> {
        match self {
            Target::Lite(options) => {
                let mut options = options.as_ref().clone();
                // A new file can give free pages back in small steps; one from before has to be written anew for that. To
                // ask for it takes the right to write, so it is asked for once.
                if !is_memory(&options) && is_empty(options.get_filename()) {
                    options = options.auto_vacuum(SqliteAutoVacuum::Incremental);
                }
                let conn = SqliteConnection::connect_with(&options)
                    .await
                    .map_err(|e| self.explain(&e))?;
                Ok(Conn::Lite(conn))
            }
            Target::Pg(options) => {
                let mut conn = PgConnection::connect_with(options)
                    .await
                    .map_err(|e| self.explain(&e))?;
                self.check_pg(&mut conn).await?;
                Ok(Conn::Pg(conn))
            }
        }
    }

    /// Refuses a server that cannot keep what kIM promises.
    async fn check_pg(&self, conn: &mut PgConnection) -> Result<(), DbError> {
        use sqlx::Row;
        const SETTINGS: &str = "SELECT CAST(current_setting('server_version_num') AS BIGINT), \
             current_setting('server_encoding'), current_setting('fsync'), \
             set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
             WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)";
        let row = sqlx::query(SETTINGS)
            .fetch_one(conn)
            .await
            .map_err(|e| self.explain(&e))?;
        let version: i64 = row.try_get(0)?;
        if version < PG_VERSION_MIN {
            return Err(DbError::open(format!(
                "{} is too old: version 13 or newer is needed",
                self.describe()
            )));
        }
        let encoding: String = row.try_get(1)?;
        if encoding != "UTF8" {
            return Err(DbError::open(format!(
                "{} stores text as {encoding}: create the database with ENCODING 'UTF8'",
                self.describe()
            )));
        }
        let fsync: String = row.try_get(2)?;
        if fsync != "on" {
            tracing::warn!(
                event = "database_fsync_off",
                "PostgreSQL runs with fsync=off: a power loss loses messages"
            );
        }
        Ok(())
    }

    /// The pool of reading connections; makes none yet.
    pub(super) fn pool(&self, connections_max: u32) -> Pool {
        let wait = Duration::from_secs(CONNECT_SECONDS_MAX);
        match self {
            Target::Lite(options) => Pool::Lite(
                SqlitePoolOptions::new()
                    .max_connections(connections_max)
                    .acquire_timeout(wait)
                    .test_before_acquire(false)
                    .connect_lazy_with(options.as_ref().clone().pragma("query_only", "ON")),
            ),
            Target::Pg(options) => Pool::Pg(
                PgPoolOptions::new()
                    .max_connections(connections_max)
                    .acquire_timeout(wait)
                    .test_before_acquire(false)
                    .connect_lazy_with(
                        options
                            .as_ref()
                            .clone()
                            .options([("default_transaction_read_only", "on")]),
                    ),
            ),
        }
    }

    /// Turns a failure to connect into a line for the operator.
    fn explain(&self, error: &sqlx::Error) -> DbError {
        let what = self.describe();
        let cause = match error {
            sqlx::Error::Database(error) => error.message().to_owned(),
            sqlx::Error::Io(error) => error.to_string(),
            sqlx::Error::Tls(error) => format!("TLS: {error}"),
            other => other.to_string(),
        };
        match self {
            Target::Lite(_) => DbError::open(format!(
                "cannot open {what}: {cause}; check the path and its permissions"
            )),
            Target::Pg(_) => DbError::open(format!("cannot reach {what}: {cause}; check storage.url")),
        }
    }
}

/// What a file database and one in memory have in common.
fn lite() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .foreign_keys(true)
        .statement_cache_capacity(STATEMENTS_KEPT)
        .busy_timeout(Duration::from_secs(LITE_BUSY_SECONDS_MAX))
        .disable_statement_logging()
}

/// WAL lets readers go on while the writer commits. synchronous=FULL syncs the log at every COMMIT, which is what
/// "acknowledged means stored" rests on; NORMAL would sync at checkpoints only and lose the last commits.
fn file(path: &str) -> SqliteConnectOptions {
    lite()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", LITE_WAL_BYTES_KEPT)
        // Deleted rows are overwritten with zeros, and so are the pages that they leave.
        .pragma("secure_delete", "ON")
}

/// A database in memory that all connections of one `Db` share and nobody else sees. The `memdb` file system keeps
/// it for as long as one connection is open, and the committer's always is.
fn memory() -> SqliteConnectOptions {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    lite()
        .filename(format!("/kim-memory-{number}"))
        .vfs("memdb")
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Memory)
        .synchronous(SqliteSynchronous::Off)
}

fn is_memory(options: &SqliteConnectOptions) -> bool {
    options
        .get_filename()
        .to_str()
        .is_some_and(|name| name.starts_with("/kim-memory-"))
}

fn is_empty(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() == 0)
}

/// Makes the file, readable by nobody else, before SQLite would make it with the umask's permissions. The log and
/// its index get the permissions of the file.
fn make_file(path: &Path) -> Result<(), DbError> {
    let refuse = |error: std::io::Error| {
        let path = path.display();
        DbError::open(format!(
            "cannot open the database file {path}: {error}; check the path and its permissions"
        ))
    };
    if let Some(folder) = path.parent()
        && !folder.as_os_str().is_empty()
        && !folder.exists()
    {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(refuse)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(refuse)?;
    Ok(())
}
