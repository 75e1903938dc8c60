//! Searches, in memory.

use kim_core::db::{Db, DbOptions};
use kim_core::testing::{Client, House};

use crate::xep0045_muc::api::Rooms;

async fn room(client: &mut Client, name: &str, fields: &[(&str, &str)]) {
    let room = format!("{name}@conference.localhost");
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    for text in [
        format!("<presence to='{room}/owner'><x xmlns='http://jabber.org/protocol/muc'/></presence>"),
        format!(
            "<iq id='c' to='{room}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#roomconfig</value></field>\
             <field var='muc#roomconfig_persistentroom'><value>1</value></field>{fields}</x></query></iq>"
        ),
    ] {
        client.send(&text).await;
    }
    client.skip();
}

async fn search(client: &mut Client, fields: &[(&str, &str)], set: &str) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    client.skip();
    client
        .send(&format!(
            "<iq id='s' to='conference.localhost' type='get'><search xmlns='urn:xmpp:channel-search:0:search'>{set}\
             <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>urn:xmpp:channel-search:0:search-params</value></field>{fields}</x></search></iq>"
        ))
        .await;
    client.next().unwrap()
}

fn found(answer: &str) -> Vec<&str> {
    answer
        .split("<item address='")
        .skip(1)
        .map(|rest| rest.split('@').next().unwrap())
        .collect()
}

const BY_ADDRESS: (&str, &str) = ("key", "{urn:xmpp:channel-search:0:order}address");

#[tokio::test]
async fn public_rooms_are_found_by_what_they_say_of_themselves() {
    // §4.2.2, §6
    let house = House::configured(crate::MODULES, "[rooms]\ndefault = []\n").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let public = ("muc#roomconfig_publicroom", "1");
    room(
        &mut alice,
        "coven",
        &[public, ("muc#roomconfig_roomname", "Dark cave")],
    )
    .await;
    room(
        &mut alice,
        "heath",
        &[
            public,
            ("muc#roomconfig_roomdesc", "Witches in a cave"),
            ("muc#roomconfig_whois", "anyone"),
        ],
    )
    .await;
    room(
        &mut alice,
        "castle",
        &[public, ("muc#roomconfig_membersonly", "1")],
    )
    .await;
    room(&mut alice, "cave-of-ours", &[("muc#roomconfig_publicroom", "0")]).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    bob.send("<presence to='heath@conference.localhost/bob'><x xmlns='http://jabber.org/protocol/muc'/></presence>").await;

    let all = search(&mut bob, &[("all", "true")], "").await;
    assert_eq!(
        found(&all),
        ["heath", "castle", "coven"],
        "most people first: {all}"
    );
    let caves = search(&mut bob, &[("q", "CAVE"), BY_ADDRESS], "").await;
    assert_eq!(found(&caves), ["coven", "heath"], "and none that is hidden");
    assert!(caves.contains("<name>Dark cave</name>"), "{caves}");
    assert!(
        caves.contains("<description>Witches in a cave</description>"),
        "{caves}"
    );
    assert!(caves.contains("<nusers>2</nusers><service-type>xep-0045</service-type><is-open/><anonymity-mode>{urn:xmpp:channel-search:0:anonymity}none</anonymity-mode>"), "{caves}");
    let named = search(
        &mut bob,
        &[("q", "cave"), ("sindescription", "false"), BY_ADDRESS],
        "",
    )
    .await;
    assert_eq!(found(&named), ["coven"]);
    assert_eq!(
        found(&search(&mut bob, &[("q", "dark cave")], "").await),
        ["coven"],
        "all words"
    );
    assert_eq!(
        found(&search(&mut bob, &[("q", "cave"), ("min_users", "2")], "").await),
        ["heath"]
    );
    assert!(found(&search(&mut bob, &[("q", "cave"), ("types", "xep-0369")], "").await).is_empty());
    assert!(found(&search(&mut bob, &[("q", "nothing like it")], "").await).is_empty());
    let castle = search(&mut bob, &[("q", "castle")], "").await;
    assert!(!castle.contains("<is-open/>"), "{castle}");
}

#[tokio::test]
async fn rooms_that_are_there_by_default_are_found_before_anybody_was_in_them() {
    let house = House::configured(crate::MODULES, "[rooms]\ndefault = [\"lobby\"]\n").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let answer = search(&mut alice, &[("all", "true"), BY_ADDRESS], "").await;
    assert_eq!(found(&answer), ["lobby"], "{answer}");
}

#[tokio::test]
async fn results_come_in_pages() {
    let house = House::configured(crate::MODULES, "[rooms]\ndefault = []\n").await;
    let mut alice = house.online("alice@localhost/phone").await;
    for name in ["a1", "a2", "a3", "a4", "a5"] {
        room(&mut alice, name, &[("muc#roomconfig_publicroom", "1")]).await;
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    for _ in 0..3 {
        let set = format!("<set xmlns='http://jabber.org/protocol/rsm'><max>2</max>{after}</set>");
        let page = search(&mut alice, &[("all", "1"), BY_ADDRESS], &set).await;
        assert!(page.contains("<count>5</count>"), "{page}");
        seen.extend(found(&page).into_iter().map(str::to_owned));
        let last = page.split("<last>").nth(1).unwrap().split('<').next().unwrap();
        after = format!("<after>{last}</after>");
    }
    assert_eq!(seen, ["a1", "a2", "a3", "a4", "a5"]);
    let set = "<set xmlns='http://jabber.org/protocol/rsm'><max>2</max><before/></set>";
    let last = search(&mut alice, &[("all", "1"), BY_ADDRESS], set).await;
    assert_eq!(found(&last), ["a4", "a5"]);
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_as_the_text_says() {
    let house = House::configured(crate::MODULES, "[xep0433_channel_search]\nlist_all = false\n").await;
    let mut alice = house.online("alice@localhost/phone").await;
    for (fields, condition, detail) in [
        (
            &[("q", "x"), ("all", "1")][..],
            ("modify", "bad-request"),
            "conflicting-fields",
        ),
        (&[][..], ("cancel", "bad-request"), "no-search-conditions"),
        (
            &[("q", "x")][..],
            ("modify", "bad-request"),
            "invalid-search-terms",
        ),
        (
            &[("all", "1")][..],
            ("cancel", "not-allowed"),
            "full-set-retrieval-rejected",
        ),
        (
            &[("q", "abc"), ("key", "colour")][..],
            ("modify", "feature-not-implemented"),
            "invalid-sort-key",
        ),
    ] {
        let answer = search(&mut alice, fields, "").await;
        let (kind, condition) = condition;
        let error = format!("<error type='{kind}'");
        assert!(
            answer.contains(&error)
                && answer.contains(&format!("<{condition} "))
                && answer.contains(&format!("<{detail} ")),
            "{answer}"
        );
    }
    // §4.2.2.6: which fields.
    let answer = search(&mut alice, &[("q", "x"), ("all", "1")], "").await;
    assert!(answer.contains("<var>all</var><var>q</var>"), "{answer}");
    alice
        .ask(
            "<iq id='f' to='conference.localhost' type='get'><search xmlns='urn:xmpp:channel-search:0:search'/></iq>",
            "<iq id='f' type='result'><search xmlns='urn:xmpp:channel-search:0:search'><x xmlns='jabber:x:data' type='form'>...<field var='q' type='text-single' label='Search for'>...</field>...</x></search></iq>",
        )
        .await;
}

#[tokio::test]
async fn a_search_reads_no_room_and_follows_every_change() {
    let db = Db::open("sqlite::memory:", &DbOptions::default()).await.unwrap();
    let settings = "[rooms]\ndefault = []\n";
    let house = House::on(db.clone(), crate::MODULES, settings).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let described = ("muc#roomconfig_roomdesc", "Witches in a cave");
    for name in ["a1", "a2", "a3"] {
        room(&mut alice, name, &[("muc#roomconfig_publicroom", "1"), described]).await;
    }
    // After a start no room is in memory, and none is afterwards.
    let house = House::on(db, crate::MODULES, settings).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let found_now = search(&mut alice, &[("q", "witches"), BY_ADDRESS], "").await;
    assert_eq!(found(&found_now), ["a1", "a2", "a3"], "{found_now}");
    let rooms = house.router.fact::<Rooms>().unwrap();
    assert_eq!(rooms.loaded(), 0);

    // Changed, hidden, destroyed, made: each is found as it is now.
    room(&mut alice, "a1", &[("muc#roomconfig_roomdesc", "Wizards")]).await;
    room(&mut alice, "a2", &[("muc#roomconfig_publicroom", "0")]).await;
    let destroy = "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>";
    alice
        .send(&format!(
            "<iq id='d' to='a3@conference.localhost' type='set'>{destroy}</iq>"
        ))
        .await;
    room(&mut alice, "a4", &[described]).await;
    let witches = search(&mut alice, &[("q", "witches"), BY_ADDRESS], "").await;
    assert_eq!(found(&witches), ["a4"], "{witches}");
    let wizards = search(&mut alice, &[("q", "wizards"), BY_ADDRESS], "").await;
    assert_eq!(found(&wizards), ["a1"], "{wizards}");
}

#[tokio::test]
async fn a_searcher_in_a_hurry_is_told_when_to_try_again() {
    // §4.2.2.4
    let house = House::configured(crate::MODULES, "[rooms]\ndefault = []\n").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    for _ in 0..20 {
        let answer = search(&mut alice, &[("q", "cave")], "").await;
        assert!(answer.contains("type='result'"), "{answer}");
    }
    let refused = search(&mut alice, &[("q", "cave")], "").await;
    assert!(
        refused.contains("<error type='wait'")
            && refused.contains("<resource-constraint")
            && refused.contains("<rate-limit xmlns='urn:xmpp:channel-search:0:error' retry-after='1'/>"),
        "{refused}"
    );
    assert!(
        search(&mut bob, &[("q", "cave")], "")
            .await
            .contains("type='result'")
    );
    house.clock.advance(1);
    assert!(
        search(&mut alice, &[("q", "cave")], "")
            .await
            .contains("type='result'")
    );
    // A guest has a share of it.
    let mut guest = house.guest("g@guest.localhost/web").await;
    let mut answered = 0;
    while search(&mut guest, &[("q", "cave")], "")
        .await
        .contains("type='result'")
    {
        answered += 1;
    }
    assert!((1..20).contains(&answered), "{answered}");
}
