//! What a room does for one person that reaches another: invitations and their refusal (§7.8.2), requests for voice (§7.13)
//! and for membership (§9.9). The other person hears the room and not the author, so the room asks the block list for the
//! author, keeps the rate, and remembers what it has passed on. All of it is in memory and bounded.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::{Rate, Rates};
use kim_core::router::{Destination, Router};
use quick_cache::sync::Cache;

use crate::xep0191_blocking::api::Blocks;

/// Invitations of one person: a group of fifty can be asked at once.
const INVITATIONS: Rate = Rate {
    per_second: 1.0 / 10.0,
    burst: 60.0,
};
/// Invitations of one person to one other, whatever the room.
const INVITATIONS_OF_PAIR: Rate = Rate {
    per_second: 1.0 / 600.0,
    burst: 3.0,
};
/// Refusals and requests of one person.
const REQUESTS: Rate = Rate {
    per_second: 1.0 / 30.0,
    burst: 10.0,
};
/// People, or pairs of them, whose rate is remembered.
const RATED_MAX: usize = 50_000;
/// Invitations that are remembered until they are refused.
const INVITATIONS_MAX: usize = 50_000;
/// Requests for membership that are remembered.
const MEMBERSHIPS_MAX: usize = 20_000;
/// A request for membership that nobody has granted may be made again after so many seconds.
const MEMBERSHIP_SECONDS: u64 = 86_400;

/// An invitation that went out: the room, the invitee, and the inviter's address as the invitee was shown it.
type Invitation = (BareJid, BareJid, Jid);

/// A request for membership.
#[derive(Clone)]
struct Membership {
    nick: Box<str>,
    since: Timestamp,
}

/// What becomes of a request for membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The admins are to be asked.
    New,
    /// They have been asked this already.
    Known,
    /// They have been asked for another nickname already.
    Other,
}

/// What rooms have done for people lately.
pub struct Errands {
    /// False if the limits on rates are lifted.
    is_rated: bool,
    blocks: Arc<Blocks>,
    inviters: Rates<BareJid>,
    pairs: Rates<(BareJid, BareJid)>,
    requests: Rates<BareJid>,
    invitations: Cache<Invitation, BareJid>,
    memberships: Cache<(BareJid, BareJid), Membership>,
}

impl Errands {
    /// Nothing yet.
    pub fn new(blocks: Arc<Blocks>, is_rated: bool) -> Errands {
        Errands {
            is_rated,
            blocks,
            inviters: Rates::new(RATED_MAX),
            pairs: Rates::new(RATED_MAX),
            requests: Rates::new(RATED_MAX),
            invitations: Cache::new(INVITATIONS_MAX),
            memberships: Cache::new(MEMBERSHIPS_MAX),
        }
    }

    /// Whether an account has blocked the author of an errand, by any of these addresses.
    pub async fn is_blocked(
        &self,
        account: &BareJid,
        author: &[&Jid],
        router: &Arc<Router>,
    ) -> Result<bool, Fault> {
        if router.destination(account.domain()) != Destination::Users {
            return Ok(false);
        }
        for address in author {
            if self.blocks.blocks(account, address).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes one from what somebody may invite.
    pub fn may_invite(&self, inviter: &BareJid, invitee: &BareJid, now: Timestamp) -> Result<(), Fault> {
        let may = !self.is_rated
            || (self
                .pairs
                .take(&(inviter.clone(), invitee.clone()), INVITATIONS_OF_PAIR, now)
                && self.inviters.take(inviter, INVITATIONS, now));
        wait_unless(may, "too many invitations; try again later")
    }

    /// Takes one from what somebody may ask or refuse.
    pub fn may_ask(&self, user: &BareJid, now: Timestamp) -> Result<(), Fault> {
        let may = !self.is_rated || self.requests.take(user, REQUESTS, now);
        wait_unless(may, "too many requests; try again later")
    }

    /// Remembers that an invitation went out.
    pub fn invited(&self, room: &BareJid, invitee: &BareJid, shown: Jid, inviter: &BareJid) {
        let invitation = (room.clone(), invitee.clone(), shown);
        self.invitations.insert(invitation, inviter.clone());
    }

    /// An invitation is refused, once. Gives the inviter, or nothing where there was no invitation.
    pub fn refused(&self, room: &BareJid, invitee: &BareJid, shown: Jid) -> Option<BareJid> {
        let invitation = (room.clone(), invitee.clone(), shown);
        self.invitations.remove(&invitation).map(|(_, inviter)| inviter)
    }

    /// Somebody asks for membership. One request of a person is open in a room.
    pub fn asks(&self, room: &BareJid, user: &BareJid, nick: &str, now: Timestamp) -> Request {
        let key = (room.clone(), user.clone());
        let known = self.memberships.get(&key);
        if let Some(known) = known.filter(|known| now.seconds_since(known.since) < MEMBERSHIP_SECONDS) {
            return if *known.nick == *nick {
                Request::Known
            } else {
                Request::Other
            };
        }
        let request = Membership {
            nick: nick.into(),
            since: now,
        };
        self.memberships.insert(key, request);
        Request::New
    }

    /// A request was granted or taken back: its author may make another one.
    pub fn settled(&self, room: &BareJid, user: &BareJid) {
        self.memberships.remove(&(room.clone(), user.clone()));
    }
}

fn wait_unless(may: bool, text: &'static str) -> Result<(), Fault> {
    if may {
        return Ok(());
    }
    Err(StanzaError::new(Condition::PolicyViolation)
        .kind(ErrorType::Wait)
        .text(text)
        .into())
}
