//! What other rooms ask of archives: those of accounts, and those of group chats.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::stanza::Stanza;
use kim_core::wire::Writer;

use super::archive::{self, Archives, Entry, Put};
use super::store::{Key, Span, With};

pub use super::NS;
pub use super::store::erase;
pub use super::worth::is_worth_in_room;

/// All archives.
pub struct MessageArchives {
    archives: Arc<Archives>,
}

/// What became of a message that was to be archived for a group chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InRoom {
    /// It has this id. It is stored when the other rows of its context are.
    Stored(String),
    /// The same message is there already, for good: its sender did not know and sent it again.
    SaidBefore,
}

impl MessageArchives {
    pub(super) fn new(archives: Arc<Archives>) -> MessageArchives {
        MessageArchives { archives }
    }

    /// The `<metadata/>` element of an account's archive (§5), as XEP-0386 has it when binding.
    pub async fn metadata(&self, account: &BareJid) -> Result<String, Fault> {
        super::page::metadata(&self.archives, account).await
    }

    /// Puts a message that an occupant, or the room itself, says to all into the room's archive: as it is reflected, from the
    /// occupant's address and to nobody (§6.1.2).
    pub async fn put_in_room(&self, room: &BareJid, stanza: &Stanza, cx: &mut Cx) -> Result<InRoom, Fault> {
        let itself = Jid::from(room.clone());
        let entry = Entry {
            owner: room,
            peer: stanza.from.as_ref().unwrap_or(&itself),
            stanza,
            is_sent: true,
        };
        Ok(match self.archives.put(entry, cx).await? {
            Put::Stored(id) => InRoom::Stored(id),
            Put::AgainStored => InRoom::SaidBefore,
        })
    }

    /// The last messages of a room, oldest first, each with its time and its id on it.
    pub async fn last_of_room(
        &self,
        room: &BareJid,
        messages_max: usize,
    ) -> Result<Vec<(Timestamp, Stanza)>, Fault> {
        if messages_max == 0 {
            return Ok(Vec::new());
        }
        self.archives.settled(room).await;
        let key = self.archives.key(room).await?;
        let whole = Span {
            after: Key::START,
            before: Key::END,
            with: With::Everybody,
        };
        let mut last = Vec::new();
        for row in self
            .archives
            .store
            .page(room, &whole, true, messages_max)
            .await?
            .rows
        {
            if let Some(mut stanza) = archive::open(&key, room, &row) {
                stanza.append(&stanza_id(room, &super::ids::write(&key, row.key)));
                last.push((Timestamp(row.key.stamp), stanza));
            }
        }
        last.reverse();
        Ok(last)
    }

    /// Forgets what is in memory of an archive that was erased.
    pub fn forget(&self, owner: &BareJid) {
        self.archives.forget(owner);
    }
}

/// `<stanza-id/>` (XEP-0359 §3), as an archive gives it.
pub fn stanza_id(by: &BareJid, id: &str) -> String {
    let mut xml = Writer::new();
    xml.start("stanza-id", "urn:xmpp:sid:0")
        .attr("id", id)
        .attr("by", by.as_str())
        .end();
    xml.finish_string()
}
