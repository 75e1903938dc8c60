//! Clients on other servers: what they announced in the presence that an account here got, what they were asked in the
//! account's name, and what they want to hear of. A client is forgotten when it goes, when an error says that it is gone,
//! with the account, and after a week without a word. Everything is bounded: what is not known is not told to anybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kim_core::clock::Timestamp;
use kim_core::jid::{BareJid, Jid};

use super::api::Features;
use super::session::Announced;

/// Clients known at the same time.
const CLIENTS_MAX: usize = 20_000;
/// Those that one account gets presence from.
const CLIENTS_PER_ACCOUNT_MAX: usize = 1_000;
/// Those of one contact.
const CLIENTS_PER_CONTACT_MAX: usize = 16;
/// The most that a client may be able to do, in bytes. Of one that says more nothing is known.
const FEATURES_BYTES_MAX: usize = 8_192;
/// Presence older than this says nothing any more.
const HEARD_SECONDS_MAX: u64 = 7 * 86_400;

/// One client.
struct Client {
    jid: Jid,
    heard: Timestamp,
    announced: Option<Announced>,
    /// The id of the one question that is open.
    asked: Option<String>,
    features: Option<Arc<Features>>,
}

impl Client {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now.seconds_since(self.heard) <= HEARD_SECONDS_MAX
    }
}

/// The clients of one contact.
type Clients = Vec<Client>;

#[derive(Default)]
struct Table {
    accounts: HashMap<BareJid, HashMap<BareJid, Clients>>,
    count: usize,
}

/// All clients elsewhere, by the account that gets their presence and by contact.
#[derive(Default)]
pub(super) struct Elsewhere(Mutex<Table>);

/// What is known before and after.
pub(super) type Learned = (Option<Arc<Features>>, Arc<Features>);

impl Elsewhere {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a presence announced, and tells whether that is news that has to be looked into.
    pub fn announce(
        &self,
        owner: &BareJid,
        jid: &Jid,
        announced: Option<&Announced>,
        now: Timestamp,
    ) -> bool {
        let mut table = self.table();
        let contact = jid.bare();
        if let Some(client) = table.client(owner, &contact, jid) {
            client.heard = now;
            let is_news = announced.is_some() && client.announced.as_ref() != announced;
            if is_news {
                client.announced = announced.cloned();
                client.asked = None;
            }
            return is_news;
        }
        let Some(announced) = announced else { return false };
        if !table.has_room(owner, &contact, now) {
            return false;
        }
        let clients = table
            .accounts
            .entry(owner.clone())
            .or_default()
            .entry(contact)
            .or_default();
        clients.push(Client {
            jid: jid.clone(),
            heard: now,
            announced: Some(announced.clone()),
            asked: None,
            features: None,
        });
        table.count += 1;
        true
    }

    /// Opens a question.
    pub fn ask(&self, owner: &BareJid, jid: &Jid, id: &str) {
        if let Some(client) = self.table().client(owner, &jid.bare(), jid) {
            client.asked = Some(id.to_owned());
        }
    }

    /// Closes the question of that id and tells what it was about. Nobody else's answer fits.
    pub fn answered(&self, owner: &BareJid, jid: &Jid, id: &str) -> Option<Announced> {
        let mut table = self.table();
        let client = table.client(owner, &jid.bare(), jid)?;
        client.asked.take_if(|asked| asked == id)?;
        client.announced.clone()
    }

    /// Notes what a client can do.
    pub fn learn(&self, owner: &BareJid, jid: &Jid, features: Arc<Features>) -> Option<Learned> {
        if features.weight_bytes() > FEATURES_BYTES_MAX {
            return None;
        }
        let mut table = self.table();
        let client = table.client(owner, &jid.bare(), jid)?;
        Some((client.features.replace(features.clone()), features))
    }

    /// The clients of a contact whose features are known.
    pub fn of(&self, owner: &BareJid, contact: &BareJid, now: Timestamp) -> Vec<(Jid, Arc<Features>)> {
        let table = self.table();
        let clients = table
            .accounts
            .get(owner)
            .and_then(|contacts| contacts.get(contact));
        let fresh = clients
            .into_iter()
            .flatten()
            .filter(|client| client.is_fresh(now));
        fresh
            .filter_map(|client| Some((client.jid.clone(), client.features.clone()?)))
            .collect()
    }

    /// A client is gone; of a bare address, all clients of that contact.
    pub fn forget(&self, owner: &BareJid, jid: &Jid) {
        let mut table = self.table();
        let Some(contacts) = table.accounts.get_mut(owner) else {
            return;
        };
        let contact = jid.bare();
        let Some(clients) = contacts.get_mut(&contact) else {
            return;
        };
        let before = clients.len();
        clients.retain(|client| !jid.is_bare() && client.jid != *jid);
        let gone = before - clients.len();
        if clients.is_empty() {
            contacts.remove(&contact);
        }
        if contacts.is_empty() {
            table.accounts.remove(owner);
        }
        table.count -= gone;
    }

    /// An account is gone.
    pub fn forget_account(&self, owner: &BareJid) {
        let mut table = self.table();
        let gone = table
            .accounts
            .remove(owner)
            .map_or(0, |contacts| count(&contacts));
        table.count -= gone;
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.table().count
    }
}

impl Table {
    fn client(&mut self, owner: &BareJid, contact: &BareJid, jid: &Jid) -> Option<&mut Client> {
        let clients = self.accounts.get_mut(owner)?.get_mut(contact)?;
        clients.iter_mut().find(|client| client.jid == *jid)
    }

    /// Whether one more client fits, after those are gone that have not been heard of for too long.
    fn has_room(&mut self, owner: &BareJid, contact: &BareJid, now: Timestamp) -> bool {
        if let Some(contacts) = self.accounts.get_mut(owner) {
            let before = count(contacts);
            if before >= CLIENTS_PER_ACCOUNT_MAX
                || contacts
                    .get(contact)
                    .is_some_and(|clients| clients.len() >= CLIENTS_PER_CONTACT_MAX)
            {
                drop_stale(contacts, now);
            }
            let after = count(contacts);
            self.count -= before - after;
            if after >= CLIENTS_PER_ACCOUNT_MAX
                || contacts
                    .get(contact)
                    .is_some_and(|clients| clients.len() >= CLIENTS_PER_CONTACT_MAX)
            {
                return false;
            }
        }
        if self.count >= CLIENTS_MAX {
            self.accounts.retain(|_, contacts| {
                drop_stale(contacts, now);
                !contacts.is_empty()
            });
            self.count = self.accounts.values().map(count).sum();
        }
        self.count < CLIENTS_MAX
    }
}

fn count(contacts: &HashMap<BareJid, Clients>) -> usize {
    contacts.values().map(Vec::len).sum()
}

fn drop_stale(contacts: &mut HashMap<BareJid, Clients>, now: Timestamp) {
    contacts.retain(|_, clients| {
        clients.retain(|client| client.is_fresh(now));
        !clients.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn announced() -> Announced {
        let xml =
            "<presence><c xmlns='http://jabber.org/protocol/caps' node='urn:client' ver='1'/></presence>";
        let presence = kim_core::wire::Element::parse(xml).unwrap();
        Announced::read(&kim_core::stanza::Stanza::from_element(presence).ok().unwrap()).unwrap()
    }

    #[test]
    fn the_table_is_bounded_and_forgets() {
        let (table, announced) = (Elsewhere::default(), announced());
        let owner = jid("alice@localhost").bare();
        let start = Timestamp(1_000_000);
        for n in 0..CLIENTS_PER_CONTACT_MAX + 5 {
            let is_new = table.announce(
                &owner,
                &jid(&format!("romeo@example.org/{n}")),
                Some(&announced),
                start,
            );
            assert_eq!(is_new, n < CLIENTS_PER_CONTACT_MAX);
        }
        for n in 0..CLIENTS_PER_ACCOUNT_MAX {
            table.announce(
                &owner,
                &jid(&format!("c{n}@example.org/x")),
                Some(&announced),
                start,
            );
        }
        assert_eq!(table.count(), CLIENTS_PER_ACCOUNT_MAX);
        table.forget(&owner, &jid("romeo@example.org/0"));
        assert_eq!(table.count(), CLIENTS_PER_ACCOUNT_MAX - 1);
        table.forget(&owner, &jid("romeo@example.org"));
        assert_eq!(table.count(), CLIENTS_PER_ACCOUNT_MAX - CLIENTS_PER_CONTACT_MAX);
        // Of many accounts, too; what is old makes room.
        for n in 0..CLIENTS_MAX + 10 {
            let other = jid(&format!("a{n}@localhost")).bare();
            table.announce(&other, &jid("romeo@example.org/0"), Some(&announced), start);
        }
        assert_eq!(table.count(), CLIENTS_MAX);
        let later = Timestamp(start.0 + (HEARD_SECONDS_MAX as i64 + 1) * 1_000_000);
        let other = jid("late@localhost").bare();
        assert!(table.announce(&other, &jid("romeo@example.org/0"), Some(&announced), later));
        assert_eq!(table.count(), 1);
        table.forget_account(&other);
        assert_eq!(table.count(), 0);
    }

    #[test]
    fn only_the_answer_to_the_open_question_counts() {
        let (table, announced) = (Elsewhere::default(), announced());
        let (owner, romeo) = (jid("alice@localhost").bare(), jid("romeo@example.org/x"));
        let now = Timestamp(1);
        assert!(table.announce(&owner, &romeo, Some(&announced), now));
        assert!(!table.announce(&owner, &romeo, Some(&announced), now));
        table.ask(&owner, &romeo, "secret");
        assert!(table.answered(&owner, &romeo, "guess").is_none());
        assert!(
            table
                .answered(&owner, &jid("romeo@example.org/y"), "secret")
                .is_none()
        );
        assert!(table.answered(&owner, &romeo, "secret").is_some());
        assert!(table.answered(&owner, &romeo, "secret").is_none());
    }
}
