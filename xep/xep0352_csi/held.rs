//! What waits for one client, in order. Of what only the latest counts, only the latest waits: where it stands now, so that
//! it overtakes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kim_core::jid::Jid;
use kim_core::stanza::Stanza;

use super::important::{self, Passing};

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct HeldLimits {
    /// Stanzas.
    pub stanzas_max: usize,
    /// Bytes.
    pub bytes_max: usize,
}

/// Replaced by the next of its kind between the same two.
type Key = (Passing, Option<Jid>, Option<Jid>);

/// Nothing is allocated while nothing waits.
#[derive(Default)]
pub struct Held {
    waiting: BTreeMap<u64, (Arc<Stanza>, Option<Key>)>,
    latest: HashMap<Key, u64>,
    next: u64,
    bytes: usize,
}

impl Held {
    /// Adds a stanza at the end.
    pub fn push(&mut self, stanza: Arc<Stanza>) {
        let key = important::passing(&stanza);
        if let Some(key) = &key
            && let Some(before) = self.latest.insert(key.clone(), self.next)
            && let Some((before, _)) = self.waiting.remove(&before)
        {
            self.bytes = self.bytes.saturating_sub(weight_bytes(&before));
        }
        self.bytes += weight_bytes(&stanza);
        self.waiting.insert(self.next, (stanza, key));
        self.next += 1;
    }

    /// Takes the first one.
    pub fn pop(&mut self) -> Option<Arc<Stanza>> {
        let Some((_, (stanza, key))) = self.waiting.pop_first() else {
            // Gives the memory back.
            self.latest = HashMap::new();
            return None;
        };
        self.bytes = self.bytes.saturating_sub(weight_bytes(&stanza));
        if let Some(key) = key {
            self.latest.remove(&key);
        }
        Some(stanza)
    }

    /// Whether more waits than may.
    pub fn exceeds(&self, limits: &HeldLimits) -> bool {
        self.waiting.len() > limits.stanzas_max || self.bytes > limits.bytes_max
    }
}

/// What it takes in memory, at least: its addresses and its place here come to its content.
fn weight_bytes(stanza: &Stanza) -> usize {
    let address = |jid: &Option<Jid>| jid.as_ref().map_or(0, |jid| jid.as_str().len());
    stanza.weight_bytes() + 2 * (address(&stanza.from) + address(&stanza.to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(xml: &str) -> Arc<Stanza> {
        Arc::new(Stanza::parse(xml).unwrap())
    }

    fn presence(from: &str, kind: &str) -> Arc<Stanza> {
        stanza(&format!("<presence from='{from}' to='a@x/y'{kind}/>"))
    }

    fn order(mut held: Held) -> Vec<String> {
        std::iter::from_fn(|| held.pop())
            .map(|stanza| stanza.to_xml())
            .collect()
    }

    #[test]
    fn the_latest_presence_replaces_the_one_before_and_stands_last() {
        let mut held = Held::default();
        held.push(presence("b@x/1", ""));
        held.push(presence("c@x/1", ""));
        held.push(stanza(
            "<message from='b@x/1'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
        ));
        held.push(presence("b@x/1", " type='unavailable'"));
        held.push(presence("b@x/2", ""));
        assert_eq!(
            order(held),
            [
                "<presence from='c@x/1' to='a@x/y'/>",
                "<message from='b@x/1'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
                "<presence from='b@x/1' to='a@x/y' type='unavailable'/>",
                "<presence from='b@x/2' to='a@x/y'/>",
            ]
        );
    }

    #[test]
    fn chat_states_replace_one_another_where_they_are_between_the_same_two() {
        let state = |head: &str, name: &str| {
            stanza(&format!(
                "<message {head}><{name} xmlns='http://jabber.org/protocol/chatstates'/></message>"
            ))
        };
        let copy = |from: &str, name: &str| {
            stanza(&format!(
                "<message from='a@x' to='a@x/y'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
                 <message xmlns='jabber:client' from='{from}' to='a@x'>\
                 <{name} xmlns='http://jabber.org/protocol/chatstates'/></message></forwarded></received></message>"
            ))
        };
        let mut held = Held::default();
        held.push(state("from='b@x/1' to='a@x/y'", "composing"));
        held.push(state("from='c@x/1' to='a@x/y'", "composing"));
        held.push(presence("b@x/1", ""));
        held.push(copy("d@x/1", "composing"));
        held.push(copy("e@x/1", "composing"));
        held.push(copy("d@x/1", "gone"));
        held.push(state("from='b@x/1' to='a@x/y'", "paused"));
        let order = order(held);
        assert_eq!(order.len(), 5);
        for (at, part) in ["c@x/1", "<presence", "e@x/1", "<gone", "<paused"]
            .iter()
            .enumerate()
        {
            assert!(order[at].contains(part), "{at}: {}", order[at]);
        }
    }

    #[test]
    fn what_waits_is_counted_and_nothing_is_left_of_it() {
        let limits = HeldLimits {
            stanzas_max: 10,
            bytes_max: 100_000,
        };
        let mut held = Held::default();
        for _ in 0..1_000 {
            held.push(presence("b@x/1", ""));
            assert!(!held.exceeds(&limits));
        }
        for at in 0..10 {
            held.push(presence(&format!("b@x/{}", at + 2), ""));
        }
        assert!(held.exceeds(&limits));
        while held.pop().is_some() {}
        assert_eq!(
            (held.bytes, held.waiting.len(), held.latest.capacity()),
            (0, 0, 0)
        );
        // Long addresses weigh too.
        let long = format!("b@x/{}", "r".repeat(1_000));
        held.push(presence(&long, ""));
        assert!(held.bytes > 2_000);
    }
}
