//! The tables of rooms. Everything that changes goes through one sink, in the order in which it was decided, together with
//! the messages of the same turn.

use kim_core::db::{BoxFuture, Db, DbError, Query, Row, Sink, SinkRow, Tx};
use kim_core::jid::{BareJid, Jid};

use super::privileges::Affiliation;
use super::views::Listed;
use crate::xep0313_mam::api as mam;

/// Something to be written.
pub enum RoomChange {
    /// A room, new or changed; its subject stays.
    Room(Box<RoomRow>),
    /// The subject, sealed.
    Subject(BareJid, Vec<u8>),
    /// An affiliation.
    Member(Box<MemberRow>),
    /// Somebody has none any more.
    NoMember(BareJid, BareJid),
    /// An occupant's session, new or changed.
    Occupant(Box<OccupantRow>),
    /// A session has left.
    NoOccupant(BareJid, Jid),
    /// A default room was made.
    Default(BareJid),
    /// A room is destroyed, with its archive and its key.
    Gone(BareJid),
}

/// A row of `muc_rooms`.
pub struct RoomRow {
    /// Its address.
    pub room: BareJid,
    /// The name under which anybody may find it.
    pub listed: Option<String>,
    /// Whether it stays when nobody is there.
    pub persistent: bool,
    /// Who made it.
    pub creator: Box<str>,
    /// When, in microseconds.
    pub created: i64,
    /// Sealed.
    pub state: Vec<u8>,
}

/// A row of `muc_affiliations`.
pub struct MemberRow {
    /// Where.
    pub room: BareJid,
    /// Who.
    pub jid: BareJid,
    /// What.
    pub affiliation: Affiliation,
    /// Since when.
    pub since: i64,
    /// Sealed.
    pub note: Option<Vec<u8>>,
}

/// A row of `muc_occupants`.
pub struct OccupantRow {
    /// Where.
    pub room: BareJid,
    /// The full JID.
    pub jid: Jid,
    /// Sealed.
    pub state: Vec<u8>,
}

impl SinkRow for RoomChange {
    fn row_bytes(&self) -> usize {
        match self {
            RoomChange::Room(row) => row.state.len() + 300,
            RoomChange::Subject(_, sealed) => sealed.len() + 100,
            RoomChange::Occupant(row) => row.state.len() + 200,
            _ => 200,
        }
    }
}

const SAVE_ROOM: &str = "INSERT INTO muc_rooms (room, service, listed, persistent, creator, created_at, state) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (room) DO UPDATE SET listed = excluded.listed, \
     persistent = excluded.persistent, creator = excluded.creator, state = excluded.state";
const SAVE_SUBJECT: &str = "UPDATE muc_rooms SET subject = $2 WHERE room = $1";
const SAVE_MEMBER: &str = "INSERT INTO muc_affiliations (room, jid, affiliation, since, note) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (room, jid) DO UPDATE SET affiliation = excluded.affiliation, since = excluded.since, note = excluded.note";
const DROP_MEMBER: &str = "DELETE FROM muc_affiliations WHERE room = $1 AND jid = $2";
const SAVE_OCCUPANT: &str = "INSERT INTO muc_occupants (room, jid, account, state) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (room, jid) DO UPDATE SET state = excluded.state";
const DROP_OCCUPANT: &str = "DELETE FROM muc_occupants WHERE room = $1 AND jid = $2";
const MADE_DEFAULT: &str = "INSERT INTO muc_defaults (room) VALUES ($1) ON CONFLICT (room) DO NOTHING";
const DROP_ROOM: [&str; 3] = [
    "DELETE FROM muc_rooms WHERE room = $1",
    "DELETE FROM muc_affiliations WHERE room = $1",
    "DELETE FROM muc_occupants WHERE room = $1",
];
const LOAD_STATE: &str = "SELECT state FROM muc_rooms WHERE room = $1";
const LOAD_ROOM: &str = "SELECT creator, created_at, state, subject FROM muc_rooms WHERE room = $1";
const LOAD_MEMBERS: &str =
    "SELECT jid, affiliation, since, note FROM muc_affiliations WHERE room = $1 ORDER BY jid";
const LOAD_OCCUPANTS: &str = "SELECT jid, state FROM muc_occupants WHERE room = $1 ORDER BY jid";
const IS_MADE: &str = "SELECT 1 FROM muc_defaults WHERE room = $1";
const CREATED_BY: &str = "SELECT COUNT(*) FROM muc_rooms WHERE creator = $1";
const LISTED: &str = "SELECT room, listed FROM muc_rooms WHERE service = $1 AND room > $2 AND listed IS NOT NULL \
     ORDER BY room LIMIT $3";
const LISTED_BACK: &str = "SELECT room, listed FROM muc_rooms WHERE service = $1 AND room < $2 AND listed IS NOT NULL \
     ORDER BY room DESC LIMIT $3";
const PUBLIC: &str =
    "SELECT room, state FROM muc_rooms WHERE room > $1 AND listed IS NOT NULL ORDER BY room LIMIT $2";
const LISTED_COUNT: &str = "SELECT COUNT(*) FROM muc_rooms WHERE service = $1 AND listed IS NOT NULL";
const ROOMS_OF: &str = "SELECT room, affiliation FROM muc_affiliations WHERE jid = $1 ORDER BY room";
const LEFT_BEHIND: &str = "SELECT room FROM (SELECT room FROM muc_rooms WHERE persistent = 0 \
     UNION SELECT room FROM muc_occupants) AS one WHERE room > $1 ORDER BY room LIMIT $2";
const ERASE: [&str; 3] = [
    "DELETE FROM muc_affiliations WHERE jid = $1",
    "DELETE FROM muc_occupants WHERE account = $1",
    "UPDATE muc_rooms SET creator = '' WHERE creator = $1",
];

fn apply<'a>(tx: &'a mut Tx, changes: &'a [RoomChange]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for change in changes {
            write(tx, change).await?;
        }
        Ok(())
    })
}

async fn write(tx: &mut Tx, change: &RoomChange) -> Result<(), DbError> {
    let query = match change {
        RoomChange::Room(row) => Query::new(SAVE_ROOM)
            .bind(&row.room)
            .bind(row.room.domain())
            .bind(row.listed.as_deref())
            .bind(row.persistent)
            .bind(&*row.creator)
            .bind(row.created)
            .bind(row.state.as_slice()),
        RoomChange::Subject(room, sealed) => Query::new(SAVE_SUBJECT).bind(room).bind(sealed.as_slice()),
        RoomChange::Member(row) => Query::new(SAVE_MEMBER)
            .bind(&row.room)
            .bind(&row.jid)
            .bind(row.affiliation.as_str())
            .bind(row.since)
            .bind(row.note.as_deref()),
        RoomChange::NoMember(room, jid) => Query::new(DROP_MEMBER).bind(room).bind(jid),
        RoomChange::Occupant(row) => Query::new(SAVE_OCCUPANT)
            .bind(&row.room)
            .bind(&row.jid)
            .bind(row.jid.bare_str())
            .bind(row.state.as_slice()),
        RoomChange::NoOccupant(room, jid) => Query::new(DROP_OCCUPANT).bind(room).bind(jid),
        RoomChange::Default(room) => Query::new(MADE_DEFAULT).bind(room),
        RoomChange::Gone(room) => {
            for sql in DROP_ROOM {
                tx.execute(Query::new(sql).bind(room)).await?;
            }
            mam::erase(tx, room).await?;
            return kim_core::seal::erase(tx, room).await;
        }
    };
    tx.execute(query).await.map(|_| ())
}

/// A room as it lies in the database.
pub struct Stored {
    /// Who made it.
    pub creator: String,
    /// When, in microseconds.
    pub created: i64,
    /// Sealed.
    pub state: Vec<u8>,
    /// Sealed.
    pub subject: Option<Vec<u8>>,
    /// Address, affiliation, since when, and the sealed note.
    pub members: Vec<(BareJid, Affiliation, i64, Option<Vec<u8>>)>,
    /// Full JID and sealed state.
    pub occupants: Vec<(Jid, Vec<u8>)>,
}

/// The tables.
#[derive(Clone)]
pub struct RoomStore {
    db: Db,
    /// Where changes go.
    pub sink: Sink<RoomChange>,
}

impl RoomStore {
    /// The tables in a database.
    pub fn new(db: Db) -> RoomStore {
        RoomStore {
            sink: db.sink(apply),
            db,
        }
    }

    /// The settings of a room, sealed.
    pub async fn state(&self, room: &BareJid) -> Result<Option<Vec<u8>>, DbError> {
        let row = self.db.fetch_optional(Query::new(LOAD_STATE).bind(room)).await?;
        row.map(|row| row.bytes(0)).transpose()
    }

    /// A room with all that belongs to it.
    pub async fn load(&self, room: &BareJid) -> Result<Option<Stored>, DbError> {
        let Some(row) = self.db.fetch_optional(Query::new(LOAD_ROOM).bind(room)).await? else {
            return Ok(None);
        };
        let mut members = Vec::new();
        for row in self.db.fetch_all(Query::new(LOAD_MEMBERS).bind(room)).await? {
            let affiliation = Affiliation::parse(&row.text(1)?);
            if let (Ok(jid), Some(affiliation)) = (BareJid::parse(&row.text(0)?), affiliation) {
                members.push((jid, affiliation, row.i64(2)?, row.opt_bytes(3)?));
            }
        }
        let mut occupants = Vec::new();
        for row in self.db.fetch_all(Query::new(LOAD_OCCUPANTS).bind(room)).await? {
            if let Ok(jid) = Jid::parse(&row.text(0)?) {
                occupants.push((jid, row.bytes(1)?));
            }
        }
        Ok(Some(Stored {
            creator: row.text(0)?,
            created: row.i64(1)?,
            state: row.bytes(2)?,
            subject: row.opt_bytes(3)?,
            members,
            occupants,
        }))
    }

    /// Whether a default room was made before.
    pub async fn is_default_made(&self, room: &BareJid) -> Result<bool, DbError> {
        Ok(self
            .db
            .fetch_optional(Query::new(IS_MADE).bind(room))
            .await?
            .is_some())
    }

    /// How many rooms an account has made.
    pub async fn created_by(&self, account: &BareJid) -> Result<usize, DbError> {
        self.count(Query::new(CREATED_BY).bind(account)).await
    }

    /// Public rooms of a service behind an address.
    pub async fn listed(&self, service: &str, after: &str, rooms_max: usize) -> Result<Vec<Listed>, DbError> {
        self.page(LISTED, service, after, rooms_max).await
    }

    /// Public rooms of a service before an address, or the last ones; in order.
    pub async fn listed_before(
        &self,
        service: &str,
        before: Option<&str>,
        rooms_max: usize,
    ) -> Result<Vec<Listed>, DbError> {
        // Behind every text that UTF-8 has.
        let before = before.unwrap_or("\u{10ffff}");
        let mut page = self.page(LISTED_BACK, service, before, rooms_max).await?;
        page.reverse();
        Ok(page)
    }

    async fn page(
        &self,
        sql: &'static str,
        service: &str,
        end: &str,
        rooms_max: usize,
    ) -> Result<Vec<Listed>, DbError> {
        let max = i64::try_from(rooms_max).unwrap_or(i64::MAX);
        let query = Query::new(sql).bind(service).bind(end).bind(max);
        let mut page = Vec::new();
        for row in self.db.fetch_all(query).await? {
            if let Ok(jid) = BareJid::parse(&row.text(0)?) {
                page.push(Listed {
                    jid,
                    name: row.text(1)?,
                });
            }
        }
        Ok(page)
    }

    /// Public rooms of all services behind an address, with their sealed state.
    pub async fn public(&self, after: &str, rooms_max: usize) -> Result<Vec<(BareJid, Vec<u8>)>, DbError> {
        let mut rooms = Vec::new();
        for row in self.db.fetch_all(public_query(after, rooms_max)).await? {
            if let Ok(jid) = BareJid::parse(&row.text(0)?) {
                rooms.push((jid, row.bytes(1)?));
            }
        }
        Ok(rooms)
    }

    /// How many public rooms a service has.
    pub async fn listed_count(&self, service: &str) -> Result<usize, DbError> {
        self.count(Query::new(LISTED_COUNT).bind(service)).await
    }

    async fn count(&self, query: Query) -> Result<usize, DbError> {
        let row: Option<Row> = self.db.fetch_optional(query).await?;
        let count = row.map_or(Ok(0), |row| row.i64(0))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// The rooms that somebody has an affiliation in.
    pub async fn rooms_of(&self, user: &BareJid) -> Result<Vec<(BareJid, Affiliation)>, DbError> {
        let mut rooms = Vec::new();
        for row in self.db.fetch_all(Query::new(ROOMS_OF).bind(user)).await? {
            if let (Ok(room), Some(affiliation)) =
                (BareJid::parse(&row.text(0)?), Affiliation::parse(&row.text(1)?))
            {
                rooms.push((room, affiliation));
            }
        }
        Ok(rooms)
    }

    /// Rooms that may have nobody left in them although they say so, or that should be gone, behind an address.
    pub async fn left_behind(&self, after: &str, rooms_max: usize) -> Result<Vec<BareJid>, DbError> {
        let max = i64::try_from(rooms_max).unwrap_or(i64::MAX);
        let rows = self
            .db
            .fetch_all(Query::new(LEFT_BEHIND).bind(after).bind(max))
            .await?;
        let mut rooms = Vec::new();
        for row in rows {
            rooms.extend(BareJid::parse(&row.text(0)?));
        }
        Ok(rooms)
    }
}

/// Public rooms of all services behind an address.
pub fn public_query(after: &str, rooms_max: usize) -> Query {
    let max = i64::try_from(rooms_max).unwrap_or(i64::MAX);
    Query::new(PUBLIC).bind(after).bind(max)
}

/// Erases an account from all rooms.
pub fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for sql in ERASE {
            tx.execute(Query::new(sql).bind(account)).await?;
        }
        Ok(())
    })
}
