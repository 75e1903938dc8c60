//! How much strangers may send, how a wave of them shows, and which texts repeat. All of it is token buckets on the house's
//! clock in maps of a bounded size: nothing of it is stored, and none of it is a text.

use std::sync::atomic::{AtomicI64, Ordering};

use kim_core::clock::Timestamp;
use kim_core::jid::BareJid;
use kim_core::keyed::{Rate, Rates};
use smallvec::SmallVec;

use super::content::SKETCH;
use super::{DelayUnknown, StrangersConfig};

/// Keys that are remembered in each map.
const KEYS_MAX: usize = 50_000;
/// Signals of one sender: typing notifications, markers, events.
const SIGNALS: Rate = Rate {
    per_second: 1.0,
    burst: 60.0,
};
/// For how long a wave is thought to go on after it was last seen, in microseconds: ten minutes.
const WAVE_US: i64 = 600_000_000;
/// Once in an hour: whether somebody wrote to somebody for the first time.
const ONCE: Rate = Rate {
    per_second: 1.0 / 3_600.0,
    burst: 1.0,
};
/// Recipients of one sender, or of one unknown domain, from which on it is part of the wave that runs.
const WAVE_RECIPIENTS: u32 = 2;

fn hourly(count: u32) -> Rate {
    Rate {
        per_second: count as f32 / 3_600.0,
        burst: count as f32,
    }
}

/// Where a stranger comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// This server.
    Here,
    /// A domain where somebody of this server knows somebody.
    Known,
    /// A domain where nobody of this server knows anybody.
    Unknown,
}

/// A stranger writes to an account.
pub(super) struct Approach<'a> {
    pub sender: &'a BareJid,
    pub recipient: &'a BareJid,
    pub origin: Origin,
    /// What stands for the text ([`super::content::Sketcher`]).
    pub sketch: SmallVec<[u64; SKETCH]>,
}

/// What is known of an approach when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// There is nothing about it.
    Plain,
    /// The same text goes to many.
    Repeated,
    /// It is from an unknown domain, and what comes from there waits now.
    Wave,
    /// There were too many already.
    TooMany,
}

/// All buckets.
pub(super) struct Budgets {
    is_limited: Box<dyn Fn() -> bool + Send + Sync>,
    sender_messages: Rate,
    sender_recipients: Rate,
    domain_contacts: Rate,
    unknown_contacts: Rate,
    recipient_senders: Rate,
    repeats: Rate,
    delay: DelayUnknown,
    /// First contacts from unknown domains, of the whole house.
    first_contacts: Rate,
    signals: Rates<BareJid>,
    by_sender: Rates<BareJid>,
    recipients_of_sender: Rates<BareJid>,
    contacts_of_domain: Rates<Box<str>>,
    senders_of_recipient: Rates<BareJid>,
    pairs: Rates<(BareJid, BareJid)>,
    texts: Rates<u64>,
    text_pairs: Rates<(u64, BareJid)>,
    wave_of_sender: Rates<BareJid>,
    wave_of_domain: Rates<Box<str>>,
    house: Rates<()>,
    wave_until: AtomicI64,
}

impl Budgets {
    /// Full buckets. With the limits of the server off there are none.
    pub(super) fn new(
        config: &StrangersConfig,
        is_limited: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Budgets {
        Budgets {
            is_limited: Box::new(is_limited),
            sender_messages: hourly(config.sender_messages_per_hour),
            sender_recipients: hourly(config.sender_recipients_per_hour),
            domain_contacts: hourly(config.domain_contacts_per_hour),
            unknown_contacts: hourly(config.unknown_domain_contacts_per_hour),
            recipient_senders: hourly(config.recipient_senders_per_hour),
            repeats: hourly(config.repeats_per_hour),
            delay: config.delay_unknown,
            first_contacts: Rate {
                per_second: config.wave_contacts as f32 / 600.0,
                burst: config.wave_contacts as f32,
            },
            signals: Rates::new(KEYS_MAX),
            by_sender: Rates::new(KEYS_MAX),
            recipients_of_sender: Rates::new(KEYS_MAX),
            contacts_of_domain: Rates::new(KEYS_MAX),
            senders_of_recipient: Rates::new(KEYS_MAX),
            pairs: Rates::new(KEYS_MAX),
            texts: Rates::new(KEYS_MAX),
            text_pairs: Rates::new(KEYS_MAX),
            wave_of_sender: Rates::new(KEYS_MAX),
            wave_of_domain: Rates::new(KEYS_MAX),
            house: Rates::new(1),
            wave_until: AtomicI64::new(i64::MIN),
        }
    }

    /// Whether a stranger's client may send one more signal.
    pub(super) fn signal(&self, sender: &BareJid, now: Timestamp) -> bool {
        !(self.is_limited)() || self.signals.take(sender, SIGNALS, now)
    }

    /// Whether what comes from unknown domains waits now.
    fn delays(&self, now: Timestamp) -> bool {
        match self.delay {
            DelayUnknown::Wave => now.0 < self.wave_until.load(Ordering::Relaxed),
            DelayUnknown::Always => true,
            DelayUnknown::Never => false,
        }
    }

    /// Counts an approach, and says what is to be thought of it. One that is too many counts too: whoever goes on trying
    /// stays where it is.
    pub(super) fn take(&self, approach: &Approach<'_>, now: Timestamp) -> Finding {
        if !(self.is_limited)() {
            return Finding::Plain;
        }
        let Approach {
            sender,
            recipient,
            origin,
            sketch,
        } = approach;
        let (origin, domain) = (*origin, sender.domain());
        let is_first = self
            .pairs
            .take(&((*sender).clone(), (*recipient).clone()), ONCE, now);
        self.note(approach, is_first, now);
        // `&`: every bucket is asked.
        let mut is_within = self.by_sender.take(sender, self.sender_messages, now);
        if is_first {
            is_within &= self
                .recipients_of_sender
                .take(sender, self.sender_recipients, now);
        }
        if origin != Origin::Here {
            let domain: Box<str> = domain.into();
            let rate = match origin {
                Origin::Unknown => self.unknown_contacts,
                _ => self.domain_contacts,
            };
            is_within &= !is_first || self.contacts_of_domain.take(&domain, rate, now);
        }
        // Asked last, so that what is refused for its sender's sake fills nobody's.
        if is_within && is_first {
            is_within = self
                .senders_of_recipient
                .take(recipient, self.recipient_senders, now);
        }
        match () {
            () if !is_within => Finding::TooMany,
            () if origin == Origin::Unknown && self.delays(now) => Finding::Wave,
            () if self.is_repeated(sketch, now) => Finding::Repeated,
            () => Finding::Plain,
        }
    }

    /// Counts an approach of before the server started, of which only the evidence matters.
    pub(super) fn recall(&self, approach: &Approach<'_>, now: Timestamp) {
        let pair = ((*approach.sender).clone(), (*approach.recipient).clone());
        let is_first = self.pairs.take(&pair, ONCE, now);
        self.note(approach, is_first, now);
    }

    fn note(&self, approach: &Approach<'_>, is_first: bool, now: Timestamp) {
        for hash in &approach.sketch {
            if self
                .text_pairs
                .take(&(*hash, approach.recipient.clone()), ONCE, now)
            {
                self.texts.take(hash, self.repeats, now);
            }
        }
        if is_first && approach.origin == Origin::Unknown {
            let suspect = hourly(WAVE_RECIPIENTS);
            self.wave_of_sender.take(approach.sender, suspect, now);
            self.wave_of_domain
                .take(&approach.sender.domain().into(), suspect, now);
            if !self.house.take(&(), self.first_contacts, now) {
                self.wave_until.fetch_max(now.0 + WAVE_US, Ordering::Relaxed);
            }
        }
    }

    /// Whether an approach that waited turned out to be part of a wave: its sender or its domain wrote to others as well, or
    /// its text did.
    pub(super) fn is_of_wave(&self, approach: &Approach<'_>, now: Timestamp) -> bool {
        let suspect = hourly(WAVE_RECIPIENTS);
        let is_lonely = self.wave_of_sender.has(approach.sender, suspect, now)
            && self
                .wave_of_domain
                .has(&approach.sender.domain().into(), suspect, now);
        !is_lonely || self.is_repeated(&approach.sketch, now)
    }

    /// Whether most of what stands for a text went to more than a few.
    fn is_repeated(&self, sketch: &[u64], now: Timestamp) -> bool {
        let repeated = sketch
            .iter()
            .filter(|hash| !self.texts.has(hash, self.repeats, now))
            .count();
        repeated > 0 && repeated * 2 >= sketch.len()
    }
}
