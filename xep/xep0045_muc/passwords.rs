//! Guessing a room's password (§7.2.5). Every account may be wrong a few times, then it waits; while many are wrong, each of
//! those waits after its first mistake. An account that was never wrong is always heard, so nobody can lock others out.
//! The owners are told, at most once a day.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::jid::BareJid;
use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;
use subtle::ConstantTimeEq;

use super::admission::PASSWORD;
use super::limits::{Bucket, Rate};
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
/// Rooms, and accounts of one room, that are remembered.
const REMEMBERED_MAX: usize = 5_000;
/// The owners are told once in so many seconds.
const TELL_SECONDS: u64 = 86_400;

/// The mistakes in one room.
#[derive(Default)]
struct Mistakes {
    all: Bucket,
    accounts: HashMap<BareJid, Bucket>,
    told: Option<Timestamp>,
}

impl Mistakes {
    fn may_try(&self, user: &BareJid, now: Timestamp) -> bool {
        let Some(own) = self.accounts.get(user) else {
            return true;
        };
        let rate = if self.all.has(OF_ROOM, now) {
            OF_ACCOUNT
        } else {
            OF_ACCOUNT_THEN
        };
        own.has(rate, now)
    }

    /// Notes a mistake; true if the owners are to be told of it.
    fn note(&mut self, user: &BareJid, now: Timestamp) -> bool {
        self.all.take(OF_ROOM, now);
        make_place(&mut self.accounts, user, |own| own.spent(OF_ACCOUNT, now));
        let own = self.accounts.entry(user.clone()).or_default();
        own.take(OF_ACCOUNT, now);
        let is_loud = !own.has(OF_ACCOUNT, now) || !self.all.has(OF_ROOM, now);
        let is_new = self
            .told
            .is_none_or(|told| now.seconds_since(told) >= TELL_SECONDS);
        if is_loud && is_new {
            self.told = Some(now);
        }
        is_loud && is_new
    }
}

/// In a map that is full the entry that matters least makes place for a new one.
fn make_place<K: Clone + Eq + Hash, V>(map: &mut HashMap<K, V>, new: &K, weight: impl Fn(&V) -> f32) {
    if map.len() < REMEMBERED_MAX || map.contains_key(new) {
        return;
    }
    let least = map
        .iter()
        .min_by(|(_, one), (_, other)| weight(one).total_cmp(&weight(other)));
    if let Some(least) = least.map(|(key, _)| key.clone()) {
        map.remove(&least);
    }
}

/// The mistakes in all rooms. In memory: a restart forgives.
#[derive(Default)]
pub struct Guesses(Mutex<HashMap<BareJid, Mistakes>>);

impl Guesses {
    fn may_try(&self, room: &BareJid, user: &BareJid, now: Timestamp) -> bool {
        let rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.get(room).is_none_or(|mistakes| mistakes.may_try(user, now))
    }

    fn note(&self, room: &BareJid, user: &BareJid, now: Timestamp) -> bool {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        make_place(&mut rooms, room, |mistakes| mistakes.all.spent(OF_ROOM, now));
        rooms.entry(room.clone()).or_default().note(user, now)
    }

    fn forgive(&self, room: &BareJid, user: &BareJid) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mistakes) = rooms.get_mut(room) {
            mistakes.accounts.remove(user);
        }
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
            .text("too many wrong passwords: try again in a minute")
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
