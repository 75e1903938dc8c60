//! The tokens of all rooms, as they are in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::seal::Seals;
use quick_cache::sync::Cache;
use subtle::ConstantTimeEq;

use super::store::{TokenChange, TokenRow, TokenStore};
use crate::xep0045_muc::api::once_settled;

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

/// One room's. What is here is stored; only uses are counted ahead of their commit, so that no two people share one.
#[derive(Default)]
pub struct OfRoom {
    tokens: Mutex<Vec<Token>>,
    /// One is issued, or some revoked, at a time.
    changing: tokio::sync::Mutex<()>,
}

impl OfRoom {
    /// All of them.
    pub fn lock(&self) -> MutexGuard<'_, Vec<Token>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts uses of one that has a limit; `false` if it has none.
    fn count(&self, tie: i64, by: i64) -> bool {
        let mut tokens = self.lock();
        let uses = tokens
            .iter_mut()
            .find(|token| token.tie == tie)
            .and_then(|token| token.uses.as_mut());
        uses.map(|uses| *uses += by).is_some()
    }

    /// The one with this text, whether it holds or not.
    pub fn find(&self, text: &str) -> Option<Token> {
        let is_it = |token: &&Token| bool::from(token.text.as_bytes().ct_eq(text.as_bytes()));
        self.lock().iter().find(is_it).cloned()
    }
}

/// All rooms'. Uses are counted ahead of their commit, so nobody outside may drop a room's tokens: this is no
/// [`kim_core::keyed::Shared`].
pub struct Tokens {
    store: TokenStore,
    seals: Seals,
    rooms: Arc<Cache<BareJid, Arc<OfRoom>>>,
}

fn aad(room: &BareJid) -> [&[u8]; 2] {
    [b"room token", room.as_str().as_bytes()]
}

impl Tokens {
    /// Nothing is in memory yet.
    pub(super) fn new(store: TokenStore, seals: Seals) -> Tokens {
        Tokens {
            store,
            seals,
            rooms: Arc::new(Cache::new(ROOMS_MAX)),
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
                        tracing::warn!(event = "token_damaged", %room, "the room's other tokens hold");
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
            Ok::<_, Fault>(Arc::new(OfRoom {
                tokens: Mutex::new(tokens),
                ..OfRoom::default()
            }))
        };
        self.rooms.get_or_insert_async(room, read).await
    }

    /// Stores a new one; `false` if the room has as many as it may. Those that do not stay make room for it.
    pub async fn issue(
        &self,
        room: &BareJid,
        token: Token,
        tokens_max: usize,
        stays: impl Fn(&Token) -> bool + Send,
        cx: &mut Cx,
    ) -> Result<bool, Fault> {
        let of_room = self.of(room).await?;
        let _turn = of_room.changing.lock().await;
        self.retain(&of_room, room, stays, cx).await?;
        if of_room.lock().len() >= tokens_max {
            return Ok(false);
        }
        let key = self.seals.key(room.as_str()).await?;
        let row = TokenRow {
            room: room.clone(),
            tie: token.tie,
            maker: token.maker.to_string(),
            token: key.seal(&aad(room), token.text.as_bytes()),
            uses: token.uses,
            expires: token.expires,
        };
        cx.store(&self.store.sink, TokenChange::New(row));
        cx.committed().await?;
        of_room.lock().push(token);
        Ok(true)
    }

    /// Takes one out.
    pub async fn revoke(&self, room: &BareJid, tie: i64, cx: &mut Cx) -> Result<(), Fault> {
        let of_room = self.of(room).await?;
        let _turn = of_room.changing.lock().await;
        self.retain(&of_room, room, |token| token.tie != tie, cx).await
    }

    /// Takes out those that do not stay, once that is stored.
    async fn retain(
        &self,
        of_room: &OfRoom,
        room: &BareJid,
        stays: impl Fn(&Token) -> bool + Send,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let gone: Vec<i64> = {
            let tokens = of_room.lock();
            tokens
                .iter()
                .filter(|token| !stays(token))
                .map(|token| token.tie)
                .collect()
        };
        if gone.is_empty() {
            return Ok(());
        }
        for tie in &gone {
            cx.store(&self.store.sink, TokenChange::Gone(room.clone(), *tie));
        }
        cx.committed().await?;
        of_room.lock().retain(|token| !gone.contains(&token.tie));
        Ok(())
    }

    /// Somebody used one, in the turn of the room that this context belongs to.
    pub async fn used(&self, room: &BareJid, tie: i64, cx: &mut Cx) -> Result<(), Fault> {
        let of_room = self.of(room).await?;
        if !of_room.count(tie, -1) {
            return Ok(());
        }
        cx.store(&self.store.sink, TokenChange::Used(room.clone(), tie));
        once_settled(cx, move |is_stored| {
            if !is_stored {
                of_room.count(tie, 1);
            }
        });
        Ok(())
    }

    /// Somebody may not issue tokens any more: theirs go, with the turn of the room that this context belongs to.
    pub async fn end_those_of(&self, room: &BareJid, maker: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let of_room = self.of(room).await?;
        let gone: Vec<i64> = {
            let tokens = of_room.lock();
            let theirs = tokens.iter().filter(|token| *token.maker == *maker.as_str());
            theirs.map(|token| token.tie).collect()
        };
        if gone.is_empty() {
            return Ok(());
        }
        for tie in &gone {
            cx.store(&self.store.sink, TokenChange::Gone(room.clone(), *tie));
        }
        once_settled(cx, move |is_stored| {
            if is_stored {
                of_room.lock().retain(|token| !gone.contains(&token.tie));
            }
        });
        Ok(())
    }

    /// A room is gone.
    pub fn forget(&self, room: &BareJid, cx: &mut Cx) {
        cx.store(&self.store.sink, TokenChange::RoomGone(room.clone()));
        let (rooms, room) = (self.rooms.clone(), room.clone());
        once_settled(cx, move |_| {
            rooms.remove(&room);
        });
    }

    /// Forgets what is in memory: an account is gone, and its tokens are.
    pub fn forget_all(&self) {
        self.rooms.clear();
    }
}
