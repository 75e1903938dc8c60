//! A change of one contact, in one transaction: limits, the new state, the new version, what was removed.

use std::sync::Arc;

use kim_core::db::{DbError, Query, Tx};
use kim_core::jid::BareJid;

use super::roster::{GROUP_SEPARATOR, half_number, read_item, select_item};
use crate::rfc6121_im::change::{self, Edit, Follow};
use crate::rfc6121_im::item::RosterItem;
use crate::rfc6121_im::subscription::Half;

/// Removed contacts that are remembered for each account; clients that missed more get the whole roster.
const REMOVED_MAX: i64 = 100;

/// Limits on one account's roster.
#[derive(Clone, Copy, Debug)]
pub struct RosterLimits {
    /// Items.
    pub items_max: usize,
    /// Characters of addresses, names and groups in all items together.
    pub text_chars_max: usize,
    /// Requests that wait for an answer.
    pub requests_max: usize,
}

/// A change that is to be stored.
pub struct WantedChange {
    /// Whose roster.
    pub account: BareJid,
    /// Which contact.
    pub contact: BareJid,
    /// What happens to it.
    pub edit: Edit,
    /// The time in microseconds: versions never fall behind it, so none is ever used for two rosters.
    pub now: i64,
    /// What the roster may hold.
    pub limits: RosterLimits,
}

/// A change as it was stored.
#[derive(Clone, Debug)]
pub struct StoredChange {
    /// The contact before; `None` if nothing was known about it.
    pub before: Option<Arc<RosterItem>>,
    /// The contact now; `None` if nothing is known about it any more.
    pub after: Option<Arc<RosterItem>>,
    /// Whether clients see a difference.
    pub visible: bool,
    /// What follows.
    pub follow: Follow,
    /// The roster's version now; like the next two, 0 if nothing changed.
    pub version: i64,
    /// The oldest version from which removals are known.
    pub floor: i64,
    /// The roster's revision now.
    pub revision: i64,
}

impl StoredChange {
    /// What follows from something that changes nothing.
    pub fn nothing(item: Option<Arc<RosterItem>>, follow: Follow) -> StoredChange {
        StoredChange {
            before: item.clone(),
            after: item,
            visible: false,
            follow,
            version: 0,
            floor: 0,
            revision: 0,
        }
    }
}

/// Why a change was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RosterRefusal {
    /// The roster is full.
    RosterFull,
    /// Too many requests wait for the account's answer.
    TooManyRequests,
    /// There is no such item to remove.
    NoSuchItem,
}

/// Makes a change. Contact and roster are read in the same transaction.
pub(super) async fn make(
    tx: &mut Tx,
    wanted: Arc<WantedChange>,
) -> Result<Result<StoredChange, RosterRefusal>, DbError> {
    let WantedChange {
        account,
        contact,
        edit,
        now,
        ..
    } = &*wanted;
    let (version, floor, revision) = lock(tx, account).await?;
    let before = tx
        .fetch_optional(select_item(account, contact))
        .await?
        .map(|row| read_item(&row))
        .transpose()?;
    let Some(change::SubscriptionOutcome { mut item, follow }) =
        change::apply(before.as_ref(), contact, edit)
    else {
        return Ok(Err(RosterRefusal::NoSuchItem));
    };
    let blank = RosterItem::new(contact.clone());
    let was = before.as_ref().unwrap_or(&blank);
    if let Some(refusal) = over_limit(tx, was, &item, &wanted).await? {
        return Ok(Err(refusal));
    }
    let visible = !item.looks_like(was);
    if item == *was {
        return Ok(Ok(StoredChange::nothing(before.map(Arc::new), follow)));
    }
    let new_version = if visible {
        now.max(&(version + 1)).to_owned()
    } else {
        version
    };
    if visible {
        item.version = new_version;
    }
    match item.is_empty() {
        true => delete_item(tx, account, contact).await?,
        false => write_item(tx, account, &item, edit).await?,
    }
    // Nobody can hold a version older than the roster's first.
    let mut new_floor = if version == 0 { new_version } else { floor };
    if was.listed != item.listed {
        new_floor = new_floor.max(note_removal(tx, account, contact, !item.listed, new_version).await?);
    }
    let query = Query::new(
        "UPDATE im_roster_versions SET version = $2, floor_version = $3, revision = $4 WHERE account = $1",
    );
    tx.execute(
        query
            .bind(account.as_str())
            .bind(new_version)
            .bind(new_floor)
            .bind(revision + 1),
    )
    .await?;
    Ok(Ok(StoredChange {
        before: before.map(Arc::new),
        after: (!item.is_empty()).then(|| Arc::new(item)),
        visible,
        follow,
        version: new_version,
        floor: new_floor,
        revision: revision + 1,
    }))
}

/// Holds the roster for this transaction (PostgreSQL locks the row) and tells version, floor and revision.
async fn lock(tx: &mut Tx, account: &BareJid) -> Result<(i64, i64, i64), DbError> {
    let query = Query::new(
        "INSERT INTO im_roster_versions (account, version, floor_version, revision) VALUES ($1, 0, 0, 0)
         ON CONFLICT (account) DO UPDATE SET revision = im_roster_versions.revision
         RETURNING version, floor_version, revision",
    );
    match tx.fetch_optional(query.bind(account.as_str())).await? {
        Some(row) => Ok((row.i64(0)?, row.i64(1)?, row.i64(2)?)),
        None => Err(DbError::Refused("the roster's version could not be written")),
    }
}

async fn over_limit(
    tx: &mut Tx,
    was: &RosterItem,
    now: &RosterItem,
    wanted: &WantedChange,
) -> Result<Option<RosterRefusal>, DbError> {
    let WantedChange {
        account,
        contact,
        limits,
        ..
    } = wanted;
    if now.listed && (!was.listed || now.text_chars() > was.text_chars()) {
        let query = Query::new(
            "SELECT COUNT(*), SUM(LENGTH(contact) + LENGTH(COALESCE(name, '')) + LENGTH(group_names))
             FROM im_roster WHERE account = $1 AND listed = 1 AND contact <> $2",
        );
        let (others, chars) = counts(tx, query.bind(account.as_str()).bind(contact.as_str())).await?;
        if others >= limits.items_max || chars + now.text_chars() > limits.text_chars_max {
            return Ok(Some(RosterRefusal::RosterFull));
        }
    }
    if now.state.incoming == Half::Asked && was.state.incoming != Half::Asked {
        let query = Query::new("SELECT COUNT(*), 0 FROM im_roster WHERE account = $1 AND sub_in = 1");
        if counts(tx, query.bind(account.as_str())).await?.0 >= limits.requests_max {
            return Ok(Some(RosterRefusal::TooManyRequests));
        }
    }
    Ok(None)
}

/// A count and a sum.
async fn counts(tx: &mut Tx, query: Query) -> Result<(usize, usize), DbError> {
    let Some(row) = tx.fetch_optional(query).await? else {
        return Ok((0, 0));
    };
    let number = |value: Option<i64>| usize::try_from(value.unwrap_or(0)).unwrap_or(0);
    Ok((number(row.opt_i64(0)?), number(row.opt_i64(1)?)))
}

async fn delete_item(tx: &mut Tx, account: &BareJid, contact: &BareJid) -> Result<(), DbError> {
    let query = Query::new("DELETE FROM im_roster WHERE account = $1 AND contact = $2")
        .bind(account.as_str())
        .bind(contact.as_str());
    tx.execute(query).await.map(drop)
}

async fn write_item(tx: &mut Tx, account: &BareJid, item: &RosterItem, edit: &Edit) -> Result<(), DbError> {
    let request = match edit {
        Edit::Inbound(_, request) => request.as_deref(),
        _ => None,
    };
    let query = Query::new(
        "INSERT INTO im_roster
             (account, contact, listed, sub_out, sub_in, approved, name, group_names, version, request)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (account, contact) DO UPDATE SET
             listed = excluded.listed, sub_out = excluded.sub_out, sub_in = excluded.sub_in,
             approved = excluded.approved, name = excluded.name, group_names = excluded.group_names,
             version = excluded.version,
             request = CASE WHEN excluded.sub_in = 1 THEN COALESCE(excluded.request, im_roster.request) END",
    );
    let waits = item.state.incoming == Half::Asked;
    let query = query
        .bind(account.as_str())
        .bind(item.contact.as_str())
        .bind(item.listed)
        .bind(half_number(item.state.outgoing))
        .bind(half_number(item.state.incoming))
        .bind(item.state.approved)
        .bind(item.name.as_deref())
        .bind(item.groups.join(&*GROUP_SEPARATOR.to_string()))
        .bind(item.version)
        .bind(request.filter(|_| waits));
    tx.execute(query).await.map(drop)
}

/// Remembers a removal, or forgets it because the contact is back; gives the version up to which removals are forgotten.
async fn note_removal(
    tx: &mut Tx,
    account: &BareJid,
    contact: &BareJid,
    removed: bool,
    version: i64,
) -> Result<i64, DbError> {
    if !removed {
        let query = Query::new("DELETE FROM im_roster_removed WHERE account = $1 AND contact = $2");
        tx.execute(query.bind(account.as_str()).bind(contact.as_str()))
            .await?;
        return Ok(0);
    }
    let query = Query::new(
        "INSERT INTO im_roster_removed (account, contact, version) VALUES ($1, $2, $3)
         ON CONFLICT (account, contact) DO UPDATE SET version = excluded.version",
    );
    tx.execute(query.bind(account.as_str()).bind(contact.as_str()).bind(version))
        .await?;
    let query = Query::new(
        "SELECT version FROM im_roster_removed WHERE account = $1 ORDER BY version DESC LIMIT 1 OFFSET $2",
    );
    let Some(row) = tx
        .fetch_optional(query.bind(account.as_str()).bind(REMOVED_MAX))
        .await?
    else {
        return Ok(0);
    };
    let forgotten = row.i64(0)?;
    let query = Query::new("DELETE FROM im_roster_removed WHERE account = $1 AND version <= $2");
    tx.execute(query.bind(account.as_str()).bind(forgotten)).await?;
    Ok(forgotten)
}
