//! The tokens of all rooms, as they are in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::seal::Seals;
use quick_cache::sync::Cache;
use subtle::ConstantTimeEq;

use super::store::{Change, Row, Store};

/// Rooms whose tokens are remembered.
const ROOMS_MAX: usize = 10_000;

/// A token.
#[derive(Clone)]
pub struct Token {
    /// Names it in the database.
    pub tie: i64,
    /// Who asked for it.
    pub maker: Box<str>,
    /// Itself; never logged.
    pub text: Box<str>,
    /// How many more may use it.
    pub uses: Option<i64>,
    /// Until when, in microseconds.
    pub expires: Option<i64>,
}

impl Token {
    /// Whether it still makes members.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.uses.is_none_or(|uses| uses > 0) && self.expires.is_none_or(|expires| expires > now.0)
    }
}

/// One room's.
#[derive(Default)]
pub struct OfRoom(Mutex<Vec<Token>>);

impl OfRoom {
    /// All of them.
    pub fn lock(&self) -> MutexGuard<'_, Vec<Token>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one with this text, whether it holds or not.
    pub fn find(&self, text: &str) -> Option<Token> {
        let is_it = |token: &&Token| bool::from(token.text.as_bytes().ct_eq(text.as_bytes()));
        self.lock().iter().find(is_it).cloned()
    }
}

/// All rooms'.
pub struct Tokens {
    store: Store,
    seals: Seals,
    rooms: Cache<BareJid, Arc<OfRoom>>,
}

fn aad(room: &BareJid) -> [&[u8]; 2] {
    [b"room token", room.as_str().as_bytes()]
}

impl Tokens {
    /// Nothing is in memory yet.
    pub(super) fn new(store: Store, seals: Seals) -> Tokens {
        Tokens {
            store,
            seals,
            rooms: Cache::new(ROOMS_MAX),
        }
    }

    /// The tokens of a room.
    pub async fn of(&self, room: &BareJid) -> Result<Arc<OfRoom>, Fault> {
        let read = async {
            let rows = self.store.of(room).await?;
            let mut tokens = Vec::new();
            if !rows.is_empty() {
                let key = self.seals.key(room.as_str()).await?;
                for row in rows {
                    let text = key.open(&aad(room), &row.token).ok();
                    let Some(text) = text.and_then(|text| String::from_utf8(text).ok()) else {
                        tracing::error!(event = "token_unreadable", %room);
                        continue;
                    };
                    tokens.push(Token {
                        tie: row.tie,
                        maker: row.maker.into(),
                        text: text.into(),
                        uses: row.uses,
                        expires: row.expires,
                    });
                }
            }
            Ok::<_, Fault>(Arc::new(OfRoom(Mutex::new(tokens))))
        };
        self.rooms.get_or_insert_async(room, read).await
    }

    /// Adds one.
    pub async fn add(&self, room: &BareJid, token: Token, cx: &mut Cx) -> Result<(), Fault> {
        let of_room = self.of(room).await?;
        let row = Row {
            room: room.clone(),
            tie: token.tie,
            maker: token.maker.to_string(),
            token: self
                .seals
                .key(room.as_str())
                .await?
                .seal(&aad(room), token.text.as_bytes()),
            uses: token.uses,
            expires: token.expires,
        };
        cx.store(&self.store.sink, Change::New(row));
        of_room.lock().push(token);
        Ok(())
    }

    /// Somebody used one.
    pub async fn used(&self, room: &BareJid, tie: i64, cx: &mut Cx) -> Result<(), Fault> {
        let of_room = self.of(room).await?;
        let mut tokens = of_room.lock();
        if let Some(uses) = tokens
            .iter_mut()
            .find(|token| token.tie == tie)
            .and_then(|token| token.uses.as_mut())
        {
            *uses -= 1;
            cx.store(&self.store.sink, Change::Used(room.clone(), tie));
        }
        Ok(())
    }

    /// Takes out those that do not stay.
    pub async fn retain(
        &self,
        room: &BareJid,
        stays: impl Fn(&Token) -> bool + Send,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let of_room = self.of(room).await?;
        of_room.lock().retain(|token| {
            let stays = stays(token);
            if !stays {
                cx.store(&self.store.sink, Change::Gone(room.clone(), token.tie));
            }
            stays
        });
        Ok(())
    }

    /// A room is gone.
    pub fn forget(&self, room: &BareJid, cx: &mut Cx) {
        self.rooms.remove(room);
        cx.store(&self.store.sink, Change::RoomGone(room.clone()));
    }

    /// Forgets what is in memory: an account is gone, and its tokens are.
    pub fn forget_all(&self) {
        self.rooms.clear();
    }
}
