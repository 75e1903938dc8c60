//! What other modules ask of archives: those of accounts, and those of group chats.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::module::Reply;
use kim_core::seal;
use kim_core::stanza::Stanza;
use kim_core::wire::Writer;

use super::archive::{self, ArchiveEntry, Archives, Put};
use super::ids;
use super::page::Reader;
use super::store::{ArchiveKey, Span, With};

pub use super::NS;
pub use super::archive::{Author, OwnRetention};
pub use super::hooks::KeptOnce;
pub use super::page::Sight;
pub use super::query::{ArchiveQuery, fields};
pub use super::retract::NS as RETRACT;
pub use super::store::erase;
pub use super::worth::is_worth_in_room;

/// All archives.
pub struct MessageArchives {
    reader: Arc<Reader>,
    retention_days: u32,
}

/// A message in an archive.
#[derive(Clone, Debug)]
pub struct Kept {
    key: ArchiveKey,
    /// The message.
    pub stanza: Stanza,
}

impl Kept {
    /// Whether nothing but a tombstone is left of it (XEP-0424 §4).
    pub fn is_retracted(&self) -> bool {
        self.stanza.has("retracted", RETRACT)
    }

    /// When it was archived.
    pub fn stamp(&self) -> Timestamp {
        Timestamp(self.key.stamp)
    }
}

/// A tombstone that is not in its place yet.
pub struct Burial {
    archives: Arc<Archives>,
    key: Arc<seal::Key>,
    owner: BareJid,
    place: ArchiveKey,
    tombstone: Stanza,
}

impl Burial {
    /// Puts it there, together with what else the context stores.
    pub fn perform(self, cx: &mut Cx) {
        self.archives
            .replace(&self.key, &self.owner, self.place, &self.tombstone, cx);
    }
}

/// What became of a message that was to be archived for a group chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InRoom {
    /// It has this id. It is stored when the other rows of its context are.
    Stored(String),
    /// The same message is there already under this id, for good: its sender did not know and sent it again.
    SaidBefore(String),
}

impl MessageArchives {
    pub(super) fn new(reader: Arc<Reader>, retention_days: u32) -> MessageArchives {
        MessageArchives {
            reader,
            retention_days,
        }
    }

    /// For how many days archives are kept unless something else is said; 0: for ever.
    pub fn retention_days(&self) -> u32 {
        self.retention_days
    }

    /// Some archives are kept for a time of their own. Only one may say so, while the server is put together.
    pub fn keep_some_otherwise(&self, retention: Arc<dyn OwnRetention>) {
        let _ = self.reader.archives.own_retention.set(retention);
    }

    /// The `<metadata/>` element of an archive (§5), for an account as XEP-0386 has it when binding.
    pub async fn metadata(&self, owner: &BareJid) -> Result<String, Fault> {
        super::page::metadata(&self.reader.archives, owner).await
    }

    /// Answers a query for the archive of something other than an account, from somebody who may read it.
    pub async fn answer(
        &self,
        owner: &BareJid,
        reader: &Jid,
        query: &ArchiveQuery,
        sight: Sight,
        cx: &mut Cx,
    ) -> Result<Reply, Fault> {
        self.reader.answer(owner, reader, query, sight, cx).await
    }

    /// Puts a message that an occupant, or the room itself, says to all into the room's archive: as it is reflected, from the
    /// occupant's address and to nobody (§6.1.2).
    pub async fn put_in_room(
        &self,
        room: &BareJid,
        stanza: &Stanza,
        author: Option<&Author>,
        cx: &mut Cx,
    ) -> Result<InRoom, Fault> {
        let itself = Jid::from(room.clone());
        let entry = ArchiveEntry {
            owner: room,
            peer: &itself,
            stanza,
            is_sent: true,
            author,
        };
        Ok(match self.reader.archives.put(entry, cx).await? {
            Put::Stored(id) => InRoom::Stored(id),
            Put::AgainStored(id, _) => InRoom::SaidBefore(id),
        })
    }

    /// Reads from an archive id when its message was archived. Returns `None` if the text is not an archive id.
    pub async fn stamp_of(&self, owner: &BareJid, id: &str) -> Result<Option<Timestamp>, Fault> {
        let key = self.reader.archives.key(owner).await?;
        Ok(ids::read(&key, id).map(|place| Timestamp(place.stamp)))
    }

    /// The message with an id, if it is there.
    pub async fn find(&self, owner: &BareJid, id: &str) -> Result<Option<Kept>, Fault> {
        let archives = &self.reader.archives;
        // It may have been sent a moment ago.
        archives.settled(owner).await;
        let key = archives.key(owner).await?;
        let Some(place) = ids::read(&key, id) else {
            return Ok(None);
        };
        let Some(found) = archives.store.find(owner, place).await? else {
            return Ok(None);
        };
        let stanza = archive::open(&key, owner, &found);
        Ok(stanza.map(|stanza| Kept { key: place, stanza }))
    }

    /// A tombstone for a message's place (XEP-0424 §4, XEP-0425 §4): who said it under which id, and `retracted`, canonical
    /// XML.
    pub async fn burial(&self, owner: &BareJid, kept: &Kept, retracted: &str) -> Result<Burial, Fault> {
        let archives = &self.reader.archives;
        let mut tombstone = kept.stanza.clone();
        tombstone.remove(|child| !archive::is_about_author(child));
        tombstone.append(retracted);
        Ok(Burial {
            archives: archives.clone(),
            key: archives.key(owner).await?,
            owner: owner.clone(),
            place: kept.key,
            tombstone,
        })
    }

    /// The last messages of a room, oldest first, each with its time and its id on it: as many as have `texts_max` among them
    /// that are texts, but no more than `rows_max` in all.
    pub async fn last_of_room(
        &self,
        room: &BareJid,
        texts_max: usize,
        rows_max: usize,
        is_text: impl Fn(&Stanza) -> bool + Send,
    ) -> Result<Vec<(Timestamp, Stanza)>, Fault> {
        let archives = &self.reader.archives;
        archives.settled(room).await;
        let key = archives.key(room).await?;
        let mut span = Span {
            after: ArchiveKey::START,
            before: ArchiveKey::END,
            with: With::Everybody,
        };
        let mut last = Vec::new();
        let (mut texts_left, mut rows_left) = (texts_max, rows_max);
        while texts_left > 0 && rows_left > 0 {
            let page_rows = texts_max.min(rows_left);
            let page = archives.store.page(room, &span, true, page_rows).await?;
            rows_left -= page_rows;
            for row in page.rows {
                if texts_left == 0 {
                    break;
                }
                let kept = archive::open(&key, room, &row);
                // XEP-0424 §5: what was retracted goes to nobody any more.
                if let Some(mut stanza) = kept.filter(|stanza| !stanza.has("retracted", RETRACT)) {
                    texts_left -= usize::from(is_text(&stanza));
                    archive::veil(&mut stanza);
                    stanza.append(&stanza_id(room, &ids::write(&key, row.key)));
                    last.push((Timestamp(row.key.stamp), stanza));
                }
            }
            match page.next {
                Some(next) => span.before = next,
                None => break,
            }
        }
        last.reverse();
        Ok(last)
    }

    /// When the newest message of an archive was kept.
    pub async fn newest(&self, owner: &BareJid) -> Result<Option<Timestamp>, Fault> {
        let newest = self
            .reader
            .archives
            .store
            .newest(owner, Timestamp(i64::MAX), 1)
            .await?;
        Ok(newest.first().map(|(stamp, _)| Timestamp(*stamp)))
    }

    /// Forgets what is in memory of an archive that was erased.
    pub fn forget(&self, owner: &BareJid) {
        self.reader.archives.forget(owner);
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
