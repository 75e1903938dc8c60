//! The table of invitations. Tokens never get here, only what they hash to.

use kim_core::accounts::Proviso;
use kim_core::clock::Timestamp;
use kim_core::db::{BoxFuture, Db, DbError, Query, Row, Tx};
use kim_core::jid::BareJid;
use std::sync::Arc;

use super::api::{Invitation, ListedInvitation};
use super::token::{self, Hash};

/// A token is judged with so much patience for clocks that differ, in seconds.
const SLACK_SECONDS: i64 = 300;
/// What is over is kept for a day: it counts for the limit of its inviter.
const DAY_MICROSECONDS: i64 = 86_400_000_000;

const COLUMNS: &str = "SELECT token_hash, domain, inviter, account, room, contact, registers, befriends, uses_left, \
     expires_at FROM invites WHERE token_hash = $1 AND uses_left > 0 AND expires_at > $2";
/// Those that can be redeemed, by the time they expire; `$1` and `$2` are where the page before ended.
pub(super) const LIST: &str = "SELECT token_hash, domain, inviter, account, room, contact, registers, befriends, uses_left, \
     expires_at FROM invites WHERE expires_at >= $1 AND (expires_at > $1 OR token_hash > $2) AND uses_left > 0 \
     ORDER BY expires_at, token_hash LIMIT $3";
pub(super) const REVOKE: &str = "DELETE FROM invites WHERE token_hash BETWEEN $1 AND $2";
const ADD: &str = "INSERT INTO invites (token_hash, domain, inviter, account, room, contact, registers, befriends, \
     uses_left, created_at, expires_at)";
/// What is over goes, but stands for a day where it counts against the inviter's limit.
const TIDY: &str = "DELETE FROM invites WHERE token_hash IN \
     (SELECT token_hash FROM invites WHERE expires_at < $1 AND created_at < $1 LIMIT $2)";
const RECENT: &str = "SELECT COUNT(*) FROM invites WHERE inviter = $1 AND created_at > $2";
const REPLACE: &str = "DELETE FROM invites WHERE account = $1 AND inviter = $2";
const HOLDERS: &str =
    "SELECT token_hash FROM invites WHERE account = $1 AND uses_left > 0 AND expires_at > $2 LIMIT 2";
const USE: &str = "UPDATE invites SET uses_left = uses_left - 1 WHERE token_hash = $1 AND uses_left > 0";
const USE_AS_CONTACT: &str = "UPDATE invites SET uses_left = uses_left - 1 WHERE token_hash = $1 AND inviter = $2 \
     AND befriends = 1 AND uses_left > 0 AND expires_at > $3";

/// Why an invitation was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InviteRefusal {
    TooMany,
    Held,
}

/// All invitations.
#[derive(Clone)]
pub(super) struct InviteStore {
    db: Db,
}

impl InviteStore {
    pub fn new(db: Db) -> InviteStore {
        InviteStore { db }
    }

    /// Makes an invitation, if the inviter may make another today and nobody else holds the name back.
    pub async fn add(
        &self,
        hash: Hash,
        invitation: &Invitation,
        now: Timestamp,
        per_day_max: Option<u32>,
    ) -> Result<Result<(), InviteRefusal>, DbError> {
        let invitation = Arc::new(invitation.clone());
        self.db
            .write(move |tx| {
                let invitation = invitation.clone();
                Box::pin(async move { add(tx, hash, &invitation, now, per_day_max).await })
            })
            .await
    }

    /// The invitation of a token that can be redeemed.
    pub async fn find(&self, hash: Hash, now: Timestamp) -> Result<Option<Invitation>, DbError> {
        let query = Query::new(COLUMNS).bind(hash).bind(judged(now));
        self.db
            .fetch_optional(query)
            .await?
            .map(|row| read(&row))
            .transpose()
    }

    /// A page of those that can be redeemed, behind the one that expires at this time and has this id.
    pub async fn list(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, &str)>,
        rows_max: u32,
    ) -> Result<Vec<ListedInvitation>, DbError> {
        let behind = after.and_then(|(at, id)| Some((at, token::hashes(id)?[1])));
        let (at, hash) = behind.unwrap_or((now, Hash::default()));
        let query = Query::new(LIST).bind(at.0).bind(hash).bind(i64::from(rows_max));
        let listed = |row: &Row| {
            let hash = Hash::try_from(&row.bytes(0)?[..]).unwrap_or_default();
            Ok(ListedInvitation {
                id: token::id(&hash),
                invitation: read(row)?,
            })
        };
        self.db.fetch_all(query).await?.iter().map(listed).collect()
    }

    /// Deletes the invitation with this id; `false` if there is none.
    pub async fn revoke(&self, id: &str) -> Result<bool, DbError> {
        let Some([first, last]) = token::hashes(id) else {
            return Ok(false);
        };
        self.db
            .write(move |tx| {
                let query = Query::new(REVOKE).bind(first).bind(last);
                Box::pin(async move { Ok(tx.execute(query).await? > 0) })
            })
            .await
    }

    /// Whether a name is held back for whoever has another token than this.
    pub async fn is_held(
        &self,
        account: &BareJid,
        except: Option<Hash>,
        now: Timestamp,
    ) -> Result<bool, DbError> {
        let query = Query::new(HOLDERS).bind(account).bind(judged(now));
        for row in self.db.fetch_all(query).await? {
            if except.is_none_or(|own| row.bytes(0).is_ok_and(|hash| hash[..] != own[..])) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Uses an invitation up in the transaction that makes an account. Its time was judged before (XEP-0445 §4).
    pub fn proviso(hash: Hash) -> Proviso {
        Arc::new(move |tx: &mut Tx| {
            Box::pin(async move {
                match tx.execute(Query::new(USE).bind(hash)).await? {
                    0 => Err(DbError::Refused("the invitation has been used")),
                    _ => Ok(()),
                }
            })
        })
    }

    /// Uses an invitation of this account up to become its contact. False: it is none, or not any more.
    pub async fn redeem_as_contact(
        &self,
        hash: Hash,
        inviter: &BareJid,
        now: Timestamp,
    ) -> Result<bool, DbError> {
        let inviter = inviter.clone();
        self.db
            .write(move |tx| {
                let query = Query::new(USE_AS_CONTACT)
                    .bind(hash)
                    .bind(&inviter)
                    .bind(judged(now));
                Box::pin(async move { Ok(tx.execute(query).await? > 0) })
            })
            .await
    }
}

impl InviteStore {
    /// Deletes invitations that are over.
    pub async fn tidy(&self, now: Timestamp) -> Result<u64, DbError> {
        self.db.clear_away(TIDY, now.0 - DAY_MICROSECONDS).await
    }
}

fn judged(now: Timestamp) -> i64 {
    now.0 - SLACK_SECONDS * 1_000_000
}

async fn add(
    tx: &mut Tx,
    hash: Hash,
    invitation: &Invitation,
    now: Timestamp,
    per_day_max: Option<u32>,
) -> Result<Result<(), InviteRefusal>, DbError> {
    let day_ago = now.0 - DAY_MICROSECONDS;
    let inviter = text(invitation.inviter.as_ref());
    let account = text(invitation.account.as_ref());
    if let Some(max) = per_day_max {
        let query = Query::new(RECENT).bind(inviter).bind(day_ago);
        let recent = tx.fetch_optional(query).await?.map_or(Ok(0), |row| row.i64(0))?;
        if recent >= i64::from(max) {
            return Ok(Err(InviteRefusal::TooMany));
        }
    }
    if !account.is_empty() {
        // A link that was lost is made anew.
        tx.execute(Query::new(REPLACE).bind(account).bind(inviter))
            .await?;
        let query = Query::new(HOLDERS).bind(account).bind(judged(now));
        if tx.fetch_optional(query).await?.is_some() {
            return Ok(Err(InviteRefusal::Held));
        }
    }
    let row = [
        hash.into(),
        invitation.domain.as_str().into(),
        inviter.into(),
        account.into(),
        text(invitation.room.as_ref()).into(),
        invitation.contact.into(),
        invitation.registers.into(),
        invitation.befriends.into(),
        invitation.uses_left.into(),
        now.0.into(),
        invitation.expires_at.0.into(),
    ];
    tx.insert_rows(ADD, [row], "").await?;
    Ok(Ok(()))
}

fn text(address: Option<&BareJid>) -> &str {
    address.map_or("", |address| address.as_str())
}

fn read(row: &Row) -> Result<Invitation, DbError> {
    // What no longer prepares as an address is nobody's.
    let address =
        |column: usize| -> Result<Option<BareJid>, DbError> { Ok(BareJid::parse(&row.text(column)?).ok()) };
    Ok(Invitation {
        domain: row.text(1)?,
        inviter: address(2)?,
        account: address(3)?,
        room: address(4)?,
        contact: row.i64(5)? != 0,
        registers: row.i64(6)? != 0,
        befriends: row.i64(7)? != 0,
        uses_left: u32::try_from(row.i64(8)?).unwrap_or(0),
        expires_at: Timestamp(row.i64(9)?),
    })
}

/// Erases an account's invitations, and those that are for its name.
pub(super) fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        let query = Query::new("DELETE FROM invites WHERE inviter = $1 OR account = $1");
        tx.execute(query.bind(account)).await.map(drop)
    })
}
