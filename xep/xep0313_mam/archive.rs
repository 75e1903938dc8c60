//! Archives as the rest of the module sees them: messages go in, places and stanzas come out. What lies in the database is
//! sealed here and opened here.

use std::sync::{Arc, OnceLock};

use kim_core::clock::{Clock, Timestamp};
use kim_core::cx::{Cx, Origin};
use kim_core::db::{BoxFuture, Db};
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::remote::MayRepeat;
use kim_core::seal::{self, Seals};
use kim_core::stanza::Stanza;
use kim_core::wire::{El, Writer};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, UnitWeighter};

use super::ids;
use super::store::{ArchiveKey, ArchiveRow, ArchiveStore, FoundMessage, Peer, Replaced};
use super::tail::{self, CameBefore, RESENDS_MAX, Tail, UnderWay};

/// Archives whose end is remembered; up to 16 kB each, while their owners send much.
const TAILS_MAX: usize = 16_384;
/// How many of the last messages with somebody elsewhere a repetition is looked for among. Their server has half as many under
/// way at most, if it is kIM; the other half are answers.
const REPEATED_AMONG: usize = 4_096;
/// XEP-0045: what a room tells.
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// XEP-0489
const AFFILIATIONS: &str = "urn:xmpp:raa:0";
/// XEP-0421
const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";

/// Says how long archives are kept where `[xep0313_mam] retention_days` does not.
pub trait OwnRetention: Send + Sync {
    /// For how many days; 0: for ever; `None`: as all others.
    fn days<'a>(&'a self, owner: &'a str) -> BoxFuture<'a, Result<Option<u32>, Fault>>;
}

/// All archives.
pub struct Archives {
    /// The tables.
    pub store: ArchiveStore,
    /// Says how long the archives of rooms are kept, if they are kept otherwise than others.
    pub own_retention: OnceLock<Arc<dyn OwnRetention>>,
    seals: Seals,
    clock: Clock,
    tails: Cache<BareJid, Arc<Tail>, UnitWeighter, DefaultHashBuilder, InUse>,
}

/// A tail stays as long as something is on its way into its archive.
#[derive(Clone)]
struct InUse;

impl Lifecycle<BareJid, Arc<Tail>> for InUse {
    type RequestState = ();

    fn is_pinned(&self, _: &BareJid, tail: &Arc<Tail>) -> bool {
        Arc::strong_count(tail) > 1
    }
}

/// What became of a message that was to be archived.
pub enum Put {
    /// It has this id. It is stored when the stanza's other rows are.
    Stored(String),
    /// The same message is there already under this id, for good, since that time.
    AgainStored(String, Timestamp),
}

/// A message on its way into an archive.
pub struct ArchiveEntry<'a> {
    /// Whose archive.
    pub owner: &'a BareJid,
    /// The other side.
    pub peer: &'a Jid,
    /// The message.
    pub stanza: &'a Stanza,
    /// Whether the owner sent it.
    pub is_sent: bool,
    /// Who said it, in a room: then by this address it is found, and not by the other side's.
    pub author: Option<&'a Author>,
}

/// Who said something in a room, behind the nickname (§6.1.2).
#[derive(Clone, Debug)]
pub struct Author {
    /// The real address.
    pub jid: Jid,
    /// The affiliation at that time.
    pub affiliation: &'static str,
    /// The role at that time.
    pub role: &'static str,
}

impl Author {
    fn to_xml(&self) -> String {
        let mut xml = Writer::new();
        xml.start("x", MUC_USER).start("item", MUC_USER);
        xml.attr("affiliation", self.affiliation)
            .attr("jid", self.jid.as_str())
            .attr("role", self.role);
        xml.end().end();
        xml.finish_string()
    }
}

/// Whether a part of a message says who said it, and nothing else.
pub fn is_about_author(child: &El<'_>) -> bool {
    child.is("x", MUC_USER) || child.is("occupant-id", OCCUPANT_ID)
}

/// Takes out who said it, behind the nickname.
pub fn veil(stanza: &mut Stanza) {
    stanza.remove(|child| child.is("x", MUC_USER));
}

impl Archives {
    /// The archives in a database.
    pub fn new(db: &Db, seals: &Seals, clock: &Clock) -> Archives {
        Archives {
            store: ArchiveStore::new(db.clone()),
            own_retention: OnceLock::new(),
            seals: seals.clone(),
            clock: clock.clone(),
            tails: Cache::with(
                TAILS_MAX,
                TAILS_MAX as u64,
                UnitWeighter,
                DefaultHashBuilder::default(),
                InUse,
            ),
        }
    }

    /// The key of an archive.
    pub async fn key(&self, owner: &BareJid) -> Result<Arc<seal::Key>, Fault> {
        Ok(self.seals.key(owner.as_str()).await?)
    }

    async fn tail(&self, owner: &BareJid) -> Result<Arc<Tail>, Fault> {
        let tail = self.tails.get_or_insert_async(owner, async {
            let since = tail::remembered_since(self.clock.now());
            let newest = self.store.newest(owner, since, RESENDS_MAX).await?;
            Ok::<_, Fault>(Arc::new(Tail::new(&newest, self.clock.now())))
        });
        tail.await
    }

    /// Waits until what is on its way into an archive has arrived.
    pub async fn settled(&self, owner: &BareJid) {
        if let Some(tail) = self.tails.get(owner) {
            tail.settled().await;
        }
    }

    /// Forgets what is remembered of an archive, which is about to be erased.
    pub fn forget(&self, owner: &BareJid) {
        self.tails.remove(owner);
    }

    /// Puts a message into an archive, unless the same is there (same sender, id and content, lately).
    pub async fn put(&self, entry: ArchiveEntry<'_>, cx: &mut Cx) -> Result<Put, Fault> {
        let ArchiveEntry {
            owner,
            peer,
            stanza,
            is_sent,
            author,
        } = entry;
        let key = self.key(owner).await?;
        let resend = match &cx.origin {
            _ if is_sent => resend_tag(&key, stanza),
            Origin::Remote(_) => arrived_again_tag(&key, stanza),
            _ => None,
        };
        let peers = peer_tags(&key, author.map_or(peer, |author| &author.jid));
        let reference = reference(&key, stanza);
        let tail = self.tail(owner).await?;
        let under_way = match self
            .admit(owner, &tail, (resend, peers.bare, reference), cx)
            .await?
        {
            Ok(under_way) => under_way,
            Err(place) => return Ok(Put::AgainStored(ids::write(&key, place), Timestamp(place.stamp))),
        };
        let place = ArchiveKey {
            stamp: under_way.stamp(),
            tie: ids::tie(),
        };
        let row = ArchiveRow {
            owner: owner.clone(),
            tie: place.tie,
            peer: peers,
            reference,
            resend,
            stanza: match author {
                None => seal(&key, owner, place, stanza),
                Some(author) => {
                    let mut kept = stanza.clone();
                    kept.append(&author.to_xml());
                    seal(&key, owner, place, &kept)
                }
            },
            under_way,
        };
        cx.store(&self.store.sink, row);
        Ok(Put::Stored(ids::write(&key, place)))
    }

    /// A place for a message, by its tag, its peer's and its reference; or where the same is that came before.
    async fn admit(
        &self,
        owner: &BareJid,
        tail: &Arc<Tail>,
        (tag, peer, reference): (Option<i64>, i64, i64),
        cx: &Cx,
    ) -> Result<Result<UnderWay, ArchiveKey>, Fault> {
        let under_way = loop {
            let before = match tail.next(self.clock.now(), tag) {
                Ok(under_way) => break under_way,
                Err(before) => before,
            };
            tail.arrived(before.stamp).await;
            if let Some(place) = self.store.was_sent(owner, before.stamp, before.tag).await? {
                return Ok(Err(place));
            }
            // It was never committed.
            tail.withdraw(before);
        };
        // Another server goes on trying for days, and does not care what this process remembers.
        if let Some(tag) = tag
            && cx.fact::<MayRepeat>().is_some()
        {
            let alike = self.store.referred(peer, reference, REPEATED_AMONG).await?;
            for place in alike {
                if self.store.was_sent(owner, place.stamp, tag).await?.is_some() {
                    let stamp = under_way.stamp();
                    tail.withdraw(CameBefore { stamp, tag });
                    return Ok(Err(place));
                }
            }
        }
        Ok(Ok(under_way))
    }

    /// Puts something else into a message's place, together with what else the stanza leaves behind.
    pub fn replace(&self, key: &seal::Key, owner: &BareJid, place: ArchiveKey, stanza: &Stanza, cx: &mut Cx) {
        let row = Replaced {
            owner: owner.clone(),
            key: place,
            stanza: seal(key, owner, place, stanza),
        };
        cx.store(&self.store.replacements, row);
    }
}

/// Seals a message for its place.
pub fn seal(key: &seal::Key, owner: &BareJid, place: ArchiveKey, stanza: &Stanza) -> Vec<u8> {
    let (stamp, tie) = (place.stamp.to_be_bytes(), place.tie.to_be_bytes());
    key.seal(&aad(owner, &stamp, &tie), stanza.to_xml().as_bytes())
}

/// The message in a row. What cannot be opened is logged and left out; its place stays (§3.2).
pub fn open(key: &seal::Key, owner: &BareJid, found: &FoundMessage) -> Option<Stanza> {
    let place = found.key;
    let (stamp, tie) = (place.stamp.to_be_bytes(), place.tie.to_be_bytes());
    let stanza = match key.open(&aad(owner, &stamp, &tie), &found.stanza) {
        Ok(xml) => std::str::from_utf8(&xml)
            .ok()
            .and_then(|xml| Stanza::parse(xml).ok()),
        Err(_) => None,
    };
    if stanza.is_none() {
        tracing::error!(
            event = "archived_message_unreadable", %owner, stamp = place.stamp, bytes = found.stanza.len()
        );
    }
    stanza
}

fn aad<'a>(owner: &'a BareJid, stamp: &'a [u8], tie: &'a [u8]) -> [&'a [u8]; 4] {
    [b"archive", owner.as_str().as_bytes(), stamp, tie]
}

/// The tags of the other side.
pub fn peer_tags(key: &seal::Key, peer: &Jid) -> Peer {
    let tag = |jid: &str| key.tag("archive peer", &[jid.as_bytes()]);
    Peer {
        bare: tag(peer.bare_str()),
        full: tag(peer.as_str()),
    }
}

/// The tag by which a retraction finds the message it means: its sender and the id that the sender gave it.
pub fn reference_tag(key: &seal::Key, sender: &str, id: &str) -> i64 {
    key.tag("archive reference", &[sender.as_bytes(), id.as_bytes()])
}

fn reference(key: &seal::Key, stanza: &Stanza) -> i64 {
    let sender = stanza.from.as_ref().map_or("", |from| from.bare_str());
    reference_tag(key, sender, stanza.id.as_deref().unwrap_or_default())
}

/// The tag of a message that another server could send again, because a lost link kept it from learning that the message
/// arrived. It comes as it was: from the same client, under the same id.
fn arrived_again_tag(key: &seal::Key, stanza: &Stanza) -> Option<i64> {
    let id = stanza.id.as_deref().filter(|id| !id.is_empty())?;
    let address = |jid: &Option<Jid>| jid.as_ref().map_or("", Jid::as_str).to_owned();
    let (from, to) = (address(&stanza.from), address(&stanza.to));
    let head = [stanza.kind.type_str(), &from, &to, id];
    let mut parts: Vec<&[u8]> = head.into_iter().map(str::as_bytes).collect();
    parts.extend(said(stanza));
    Some(key.tag("archive arrived again", &parts))
}

/// All that a message says but for what servers add on the way, and not always: how long it waited, and who its sender is to
/// their server (XEP-0489).
fn said(stanza: &Stanza) -> impl Iterator<Item = &[u8]> {
    let is_added = |child: &El<'_>| child.is("delay", ns::DELAY) || child.ns() == AFFILIATIONS;
    let said = stanza.children().filter(move |child| !is_added(child));
    said.map(|child| child.xml().as_bytes())
}

/// The tag of a message that its sender could send again: to whom, and all it says but for how long it waited. Without an
/// origin-id (XEP-0359) nobody knows whether it is the same message or one that says the same.
fn resend_tag(key: &seal::Key, stanza: &Stanza) -> Option<i64> {
    stanza.child("origin-id", "urn:xmpp:sid:0")?.attr("id")?;
    let to = stanza.to.as_ref().map_or("", Jid::as_str);
    let mut parts = vec![stanza.kind.type_str().as_bytes(), to.as_bytes()];
    parts.extend(said(stanza));
    Some(key.tag("archive resend", &parts))
}
