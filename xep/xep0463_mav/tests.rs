//! A member comes back and is told what has changed meanwhile, and nobody else is.

use kim_core::db::{Db, DbOptions, Query};
use kim_core::testing::{Client, House};

const ROOM: &str = "team@conference.localhost";

async fn enter(client: &mut Client, nick: &str, mav: &str) -> Vec<String> {
    client.skip();
    client
        .send(&format!(
            "<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'>{mav}</x></presence>"
        ))
        .await;
    all(client)
}

fn all(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.next()).collect()
}

fn asking(since: &str) -> String {
    format!("<mav xmlns='urn:xmpp:muc:affiliations:1' since='{since}'/>")
}

const ASKING: &str = "<mav xmlns='urn:xmpp:muc:affiliations:1'/>";

fn attribute(text: &str, name: &str) -> Option<String> {
    let mav = text.split("<mav ").nth(1)?.split('>').next()?;
    let rest = mav.split(&format!("{name}='")).nth(1)?;
    rest.split('\'').next().map(str::to_owned)
}

fn until(stanzas: &[String]) -> String {
    let own = stanzas.iter().find(|one| one.contains("code='110'")).unwrap();
    attribute(own, "until").unwrap_or_else(|| panic!("no version in {own}"))
}

/// Makes people something, in one request.
async fn set(owner: &mut Client, changes: &[(&str, &str)]) {
    let items: String = changes
        .iter()
        .map(|(who, what)| format!("<item jid='{who}' affiliation='{what}'/>"))
        .collect();
    owner.skip();
    owner
        .send(&format!(
            "<iq id='s' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>{items}</query></iq>"
        ))
        .await;
}

async fn configure(owner: &mut Client, fields: &[(&str, &str)]) {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='muc#roomconfig_{var}'><value>{value}</value></field>"))
        .collect();
    owner
        .send(&format!(
            "<iq id='c' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'>{fields}</x></query></iq>"
        ))
        .await;
    owner.skip();
}

const PRIVATE: &[(&str, &str)] = &[("membersonly", "1"), ("whois", "anyone"), ("persistentroom", "1")];

async fn group(house: &House) -> Client {
    let mut alice = house.online("alice@localhost/phone").await;
    enter(&mut alice, "alice", "").await;
    configure(&mut alice, PRIVATE).await;
    alice
}

#[tokio::test]
async fn whose_affiliation_is_again_what_it_was_is_not_named() {
    // §6: "careful not to disclose past affiliation states"
    let house = House::new(crate::MODULES).await;
    let mut alice = group(&house).await;
    let mut bob = house.online("bob@localhost/phone").await;
    set(&mut alice, &[("bob@localhost", "member")]).await;
    let known = until(&enter(&mut bob, "bob", ASKING).await);
    bob.disconnect().await;
    set(
        &mut alice,
        &[("carol@localhost", "admin"), ("dave@localhost", "member")],
    )
    .await;
    set(
        &mut alice,
        &[("carol@localhost", "none"), ("mallory@localhost", "outcast")],
    )
    .await;
    let mut bob = house.online("bob@localhost/phone").await;
    let got = enter(&mut bob, "bob", &asking(&known)).await;
    assert!(
        got[0].contains("<item affiliation='member' jid='dave@localhost'/>"),
        "{got:#?}"
    );
    assert!(
        !got[0].contains("carol") && !got[0].contains("mallory"),
        "{got:#?}"
    );
    assert_eq!(attribute(&got[0], "since").as_deref(), Some(&*known));
    // An admin sees the banned too.
    let got = enter(&mut alice, "alice", &asking(&known)).await;
    assert!(
        got[0].contains("<item affiliation='outcast' jid='mallory@localhost'/>"),
        "{got:#?}"
    );
    // "There can be no empty diff": where nothing is left of a change, the list comes whole.
    let known = until(&got);
    set(&mut alice, &[("erin@localhost", "member")]).await;
    set(&mut alice, &[("erin@localhost", "none")]).await;
    let got = enter(&mut bob, "bob", &asking(&known)).await;
    assert!(
        got[0].contains("jid='alice@localhost'") && attribute(&got[0], "since").is_none(),
        "{got:#?}"
    );
    assert!(
        !got[0].contains("erin") && !got[0].contains("mallory"),
        "{got:#?}"
    );
}

#[tokio::test]
async fn a_version_that_nobody_was_told_gives_the_full_list() {
    let house = House::new(crate::MODULES).await;
    let mut alice = group(&house).await;
    for since in ["nonsense", "", "0"] {
        let got = enter(&mut alice, "alice", &asking(since)).await;
        assert!(
            got[0].contains("jid='alice@localhost'") && attribute(&got[0], "since").is_none(),
            "{got:#?}"
        );
    }
    // Whose own affiliation has changed may see other things than before.
    let mut bob = house.online("bob@localhost/phone").await;
    set(
        &mut alice,
        &[("bob@localhost", "member"), ("mallory@localhost", "outcast")],
    )
    .await;
    let known = until(&enter(&mut bob, "bob", "").await);
    set(&mut alice, &[("bob@localhost", "admin")]).await;
    let got = enter(&mut bob, "bob", &asking(&known)).await;
    assert!(
        got[0].contains("jid='mallory@localhost'") && attribute(&got[0], "since").is_none(),
        "{got:#?}"
    );
}

#[tokio::test]
async fn who_may_not_see_the_lists_gets_an_error_and_learns_no_version() {
    // §5.2.3
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    enter(&mut alice, "alice", "").await;
    configure(&mut alice, &[("persistentroom", "1")]).await;
    let mut bob = house.online("bob@localhost/phone").await;
    let mut guest = house.guest("g1@guest.localhost/web").await;
    for (client, nick) in [(&mut bob, "bob"), (&mut guest, "guest")] {
        let got = enter(client, nick, ASKING).await;
        assert!(
            got[0].starts_with("<message")
                && got[0].contains("type='error'")
                && got[0].contains("<forbidden"),
            "{got:#?}"
        );
        assert!(got.iter().any(|one| one.contains("code='110'")), "{got:#?}");
        assert!(!got.iter().any(|one| one.contains("<mav")), "{got:#?}");
    }
    // A moderator who is no admin sees addresses, and still no lists.
    alice
        .send(&format!(
            "<iq id='r' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>\
             <item nick='bob' role='moderator'/></query></iq>"
        ))
        .await;
    bob.skip();
    guest.skip();
    set(&mut alice, &[("carol@localhost", "member")]).await;
    let (told, to_bob, to_guest) = (all(&mut alice), all(&mut bob), all(&mut guest));
    assert!(
        told.iter().any(|one| attribute(one, "since").is_some()),
        "{told:#?}"
    );
    assert!(
        to_bob[0].contains("jid='carol@localhost'") && !to_bob[0].contains("<mav"),
        "{to_bob:#?}"
    );
    assert!(to_guest.is_empty(), "{to_guest:#?}");
    // In presence likewise.
    set(&mut alice, &[("bob@localhost", "member")]).await;
    let (told, to_bob, to_guest) = (all(&mut alice), all(&mut bob), all(&mut guest));
    assert!(
        told.iter().any(|one| attribute(one, "since").is_some()),
        "{told:#?}"
    );
    for one in to_bob.iter().chain(&to_guest) {
        assert!(
            one.contains("affiliation='member'") && !one.contains("<mav"),
            "{one}"
        );
    }
    assert!(!to_guest.is_empty());
}

/// Follows the chain of versions that somebody was told.
fn follow(known: &str, told: &[String]) -> String {
    let mut known = known.to_owned();
    for one in told {
        if let Some(since) = attribute(one, "since") {
            assert_eq!(since, known, "{told:#?}");
            known = attribute(one, "until").unwrap();
        } else if let Some(until) = attribute(one, "until") {
            assert_eq!(until, known, "{told:#?}");
        }
    }
    known
}

#[tokio::test]
async fn every_change_is_told_once_and_the_versions_are_a_chain() {
    // §5.2.2
    let house = House::new(crate::MODULES).await;
    let mut alice = group(&house).await;
    let mut watcher = house.online("watcher@localhost/phone").await;
    set(
        &mut alice,
        &[("watcher@localhost", "admin"), ("bob@localhost", "member")],
    )
    .await;
    let mut known = until(&enter(&mut watcher, "watcher", "").await);
    let mut bob = house.online("bob@localhost/phone").await;
    enter(&mut bob, "bob", "").await;
    enter(&mut bob, "bobby", "").await;
    let changes: [&[(&str, &str)]; 6] = [
        &[
            ("bob@localhost", "admin"),
            ("carol@localhost", "member"),
            ("bob@localhost", "member"),
        ],
        // §9.2: a domain goes with all who come from there, which is one change.
        &[
            ("dave@elsewhere.example", "member"),
            ("elsewhere.example", "outcast"),
        ],
        &[("bob@localhost", "outcast")],
        &[("bob@localhost", "none"), ("carol@localhost", "none")],
        &[("localhost", "outcast")],
        &[("localhost", "none")],
    ];
    for change in changes {
        watcher.skip();
        set(&mut alice, change).await;
        let told = all(&mut watcher);
        let pairs = told
            .iter()
            .filter(|one| attribute(one, "since").is_some())
            .count();
        assert_eq!(pairs, change.len(), "{change:?}: {told:#?}");
        known = follow(&known, &told);
    }
    let again = enter(&mut watcher, "watcher", &asking(&known)).await;
    assert!(again[0].starts_with("<presence"), "up to date: {again:#?}");
}

#[tokio::test]
async fn a_change_that_no_presence_shows_is_told_by_a_message() {
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    enter(&mut alice, "alice", "").await;
    let hidden = [("whois", "anyone"), ("presencebroadcast", "moderator")];
    configure(&mut alice, &hidden).await;
    let known = until(&enter(&mut alice, "alice", "").await);
    let mut bob = house.online("bob@localhost/phone").await;
    enter(&mut bob, "bob", "").await;
    set(&mut alice, &[("bob@localhost", "member")]).await;
    let told = all(&mut alice);
    assert!(
        told.iter()
            .any(|one| one.starts_with("<message") && one.contains("jid='bob@localhost'")),
        "{told:#?}"
    );
    let after = follow(&known, &told);
    assert_ne!(known, after);
    assert_eq!(follow(&known, &all(&mut bob)), after);
}

#[tokio::test]
async fn a_long_list_comes_in_several_messages_that_fit() {
    // §5.2.1: "must have their until and since attributes match the adjacent message"
    let house = House::new(crate::MODULES).await;
    let mut alice = group(&house).await;
    for page in 0..3 {
        let names: Vec<String> = (0..400)
            .map(|at| format!("user{}@localhost", page * 400 + at))
            .collect();
        let changes: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "member")).collect();
        set(&mut alice, &changes).await;
    }
    let got = enter(&mut alice, "alice", ASKING).await;
    let lists: Vec<&String> = got.iter().take_while(|one| one.starts_with("<message")).collect();
    assert_eq!(lists.len(), 3);
    assert_eq!(
        lists
            .iter()
            .map(|one| one.matches("<item").count())
            .sum::<usize>(),
        1_201
    );
    assert_eq!(attribute(lists[0], "since"), None);
    assert_eq!(attribute(lists[0], "until"), attribute(lists[1], "since"));
    assert_eq!(attribute(lists[1], "until"), attribute(lists[2], "since"));
    assert_eq!(attribute(lists[2], "until"), Some(until(&got)));
    // Who got no further than the first of them gets everything again, not a difference from there.
    let half = attribute(lists[0], "until").unwrap();
    let got = enter(&mut alice, "alice", &asking(&half)).await;
    assert_eq!(attribute(&got[0], "since"), None);
}

#[tokio::test]
async fn of_very_many_versions_the_last_ones_are_kept() {
    let db = Db::open("sqlite::memory:", &DbOptions::default()).await.unwrap();
    let house = House::on(db.clone(), crate::MODULES, "").await;
    let mut alice = group(&house).await;
    let known = until(&enter(&mut alice, "alice", "").await);
    // Each round changes 250 people: four rounds fill the log to the brim.
    let names: Vec<String> = (0..250).map(|at| format!("user{at}@localhost")).collect();
    for what in ["member", "none", "member", "none"] {
        let changes: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), what)).collect();
        set(&mut alice, &changes).await;
    }
    set(&mut alice, &[("bob@localhost", "member")]).await;
    let count = Query::new("SELECT COUNT(*) FROM mav_versions");
    let rows = house
        .db
        .fetch_optional(count)
        .await
        .unwrap()
        .unwrap()
        .i64(0)
        .unwrap();
    assert_eq!(rows, super::log::ENTRIES_MAX as i64);
    let old = enter(&mut alice, "alice", &asking(&known)).await;
    assert!(
        attribute(&old[0], "since").is_none() && old[0].contains("jid='alice@localhost'"),
        "{old:#?}"
    );
    let known = until(&old);
    set(&mut alice, &[("carol@localhost", "member")]).await;
    let new = enter(&mut alice, "alice", &asking(&known)).await;
    assert!(
        attribute(&new[0], "since").is_some() && !new[0].contains("jid='alice@localhost'"),
        "{new:#?}"
    );
    // The same after a restart.
    let house = House::on(db, crate::MODULES, "").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let same = enter(&mut alice, "alice", &asking(&known)).await;
    assert_eq!(same[0], new[0]);
}

#[tokio::test]
async fn versions_outlive_a_restart_and_end_with_the_room() {
    let db = Db::open("sqlite::memory:", &DbOptions::default()).await.unwrap();
    let house = House::on(db.clone(), crate::MODULES, "").await;
    let mut alice = group(&house).await;
    let known = until(&enter(&mut alice, "alice", "").await);
    set(&mut alice, &[("bob@localhost", "member")]).await;
    let house = House::on(db.clone(), crate::MODULES, "").await;
    let mut alice = house.online("alice@localhost/phone").await;
    // The first change after a restart goes on from the version before it.
    set(&mut alice, &[("carol@localhost", "member")]).await;
    let told = all(&mut alice);
    assert_ne!(follow(&attribute(&told[1], "since").unwrap(), &told), known);
    let got = enter(&mut alice, "alice", &asking(&known)).await;
    assert!(
        got[0].contains("jid='bob@localhost'") && got[0].contains("jid='carol@localhost'"),
        "{got:#?}"
    );
    assert!(!got[0].contains("jid='alice@localhost'"), "{got:#?}");
    let known = until(&got);
    alice
        .send(&format!(
            "<iq id='d' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>"
        ))
        .await;
    let count = Query::new("SELECT COUNT(*) FROM mav_versions");
    let rows = house
        .db
        .fetch_optional(count)
        .await
        .unwrap()
        .unwrap()
        .i64(0)
        .unwrap();
    assert_eq!(rows, 0);
    let got = enter(&mut alice, "alice", &asking(&known)).await;
    assert!(
        attribute(&got[0], "since").is_none() && !got[0].contains("jid='bob@localhost'"),
        "{got:#?}"
    );
}

#[tokio::test]
async fn an_erased_account_is_named_by_no_version() {
    let house = House::new(crate::MODULES).await;
    let mut alice = group(&house).await;
    let bob = house.online("bob@localhost/phone").await;
    set(
        &mut alice,
        &[("bob@localhost", "member"), ("carol@localhost", "member")],
    )
    .await;
    let known = until(&enter(&mut alice, "alice", "").await);
    house.router.erase_account(&bob.session.account).await.unwrap();
    let told = all(&mut alice);
    let known = follow(&known, &told);
    set(&mut alice, &[("dave@localhost", "member")]).await;
    let named = Query::new("SELECT COUNT(*) FROM mav_versions WHERE jid = 'bob@localhost'");
    let rows = house
        .db
        .fetch_optional(named)
        .await
        .unwrap()
        .unwrap()
        .i64(0)
        .unwrap();
    assert_eq!(rows, 0);
    let got = enter(&mut alice, "alice", &asking(&known)).await;
    assert!(
        got[0].contains("jid='dave@localhost'") && attribute(&got[0], "since").is_some(),
        "{got:#?}"
    );
}

#[tokio::test]
async fn a_version_that_was_not_stored_is_told_to_nobody() {
    let house = House::new(crate::MODULES).await;
    let mut alice = group(&house).await;
    let known = until(&enter(&mut alice, "alice", "").await);
    let refuse = "CREATE TRIGGER no BEFORE INSERT ON mav_versions BEGIN SELECT RAISE(ABORT, 'no'); END";
    house.db.execute(Query::new(refuse)).await.unwrap();
    set(&mut alice, &[("zoe@localhost", "member")]).await;
    assert!(!all(&mut alice).concat().contains("<mav "));
    house.db.execute(Query::new("DROP TRIGGER no")).await.unwrap();
    assert_eq!(until(&enter(&mut alice, "alice", "").await), known);
}
