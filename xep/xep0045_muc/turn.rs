//! Changing a room: what follows from a change is collected, and put into the room's order at the end.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::stanza::Stanza;

use super::outgoing::{Batch, Post};
use super::post;
use super::room::Phase;
use super::rooms::{HeldRoom, Registry};
use super::settled::{self, Then};
use super::store::RoomChange;

/// A room that is being changed: what follows from it is collected, and put into its order at the end. Dropped before
/// that, nothing follows.
pub struct RoomTurn {
    /// All rooms.
    pub registry: Arc<Registry>,
    /// The room.
    pub held: HeldRoom,
    /// Collects rows.
    pub cx: Cx,
    /// What is sent, in order.
    pub posts: Vec<Post>,
    /// Whether the room in memory has changed.
    pub is_change: bool,
    /// What other modules put beside the item that tells of a changed affiliation.
    pub beside: String,
    /// The admin whose request this is.
    pub by: Option<BareJid>,
    then: Option<Then>,
    is_closed: bool,
}

impl Drop for RoomTurn {
    /// A turn that fails half way has changed the room in memory and stores nothing of it: the room is read again.
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        if let Some(then) = settled::take(&self.cx, self.then.take()) {
            then(false);
        }
        if self.is_change {
            self.held.phase = Phase::Unloaded;
            let room = self.held.room.clone();
            self.registry.forget(&room, &self.held);
        }
    }
}

impl RoomTurn {
    /// Begins.
    pub fn new(registry: &Arc<Registry>, held: HeldRoom, cause: &Cx) -> RoomTurn {
        RoomTurn {
            registry: registry.clone(),
            held,
            cx: cause.fresh(),
            posts: Vec::new(),
            is_change: false,
            beside: String::new(),
            by: None,
            then: None,
            is_closed: false,
        }
    }

    /// Sends something to its addressee.
    pub fn send(&mut self, stanza: Stanza) {
        self.posts.push(Post::One(stanza));
    }

    /// Sends something to several.
    pub fn send_all(&mut self, stanza: Stanza, to: Arc<[Jid]>) {
        if !to.is_empty() {
            self.posts.push(Post::All(stanza, to));
        }
    }

    /// Stores something.
    pub fn store(&mut self, change: RoomChange) {
        if self.held.phase == Phase::Destroyed {
            // What is left of a room is nothing: its name may be another room's next.
            return;
        }
        self.is_change = true;
        self.cx.store(&self.registry.store.sink, change);
    }

    /// Does something once it is committed, or was not.
    pub fn then(&mut self, then: impl FnOnce(bool) + Send + 'static) {
        self.then = Some(Box::new(then));
    }

    /// Puts everything into the room's order and lets the room go.
    pub fn close(mut self, cause: &mut Cx) {
        self.is_closed = true;
        let then = settled::take(&self.cx, self.then.take());
        let fresh = self.cx.fresh();
        let batch = Batch {
            cx: std::mem::replace(&mut self.cx, fresh),
            posts: std::mem::take(&mut self.posts),
            is_change: self.is_change,
            then,
        };
        post::put(&self.registry, &self.held.room, batch, cause);
    }

    /// Refuses what adds to a queue that is full.
    pub fn has_room(&self) -> Result<(), Fault> {
        if self.held.room.outgoing.bytes() > self.registry.config.queue_bytes_max {
            return Err(StanzaError::new(Condition::ResourceConstraint)
                .text("this room has too much to send")
                .into());
        }
        Ok(())
    }
}
