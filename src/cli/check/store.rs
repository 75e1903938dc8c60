//! The SQL of `kim check`: which migrations a database has.

use kim_core::db::{Db, DbError, Query};

/// The module and name of every migration that was applied; none if the database is new.
pub(in super::super) async fn applied(db: &Db) -> Result<Vec<(String, String)>, DbError> {
    let rows = match db
        .fetch_all(Query::new("SELECT room, name FROM kim_migrations"))
        .await
    {
        // The only way for this statement to be refused: the table does not exist yet.
        Err(DbError::Statement(_)) => return Ok(Vec::new()),
        rows => rows?,
    };
    rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
}
