//! What can go wrong with the database, sorted by what the caller can do about it.
//!
//! No variant carries a driver type, a bound value or a password: messages may be logged and shown to an operator.

use std::sync::Arc;

/// An error of the database layer. Cheap to clone, because one failed batch may have many waiters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// The settings do not name a usable database, or it cannot be opened; one actionable line for the operator.
    #[error("{0}")]
    Open(Arc<str>),
    /// A migration could not be applied, or the ledger does not match this binary.
    #[error("{0}")]
    Migration(Arc<str>),
    /// A primary key or unique index already holds this value.
    #[error("a row with this key exists already ({0})")]
    Unique(Arc<str>),
    /// Another constraint (foreign key, NOT NULL, CHECK) refused the row.
    #[error("a constraint refused the row ({0})")]
    Constraint(Arc<str>),
    /// The database refused the statement.
    #[error("the database refused the statement ({0})")]
    Statement(Arc<str>),
    /// A column has not the type, or not the presence, that the caller asked for.
    #[error("unexpected column ({0})")]
    Column(Arc<str>),
    /// Another writer held the rows for too long.
    #[error("the database is held by another writer ({0})")]
    Contended(Arc<str>),
    /// The transaction took longer than a transaction may; nothing of it was stored.
    #[error("the transaction took too long")]
    TimedOut,
    /// The connection is lost and could not be made again in time.
    #[error("the database cannot be reached ({0})")]
    Unavailable(Arc<str>),
    /// The disk under the database is full or failing.
    #[error("the database cannot store ({0})")]
    Storage(Arc<str>),
    /// The connection broke while COMMIT was under way and the outcome cannot be learned.
    #[error("the database went away during commit; it is not known whether the change was stored")]
    OutcomeUnknown,
    /// The write queue is full; the caller should slow down.
    #[error("the write queue is full")]
    Busy,
    /// The database is being shut down.
    #[error("the database is closed")]
    Closed,
    /// The job itself decided against the change; nothing of it was stored.
    #[error("{0}")]
    Refused(&'static str),
    /// A statement failed inside a job that went on and reported success; the transaction cannot be kept
    /// (PostgreSQL has aborted it), so nothing of it was stored.
    #[error("a statement failed earlier in this transaction ({0})")]
    Aborted(Arc<str>),
    /// The job panicked; nothing of it was stored.
    #[error("a database job panicked")]
    Panicked,
}

/// What a failed transaction tells the committer to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// One of the items is guilty: find it.
    Isolate,
    /// Nobody is guilty and nothing will help now: fail them all.
    FailAll,
    /// Run the same batch again on the same connection.
    Again,
    /// Make a new connection, then run the same batch again.
    Reconnect,
}

impl DbError {
    pub(super) fn open(text: impl Into<Arc<str>>) -> DbError {
        DbError::Open(text.into())
    }

    pub(super) fn column(text: impl Into<Arc<str>>) -> DbError {
        DbError::Column(text.into())
    }

    /// True for a violated primary key or unique index.
    pub fn is_unique(&self) -> bool {
        matches!(self, DbError::Unique(_))
    }

    /// True when the same call may succeed later without any change (XMPP error type `wait`).
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            DbError::Busy
                | DbError::Contended(_)
                | DbError::TimedOut
                | DbError::Unavailable(_)
                | DbError::Storage(_)
        )
    }

    pub(super) fn remedy(&self) -> Remedy {
        match self {
            DbError::Unavailable(_) => Remedy::Reconnect,
            DbError::Contended(_) => Remedy::Again,
            DbError::Storage(_) | DbError::TimedOut | DbError::OutcomeUnknown | DbError::Closed => {
                Remedy::FailAll
            }
            _ => Remedy::Isolate,
        }
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> DbError {
        match error {
            sqlx::Error::Database(error) => from_database(&*error),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => DbError::Unavailable(error.to_string().into()),
            sqlx::Error::PoolClosed => DbError::Closed,
            sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_) => DbError::Column(error.to_string().into()),
            other => DbError::Statement(other.to_string().into()),
        }
    }
}

fn from_database(error: &dyn sqlx::error::DatabaseError) -> DbError {
    use sqlx::error::ErrorKind;
    let message: Arc<str> = error.message().into();
    match error.kind() {
        ErrorKind::UniqueViolation => return DbError::Unique(message),
        ErrorKind::ForeignKeyViolation
        | ErrorKind::NotNullViolation
        | ErrorKind::CheckViolation
        | ErrorKind::ExclusionViolation => return DbError::Constraint(message),
        _ => {}
    }
    let code = error.code().unwrap_or_default();
    if error
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some()
    {
        from_sqlstate(&code, message)
    } else {
        from_sqlite(code.parse().unwrap_or(1), message)
    }
}

/// PostgreSQL, appendix A "Error Codes".
fn from_sqlstate(code: &str, message: Arc<str>) -> DbError {
    match code {
        // serialization_failure, deadlock_detected, lock_not_available
        "40001" | "40P01" | "55P03" => DbError::Contended(message),
        // admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout, too_many_connections,
        // idle_in_transaction_session_timeout
        "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "25P03" => DbError::Unavailable(message),
        // read_only_sql_transaction: after a switch-over the old primary answers as a standby
        "25006" => DbError::Storage(message),
        _ if code.starts_with("08") => DbError::Unavailable(message),
        // 53 insufficient resources, 58 system error, F0 configuration file
        _ if code.starts_with("53") || code.starts_with("58") || code.starts_with("F0") => {
            DbError::Storage(message)
        }
        _ => DbError::Statement(message),
    }
}

/// SQLite, "Result and Error Codes"; the low byte is the primary code.
fn from_sqlite(code: i64, message: Arc<str>) -> DbError {
    match code & 0xff {
        5 | 6 => DbError::Contended(message),
        // READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB
        8 | 10 | 11 | 13 | 14 | 26 => DbError::Storage(message),
        19 => DbError::Constraint(message),
        _ => DbError::Statement(message),
    }
}
