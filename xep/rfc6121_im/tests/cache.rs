//! The rosters in memory: bounded, and right whatever happens between a read and its keeping.

use std::sync::Arc;

use kim_core::jid::BareJid;
use kim_core::keyed::Caches;

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

fn cache(bytes_max: usize) -> Cache {
    Cache::new(&Caches::default(), bytes_max)
}

async fn read(cache: &Cache, account: &BareJid, roster: Arc<Roster>) {
    cache.read(account, async || Ok::<_, ()>(roster)).await.unwrap();
}

#[tokio::test]
async fn a_copy_follows_changes_that_come_in_turn_and_goes_otherwise() {
    let cache = cache(10_000_000);
    let (account, contact) = (jid("a@x"), jid("c@x"));
    read(&cache, &account, roster(1, &["b@x", "d@x"])).await;
    cache.changed(&account, &contact, &added(&contact, 2));
    assert_eq!(names(&cache, &account).unwrap(), ["b@x", "c@x", "d@x"]);
    // Told again, or late: it knows better.
    cache.changed(&account, &jid("z@x"), &added(&jid("z@x"), 2));
    assert_eq!(names(&cache, &account).unwrap(), ["b@x", "c@x", "d@x"]);
    // Something between was missed.
    cache.changed(&account, &jid("e@x"), &added(&jid("e@x"), 4));
    assert_eq!(names(&cache, &account), None);
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept_after_it() {
    let cache = cache(10_000_000);
    let (account, contact) = (jid("a@x"), jid("c@x"));
    let before = async || {
        cache.changed(&account, &contact, &added(&contact, 2));
        Ok::<_, ()>(roster(1, &[]))
    };
    cache.read(&account, before).await.unwrap();
    assert_eq!(names(&cache, &account), None);
    let before = async || {
        cache.forget(&account);
        Ok::<_, ()>(roster(2, &["c@x"]))
    };
    cache.read(&account, before).await.unwrap();
    assert_eq!(names(&cache, &account), None);
    read(&cache, &account, roster(2, &["c@x"])).await;
    assert_eq!(names(&cache, &account).unwrap(), ["c@x"]);
}

#[tokio::test]
async fn memory_is_bounded() {
    let cache = cache(320_000);
    let accounts: Vec<BareJid> = (0..2_000).map(|n| jid(&format!("a{n}@x"))).collect();
    for account in &accounts {
        read(&cache, account, roster(1, &["b@x", "c@x"])).await;
    }
    let kept: usize = accounts
        .iter()
        .filter_map(|account| cache.get(account))
        .map(|roster| roster.bytes())
        .sum();
    assert!((100_000..=320_000).contains(&kept), "{kept}");
}
