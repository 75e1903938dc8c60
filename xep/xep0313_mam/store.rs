//! Every SQL statement about archives. All of them walk an index from a known place, so what they cost depends on the
//! rows they give and not on the rows there are.

use kim_core::clock::Timestamp;
use kim_core::db::{BoxFuture, Db, DbError, Query, Row, Sink, SinkRow, Traces, Tx};
use kim_core::jid::BareJid;

use super::tail::UnderWay;

/// The place of a message in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveKey {
    /// When it was stored, in microseconds.
    pub stamp: i64,
    /// Tells messages of the same microsecond apart.
    pub tie: i64,
}

impl ArchiveKey {
    /// Before every message.
    pub const START: ArchiveKey = ArchiveKey {
        stamp: i64::MIN,
        tie: i64::MIN,
    };
    /// Behind every message.
    pub const END: ArchiveKey = ArchiveKey {
        stamp: i64::MAX,
        tie: i64::MAX,
    };
}

/// A message in an archive, as it is stored.
pub struct ArchiveRow {
    /// Whose archive.
    pub owner: BareJid,
    /// The time of its place. It counts as on its way as long as the row is there.
    pub under_way: UnderWay,
    /// The rest of its place.
    pub tie: i64,
    /// The tags of the other side: bare and full.
    pub peer: Peer,
    /// The tag of its sender and its own id.
    pub reference: i64,
    /// The tag of its content, for a message the owner sent.
    pub resend: Option<i64>,
    /// Sealed.
    pub stanza: Vec<u8>,
}

/// The tags of the other side of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Of its bare JID.
    pub bare: i64,
    /// Of its JID as it stands in the message.
    pub full: i64,
}

/// Which messages of an archive.
#[derive(Clone, Copy, Debug)]
pub enum With {
    /// All.
    Everybody,
    /// Those whose other side has this bare JID.
    Bare(i64),
    /// Those whose other side has this JID exactly.
    Full(Peer),
}

/// A stretch of an archive; neither end belongs to it.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Behind this.
    pub after: ArchiveKey,
    /// Before this.
    pub before: ArchiveKey,
    /// Of these.
    pub with: With,
}

/// A row that was read.
#[derive(Debug)]
pub struct FoundMessage {
    /// Its place.
    pub key: ArchiveKey,
    /// Sealed.
    pub stanza: Vec<u8>,
}

/// Messages that were read at once.
#[derive(Debug)]
pub struct Chunk {
    /// The messages, in the order in which they were asked for.
    pub rows: Vec<FoundMessage>,
    /// Where to go on; `None` at the end of the span.
    pub next: Option<ArchiveKey>,
}

/// What comes into a message's place.
pub struct Replaced {
    /// Whose archive.
    pub owner: BareJid,
    /// The place.
    pub key: ArchiveKey,
    /// Sealed.
    pub stanza: Vec<u8>,
}

impl SinkRow for Replaced {
    fn row_bytes(&self) -> usize {
        self.owner.as_str().len() + self.stanza.len() + 32
    }
}

fn replace<'a>(tx: &'a mut Tx, rows: &'a [Replaced]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for row in rows {
            let query = Query::new(REPLACE)
                .bind(&row.owner)
                .bind(row.key.stamp)
                .bind(row.key.tie)
                .bind(row.stanza.clone());
            tx.execute(query).await?;
        }
        // What was retracted opens with a key that is still there: the old row must not be found anywhere.
        tx.leaves(Traces::Rows(&["mam_archive"]));
        Ok(())
    })
}

impl SinkRow for ArchiveRow {
    fn row_bytes(&self) -> usize {
        self.owner.as_str().len() + self.stanza.len() + 64
    }
}

fn insert<'a>(tx: &'a mut Tx, rows: &'a [ArchiveRow]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        let rows = rows.iter().map(|row| {
            [
                row.owner.as_str().into(),
                row.under_way.stamp().into(),
                row.tie.into(),
                row.peer.bare.into(),
                row.peer.full.into(),
                row.reference.into(),
                row.resend.into(),
                row.stanza.as_slice().into(),
            ]
        });
        let prefix =
            "INSERT INTO mam_archive (owner, stamp, tie, peer, peer_full, reference, resend, stanza)";
        tx.insert_rows(prefix, rows, "").await?;
        Ok(())
    })
}

/// The same statement for each way to read a span: `$1`–`$4` its ends, `$5` how many, `$6` whose or with whom.
macro_rules! spans {
    ($name:ident, $columns:literal, $whose:literal, $way:literal) => {
        const $name: &str = concat!(
            "SELECT ",
            $columns,
            " FROM mam_archive WHERE ",
            $whose,
            " AND (stamp, tie) > ($1, $2) AND (stamp, tie) < ($3, $4)",
            " ORDER BY stamp ",
            $way,
            ", tie ",
            $way,
            " LIMIT $5"
        );
    };
}

spans!(OLDEST, "owner, stamp, tie, stanza", "owner = $6", "ASC");
spans!(NEWEST, "owner, stamp, tie, stanza", "owner = $6", "DESC");
spans!(OLDEST_BARE, "owner, stamp, tie, stanza", "peer = $6", "ASC");
spans!(NEWEST_BARE, "owner, stamp, tie, stanza", "peer = $6", "DESC");
spans!(
    OLDEST_FULL,
    "owner, stamp, tie, stanza",
    "peer = $6 AND peer_full = $7",
    "ASC"
);
spans!(
    NEWEST_FULL,
    "owner, stamp, tie, stanza",
    "peer = $6 AND peer_full = $7",
    "DESC"
);
spans!(PLACES, "1", "owner = $6", "ASC");
spans!(PLACES_BARE, "1", "peer = $6", "ASC");
spans!(PLACES_FULL, "1", "peer = $6 AND peer_full = $7", "ASC");
const FIND: &str = "SELECT stamp, tie, stanza FROM mam_archive WHERE owner = $1 AND stamp = $2 AND tie = $3";
const IS_THERE: &str = "SELECT peer, peer_full FROM mam_archive WHERE owner = $1 AND stamp = $2 AND tie = $3";
const SENT_LAST: &str = "SELECT stamp, resend FROM mam_archive WHERE owner = $1 AND stamp >= \
     (SELECT CASE WHEN MAX(stamp) < $2 THEN MAX(stamp) ELSE $2 END FROM mam_archive WHERE owner = $1) \
     ORDER BY stamp DESC, tie DESC LIMIT $3";
const WAS_SENT: &str = "SELECT stamp, tie FROM mam_archive \
     WHERE owner = $1 AND stamp = $2 AND resend = $3 LIMIT 1";
const REFERRED: &str = "SELECT stamp, tie FROM (SELECT stamp, tie, reference FROM mam_archive \
     WHERE peer = $1 ORDER BY stamp DESC, tie DESC LIMIT $3) AS recent \
     WHERE reference = $2 ORDER BY stamp DESC, tie DESC LIMIT 4";
const REPLACE: &str = "UPDATE mam_archive SET stanza = $4 WHERE owner = $1 AND stamp = $2 AND tie = $3";
const NEXT_OWNER: &str = "SELECT owner FROM mam_archive WHERE owner > $1 ORDER BY owner LIMIT 1";
const DROP_OLDEST: &str = "DELETE FROM mam_archive WHERE owner = $1 AND stamp < $2 AND stamp <= (SELECT MAX(stamp) FROM \
     (SELECT stamp FROM mam_archive WHERE owner = $1 ORDER BY stamp, tie LIMIT $3) AS oldest)";
const ERASE: [&str; 2] = [
    "DELETE FROM mam_archive WHERE owner = $1",
    "DELETE FROM mam_prefs WHERE owner = $1",
];
const PREFS: &str = "SELECT prefs FROM mam_prefs WHERE owner = $1";
const SET_PREFS: &str = "INSERT INTO mam_prefs (owner, prefs) VALUES ($1, $2) \
     ON CONFLICT (owner) DO UPDATE SET prefs = excluded.prefs";

/// The tables of archives.
#[derive(Clone)]
pub struct ArchiveStore {
    db: Db,
    /// Where messages go.
    pub sink: Sink<ArchiveRow>,
    /// Where what comes into their places goes.
    pub replacements: Sink<Replaced>,
}

fn span_query(sql: [&'static str; 3], owner: &BareJid, span: &Span, rows_max: usize) -> Query {
    let [everybody, bare, full] = sql;
    let query = |sql| {
        Query::new(sql)
            .bind(span.after.stamp)
            .bind(span.after.tie)
            .bind(span.before.stamp)
            .bind(span.before.tie)
            .bind(i64::try_from(rows_max).unwrap_or(i64::MAX))
    };
    match span.with {
        With::Everybody => query(everybody).bind(owner),
        With::Bare(peer) => query(bare).bind(peer),
        With::Full(peer) => query(full).bind(peer.bare).bind(peer.full),
    }
}

/// The query that reads a span from its beginning or its end.
pub(super) fn page_query(owner: &BareJid, span: &Span, newest_first: bool, rows_max: usize) -> Query {
    let sql = if newest_first {
        [NEWEST, NEWEST_BARE, NEWEST_FULL]
    } else {
        [OLDEST, OLDEST_BARE, OLDEST_FULL]
    };
    span_query(sql, owner, span, rows_max)
}

/// The query of [`ArchiveStore::newest`], for the test of its plan.
pub fn newest_query(owner: &BareJid, since: Timestamp, rows_max: usize) -> Query {
    let max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    Query::new(SENT_LAST).bind(owner).bind(since.0).bind(max)
}

/// The query for the messages that a retraction may mean.
pub(super) fn referred_query(peer: i64, reference: i64, looked_at_max: usize) -> Query {
    let max = i64::try_from(looked_at_max).unwrap_or(i64::MAX);
    Query::new(REFERRED).bind(peer).bind(reference).bind(max)
}

fn key(row: &Row) -> Result<ArchiveKey, DbError> {
    Ok(ArchiveKey {
        stamp: row.i64("stamp")?,
        tie: row.i64("tie")?,
    })
}

fn found(row: &Row) -> Result<FoundMessage, DbError> {
    Ok(FoundMessage {
        key: key(row)?,
        stanza: row.bytes("stanza")?,
    })
}

impl ArchiveStore {
    /// The tables in a database.
    pub fn new(db: Db) -> ArchiveStore {
        ArchiveStore {
            sink: db.sink(insert),
            replacements: db.sink(replace),
            db,
        }
    }

    /// Up to `rows_max` messages of a span, from its beginning or its end.
    pub async fn page(
        &self,
        owner: &BareJid,
        span: &Span,
        newest_first: bool,
        rows_max: usize,
    ) -> Result<Chunk, DbError> {
        let read = self
            .db
            .fetch_all(page_query(owner, span, newest_first, rows_max))
            .await?;
        let mut rows = Vec::with_capacity(read.len());
        for row in &read {
            // Two of a hundred million tags may be equal.
            if row.text("owner")? == owner.as_str() {
                rows.push(found(row)?);
            }
        }
        let next = match read.last() {
            Some(last) if read.len() >= rows_max => Some(key(last)?),
            _ => None,
        };
        Ok(Chunk { rows, next })
    }

    /// How many messages a span has, but no more than `rows_max`.
    pub async fn count(&self, owner: &BareJid, span: &Span, rows_max: usize) -> Result<usize, DbError> {
        let query = span_query([PLACES, PLACES_BARE, PLACES_FULL], owner, span, rows_max);
        Ok(self.db.fetch_all(query).await?.len())
    }

    /// One message.
    pub async fn find(&self, owner: &BareJid, key: ArchiveKey) -> Result<Option<FoundMessage>, DbError> {
        let query = Query::new(FIND).bind(owner).bind(key.stamp).bind(key.tie);
        self.db
            .fetch_optional(query)
            .await?
            .as_ref()
            .map(found)
            .transpose()
    }

    /// With whom a message was, if it is there.
    pub async fn peer(&self, owner: &BareJid, key: ArchiveKey) -> Result<Option<Peer>, DbError> {
        let query = Query::new(IS_THERE).bind(owner).bind(key.stamp).bind(key.tie);
        let row = self.db.fetch_optional(query).await?;
        row.map(|row| {
            Ok(Peer {
                bare: row.i64(0)?,
                full: row.i64(1)?,
            })
        })
        .transpose()
    }

    /// The stamps of the messages since then, or else of the newest one, newest first, with the tags of those that may come
    /// again.
    pub async fn newest(
        &self,
        owner: &BareJid,
        since: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<(i64, Option<i64>)>, DbError> {
        let rows = self.db.fetch_all(newest_query(owner, since, rows_max)).await?;
        rows.iter()
            .map(|row| Ok((row.i64(0)?, row.opt_i64(1)?)))
            .collect()
    }

    /// The place of a message of the owner's with this tag, if it is stored.
    pub async fn was_sent(
        &self,
        owner: &BareJid,
        stamp: i64,
        resend: i64,
    ) -> Result<Option<ArchiveKey>, DbError> {
        let query = Query::new(WAS_SENT).bind(owner).bind(stamp).bind(resend);
        self.db.fetch_optional(query).await?.as_ref().map(key).transpose()
    }

    /// The places of the newest messages with a peer that have this reference, among the last `looked_at_max`.
    pub async fn referred(
        &self,
        peer: i64,
        reference: i64,
        looked_at_max: usize,
    ) -> Result<Vec<ArchiveKey>, DbError> {
        let rows = self
            .db
            .fetch_all(referred_query(peer, reference, looked_at_max))
            .await?;
        rows.iter().map(key).collect()
    }

    /// The owner of an archive that comes next in order.
    pub async fn next_owner(&self, after: &str) -> Result<Option<String>, DbError> {
        let row = self.db.fetch_optional(Query::new(NEXT_OWNER).bind(after)).await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// Deletes what is older than `before`, the oldest first and about `rows_max` at a time; tells how many.
    pub async fn drop_oldest(&self, owner: &str, before: i64, rows_max: usize) -> Result<u64, DbError> {
        let max = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let query = Query::new(DROP_OLDEST).bind(owner).bind(before).bind(max);
        self.db.execute(query).await
    }

    /// An account's preferences, sealed.
    pub async fn prefs(&self, owner: &BareJid) -> Result<Option<Vec<u8>>, DbError> {
        let row = self.db.fetch_optional(Query::new(PREFS).bind(owner)).await?;
        row.map(|row| row.bytes(0)).transpose()
    }

    /// Replaces an account's preferences.
    pub async fn set_prefs(&self, owner: &BareJid, sealed: Vec<u8>) -> Result<(), DbError> {
        let query = Query::new(SET_PREFS).bind(owner).bind(sealed);
        self.db.execute(query).await.map(drop)
    }
}

/// Erases an account's archive and preferences.
pub fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for sql in ERASE {
            tx.execute(Query::new(sql).bind(account)).await?;
        }
        Ok(())
    })
}
