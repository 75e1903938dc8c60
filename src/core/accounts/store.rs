//! Every SQL statement about accounts.

use super::scram::{Hash, ScramKeys};
use super::tokens::{Bearer, Scopes, TokenRow};
use super::{AccountError, Enrolled, Enrolment, Epoch, Eraser, Proviso, Tombstone};
use crate::db::{Db, DbError, Query, Row, Traces, Tx};
use crate::jid::{BareJid, skeleton};
use crate::random;

/// A registered account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its address.
    pub account: BareJid,
    /// When it was registered, in microseconds since 1970.
    pub created_at: i64,
    /// Who let its owner have it.
    pub enrolment: Enrolment,
}

impl Account {
    /// How it came to be.
    pub(super) fn enrolled(&self) -> Enrolled {
        Enrolled {
            at: self.created_at,
            by: self.enrolment,
        }
    }
}

const FIND: &str = "SELECT account, created_at, enrolment FROM accounts WHERE account = $1";
const LIST: &str =
    "SELECT account, created_at, enrolment FROM accounts WHERE account > $1 ORDER BY account LIMIT $2";
const EPOCH: &str = "SELECT epoch FROM accounts WHERE account = $1";
const SET_EPOCH: &str = "UPDATE accounts SET epoch = $2 WHERE account = $1";
const LOOKALIKE: &str = "SELECT account FROM accounts WHERE skeleton = $1 LIMIT 1";
const WITHOUT_SKELETON: &str = "SELECT account FROM accounts WHERE skeleton IS NULL LIMIT $1";
const SET_SKELETON: &str = "UPDATE accounts SET skeleton = $2 WHERE account = $1";
const KEYS: &str = "SELECT k.iterations, k.salt, k.stored_key, k.server_key, a.epoch FROM account_keys k \
     JOIN accounts a ON a.account = k.account WHERE k.account = $1 AND k.hash = $2";
const REMOVED_AT: &str = "SELECT removed_at FROM account_tombstones WHERE account = $1";
const CREATE: &str = "INSERT INTO accounts (account, created_at, epoch, skeleton, enrolment) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account) DO NOTHING";
const FORGET_TOMBSTONE: &str = "DELETE FROM account_tombstones WHERE account = $1";
const INSERT_KEYS: &str =
    "INSERT INTO account_keys (account, hash, iterations, salt, stored_key, server_key)";
const COUNT: &str = "SELECT COUNT(*) FROM accounts";
/// What the transaction is undone with if the name was taken at the last moment.
const TAKEN: &str = "the account exists already";
const DELETE_KEYS: &str = "DELETE FROM account_keys WHERE account = $1";
const DELETE: &str = "DELETE FROM accounts WHERE account = $1";
const BURY: &str = "INSERT INTO account_tombstones (account, removed_at) VALUES ($1, $2) \
     ON CONFLICT (account) DO UPDATE SET removed_at = excluded.removed_at";
const ADD_TOKEN: &str = "INSERT INTO account_tokens (token_hash, id, account, scopes, created_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6)";
const TIDY_TOKENS: &str = "DELETE FROM account_tokens WHERE account = $1 AND (expires_at <= $2 OR token_hash NOT IN \
     (SELECT token_hash FROM account_tokens WHERE account = $1 ORDER BY created_at DESC LIMIT $3))";
const BEARER: &str = "SELECT a.account, t.id, t.scopes, a.epoch FROM account_tokens t \
     JOIN accounts a ON a.account = t.account WHERE t.token_hash = $1 AND t.expires_at > $2";
const LIST_TOKENS: &str = "SELECT id, scopes, created_at, expires_at FROM account_tokens \
     WHERE account = $1 AND expires_at > $2 ORDER BY created_at DESC, id";
const DELETE_TOKEN: &str = "DELETE FROM account_tokens WHERE account = $1 AND id = $2";
const DELETE_TOKENS: &str = "DELETE FROM account_tokens WHERE account = $1";
pub(super) const OVER_TOKENS: &str = "DELETE FROM account_tokens WHERE token_hash IN \
     (SELECT token_hash FROM account_tokens WHERE expires_at <= $1 LIMIT $2)";

fn address(row: &Row) -> Result<BareJid, DbError> {
    BareJid::parse(&row.text(0)?)
        .map_err(|_| DbError::Column("the table accounts holds something that is no address".into()))
}

fn account(row: &Row) -> Result<Account, DbError> {
    Ok(Account {
        account: address(row)?,
        created_at: row.i64(1)?,
        enrolment: Enrolment::parse(&row.text(2)?),
    })
}

pub(super) async fn find(db: &Db, name: &BareJid) -> Result<Option<Account>, DbError> {
    db.fetch_optional(Query::new(FIND).bind(name))
        .await?
        .map(|row| account(&row))
        .transpose()
}

pub(super) async fn list(db: &Db, after: Option<&BareJid>, rows_max: u32) -> Result<Vec<Account>, DbError> {
    // The empty text stands before every address.
    let after = after.map_or("", |account| account.as_str());
    let rows = db.fetch_all(Query::new(LIST).bind(after).bind(rows_max)).await?;
    let mut listed = Vec::with_capacity(rows.len());
    for row in &rows {
        match account(row) {
            Ok(account) => listed.push(account),
            // A damaged row hides no other.
            Err(error) => tracing::error!(event = "account_unreadable", account = row.text(0)?, %error),
        }
    }
    Ok(listed)
}

pub(super) async fn count(db: &Db) -> Result<u64, DbError> {
    let row = db.fetch_optional(Query::new(COUNT)).await?;
    let count = row.map_or(Ok(0), |row| row.i64(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The keys of an account, and which password they were made of.
pub(super) async fn keys(db: &Db, name: &BareJid, hash: Hash) -> Result<Option<(ScramKeys, Epoch)>, DbError> {
    let query = Query::new(KEYS).bind(name).bind(hash.name());
    let Some(row) = db.fetch_optional(query).await? else {
        return Ok(None);
    };
    let iterations = u32::try_from(row.i64(0)?).unwrap_or(0);
    let keys = ScramKeys::from_parts(hash, iterations, row.bytes(1)?, row.bytes(2)?, row.bytes(3)?);
    let keys = keys.ok_or_else(|| DbError::Column("the table account_keys holds malformed keys".into()))?;
    Ok(Some((keys, Epoch(row.i64(4)?))))
}

pub(super) async fn epoch(db: &Db, name: &BareJid) -> Result<Option<Epoch>, DbError> {
    db.fetch_optional(Query::new(EPOCH).bind(name))
        .await?
        .map(|row| row.i64(0).map(Epoch))
        .transpose()
}

fn new_epoch() -> i64 {
    i64::from_le_bytes(random::bytes())
}

/// What the names that look like this one have in common. Letters of the domain are the operator's choice.
fn skeleton_of(name: &BareJid) -> String {
    format!("{}@{}", skeleton(name.local().unwrap_or_default()), name.domain())
}

/// Gives a page of accounts that were made by an older kIM their skeletons; tells how many got one.
pub(super) async fn add_skeletons(db: &Db, rows_max: u32) -> Result<usize, DbError> {
    db.write(move |tx| {
        Box::pin(async move {
            let rows = tx.fetch_all(Query::new(WITHOUT_SKELETON).bind(rows_max)).await?;
            for row in &rows {
                let text = row.text(0)?;
                // A damaged address looks like no other.
                let skeleton = BareJid::parse(&text).map_or(String::new(), |name| skeleton_of(&name));
                tx.execute(Query::new(SET_SKELETON).bind(&text).bind(skeleton))
                    .await?;
            }
            Ok(rows.len())
        })
    })
    .await
}

pub(super) async fn removed_at(db: &Db, name: &BareJid) -> Result<Option<i64>, DbError> {
    db.fetch_optional(Query::new(REMOVED_AT).bind(name))
        .await?
        .map(|row| row.i64(0))
        .transpose()
}

pub(super) async fn create(
    db: &Db,
    name: &BareJid,
    keys: Vec<ScramKeys>,
    enrolled: Enrolled,
    tombstone: Tombstone,
    proviso: Option<Proviso>,
) -> Result<(), AccountError> {
    let name = name.clone();
    let created = db.write(move |tx| {
        let (name, keys, proviso) = (name.clone(), keys.clone(), proviso.clone());
        Box::pin(async move { create_in(tx, &name, &keys, enrolled, tombstone, proviso).await })
    });
    match created.await {
        Ok(created) => created,
        Err(DbError::Refused(TAKEN)) => Err(AccountError::Exists),
        Err(DbError::Refused(why)) => Err(AccountError::NotMet(why)),
        Err(error) => Err(error.into()),
    }
}

/// Whether an account could be made.
pub(super) async fn may_create(db: &Db, name: &BareJid, tombstone: Tombstone) -> Result<(), AccountError> {
    let removed_at = removed_at(db, name).await?;
    let found = db.fetch_optional(Query::new(FIND).bind(name)).await?;
    let alike = db
        .fetch_optional(Query::new(LOOKALIKE).bind(skeleton_of(name)))
        .await?;
    judged(removed_at, found.is_some(), alike.is_some(), tombstone)
}

/// Whether a name can be given to an account.
fn judged(
    removed_at: Option<i64>,
    exists: bool,
    is_alike: bool,
    tombstone: Tombstone,
) -> Result<(), AccountError> {
    match (removed_at, tombstone) {
        (Some(removed_at), Tombstone::Respect) => Err(AccountError::Removed { removed_at }),
        _ if exists => Err(AccountError::Exists),
        _ if is_alike => Err(AccountError::Lookalike),
        _ => Ok(()),
    }
}

async fn create_in(
    tx: &mut Tx,
    name: &BareJid,
    keys: &[ScramKeys],
    enrolled: Enrolled,
    tombstone: Tombstone,
    proviso: Option<Proviso>,
) -> Result<Result<(), AccountError>, DbError> {
    let skeleton = skeleton_of(name);
    let buried = tx.fetch_optional(Query::new(REMOVED_AT).bind(name)).await?;
    let found = tx.fetch_optional(Query::new(FIND).bind(name)).await?;
    let alike = tx.fetch_optional(Query::new(LOOKALIKE).bind(&skeleton)).await?;
    let removed_at = buried.as_ref().map(|row| row.i64(0)).transpose()?;
    if let Err(error) = judged(removed_at, found.is_some(), alike.is_some(), tombstone) {
        return Ok(Err(error));
    }
    if let Some(proviso) = proviso {
        proviso(tx).await?;
    }
    if buried.is_some() {
        tx.execute(Query::new(FORGET_TOMBSTONE).bind(name)).await?;
    }
    let create = Query::new(CREATE).bind(name).bind(enrolled.at);
    let create = create.bind(new_epoch()).bind(skeleton);
    if tx.execute(create.bind(enrolled.by.as_str())).await? == 0 {
        // Another node was faster: nothing of this may stay.
        return Err(DbError::Refused(TAKEN));
    }
    insert_keys(tx, name, keys).await?;
    Ok(Ok(()))
}

/// Replaces whatever keys there are.
async fn insert_keys(tx: &mut Tx, name: &BareJid, keys: &[ScramKeys]) -> Result<(), DbError> {
    tx.execute(Query::new(DELETE_KEYS).bind(name)).await?;
    let rows = keys.iter().map(|key| {
        [
            name.into(),
            key.hash().name().into(),
            key.iterations().into(),
            key.salt().into(),
            key.stored_key().into(),
            key.server_key().into(),
        ]
    });
    tx.insert_rows(INSERT_KEYS, rows, "").await?;
    Ok(())
}

pub(super) async fn set_keys(db: &Db, name: &BareJid, keys: Vec<ScramKeys>) -> Result<(), AccountError> {
    let name = name.clone();
    db.write(move |tx| {
        let (name, keys) = (name.clone(), keys.clone());
        Box::pin(async move {
            // What was proved with the old password is worth nothing from here on.
            if tx
                .execute(Query::new(SET_EPOCH).bind(&name).bind(new_epoch()))
                .await?
                == 0
            {
                return Ok(Err(AccountError::NotFound));
            }
            insert_keys(tx, &name, &keys).await?;
            tx.execute(Query::new(DELETE_TOKENS).bind(&name)).await?;
            Ok(Ok(()))
        })
    })
    .await?
}

/// Keeps a new token of an account whose password is still the one that was proved, and of its other tokens only the newest
/// so many that are still good.
pub(super) async fn add_token(
    db: &Db,
    name: &BareJid,
    epoch: Epoch,
    hash: [u8; 32],
    row: TokenRow,
    tokens_max: u32,
) -> Result<(), AccountError> {
    let name = name.clone();
    db.write(move |tx| {
        let (name, row) = (name.clone(), row.clone());
        Box::pin(async move {
            let now = tx.fetch_optional(Query::new(EPOCH).bind(&name)).await?;
            if now.map(|row| row.i64(0)).transpose()? != Some(epoch.0) {
                return Ok(Err(AccountError::Outdated));
            }
            let add = Query::new(ADD_TOKEN).bind(hash).bind(&row.id).bind(&name);
            let add = add.bind(row.scopes.to_text());
            tx.execute(add.bind(row.created_at).bind(row.expires_at)).await?;
            let tidy = Query::new(TIDY_TOKENS).bind(&name).bind(row.created_at);
            tx.execute(tidy.bind(tokens_max)).await?;
            Ok(Ok(()))
        })
    })
    .await?
}

pub(super) async fn bearer(db: &Db, hash: [u8; 32], now: i64) -> Result<Option<Bearer>, DbError> {
    let row = db.fetch_optional(Query::new(BEARER).bind(hash).bind(now)).await?;
    row.map(|row| {
        Ok(Bearer {
            account: address(&row)?,
            id: row.text(1)?,
            scopes: Scopes::of_text(&row.text(2)?),
            epoch: Epoch(row.i64(3)?),
        })
    })
    .transpose()
}

pub(super) async fn tokens(db: &Db, name: &BareJid, now: i64) -> Result<Vec<TokenRow>, DbError> {
    let rows = db.fetch_all(Query::new(LIST_TOKENS).bind(name).bind(now)).await?;
    let rows = rows.iter().map(|row| {
        Ok(TokenRow {
            id: row.text(0)?,
            scopes: Scopes::of_text(&row.text(1)?),
            created_at: row.i64(2)?,
            expires_at: row.i64(3)?,
        })
    });
    rows.collect()
}

pub(super) async fn delete_token(db: &Db, name: &BareJid, id: &str) -> Result<bool, DbError> {
    let query = Query::new(DELETE_TOKEN).bind(name).bind(id);
    Ok(db.execute(query).await? > 0)
}

pub(super) async fn delete_tokens(db: &Db, name: &BareJid) -> Result<u64, DbError> {
    db.execute(Query::new(DELETE_TOKENS).bind(name)).await
}

pub(super) async fn delete(
    db: &Db,
    name: &BareJid,
    erasers: Vec<Eraser>,
    removed_at: i64,
) -> Result<(), AccountError> {
    let name = name.clone();
    db.write(move |tx| {
        let (name, erasers) = (name.clone(), erasers.clone());
        Box::pin(async move {
            if tx.execute(Query::new(DELETE).bind(&name)).await? == 0 {
                return Ok(Err(AccountError::NotFound));
            }
            tx.execute(Query::new(DELETE_KEYS).bind(&name)).await?;
            tx.execute(Query::new(DELETE_TOKENS).bind(&name)).await?;
            tx.execute(Query::new(BURY).bind(&name).bind(removed_at)).await?;
            tx.leaves(Traces::Account);
            for eraser in erasers {
                eraser(tx, &name).await?;
            }
            Ok(Ok(()))
        })
    })
    .await?
}
