//! A roster as it is kept in memory, and as clients see it (RFC 6121 §2.1).

use std::sync::Arc;

use kim_core::jid::BareJid;
use kim_core::wire::Writer;

use super::ROSTER;
use super::subscription::{ContactState, Half};

/// One contact of an account. It is listed in the roster, or waits for an answer to its request, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterItem {
    /// The contact.
    pub contact: BareJid,
    /// Whether clients see it. A request alone does not make an item (§3.1.3).
    pub listed: bool,
    /// The subscription both ways.
    pub state: ContactState,
    /// The name the owner gave it, the "handle".
    pub name: Option<Box<str>>,
    /// The groups the owner put it in, in the order of the client.
    pub groups: Box<[Box<str>]>,
    /// The roster's version when this last changed visibly.
    pub version: i64,
}

impl RosterItem {
    /// A contact nothing is known about.
    pub fn new(contact: BareJid) -> RosterItem {
        RosterItem {
            contact,
            listed: false,
            state: ContactState::default(),
            name: None,
            groups: Box::default(),
            version: 0,
        }
    }

    /// Whether there is anything to keep.
    pub fn is_empty(&self) -> bool {
        !self.listed && self.state == ContactState::default()
    }

    /// Whether clients see the same in both (§2.6.3: only such changes make a version).
    pub fn looks_like(&self, other: &RosterItem) -> bool {
        let seen = |item: &RosterItem| {
            (
                item.listed,
                item.state.subscription(),
                item.state.is_asking(),
                item.state.approved,
            )
        };
        seen(self) == seen(other)
            && (!self.listed || (&self.name, &self.groups) == (&other.name, &other.groups))
    }

    /// Writes the `<item/>` of a listed contact, or the one that says it is gone.
    pub fn write(&self, xml: &mut Writer) {
        xml.start("item", ROSTER).attr("jid", self.contact.as_str());
        if !self.listed {
            xml.attr("subscription", "remove").end();
            return;
        }
        if let Some(name) = &self.name {
            xml.attr("name", name);
        }
        xml.attr("subscription", self.state.subscription());
        if self.state.is_asking() {
            xml.attr("ask", "subscribe");
        }
        if self.state.approved {
            xml.attr("approved", "true");
        }
        for group in &self.groups {
            xml.start("group", ROSTER).text(group).end();
        }
        xml.end();
    }

    /// Characters of its address, name and groups, as they are stored.
    pub fn text_chars(&self) -> usize {
        let groups: usize = self.groups.iter().map(|group| group.chars().count()).sum();
        let name = self.name.as_deref().map_or(0, |name| name.chars().count());
        self.contact.as_str().chars().count() + name + groups + self.groups.len().saturating_sub(1)
    }

    /// The memory it holds, for the limit of the cache.
    fn bytes(&self) -> usize {
        let text = |text: &str| text.len() + 24;
        size_of::<RosterItem>()
            + 40
            + self.contact.as_str().len()
            + self.name.as_deref().map_or(0, text)
            + self.groups.iter().map(|group| text(group)).sum::<usize>()
    }
}

/// All contacts of an account, ordered by address.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    /// The version clients know (§2.6); 0 for a roster that never had an item.
    pub version: i64,
    /// The oldest version from which it is known what was removed since.
    pub floor: i64,
    /// Counts every change, also those that no client sees.
    pub revision: i64,
    items: Vec<Arc<RosterItem>>,
}

impl Roster {
    /// A roster with these contacts.
    pub fn new(version: i64, floor: i64, revision: i64, mut items: Vec<Arc<RosterItem>>) -> Roster {
        items.sort_by(|a, b| a.contact.cmp(&b.contact));
        Roster {
            version,
            floor,
            revision,
            items,
        }
    }

    /// One contact.
    pub fn get(&self, contact: &BareJid) -> Option<&Arc<RosterItem>> {
        self.find(contact).ok().and_then(|at| self.items.get(at))
    }

    fn find(&self, contact: &BareJid) -> Result<usize, usize> {
        self.items
            .binary_search_by(|item| item.contact.as_str().cmp(contact.as_str()))
    }

    /// The subscription with a contact, also with one nothing is known about.
    pub fn state(&self, contact: &BareJid) -> ContactState {
        self.get(contact).map(|item| item.state).unwrap_or_default()
    }

    /// All contacts, also those that only asked.
    pub fn all(&self) -> &[Arc<RosterItem>] {
        &self.items
    }

    /// What clients see.
    pub fn listed(&self) -> impl Iterator<Item = &Arc<RosterItem>> {
        self.items.iter().filter(|item| item.listed)
    }

    /// The contacts that see the account's presence.
    pub fn subscribers(&self) -> impl Iterator<Item = &BareJid> {
        self.items
            .iter()
            .filter(|item| item.state.is_from())
            .map(|item| &item.contact)
    }

    /// Whether some contact waits for an answer.
    pub fn has_requests(&self) -> bool {
        self.items.iter().any(|item| item.state.incoming == Half::Asked)
    }

    /// The same roster after a change of one contact.
    pub fn with(
        &self,
        contact: &BareJid,
        after: Option<Arc<RosterItem>>,
        version: i64,
        revision: i64,
    ) -> Roster {
        let mut changed = Roster {
            version,
            revision,
            ..self.clone()
        };
        match (self.find(contact), after) {
            (Ok(at), Some(item)) => changed.items.splice(at..=at, [item]).for_each(drop),
            (Ok(at), None) => drop(changed.items.remove(at)),
            (Err(at), Some(item)) => changed.items.insert(at, item),
            (Err(_), None) => {}
        }
        changed
    }

    /// The memory it holds, for the limit of the cache.
    pub fn bytes(&self) -> usize {
        size_of::<Roster>() + self.items.iter().map(|item| item.bytes()).sum::<usize>()
    }
}
