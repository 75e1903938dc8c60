//! The table of versions.

use kim_core::db::{BoxFuture, Db, DbError, Query, Sink, SinkRow, Tx};
use kim_core::jid::BareJid;

use super::{ENTRIES_MAX, Entry};

/// Something to be written.
pub enum Change {
    /// A new version.
    Entry(BareJid, Entry),
    /// The room is gone.
    Gone(BareJid),
}

impl SinkRow for Change {
    fn row_bytes(&self) -> usize {
        300
    }
}

const SAVE: &str = "INSERT INTO mav_versions (room, place, version, jid) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (room, place) DO UPDATE SET version = excluded.version, jid = excluded.jid";
const TRIM: &str = "DELETE FROM mav_versions WHERE room = $1 AND place <= $2";
const DROP: &str = "DELETE FROM mav_versions WHERE room = $1";
const LOAD: &str = "SELECT place, version, jid FROM mav_versions WHERE room = $1 ORDER BY place";

fn apply<'a>(tx: &'a mut Tx, changes: &'a [Change]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for change in changes {
            match change {
                Change::Entry(room, entry) => {
                    let query = Query::new(SAVE).bind(room).bind(entry.place);
                    let query = query.bind(entry.version.as_str()).bind(entry.jid.as_str());
                    tx.execute(query).await?;
                    let oldest = entry.place.saturating_sub(ENTRIES_MAX as i64);
                    tx.execute(Query::new(TRIM).bind(room).bind(oldest)).await?;
                }
                Change::Gone(room) => {
                    tx.execute(Query::new(DROP).bind(room)).await?;
                }
            }
        }
        Ok(())
    })
}

/// The table.
pub struct Store {
    db: Db,
    /// Where changes go.
    pub sink: Sink<Change>,
}

impl Store {
    /// The table in a database.
    pub fn new(db: Db) -> Store {
        Store {
            sink: db.sink(apply),
            db,
        }
    }

    /// The versions of a room, the oldest first.
    pub async fn load(&self, room: &BareJid) -> Result<Vec<Entry>, DbError> {
        let mut entries = Vec::new();
        for row in self.db.fetch_all(Query::new(LOAD).bind(room)).await? {
            entries.push(Entry {
                place: row.i64(0)?,
                version: row.text(1)?,
                jid: row.text(2)?,
            });
        }
        Ok(entries)
    }
}
