//! The table of versions.

use kim_core::db::{BoxFuture, Db, DbError, Query, Sink, SinkRow, Tx};
use kim_core::jid::BareJid;

use super::log::{ENTRIES_MAX, VersionEntry};
use crate::xep0045_muc::api::Affiliation;

/// Something to be written.
pub enum VersionChange {
    /// A new version.
    Entry(BareJid, VersionEntry),
    /// The room is gone.
    Gone(BareJid),
}

impl SinkRow for VersionChange {
    fn row_bytes(&self) -> usize {
        match self {
            VersionChange::Entry(room, entry) => room.as_str().len() + entry.jid.len() + entry.version.len(),
            VersionChange::Gone(room) => room.as_str().len(),
        }
    }
}

const SAVE: &str = "INSERT INTO mav_versions (room, place, version, jid, was) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (room, place) DO UPDATE SET version = excluded.version, jid = excluded.jid, was = excluded.was";
const TRIM: &str = "DELETE FROM mav_versions WHERE room = $1 AND place <= $2";
const DROP: &str = "DELETE FROM mav_versions WHERE room = $1";
const LOAD: &str = "SELECT place, version, jid, was FROM mav_versions WHERE room = $1 ORDER BY place";
/// What is older than the last version that names somebody is forgotten: who knows one of those gets the full list.
const ERASE: [&str; 2] = [
    "DELETE FROM mav_versions WHERE room IN (SELECT room FROM mav_versions WHERE jid = $1) \
     AND place < (SELECT MAX(named.place) FROM mav_versions named \
     WHERE named.room = mav_versions.room AND named.jid = $1)",
    "UPDATE mav_versions SET jid = '' WHERE jid = $1",
];

fn apply<'a>(tx: &'a mut Tx, changes: &'a [VersionChange]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for change in changes {
            match change {
                VersionChange::Entry(room, entry) => {
                    let query = Query::new(SAVE).bind(room).bind(entry.place);
                    let query = query.bind(&*entry.version).bind(&*entry.jid);
                    tx.execute(query.bind(entry.was.as_str())).await?;
                    let oldest = entry.place.saturating_sub(ENTRIES_MAX as i64);
                    tx.execute(Query::new(TRIM).bind(room).bind(oldest)).await?;
                }
                VersionChange::Gone(room) => {
                    tx.execute(Query::new(DROP).bind(room)).await?;
                }
            }
        }
        Ok(())
    })
}

/// Erases an account from all versions.
pub fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for sql in ERASE {
            tx.execute(Query::new(sql).bind(account)).await?;
        }
        Ok(())
    })
}

/// The table.
pub struct VersionStore {
    db: Db,
    /// Where changes go.
    pub sink: Sink<VersionChange>,
}

impl VersionStore {
    /// The table in a database.
    pub fn new(db: Db) -> VersionStore {
        VersionStore {
            sink: db.sink(apply),
            db,
        }
    }

    /// The versions of a room, the oldest first.
    pub async fn load(&self, room: &BareJid) -> Result<Vec<VersionEntry>, DbError> {
        let mut entries = Vec::new();
        for row in self.db.fetch_all(Query::new(LOAD).bind(room)).await? {
            entries.push(VersionEntry {
                place: row.i64(0)?,
                version: row.text(1)?.into(),
                jid: row.text(2)?.into(),
                was: Affiliation::parse(&row.text(3)?).unwrap_or(Affiliation::None),
            });
        }
        Ok(entries)
    }
}
