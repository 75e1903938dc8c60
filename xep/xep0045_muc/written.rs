//! Private messages (§7.5) that may come back as errors.

use std::hash::{BuildHasher, RandomState};

use kim_core::jid::BareJid;
use quick_cache::sync::Cache;

/// Private messages that are remembered until they come back.
const WRITTEN_MAX: usize = 50_000;

/// Private messages written lately. An error that a client sends to an occupant's address belongs to one of them, or to
/// a message to all, and then it goes no further.
pub struct WrittenLately {
    messages: Cache<u64, ()>,
    hasher: RandomState,
}

impl Default for WrittenLately {
    fn default() -> WrittenLately {
        WrittenLately {
            messages: Cache::new(WRITTEN_MAX),
            hasher: RandomState::new(),
        }
    }
}

impl WrittenLately {
    /// Notes a message.
    pub fn note(&self, room: &BareJid, author: &BareJid, reader: &BareJid, id: Option<&str>) {
        self.messages.insert(self.key(room, author, reader, id), ());
    }

    /// Whether there is such a message. It is forgotten: one error comes back for it.
    pub fn take(&self, room: &BareJid, author: &BareJid, reader: &BareJid, id: Option<&str>) -> bool {
        self.messages
            .remove(&self.key(room, author, reader, id))
            .is_some()
    }

    fn key(&self, room: &BareJid, author: &BareJid, reader: &BareJid, id: Option<&str>) -> u64 {
        self.hasher
            .hash_one((room.as_str(), author.as_str(), reader.as_str(), id))
    }
}
