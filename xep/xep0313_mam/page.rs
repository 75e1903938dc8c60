//! Answers queries (§4.2, §4.3): finds the page, opens its messages, sends them.
//!
//! A page is found from a known place in an index and never by counting, so it costs the same at the beginning and at the
//! end, in a small archive and in a large one. The same reason leaves out XEP-0059's `<count/>` but where it is asked for
//! (`<max>0</max>`), and there it stops at [`COUNT_MAX`].

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::{Cx, Origin};
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::ns;
use kim_core::router::Destination;
use kim_core::seal;
use kim_core::session::Session;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::archive::{self, Archives, peer_tags};
use super::query::{self, ArchiveQuery};
use super::store::{ArchiveKey, FoundMessage, Peer, Span, With};
use super::{NS, ids};
use crate::xep0059_rsm::api as rsm;

/// Messages in a page when nobody says how many.
const PAGE_MESSAGES_DEFAULT: usize = 50;
/// Rows read at once, which bounds the memory that a page of long messages takes.
const CHUNK_ROWS_MAX: usize = 64;
/// Counted no further.
pub const COUNT_MAX: usize = 10_000;
/// What a result adds to a message, in bytes, about.
const WRAPPER_BYTES: usize = 400;
const FORWARD: &str = "urn:xmpp:forward:0";

/// Reads archives, of whomever.
pub struct Reader {
    /// The archives.
    pub archives: Arc<Archives>,
    /// Messages in one page.
    pub page_messages_max: usize,
}

/// What a reader sees of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All of it.
    Everything,
    /// Not who said it in a room, behind the nickname (§6.1.2).
    Nicknames,
}

/// Answers queries for an account's own archive.
pub struct QueryIq(pub Arc<Reader>);

/// The messages of a page, oldest first.
struct Page {
    rows: Vec<FoundMessage>,
    /// There is nothing beyond it in the direction that was asked for.
    complete: bool,
    count: Option<usize>,
}

impl HandleIq for QueryIq {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        if cx.router().destination(iq.account.domain()) != Destination::Users {
            return Err(Condition::ServiceUnavailable.into());
        }
        if !iq.is_set() {
            return Ok(Reply::Payload(query::fields()));
        }
        let query = ArchiveQuery::parse(iq.payload)?;
        self.0
            .answer(iq.account, iq.from, &query, Sight::Everything, cx)
            .await
    }
}

impl Reader {
    /// Sends `reader` the page that is asked for; what is given back ends it (§4.2).
    pub async fn answer(
        &self,
        owner: &BareJid,
        reader: &Jid,
        query: &ArchiveQuery,
        sight: Sight,
        cx: &mut Cx,
    ) -> Result<Reply, Fault> {
        let session = match &cx.origin {
            Origin::Session(session) if session.jid == *reader => Some(session.clone()),
            _ => None,
        };
        let bytes_max = room_for_page(cx, session.as_deref())?;
        let key = self.archives.key(owner).await?;
        let page = self.find(&key, owner, query, bytes_max).await?;
        let id = |row: &FoundMessage| ids::write(&key, row.key);
        let ends = page
            .rows
            .first()
            .zip(page.rows.last())
            .map(|(first, last)| (id(first), id(last)));
        let mut rows: Vec<&FoundMessage> = page.rows.iter().collect();
        if query.flip {
            rows.reverse();
        }
        for row in rows {
            let mut message = archive::open(&key, owner, row);
            if let (Some(message), Sight::Nicknames) = (&mut message, sight) {
                archive::veil(message);
            }
            let payload = result(
                query.queryid.as_deref(),
                &id(row),
                row.key.stamp,
                message.as_ref(),
            );
            let result = Stanza::new(Kind::Message(MessageType::Normal), &payload);
            let result = result.from(owner.clone()).to(reader.clone());
            match &session {
                Some(session) => cx.deliver(session, Arc::new(result)),
                None => cx.send(result),
            }
        }
        let mut fin = Writer::new();
        fin.start("fin", NS);
        if page.complete {
            fin.attr("complete", "true");
        }
        rsm::Given {
            ends,
            count: page.count,
        }
        .write(&mut fin);
        fin.end();
        Ok(fin.into())
    }
}

/// What a page may weigh: a client that has not read the pages before must do so first.
fn room_for_page(cx: &Cx, session: Option<&Session>) -> Result<usize, Fault> {
    let bytes_max = cx.router().limits().outbox_bytes_max / 2;
    let waits = session.map_or(0, |session| session.outbox.queued_bytes());
    match bytes_max.saturating_sub(waits) {
        0 => Err(StanzaError::new(Condition::ResourceConstraint)
            .text("too much is waiting to be read; read the previous pages first")
            .into()),
        room => Ok(room),
    }
}

/// §4.2: one message of the archive. What cannot be read keeps its id and time (§3.2).
fn result(queryid: Option<&str>, id: &str, stamp: i64, message: Option<&Stanza>) -> String {
    let mut xml = Writer::new();
    xml.start("result", NS);
    if let Some(queryid) = queryid {
        xml.attr("queryid", queryid);
    }
    xml.attr("id", id);
    xml.start("forwarded", FORWARD);
    xml.start("delay", ns::DELAY)
        .attr("stamp", &Timestamp(stamp).to_string())
        .end();
    if let Some(message) = message {
        xml.raw(&message.to_xml());
    }
    xml.finish_string()
}

impl Reader {
    async fn find(
        &self,
        key: &seal::Key,
        owner: &BareJid,
        query: &ArchiveQuery,
        bytes_max: usize,
    ) -> Result<Page, Fault> {
        let store = &self.archives.store;
        self.archives.settled(owner).await;
        let span = self.span(key, owner, query).await?;
        let max = query
            .page
            .max
            .unwrap_or(PAGE_MESSAGES_DEFAULT)
            .min(self.page_messages_max);
        let newest_first = query.page.before.is_some();
        if !query.ids.is_empty() {
            return self.by_ids(key, owner, query, &span, max, bytes_max).await;
        }
        if max == 0 {
            let count = store.count(owner, &span, COUNT_MAX).await?;
            return Ok(Page {
                rows: Vec::new(),
                complete: count == 0,
                count: Some(count),
            });
        }
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let mut rest = span;
        loop {
            let chunk = CHUNK_ROWS_MAX.min(max + 1 - rows.len());
            let found = store.page(owner, &rest, newest_first, chunk).await?;
            for row in found.rows {
                bytes += row.stanza.len() + WRAPPER_BYTES;
                if rows.len() >= max || (bytes > bytes_max && !rows.is_empty()) {
                    return Ok(page(rows, newest_first, false));
                }
                rows.push(row);
            }
            match found.next {
                None => return Ok(page(rows, newest_first, true)),
                Some(next) if newest_first => rest.before = next,
                Some(next) => rest.after = next,
            }
        }
    }

    /// The stretch that the query's form and page allow.
    async fn span(&self, key: &seal::Key, owner: &BareJid, query: &ArchiveQuery) -> Result<Span, Fault> {
        let with = match &query.with {
            None => With::Everybody,
            Some(jid) if jid.is_bare() => With::Bare(peer_tags(key, jid).bare),
            Some(jid) => With::Full(peer_tags(key, jid)),
        };
        let mut span = Span {
            after: ArchiveKey::START,
            before: ArchiveKey::END,
            with,
        };
        if let Some(start) = query.start {
            span.after = ArchiveKey {
                stamp: start.0,
                tie: i64::MIN,
            };
        }
        if let Some(end) = query.end {
            span.before = ArchiveKey {
                stamp: end.0,
                tie: i64::MAX,
            };
        }
        for id in [&query.after_id, &query.page.after].into_iter().flatten() {
            span.after = span.after.max(self.place(key, owner, id).await?.0);
        }
        for id in [&query.before_id, &query.page.before]
            .into_iter()
            .flatten()
            .filter(|id| !id.is_empty())
        {
            span.before = span.before.min(self.place(key, owner, id).await?.0);
        }
        Ok(span)
    }

    /// The place of a message that must be there (§4.1.3, §4.3.2).
    async fn place(&self, key: &seal::Key, owner: &BareJid, id: &str) -> Result<(ArchiveKey, Peer), Fault> {
        let place = ids::read(key, id).ok_or(Condition::ItemNotFound)?;
        let peer = self
            .archives
            .store
            .peer(owner, place)
            .await?
            .ok_or(Condition::ItemNotFound)?;
        Ok((place, peer))
    }

    /// §4.1.3, the field `ids`: few messages, found one by one; what else the form says holds for them too.
    async fn by_ids(
        &self,
        key: &seal::Key,
        owner: &BareJid,
        query: &ArchiveQuery,
        span: &Span,
        max: usize,
        bytes_max: usize,
    ) -> Result<Page, Fault> {
        let mut places = Vec::new();
        for id in &query.ids {
            let (place, peer) = self.place(key, owner, id).await?;
            let wanted = match span.with {
                With::Everybody => true,
                With::Bare(bare) => peer.bare == bare,
                With::Full(full) => peer == full,
            };
            if wanted && place > span.after && place < span.before {
                places.push(place);
            }
        }
        places.sort_unstable();
        places.dedup();
        let count = places.len();
        let newest_first = query.page.before.is_some();
        if newest_first {
            places.reverse();
        }
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for place in places.into_iter().take(max) {
            let Some(row) = self.archives.store.find(owner, place).await? else {
                continue;
            };
            bytes += row.stanza.len() + WRAPPER_BYTES;
            if bytes > bytes_max && !rows.is_empty() {
                break;
            }
            rows.push(row);
        }
        let complete = rows.len() == count;
        Ok(Page {
            count: Some(count),
            ..page(rows, newest_first, complete)
        })
    }
}

fn page(mut rows: Vec<FoundMessage>, newest_first: bool, complete: bool) -> Page {
    if newest_first {
        rows.reverse();
    }
    Page {
        rows,
        complete,
        count: None,
    }
}

/// §5: where an archive begins and ends.
pub struct MetadataIq(pub Arc<Archives>);

impl HandleIq for MetadataIq {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        if cx.router().destination(iq.account.domain()) != Destination::Users {
            return Err(Condition::ServiceUnavailable.into());
        }
        Ok(Reply::Payload(metadata(&self.0, iq.account).await?))
    }
}

/// The `<metadata/>` of an archive.
pub async fn metadata(archives: &Archives, owner: &BareJid) -> Result<String, Fault> {
    archives.settled(owner).await;
    let key = archives.key(owner).await?;
    let whole = Span {
        after: ArchiveKey::START,
        before: ArchiveKey::END,
        with: With::Everybody,
    };
    let mut xml = Writer::new();
    xml.start("metadata", NS);
    for (name, newest_first) in [("start", false), ("end", true)] {
        let end = archives.store.page(owner, &whole, newest_first, 1).await?;
        if let Some(row) = end.rows.first() {
            xml.start(name, NS)
                .attr("id", &ids::write(&key, row.key))
                .attr("timestamp", &Timestamp(row.key.stamp).to_string())
                .end();
        }
    }
    Ok(xml.finish_string())
}
