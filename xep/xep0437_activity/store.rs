//! The table of when members were last in rooms.

use std::collections::HashMap;

use kim_core::accounts::Eraser;
use kim_core::clock::Timestamp;
use kim_core::db::{BoxFuture, Db, DbError, Query, Sink, SinkRow, Tx};
use kim_core::jid::BareJid;

/// What is stored.
pub(super) enum ActivityChange {
    /// Somebody has left a room.
    Left {
        account: BareJid,
        room: BareJid,
        stamp: Timestamp,
    },
    /// A room is gone.
    Gone(BareJid),
}

impl SinkRow for ActivityChange {
    fn row_bytes(&self) -> usize {
        match self {
            ActivityChange::Left { account, room, .. } => account.as_str().len() + room.as_str().len() + 16,
            ActivityChange::Gone(room) => room.as_str().len(),
        }
    }
}

fn write<'a>(tx: &'a mut Tx, rows: &'a [ActivityChange]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for row in rows {
            let query = match row {
                ActivityChange::Left { account, room, stamp } => Query::new(
                    "INSERT INTO room_left (account, room, stamp) VALUES ($1, $2, $3) \
                     ON CONFLICT (account, room) DO UPDATE SET stamp = excluded.stamp",
                )
                .bind(account)
                .bind(room)
                .bind(stamp.0),
                ActivityChange::Gone(room) => Query::new("DELETE FROM room_left WHERE room = $1").bind(room),
            };
            tx.execute(query).await?;
        }
        Ok(())
    })
}

/// The table.
pub(super) struct ActivityStore {
    db: Db,
    /// Where changes go.
    pub sink: Sink<ActivityChange>,
}

impl ActivityStore {
    pub fn new(db: &Db) -> ActivityStore {
        ActivityStore {
            sink: db.sink(write),
            db: db.clone(),
        }
    }

    /// When somebody was last in which rooms, of at most so many.
    pub async fn left(&self, account: &BareJid, rooms_max: usize) -> Result<HashMap<String, i64>, DbError> {
        let query =
            Query::new("SELECT room, stamp FROM room_left WHERE account = $1 ORDER BY stamp DESC LIMIT $2")
                .bind(account)
                .bind(i64::try_from(rooms_max).unwrap_or(i64::MAX));
        let rows = self.db.fetch_all(query).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.i64(1)?))).collect()
    }
}

/// Erases an account's rows.
pub(super) const ERASE: Eraser = erase;

fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        tx.execute(Query::new("DELETE FROM room_left WHERE account = $1").bind(account))
            .await
            .map(|_| ())
    })
}
