//! Rosters, their versions, and subscription requests that wait for an answer: reading. Changes are made in
//! [`super::roster_change`].

use std::sync::Arc;

use kim_core::db::{BoxFuture, Db, DbError, Query, Row, Tx};
use kim_core::jid::BareJid;

use crate::rfc6121_im::item::{Roster, RosterItem};
use crate::rfc6121_im::store::roster_change::{RosterRefusal, StoredChange, WantedChange, make};
use crate::rfc6121_im::subscription::{ContactState, Half};

/// Separates the names of groups; XML cannot carry it.
pub(super) const GROUP_SEPARATOR: char = '\u{1f}';

/// The tables of rosters.
pub struct RosterStore {
    db: Db,
}

impl RosterStore {
    /// The tables in a database.
    pub fn new(db: Db) -> RosterStore {
        RosterStore { db }
    }

    /// A whole roster, in one statement and so of one moment.
    pub async fn load(&self, account: &BareJid) -> Result<Roster, DbError> {
        let rows = self
            .db
            .fetch_all(
                Query::new(
                    "SELECT r.contact, r.listed, r.sub_out, r.sub_in, r.approved, r.name, r.group_names, r.version,
                            v.version AS roster_version, v.floor_version, v.revision
                     FROM im_roster_versions v LEFT JOIN im_roster r ON r.account = v.account
                     WHERE v.account = $1",
                )
                .bind(account.as_str()),
            )
            .await?;
        let Some(first) = rows.first() else {
            return Ok(Roster::default());
        };
        let (version, floor) = (first.i64("roster_version")?, first.i64("floor_version")?);
        let revision = first.i64("revision")?;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.opt_text(0)?.is_some() {
                items.extend(intact(account, read_item(row)).map(Arc::new));
            }
        }
        Ok(Roster::new(version, floor, revision, items))
    }

    /// One contact.
    pub async fn item(&self, account: &BareJid, contact: &BareJid) -> Result<Option<RosterItem>, DbError> {
        self.db
            .fetch_optional(select_item(account, contact))
            .await?
            .map(|row| read_item(&row))
            .transpose()
    }

    /// The contacts removed since a version, with the version in which they were.
    pub async fn removed_since(&self, account: &BareJid, version: i64) -> Result<Vec<RosterItem>, DbError> {
        let query =
            Query::new("SELECT contact, version FROM im_roster_removed WHERE account = $1 AND version > $2")
                .bind(account.as_str())
                .bind(version);
        let mut items = Vec::new();
        for row in self.db.fetch_all(query).await? {
            let version = row.i64(1)?;
            let removed = intact(account, stored_jid(&row.text(0)?));
            items.extend(removed.map(|contact| RosterItem {
                version,
                ..RosterItem::new(contact)
            }));
        }
        Ok(items)
    }

    /// The requests that wait for an answer: who asks, and the stanza if it was kept.
    pub async fn requests(&self, account: &BareJid) -> Result<Vec<(BareJid, Option<Vec<u8>>)>, DbError> {
        let query = Query::new(
            "SELECT contact, request FROM im_roster WHERE account = $1 AND sub_in = 1 ORDER BY contact",
        )
        .bind(account.as_str());
        let mut requests = Vec::new();
        for row in self.db.fetch_all(query).await? {
            if let Some(contact) = intact(account, stored_jid(&row.text(0)?)) {
                requests.push((contact, row.opt_bytes(1)?));
            }
        }
        Ok(requests)
    }

    /// Makes a change and gives it back once it is committed. Contact and roster are read in the same transaction, so
    /// changes never build on something old, whoever else writes.
    pub async fn change(
        &self,
        wanted: Arc<WantedChange>,
    ) -> Result<Result<StoredChange, RosterRefusal>, DbError> {
        self.db.write(move |tx| Box::pin(make(tx, wanted.clone()))).await
    }
}

pub(super) fn select_item(account: &BareJid, contact: &BareJid) -> Query {
    Query::new(
        "SELECT contact, listed, sub_out, sub_in, approved, name, group_names, version
         FROM im_roster WHERE account = $1 AND contact = $2",
    )
    .bind(account.as_str())
    .bind(contact.as_str())
}

/// Reads the columns of [`select_item`].
pub(super) fn read_item(row: &Row) -> Result<RosterItem, DbError> {
    let groups = row.text(6)?;
    Ok(RosterItem {
        contact: stored_jid(&row.text(0)?)?,
        listed: row.i64(1)? != 0,
        state: ContactState {
            outgoing: half(row.i64(2)?),
            incoming: half(row.i64(3)?),
            approved: row.i64(4)? != 0,
        },
        name: row.opt_text(5)?.map(String::into_boxed_str),
        groups: groups
            .split(GROUP_SEPARATOR)
            .filter(|group| !group.is_empty())
            .map(Box::from)
            .collect(),
        version: row.i64(7)?,
    })
}

/// What was read of one row. A damaged row is logged and left out: the rest of the roster is not to go with it.
fn intact<T>(account: &BareJid, read: Result<T, DbError>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(error) => {
            tracing::error!(event = "roster_row_unreadable", %account, %error);
            None
        }
    }
}

fn stored_jid(text: &str) -> Result<BareJid, DbError> {
    BareJid::parse(text).map_err(|_| DbError::Column("im_roster.contact is not an address".into()))
}

fn half(number: i64) -> Half {
    match number {
        1 => Half::Asked,
        2 => Half::Yes,
        _ => Half::No,
    }
}

pub(super) fn half_number(half: Half) -> i64 {
    match half {
        Half::No => 0,
        Half::Asked => 1,
        Half::Yes => 2,
    }
}

/// Erases an account's roster.
pub fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for sql in [
            "DELETE FROM im_roster WHERE account = $1",
            "DELETE FROM im_roster_versions WHERE account = $1",
            "DELETE FROM im_roster_removed WHERE account = $1",
        ] {
            tx.execute(Query::new(sql).bind(account.as_str())).await?;
        }
        Ok(())
    })
}
