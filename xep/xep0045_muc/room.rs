//! A room in memory: who is there, who is what, what it is like. Nothing here sends or stores.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use kim_core::clock::Timestamp;
use kim_core::jid::{BareJid, Jid, nickname_key, skeleton};
use kim_core::ns;
use kim_core::seal::Key;
use kim_core::stanza::Stanza;
use smallvec::SmallVec;

use super::fields::RoomConfig;
use super::limits::Bucket;
use super::privileges::{Affiliation, Role, Standing};
use super::views::{Affiliated, OccupantView, RoomView};

/// A room that was not configured opens by itself after so long, in seconds (§10.1.1: "assumed to have accepted the default
/// configuration"): some clients never configure what they make.
pub const LOCKED_SECONDS_MAX: u64 = 60;
/// Bytes of the secret behind occupant ids.
pub const SECRET_BYTES: usize = 32;

/// Where a room is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Made, and not configured yet (§10.1.1): it stands in no list and is closed to guests.
    Locked {
        /// When it was made.
        since: Timestamp,
    },
    /// Open to those who may enter.
    Open,
    /// Not in memory any more; who finds this looks again.
    Unloaded,
    /// Destroyed.
    Destroyed,
}

/// Somebody who has an affiliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub affiliation: Affiliation,
    /// Since when, for who comes next when the last owner goes.
    pub since: i64,
    /// The nickname that nobody else may have.
    pub nick: Option<Box<str>>,
    /// Why.
    pub reason: Option<Box<str>>,
}

/// A session that is in the room.
pub struct Seat {
    /// Its full JID.
    pub jid: Jid,
    /// The presence its client sent last, without what only rooms say.
    pub presence: Stanza,
}

/// An occupant's presence as others see it.
#[derive(Clone)]
pub struct Shown {
    /// To those who may see real addresses.
    pub full: Stanza,
    /// To the others.
    pub veiled: Stanza,
}

/// What a nickname looks like (UTS 39 §4): as it is spelled, and in lower case where that is another. Both count, because `I`
/// looks like `l` and `i` does not.
#[derive(Clone, Debug)]
pub struct Looks {
    spelled: Box<str>,
    lower: Option<Box<str>>,
}

impl Looks {
    /// Of a nickname.
    pub fn of(nick: &str) -> Looks {
        let spelled = skeleton(nick).into_boxed_str();
        let lower = skeleton(&nick.to_lowercase()).into_boxed_str();
        Looks {
            lower: Some(lower).filter(|lower| *lower != spelled),
            spelled,
        }
    }

    fn lower(&self) -> &str {
        self.lower.as_deref().unwrap_or(&self.spelled)
    }

    /// Whether people could take one for the other.
    pub fn is_like(&self, other: &Looks) -> bool {
        self.spelled == other.spelled
            || *self.spelled == *other.lower()
            || *self.lower() == *other.spelled
            || self.lower() == other.lower()
    }
}

/// An occupant: one user under one nickname, with one or several sessions (§7.2.8).
pub struct Occupant {
    /// `room/nickname`.
    pub address: Jid,
    /// What its nickname looks like.
    pub looks: Looks,
    /// The account or guest.
    pub user: BareJid,
    /// The role.
    pub role: Role,
    /// The sessions; the last one speaks for the occupant's availability.
    pub seats: SmallVec<[Seat; 1]>,
    /// XEP-0421
    pub id: Arc<str>,
    /// The presence in force.
    pub shown: Option<Box<Shown>>,
    /// What it may still say.
    pub speech: Bucket,
    /// How often it may still change its presence.
    pub changes: Bucket,
}

impl Occupant {
    /// The nickname.
    pub fn nick(&self) -> &str {
        self.address.resource().unwrap_or_default()
    }
}

/// The subject (§8.1).
#[derive(Clone)]
pub struct Subject {
    /// The message that set it, with the time at which it did.
    pub stanza: Stanza,
    /// Its text.
    pub text: Box<str>,
}

impl Subject {
    /// Of a message that sets it.
    pub fn of(stanza: Stanza) -> Subject {
        let text = stanza.child("subject", ns::CLIENT);
        let text = text.map(|subject| subject.text().into_owned().into_boxed_str());
        Subject {
            text: text.unwrap_or_default(),
            stanza,
        }
    }
}

/// A message that those who enter are sent (§7.2.13).
#[derive(Clone)]
pub struct Past {
    /// When it was said.
    pub stamp: Timestamp,
    /// The message with its delay.
    pub stanza: Stanza,
    /// Whether it says something itself, and not something about another message.
    pub is_text: bool,
}

/// A room's state.
pub struct RoomState {
    /// Its address.
    pub jid: BareJid,
    /// The life.
    pub phase: Phase,
    /// Who made it, and when.
    pub creator: Box<str>,
    /// When, in microseconds.
    pub created: i64,
    /// Its settings.
    pub config: Arc<RoomConfig>,
    /// Affiliations by address; domains may be banned too (§9.2).
    pub members: Arc<BTreeMap<BareJid, Member>>,
    /// Occupants, by the form in which nicknames are compared.
    pub occupants: BTreeMap<Box<str>, Occupant>,
    /// Which occupant a session is.
    pub seats: HashMap<Jid, Box<str>>,
    /// The subject.
    pub subject: Option<Subject>,
    /// The last messages; `None` until somebody asks for them.
    pub ring: Option<VecDeque<Past>>,
    /// When it last heard something.
    pub last_spoken: Option<Timestamp>,
    /// What occupant ids are made with.
    pub secret: [u8; SECRET_BYTES],
    /// The addresses of all sessions, put together when they are needed.
    pub everybody: Option<Arc<[Jid]>>,
    /// Members, admins and owners, put together when they are needed.
    pub belonging: Option<Arc<[BareJid]>>,
    /// What stands in the own presence of those who may see the lists: which version of them is in force.
    pub lists: Box<str>,
    /// When it was last used, for who is put out of memory.
    pub used: Timestamp,
}

impl RoomState {
    /// A room that is made now.
    pub fn new(jid: BareJid, creator: &BareJid, secret: [u8; SECRET_BYTES], now: Timestamp) -> RoomState {
        RoomState {
            phase: Phase::Locked { since: now },
            creator: creator.as_str().into(),
            ..RoomState::blank(jid, secret, now)
        }
    }

    /// An open room that nobody has made and nobody is in.
    pub fn blank(jid: BareJid, secret: [u8; SECRET_BYTES], now: Timestamp) -> RoomState {
        RoomState {
            jid,
            phase: Phase::Open,
            creator: Box::default(),
            created: now.0,
            config: Arc::default(),
            members: Arc::default(),
            occupants: BTreeMap::new(),
            seats: HashMap::new(),
            subject: None,
            ring: None,
            last_spoken: None,
            secret,
            everybody: None,
            belonging: None,
            lists: Box::default(),
            used: now,
        }
    }

    /// What events show of it.
    pub fn view(&self) -> RoomView {
        RoomView {
            jid: self.jid.clone(),
            config: self.config.clone(),
        }
    }

    /// Whether its owner may still be about to configure it.
    pub fn is_locked(&self, now: Timestamp) -> bool {
        matches!(self.phase, Phase::Locked { since } if now.seconds_since(since) < LOCKED_SECONDS_MAX)
    }

    // ——— who is what ———

    /// Notes what somebody is; nothing: no affiliation any more.
    pub fn set_member(&mut self, jid: &BareJid, member: Option<Member>) {
        self.belonging = None;
        // Copied only while somebody who enters is being told the lists.
        let members = Arc::make_mut(&mut self.members);
        match member {
            Some(member) => members.insert(jid.clone(), member),
            None => members.remove(jid),
        };
    }

    /// What a user is: by the address, then by the domain (§9.2).
    pub fn affiliation(&self, user: &BareJid) -> Affiliation {
        let known = |jid: &str| self.members.get(jid).map(|member| member.affiliation);
        known(user.as_str())
            .or_else(|| known(user.domain()))
            .unwrap_or(Affiliation::None)
    }

    /// How many owners there are.
    pub fn owners(&self) -> usize {
        self.members
            .values()
            .filter(|member| member.affiliation == Affiliation::Owner)
            .count()
    }

    /// Everybody who has an affiliation.
    pub fn affiliated(&self) -> Vec<Affiliated> {
        let one = |(jid, member): (&BareJid, &Member)| Affiliated {
            jid: jid.clone(),
            affiliation: member.affiliation,
            nick: member.nick.clone(),
        };
        self.members.iter().map(one).collect()
    }

    /// Members, admins and owners, sorted.
    pub fn belonging(&mut self) -> Arc<[BareJid]> {
        if let Some(known) = &self.belonging {
            return known.clone();
        }
        let belongs = |(jid, member): &(&BareJid, &Member)| {
            member.affiliation >= Affiliation::Member && !jid.is_domain()
        };
        let all: Arc<[BareJid]> = self
            .members
            .iter()
            .filter(belongs)
            .map(|(jid, _)| jid.clone())
            .collect();
        self.belonging = Some(all.clone());
        all
    }

    /// The nickname reserved for a user.
    pub fn reserved_nick(&self, user: &BareJid) -> Option<&str> {
        self.members.get(user.as_str())?.nick.as_deref()
    }

    /// Whether a nickname is reserved for somebody else.
    pub fn is_reserved_from(&self, key: &str, user: &BareJid) -> bool {
        self.members.iter().any(|(jid, member)| {
            let nick = member.nick.as_deref().and_then(nickname_key);
            jid != user && nick.as_deref() == Some(key)
        })
    }

    /// Whether a nickname looks like one that somebody else has, or has reserved.
    pub fn is_lookalike(&self, nick: &str, user: &BareJid) -> bool {
        let looks = Looks::of(nick);
        let is_there = |one: &Occupant| one.user != *user && one.looks.is_like(&looks);
        self.occupants.values().any(is_there) || self.looks_reserved(&looks, user)
    }

    /// Whether a nickname looks like one that somebody else has reserved.
    pub fn looks_reserved(&self, looks: &Looks, user: &BareJid) -> bool {
        self.members.iter().any(|(jid, member)| {
            let nick = member.nick.as_deref().filter(|_| jid != user);
            nick.is_some_and(|nick| Looks::of(nick).is_like(looks))
        })
    }

    // ——— who is there ———

    /// The occupant that a session is.
    pub fn at(&self, session: &Jid) -> Option<&Occupant> {
        self.occupants.get(self.seats.get(session)?)
    }

    /// The same, to change.
    pub fn at_mut(&mut self, session: &Jid) -> Option<&mut Occupant> {
        self.occupants.get_mut(self.seats.get(session)?)
    }

    /// The occupant with a nickname.
    pub fn named(&self, nick: &str) -> Option<&Occupant> {
        self.occupants.get(nickname_key(nick)?.as_str())
    }

    /// The keys of a user's occupants: one, unless they have entered under several nicknames.
    pub fn keys_of(&self, user: &BareJid) -> Vec<Box<str>> {
        let all = self.occupants.iter();
        all.filter(|(_, one)| one.user == *user)
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Where an occupant stands.
    pub fn standing(&self, one: &Occupant) -> Standing {
        Standing {
            role: one.role,
            affiliation: self.affiliation(&one.user),
        }
    }

    /// An occupant as events show it; acting by one session, or by the one that shows.
    pub fn who(&self, one: &Occupant, session: Option<&Jid>) -> OccupantView {
        let shown = one.seats.last().map(|seat| &seat.jid);
        OccupantView {
            nick: one.nick().into(),
            address: one.address.clone(),
            jid: session
                .or(shown)
                .cloned()
                .unwrap_or_else(|| one.user.clone().into()),
            role: one.role,
            affiliation: self.affiliation(&one.user),
            occupant_id: one.id.clone(),
        }
    }

    /// XEP-0421 §4.1: the same for every visit, and a riddle to all others.
    pub fn occupant_id(&self, user: &BareJid) -> Arc<str> {
        let key = Key::from_secret(self.secret);
        let halves =
            ["occupant id", "occupant id, more"].map(|purpose| key.tag(purpose, &[user.as_str().as_bytes()]));
        let mut bytes = [0; 16];
        let (left, right) = bytes.split_at_mut(8);
        left.copy_from_slice(&halves[0].to_be_bytes());
        right.copy_from_slice(&halves[1].to_be_bytes());
        HEXLOWER.encode(&bytes).into()
    }

    /// Everybody's sessions.
    pub fn everybody(&mut self) -> Arc<[Jid]> {
        if let Some(known) = &self.everybody {
            return known.clone();
        }
        let seats = self.occupants.values().flat_map(|one| &one.seats);
        let everybody: Arc<[Jid]> = seats.map(|seat| seat.jid.clone()).collect();
        self.everybody = Some(everybody.clone());
        everybody
    }

    /// The sessions of those for whom it holds.
    pub fn sessions_where(&self, is_meant: impl Fn(&Occupant) -> bool) -> Arc<[Jid]> {
        let meant = self.occupants.values().filter(|one| is_meant(one));
        meant
            .flat_map(|one| &one.seats)
            .map(|seat| seat.jid.clone())
            .collect()
    }

    /// Sits a session down.
    pub fn sit(&mut self, key: &str, seat: Seat) {
        self.everybody = None;
        self.seats.insert(seat.jid.clone(), key.into());
        if let Some(one) = self.occupants.get_mut(key) {
            one.seats.retain(|other| other.jid != seat.jid);
            one.seats.push(seat);
        }
    }

    /// A session stands up; an occupant without sessions is handed back.
    pub fn stand_up(&mut self, session: &Jid) -> Option<Occupant> {
        self.everybody = None;
        let key = self.seats.remove(session)?;
        let one = self.occupants.get_mut(&key)?;
        one.seats.retain(|seat| seat.jid != *session);
        if one.seats.is_empty() {
            self.occupants.remove(&key)
        } else {
            None
        }
    }

    /// Takes an occupant with all sessions out.
    pub fn take_out(&mut self, key: &str) -> Option<Occupant> {
        self.everybody = None;
        let one = self.occupants.remove(key)?;
        for seat in &one.seats {
            self.seats.remove(&seat.jid);
        }
        Some(one)
    }
}
