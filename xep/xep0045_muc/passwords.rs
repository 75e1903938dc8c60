//! Guessing a room's password (§7.2.5). Every account may be wrong a few times, then it waits; while many are wrong, each of
//! those waits after its first mistake. An account that was never wrong is always heard, so nobody can lock others out.
//! The owners are told, at most once a day.

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::jid::BareJid;
use kim_core::keyed::{Rate, Rates};
use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;
use subtle::ConstantTimeEq;

use super::admission::PASSWORD;
use super::privileges::Affiliation;
use super::room::RoomState;

/// What one account has free in one room: five mistakes, and one more every minute.
const OF_ACCOUNT: Rate = Rate {
    per_second: 1.0 / 60.0,
    burst: 5.0,
};
/// What all accounts together have free in one room.
const OF_ROOM: Rate = Rate {
    per_second: 1.0 / 20.0,
    burst: 20.0,
};
/// What an account has free while a room's own bucket is empty.
const OF_ACCOUNT_THEN: Rate = Rate {
    per_second: OF_ACCOUNT.per_second,
    burst: 1.0,
};
/// How often the owners are told: once a day.
const TELLING: Rate = Rate {
    per_second: 1.0 / 86_400.0,
    burst: 1.0,
};
/// Rooms that are remembered.
const ROOMS_MAX: usize = 5_000;
/// Accounts in rooms that are remembered.
const ACCOUNTS_MAX: usize = 50_000;

/// The mistakes in all rooms. In memory: a restart forgives.
pub struct Guesses {
    rooms: Rates<BareJid>,
    /// Of one account in one room.
    accounts: Rates<(BareJid, BareJid)>,
    told: Rates<BareJid>,
}

impl Default for Guesses {
    fn default() -> Guesses {
        Guesses {
            rooms: Rates::new(ROOMS_MAX),
            accounts: Rates::new(ACCOUNTS_MAX),
            told: Rates::new(ROOMS_MAX),
        }
    }
}

impl Guesses {
    fn may_try(&self, room: &BareJid, user: &BareJid, now: Timestamp) -> bool {
        let rate = if self.rooms.has(room, OF_ROOM, now) {
            OF_ACCOUNT
        } else {
            OF_ACCOUNT_THEN
        };
        self.accounts.has(&(room.clone(), user.clone()), rate, now)
    }

    /// Notes a mistake; true if the owners are to be told of it.
    fn note(&self, room: &BareJid, user: &BareJid, now: Timestamp) -> bool {
        let own = (room.clone(), user.clone());
        self.rooms.take(room, OF_ROOM, now);
        self.accounts.take(&own, OF_ACCOUNT, now);
        let is_loud = !self.accounts.has(&own, OF_ACCOUNT, now) || !self.rooms.has(room, OF_ROOM, now);
        is_loud && self.told.take(room, TELLING, now)
    }

    fn forgive(&self, room: &BareJid, user: &BareJid) {
        self.accounts.forget(&(room.clone(), user.clone()));
    }
}

/// Compares the password that came with a presence. Entering without one is no guess: clients ask their user only when they
/// are told that a password is needed.
pub fn check(
    guesses: &Guesses,
    held: &RoomState,
    user: &BareJid,
    given: Option<&str>,
    cx: &mut Cx,
) -> Result<(), Fault> {
    let Some(given) = given else {
        return Err(Condition::NotAuthorized.into());
    };
    let (room, now) = (&held.jid, cx.received);
    if !guesses.may_try(room, user, now) {
        return Err(StanzaError::new(Condition::PolicyViolation)
            .kind(ErrorType::Wait)
            .text("too many wrong passwords; try again in a minute")
            .into());
    }
    let wanted = held.config.text(&PASSWORD);
    if given.as_bytes().ct_eq(wanted.as_bytes()).into() {
        guesses.forgive(room, user);
        return Ok(());
    }
    if guesses.note(room, user, now) {
        tracing::warn!(event = "room_password_guessed", %room, account = %user);
        tell_owners(held, user, cx);
    }
    Err(Condition::NotAuthorized.into())
}

fn tell_owners(held: &RoomState, user: &BareJid, cx: &mut Cx) {
    let body = format!(
        "Somebody is trying passwords of this room, {user} among them. Further tries are slowed down. \
         Consider another password, or ban the account."
    );
    let mut xml = Writer::new();
    xml.start("body", ns::CLIENT).text(&body).end();
    let notice = Stanza::new(Kind::Message(MessageType::Normal), &xml.finish_string());
    let notice = notice.from(held.jid.clone());
    let owners = held.members.iter();
    for (owner, _) in owners.filter(|(_, member)| member.affiliation == Affiliation::Owner) {
        cx.send(notice.clone().to(owner.clone()));
    }
}
