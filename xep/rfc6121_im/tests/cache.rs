//! The rosters in memory: bounded, and right whatever happens between a read and its keeping.

use std::sync::Arc;

use kim_core::jid::BareJid;

use crate::rfc6121_im::cache::Cache;
use crate::rfc6121_im::change::{Edit, apply};
use crate::rfc6121_im::item::{Roster, RosterItem};
use crate::rfc6121_im::store::roster_change::StoredChange;

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

fn roster(revision: i64, contacts: &[&str]) -> Arc<Roster> {
    let listed = |name: &&str| {
        Arc::new(RosterItem {
            listed: true,
            ..RosterItem::new(jid(name))
        })
    };
    Arc::new(Roster::new(
        revision,
        0,
        revision,
        contacts.iter().map(listed).collect(),
    ))
}

/// The change that adds a contact and leads to a revision.
fn added(contact: &BareJid, revision: i64) -> StoredChange {
    let set = Edit::Set {
        name: None,
        groups: Box::default(),
    };
    let done = apply(None, contact, &set).unwrap();
    StoredChange {
        before: None,
        after: Some(Arc::new(done.item)),
        visible: true,
        follow: done.follow,
        version: revision,
        floor: 0,
        revision,
    }
}

fn names(cache: &Cache, account: &BareJid) -> Option<Vec<String>> {
    let roster = cache.get(account)?;
    Some(roster.listed().map(|item| item.contact.to_string()).collect())
}

#[test]
fn a_copy_follows_changes_that_come_in_turn_and_goes_otherwise() {
    let cache = Cache::new(10_000_000);
    let (account, contact) = (jid("a@x"), jid("c@x"));
    cache.keep(&account, &roster(1, &["b@x", "d@x"]), cache.generation(&account));
    cache.changed(&account, &contact, &added(&contact, 2));
    assert_eq!(names(&cache, &account).unwrap(), ["b@x", "c@x", "d@x"]);
    // Told again, or late: it knows better.
    cache.changed(&account, &jid("z@x"), &added(&jid("z@x"), 2));
    assert_eq!(names(&cache, &account).unwrap(), ["b@x", "c@x", "d@x"]);
    // Something between was missed.
    cache.changed(&account, &jid("e@x"), &added(&jid("e@x"), 4));
    assert_eq!(names(&cache, &account), None);
}

#[test]
fn what_was_read_before_a_change_is_not_kept_after_it() {
    let cache = Cache::new(10_000_000);
    let (account, contact) = (jid("a@x"), jid("c@x"));
    let began = cache.generation(&account);
    cache.changed(&account, &contact, &added(&contact, 2));
    cache.keep(&account, &roster(1, &[]), began);
    assert_eq!(names(&cache, &account), None);
    let began = cache.generation(&account);
    cache.forget(&account);
    cache.keep(&account, &roster(2, &["c@x"]), began);
    assert_eq!(names(&cache, &account), None);
    cache.keep(&account, &roster(2, &["c@x"]), cache.generation(&account));
    assert_eq!(names(&cache, &account).unwrap(), ["c@x"]);
}

#[test]
fn memory_is_bounded() {
    let cache = Cache::new(320_000);
    let accounts: Vec<BareJid> = (0..2_000).map(|n| jid(&format!("a{n}@x"))).collect();
    for account in &accounts {
        cache.keep(account, &roster(1, &["b@x", "c@x"]), cache.generation(account));
        assert!(cache.get(account).is_some(), "what was just read is there");
    }
    let kept: usize = accounts
        .iter()
        .filter_map(|account| cache.get(account))
        .map(|roster| roster.bytes())
        .sum();
    assert!((100_000..=320_000).contains(&kept), "{kept}");
}
