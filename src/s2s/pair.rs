//! What waits for a domain elsewhere: one bounded queue for each pair of a domain here and a domain there, and which stream
//! takes from it.
//!
//! A pair is idle until something waits for it. Then a task of its own looks for a way (`courier`), and afterwards a stream
//! carries the pair; with XEP-0288 that may be one which the other server opened. When the stream ends, what it has not
//! delivered is back at the front of the queue.
//!
//! What an earlier process left is never refused. Where memory is full, a place in the queue stands for it until a stream is
//! there to carry it; then it is read from the database.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kim_core::clock::Timestamp;
use kim_core::error::Condition;
use kim_core::remote::{Outbound, RowId};
use tokio::sync::Notify;

/// What a stanza takes in a queue beside its own bytes.
const OVERHEAD_BYTES: usize = 256;
/// What a place takes that stands for a stanza in the database.
const ABSENT_BYTES: usize = 64;

/// A domain here that speaks to a domain elsewhere.
pub struct DomainPair {
    /// The domain here.
    pub local: Arc<str>,
    /// The domain elsewhere.
    pub remote: Arc<str>,
    queue: Mutex<Queue>,
    /// Bytes that wait for all pairs together.
    total: Arc<AtomicUsize>,
    /// Wakes the courier before its pause is over.
    pub hurry: Notify,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// The stream that takes from the queue.
    carrier: Option<Carrier>,
    /// A task is looking for a way.
    courier: bool,
    /// After a failed attempt: until when nothing is tried for what could not wait, and what its senders are told.
    closed: Option<(Instant, Condition)>,
    /// A stream that was cut and can be resumed.
    suspended: Option<Suspended>,
}

/// What waits.
#[derive(Debug)]
pub enum Item {
    /// A stanza.
    Here(Outbound),
    /// One that is in the database alone.
    There(Absent),
}

/// A stanza that is in the database alone.
#[derive(Clone, Copy, Debug)]
pub struct Absent {
    /// Its row.
    pub row: RowId,
    /// When it was received from its sender.
    pub received: Timestamp,
    /// What it weighs in memory.
    weight: usize,
}

impl Item {
    /// Whether it is kept in the database.
    pub fn is_kept(&self) -> bool {
        match self {
            Item::Here(outbound) => outbound.row.is_some(),
            Item::There(_) => true,
        }
    }

    /// When it was received from its sender.
    pub fn received(&self) -> Timestamp {
        match self {
            Item::Here(outbound) => outbound.received,
            Item::There(absent) => absent.received,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Item::Here(outbound) => weight(outbound),
            Item::There(_) => ABSENT_BYTES,
        }
    }
}

/// The stream that carries a pair.
#[derive(Clone)]
pub struct Carrier {
    /// Its number.
    pub id: u64,
    /// Wakes it.
    pub ready: Arc<Notify>,
}

/// What is left of a stream of ours that was cut, and that the other side may still know (XEP-0198 §5).
pub struct Suspended {
    /// Its name there.
    pub id: String,
    /// How many stanzas it has confirmed.
    pub confirmed: u32,
    /// Those that it has not, in order.
    pub unconfirmed: VecDeque<Outbound>,
    /// How many of its stanzas were dealt with here.
    pub handled: u32,
    /// When it is too late.
    pub until: Instant,
}

/// What a push leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits, and somebody will take it.
    Waits,
    /// It waits, and a courier is needed.
    NeedsCourier,
}

/// How much may wait.
#[derive(Clone, Copy)]
pub struct Room {
    /// For one pair.
    pub bytes_max: usize,
    /// For all of them.
    pub total_bytes_max: usize,
}

fn weight(outbound: &Outbound) -> usize {
    outbound.stanza.weight_bytes() + OVERHEAD_BYTES
}

impl DomainPair {
    /// A pair for which nothing waits.
    pub fn new(local: &str, remote: &str, total: Arc<AtomicUsize>) -> Arc<DomainPair> {
        Arc::new(DomainPair {
            local: local.into(),
            remote: remote.into(),
            queue: Mutex::default(),
            total,
            hurry: Notify::new(),
        })
    }

    /// A poisoned lock only means that another task panicked between plain assignments; the data is whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a stanza wait.
    pub fn push(&self, outbound: Outbound, room: Room, now: Instant) -> Result<Pushed, Condition> {
        let weight = weight(&outbound);
        let mut queue = self.lock();
        if let Some((until, condition)) = queue.closed
            && outbound.row.is_none()
        {
            if now < until {
                return Err(condition);
            }
            queue.closed = None;
            self.hurry.notify_one();
        }
        if !self.has_room(&queue, weight, room) {
            return Err(Condition::ResourceConstraint);
        }
        Ok(self.append(&mut queue, Item::Here(outbound)))
    }

    /// Lets a stanza wait that an earlier process left; where there is no room, in the database alone.
    pub fn leave(&self, outbound: Outbound, room: Room) -> Pushed {
        let mut queue = self.lock();
        let absent = outbound.row.map(|row| Absent {
            row,
            received: outbound.received,
            weight: weight(&outbound),
        });
        let item = match absent {
            Some(absent) if !self.has_room(&queue, absent.weight, room) => Item::There(absent),
            _ => Item::Here(outbound),
        };
        self.append(&mut queue, item)
    }

    fn has_room(&self, queue: &Queue, weight: usize, room: Room) -> bool {
        let total = self.total.load(Ordering::Relaxed);
        queue.bytes + weight <= room.bytes_max && total + weight <= room.total_bytes_max
    }

    fn append(&self, queue: &mut Queue, item: Item) -> Pushed {
        let weight = item.weight();
        queue.bytes += weight;
        self.total.fetch_add(weight, Ordering::Relaxed);
        queue.items.push_back(item);
        if let Some(carrier) = &queue.carrier {
            carrier.ready.notify_one();
            return Pushed::Waits;
        }
        match std::mem::replace(&mut queue.courier, true) {
            true => Pushed::Waits,
            false => Pushed::NeedsCourier,
        }
    }

    /// The stanzas that are next and only in the database, as many as fit in so many bytes but at least one.
    pub fn absent(&self, carrier: u64, bytes_max: usize, stanzas_max: usize) -> Vec<RowId> {
        let queue = self.lock();
        let mut rows = Vec::new();
        if queue.carrier.as_ref().is_none_or(|own| own.id != carrier) {
            return rows;
        }
        let mut bytes = 0;
        for item in queue.items.iter().take(stanzas_max) {
            let Item::There(absent) = item else { break };
            bytes += absent.weight;
            if !rows.is_empty() && bytes > bytes_max {
                break;
            }
            rows.push(absent.row);
        }
        rows
    }

    /// Puts stanzas that were read into their places. Those that were not found are gone.
    pub fn fill(&self, asked: &[RowId], found: Vec<Outbound>) {
        let mut found: HashMap<RowId, Outbound> = found
            .into_iter()
            .filter_map(|outbound| Some((outbound.row?, outbound)))
            .collect();
        let mut queue = self.lock();
        let (mut more, mut less) = (0, 0);
        queue.items.retain_mut(|item| {
            let Item::There(absent) = item else { return true };
            if !asked.contains(&absent.row) {
                return true;
            }
            less += ABSENT_BYTES;
            let Some(outbound) = found.remove(&absent.row) else {
                return false;
            };
            more += weight(&outbound);
            *item = Item::Here(outbound);
            true
        });
        self.let_go(&mut queue, less);
        queue.bytes += more;
        self.total.fetch_add(more, Ordering::Relaxed);
    }

    /// Takes what waits, as much as fits in so many bytes but at least one. Nothing for a stream that does not carry the pair.
    pub fn take(&self, carrier: u64, bytes_max: usize, stanzas_max: usize) -> Vec<Outbound> {
        let mut queue = self.lock();
        let mut taken = Vec::new();
        if queue.carrier.as_ref().is_none_or(|own| own.id != carrier) {
            return taken;
        }
        let mut bytes = 0;
        while let Some(Item::Here(front)) = queue.items.front() {
            let weight = weight(front);
            if taken.len() >= stanzas_max || (!taken.is_empty() && bytes + weight > bytes_max) {
                break;
            }
            bytes += weight;
            if let Some(Item::Here(outbound)) = queue.items.pop_front() {
                taken.push(outbound);
            }
        }
        self.let_go(&mut queue, bytes);
        if queue.items.is_empty() {
            queue.items = VecDeque::new();
        }
        taken
    }

    fn let_go(&self, queue: &mut Queue, bytes: usize) {
        queue.bytes = queue.bytes.saturating_sub(bytes);
        self.total
            .fetch_sub(bytes.min(self.total.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// What a stream could not deliver waits again, before all else.
    pub fn put_back(&self, undelivered: impl DoubleEndedIterator<Item = Outbound>) {
        self.put_back_in(&mut self.lock(), undelivered);
    }

    fn put_back_in(&self, queue: &mut Queue, undelivered: impl DoubleEndedIterator<Item = Outbound>) {
        for outbound in undelivered.rev() {
            let weight = weight(&outbound);
            queue.bytes += weight;
            self.total.fetch_add(weight, Ordering::Relaxed);
            queue.items.push_front(Item::Here(outbound));
        }
    }

    /// Takes out what `gives_up` says.
    pub fn give_up(&self, gives_up: impl Fn(&Item) -> bool) -> Vec<Item> {
        let mut queue = self.lock();
        let all = std::mem::take(&mut queue.items);
        let mut given = Vec::new();
        for item in all {
            match gives_up(&item) {
                true => given.push(item),
                false => queue.items.push_back(item),
            }
        }
        let bytes = given.iter().map(Item::weight).sum();
        self.let_go(&mut queue, bytes);
        given
    }

    /// From now on a stream takes from the queue, unless another one does. What a stream of ours left, that was cut and that no
    /// courier has resumed by now, goes over this one: nobody would come for it as long as a stream is there.
    pub fn attach(&self, carrier: Carrier) -> bool {
        let mut queue = self.lock();
        if queue.carrier.is_some() {
            return false;
        }
        if let Some(suspended) = queue.suspended.take() {
            self.put_back_in(&mut queue, suspended.unconfirmed.into_iter());
        }
        queue.closed = None;
        carrier.ready.notify_one();
        queue.carrier = Some(carrier);
        true
    }

    /// A stream takes no more. Tells whether a courier is needed.
    pub fn detach(&self, carrier: u64) -> bool {
        let mut queue = self.lock();
        if queue.carrier.as_ref().is_none_or(|own| own.id != carrier) {
            return false;
        }
        queue.carrier = None;
        let waits = !queue.items.is_empty() || queue.suspended.is_some();
        waits && !std::mem::replace(&mut queue.courier, true)
    }

    /// Whether something waits and nobody looks after it; whoever asks must then send a courier.
    pub fn needs_courier(&self) -> bool {
        let mut queue = self.lock();
        let waits = !queue.items.is_empty() && queue.carrier.is_none();
        waits && !std::mem::replace(&mut queue.courier, true)
    }

    /// The courier's work is done if nothing waits. It must not go on then.
    pub fn is_done(&self) -> bool {
        let mut queue = self.lock();
        let done = queue.carrier.is_some() || (queue.items.is_empty() && queue.suspended.is_none());
        if done {
            queue.courier = false;
        }
        done
    }

    /// The courier has failed: until then, only what can wait is taken.
    pub fn close_until(&self, until: Instant, condition: Condition) {
        self.lock().closed = Some((until, condition));
    }

    /// Whether something waits that is kept in the database.
    pub fn is_patient(&self) -> bool {
        self.lock().items.iter().any(Item::is_kept)
    }

    /// Keeps what is left of a stream.
    pub fn suspend(&self, suspended: Suspended) {
        self.lock().suspended = Some(suspended);
    }

    /// What is left of a stream that was cut.
    pub fn take_suspended(&self) -> Option<Suspended> {
        self.lock().suspended.take()
    }

    /// Whether the pair can be forgotten.
    pub fn is_idle(&self, now: Instant) -> bool {
        let queue = self.lock();
        let is_closed = queue.closed.is_some_and(|(until, _)| now < until);
        queue.items.is_empty()
            && queue.carrier.is_none()
            && !queue.courier
            && queue.suspended.is_none()
            && !is_closed
    }

    /// Stanzas and bytes that wait.
    pub fn waiting(&self) -> (usize, usize) {
        let queue = self.lock();
        (queue.items.len(), queue.bytes)
    }

    /// Why nothing that cannot wait is taken, if so.
    pub fn failing(&self, now: Instant) -> Option<Condition> {
        let closed = self.lock().closed;
        closed
            .filter(|(until, _)| now < *until)
            .map(|(_, condition)| condition)
    }
}

/// What was not written waits again where it was.
pub fn put_back(undelivered: Vec<(Arc<DomainPair>, Outbound)>) {
    let mut by_pair: Vec<(Arc<DomainPair>, Vec<Outbound>)> = Vec::new();
    for (pair, outbound) in undelivered {
        match by_pair.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &pair)) {
            Some((_, all)) => all.push(outbound),
            None => by_pair.push((pair, vec![outbound])),
        }
    }
    for (pair, all) in by_pair {
        pair.put_back(all.into_iter());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kim_core::clock::Timestamp;
    use kim_core::remote::RowId;
    use kim_core::stanza::{Kind, MessageType, Stanza};

    use super::*;

    const ROOM: Room = Room {
        bytes_max: 100_000,
        total_bytes_max: 100_000,
    };

    fn outbound(id: &str, row: Option<i64>) -> Outbound {
        let stanza = Stanza::new(Kind::Message(MessageType::Chat), "<body>x</body>").id(id);
        Outbound {
            stanza: Arc::new(stanza),
            received: Timestamp(0),
            row: row.map(RowId),
        }
    }

    fn pair() -> Arc<DomainPair> {
        DomainPair::new("a.example", "b.example", Arc::default())
    }

    fn ids(taken: &[Outbound]) -> Vec<&str> {
        taken
            .iter()
            .filter_map(|outbound| outbound.stanza.id.as_deref())
            .collect()
    }

    fn carrier(id: u64) -> Carrier {
        Carrier {
            id,
            ready: Arc::default(),
        }
    }

    #[test]
    fn what_waits_is_taken_in_order_by_the_stream_that_carries_the_pair() {
        let (pair, now) = (pair(), Instant::now());
        assert_eq!(
            pair.push(outbound("1", None), ROOM, now),
            Ok(Pushed::NeedsCourier)
        );
        assert_eq!(pair.push(outbound("2", None), ROOM, now), Ok(Pushed::Waits));
        assert!(pair.attach(carrier(7)));
        assert!(!pair.attach(carrier(8)), "one at a time");
        assert!(pair.take(8, 100_000, 10).is_empty());
        let taken = pair.take(7, 100_000, 10);
        assert_eq!(ids(&taken), ["1", "2"]);
        assert_eq!(pair.push(outbound("3", None), ROOM, now), Ok(Pushed::Waits));
        pair.put_back(taken.into_iter());
        assert!(pair.is_done(), "somebody carries it");
        assert!(pair.detach(7), "three wait");
        assert!(pair.attach(carrier(9)));
        assert_eq!(ids(&pair.take(9, 1, 10)), ["1"], "at least one");
        assert_eq!(ids(&pair.take(9, 100_000, 1)), ["2"]);
        assert_eq!(ids(&pair.take(9, 100_000, 9)), ["3"]);
        assert_eq!((pair.waiting(), pair.total.load(Ordering::Relaxed)), ((0, 0), 0));
    }

    #[test]
    fn what_is_too_much_is_refused_and_counts_for_all_pairs_together() {
        let total = Arc::new(AtomicUsize::new(0));
        let (one, other) = (
            DomainPair::new("a.example", "b.example", total.clone()),
            DomainPair::new("a.example", "c.example", total),
        );
        let room = Room {
            bytes_max: 1_200,
            total_bytes_max: 1_700,
        };
        let now = Instant::now();
        let full = Err(Condition::ResourceConstraint);
        assert!(one.push(outbound("1", None), room, now).is_ok());
        assert!(one.push(outbound("2", None), room, now).is_ok());
        assert_eq!(one.push(outbound("3", None), room, now), full);
        assert!(other.push(outbound("4", None), room, now).is_ok());
        assert_eq!(other.push(outbound("5", None), room, now), full);
        assert_eq!(one.give_up(|_| true).len(), 2);
        assert!(other.push(outbound("6", None), room, now).is_ok());
    }

    #[test]
    fn what_a_stream_left_that_was_cut_goes_over_the_next_one() {
        let pair = DomainPair::new("a.example", "b.example", Arc::default());
        pair.push(outbound("2", Some(2)), ROOM, Instant::now()).unwrap();
        pair.suspend(Suspended {
            id: "previous".to_owned(),
            confirmed: 0,
            unconfirmed: [outbound("0", Some(0)), outbound("1", Some(1))].into(),
            handled: 0,
            until: Instant::now() + Duration::from_secs(600),
        });
        // The other server has opened it, so no courier of ours comes for what is suspended.
        assert!(pair.attach(carrier(7)));
        let taken = pair.take(7, 100_000, 10);
        let ids: Vec<_> = taken
            .iter()
            .map(|one| one.stanza.id.as_deref().unwrap())
            .collect();
        assert_eq!(ids, ["0", "1", "2"]);
        assert!(pair.take_suspended().is_none());
    }

    #[test]
    fn after_a_failure_only_what_is_kept_waits() {
        let (pair, now) = (pair(), Instant::now());
        pair.close_until(now + Duration::from_secs(10), Condition::RemoteServerTimeout);
        assert_eq!(
            pair.push(outbound("1", None), ROOM, now),
            Err(Condition::RemoteServerTimeout)
        );
        assert_eq!(
            pair.push(outbound("2", Some(2)), ROOM, now),
            Ok(Pushed::NeedsCourier)
        );
        assert!(pair.is_patient());
        let later = now + Duration::from_secs(11);
        assert_eq!(pair.push(outbound("3", None), ROOM, later), Ok(Pushed::Waits));
        let given = pair.give_up(|item| !item.is_kept());
        assert!(
            matches!(&given[..], [Item::Here(one)] if one.stanza.id.as_deref() == Some("3")),
            "{given:?}"
        );
        assert!(!pair.is_done());
    }
}
