//! The table of tokens.

use kim_core::accounts::Eraser;
use kim_core::db::{BoxFuture, Db, DbError, Query, Sink, SinkRow, Tx};
use kim_core::jid::BareJid;

/// A token as it is stored.
pub(super) struct TokenRow {
    pub room: BareJid,
    pub tie: i64,
    pub maker: String,
    /// Sealed.
    pub token: Vec<u8>,
    pub uses: Option<i64>,
    pub expires: Option<i64>,
}

/// What is stored.
pub(super) enum TokenChange {
    /// A new token.
    New(TokenRow),
    /// Somebody used it.
    Used(BareJid, i64),
    /// It does not hold any more.
    Gone(BareJid, i64),
    /// None of a room's does.
    RoomGone(BareJid),
}

impl SinkRow for TokenChange {
    fn row_bytes(&self) -> usize {
        match self {
            TokenChange::New(row) => row.room.as_str().len() + row.maker.len() + row.token.len() + 24,
            TokenChange::Used(room, _) | TokenChange::Gone(room, _) | TokenChange::RoomGone(room) => {
                room.as_str().len() + 8
            }
        }
    }
}

fn write<'a>(tx: &'a mut Tx, rows: &'a [TokenChange]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for row in rows {
            let query = match row {
                TokenChange::New(row) => Query::new(
                    "INSERT INTO room_token (room, tie, maker, token, uses, expires) \
                     VALUES ($1, $2, $3, $4, $5, $6)",
                )
                .bind(&row.room)
                .bind(row.tie)
                .bind(row.maker.as_str())
                .bind(row.token.as_slice())
                .bind(row.uses)
                .bind(row.expires),
                TokenChange::Used(room, tie) => {
                    Query::new("UPDATE room_token SET uses = uses - 1 WHERE room = $1 AND tie = $2")
                        .bind(room)
                        .bind(*tie)
                }
                TokenChange::Gone(room, tie) => {
                    Query::new("DELETE FROM room_token WHERE room = $1 AND tie = $2")
                        .bind(room)
                        .bind(*tie)
                }
                TokenChange::RoomGone(room) => {
                    Query::new("DELETE FROM room_token WHERE room = $1").bind(room)
                }
            };
            tx.execute(query).await?;
        }
        Ok(())
    })
}

/// The table.
pub(super) struct TokenStore {
    db: Db,
    /// Where changes go.
    pub sink: Sink<TokenChange>,
}

impl TokenStore {
    pub fn new(db: &Db) -> TokenStore {
        TokenStore {
            sink: db.sink(write),
            db: db.clone(),
        }
    }

    /// The tokens of a room.
    pub async fn of(&self, room: &BareJid) -> Result<Vec<TokenRow>, DbError> {
        let query = Query::new(
            "SELECT tie, maker, token, uses, expires FROM room_token WHERE room = $1 ORDER BY tie",
        )
        .bind(room);
        let rows = self.db.fetch_all(query).await?;
        rows.iter()
            .map(|row| {
                Ok(TokenRow {
                    room: room.clone(),
                    tie: row.i64(0)?,
                    maker: row.text(1)?,
                    token: row.bytes(2)?,
                    uses: row.opt_i64(3)?,
                    expires: row.opt_i64(4)?,
                })
            })
            .collect()
    }
}

/// Erases what an account made.
pub(super) const ERASE: Eraser = erase;

fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        tx.execute(Query::new("DELETE FROM room_token WHERE maker = $1").bind(account))
            .await
            .map(|_| ())
    })
}
