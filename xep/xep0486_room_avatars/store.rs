//! The table of rooms' vCards.

use kim_core::db::{BoxFuture, Db, DbError, Query, Sink, SinkRow, Tx};
use kim_core::jid::BareJid;

/// What a room's vCard becomes.
pub(super) struct RoomAvatarChange {
    pub room: BareJid,
    /// Sealed, with the hash of the picture; `None` takes it away.
    pub card: Option<(Vec<u8>, Option<String>)>,
}

impl SinkRow for RoomAvatarChange {
    fn row_bytes(&self) -> usize {
        self.room.as_str().len() + self.card.as_ref().map_or(0, |(card, _)| card.len() + 40)
    }
}

fn write<'a>(tx: &'a mut Tx, rows: &'a [RoomAvatarChange]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for row in rows {
            let query = match &row.card {
                Some((card, hash)) => Query::new(
                    "INSERT INTO room_card (room, card, hash) VALUES ($1, $2, $3) \
                     ON CONFLICT (room) DO UPDATE SET card = excluded.card, hash = excluded.hash",
                )
                .bind(&row.room)
                .bind(card.as_slice())
                .bind(hash.as_deref()),
                None => Query::new("DELETE FROM room_card WHERE room = $1").bind(&row.room),
            };
            tx.execute(query).await?;
        }
        Ok(())
    })
}

/// The table.
pub(super) struct RoomAvatarStore {
    db: Db,
    /// Where changes go.
    pub sink: Sink<RoomAvatarChange>,
}

impl RoomAvatarStore {
    pub fn new(db: &Db) -> RoomAvatarStore {
        RoomAvatarStore {
            sink: db.sink(write),
            db: db.clone(),
        }
    }

    /// A room's vCard, sealed.
    pub async fn card(&self, room: &BareJid) -> Result<Option<Vec<u8>>, DbError> {
        let query = Query::new("SELECT card FROM room_card WHERE room = $1").bind(room);
        let row = self.db.fetch_optional(query).await?;
        row.map(|row| row.bytes(0)).transpose()
    }

    /// The hash of a room's picture.
    pub async fn hash(&self, room: &BareJid) -> Result<Option<String>, DbError> {
        let query = Query::new("SELECT hash FROM room_card WHERE room = $1").bind(room);
        let row = self.db.fetch_optional(query).await?;
        row.map_or(Ok(None), |row| row.opt_text(0))
    }
}
