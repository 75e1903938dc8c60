//! The table of hats.

use kim_core::db::{BoxFuture, Db, DbError, Query, Sink, SinkRow, Tx};
use kim_core::jid::BareJid;

/// What a room's hats become; `None`: the room is gone.
pub(super) struct HatChange {
    pub room: BareJid,
    /// Sealed.
    pub state: Option<Vec<u8>>,
}

impl SinkRow for HatChange {
    fn row_bytes(&self) -> usize {
        self.room.as_str().len() + self.state.as_ref().map_or(0, Vec::len)
    }
}

fn write<'a>(tx: &'a mut Tx, rows: &'a [HatChange]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for row in rows {
            let query = match &row.state {
                Some(state) => Query::new(
                    "INSERT INTO room_hats (room, state) VALUES ($1, $2) \
                     ON CONFLICT (room) DO UPDATE SET state = excluded.state",
                )
                .bind(&row.room)
                .bind(state.as_slice()),
                None => Query::new("DELETE FROM room_hats WHERE room = $1").bind(&row.room),
            };
            tx.execute(query).await?;
        }
        Ok(())
    })
}

/// The table.
pub(super) struct HatStore {
    db: Db,
    /// Where changes go.
    pub sink: Sink<HatChange>,
}

impl HatStore {
    pub fn new(db: &Db) -> HatStore {
        HatStore {
            sink: db.sink(write),
            db: db.clone(),
        }
    }

    /// A page of the rooms that have hats, by their addresses.
    pub async fn rooms(&self, after: &str) -> Result<Vec<BareJid>, DbError> {
        let query =
            Query::new("SELECT room FROM room_hats WHERE room > $1 ORDER BY room LIMIT 100").bind(after);
        let mut rooms = Vec::new();
        for row in self.db.fetch_all(query).await? {
            rooms.extend(BareJid::parse(&row.text(0)?));
        }
        Ok(rooms)
    }

    /// A room's hats, sealed.
    pub async fn of(&self, room: &BareJid) -> Result<Option<Vec<u8>>, DbError> {
        let query = Query::new("SELECT state FROM room_hats WHERE room = $1").bind(room);
        let row = self.db.fetch_optional(query).await?;
        row.map(|row| row.bytes(0)).transpose()
    }
}
