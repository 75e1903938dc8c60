//! Rosters: requests and their limits (RFC 6121 §2), versions (§2.6), and what is stored.

use std::sync::Arc;

use kim_core::accounts::Tombstone;
use kim_core::accounts::scram::Password;
use kim_core::jid::BareJid;
use kim_core::testing::{Client, House};

use super::{MODULES, configured, error, houses, rows};
use crate::rfc6121_im::api::Subscriptions;

/// A roster set.
fn set(item: &str) -> String {
    format!("<iq id='s' type='set'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
}

/// A roster get and its answer.
async fn roster(client: &mut Client, ver: Option<&str>) -> String {
    client.skip();
    let ver = ver.map_or(String::new(), |ver| format!(" ver='{ver}'"));
    client
        .send(&format!(
            "<iq id='g' type='get'><query xmlns='jabber:iq:roster'{ver}/></iq>"
        ))
        .await;
    client.next().unwrap()
}

/// The `ver` of a query.
fn ver(xml: &str) -> String {
    xml.split(" ver='")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap()
        .to_owned()
}

/// §2.3.3, §2.4: what is refused, with the condition the RFC names.
#[tokio::test]
async fn what_cannot_be_set() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/a").await;
    let long = "x".repeat(1024);
    let item = |inner: &str| format!("<item jid='bob@localhost'>{inner}</item>");
    let many: String = (0..33).map(|n| format!("<group>{n}</group>")).collect();
    let refusals = [
        (String::new(), "modify", "bad-request"),
        ("<item/>".into(), "modify", "bad-request"),
        (
            "<item jid='a@x'/><item jid='b@x'/>".into(),
            "modify",
            "bad-request",
        ),
        ("<item jid=''/>".into(), "modify", "jid-malformed"),
        ("<item jid='@localhost'/>".into(), "modify", "jid-malformed"),
        ("<item jid='bob@localhost/desk'/>".into(), "modify", "bad-request"),
        (
            "<item xmlns='urn:other' jid='bob@localhost'/>".into(),
            "modify",
            "bad-request",
        ),
        ("<item jid='alice@localhost'/>".into(), "cancel", "not-allowed"),
        ("<item jid='ALICE@localhost'/>".into(), "cancel", "not-allowed"),
        (item("<group>A</group><group>A</group>"), "modify", "bad-request"),
        (item("<group/>"), "modify", "not-acceptable"),
        (
            item(&format!("<group>{long}</group>")),
            "modify",
            "not-acceptable",
        ),
        (item(&many), "modify", "not-acceptable"),
        (
            format!("<item jid='bob@localhost' name='{long}'/>"),
            "modify",
            "not-acceptable",
        ),
        (
            "<item jid='nobody@localhost' subscription='remove'/>".into(),
            "cancel",
            "item-not-found",
        ),
    ];
    for (items, kind, condition) in refusals {
        alice.send(&set(&items)).await;
        let answer = alice.next().unwrap();
        let wanted = format!("<iq id='s' type='error'>{}</iq>", error(kind, condition));
        let mut none = kim_core::testing::pattern::Captures::new();
        kim_core::testing::pattern::matches(&wanted, &answer, &mut none)
            .unwrap_or_else(|why| panic!("{items}: {why}"));
        alice.expect_nothing();
    }
    assert!(
        roster(&mut alice, None)
            .await
            .ends_with("<query xmlns='jabber:iq:roster' ver='0'/></iq>")
    );
}

/// §2.3.2, §2.4: only name and groups are the client's; an item that is set again is replaced.
#[tokio::test]
async fn only_name_and_groups_are_set_and_both_are_replaced() {
    for (_db, house) in houses("").await {
        let mut alice = house.online("alice@localhost/a").await;
        let odd = "<item jid='BOB@Localhost' name='B &lt;&apos;&amp;&gt; Ö' subscription='both' ask='subscribe' \
                   approved='true'><group>Fa&amp;mily</group><group>W</group></item>";
        alice.ask(&set(odd), "<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='bob@localhost' \
             name='B &lt;&apos;&amp;&gt; Ö' subscription='none'><group>Fa&amp;mily</group><group>W</group></item>\
             </query></iq>").await;
        alice.expect("<iq id='s' type='result'/>");
        alice.send(&set("<item jid='bob@localhost' name=''/>")).await;
        alice.expect(
            "<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='bob@localhost' \
                      subscription='none'/></query></iq>",
        );
        alice.expect("<iq id='s' type='result'/>");
        // Set to what it is already: an answer, but no version and no push.
        alice
            .ask(&set("<item jid='bob@localhost'/>"), "<iq id='s' type='result'/>")
            .await;
        alice.expect_nothing();
    }
}

/// §2.3, `[limits] roster_items_max`: also a subscription makes an item.
#[tokio::test]
async fn a_roster_has_a_limit() {
    let house = configured("[limits]\nroster_items_max = 2\n").await;
    let mut alice = house.online("alice@localhost/a").await;
    for name in ["b", "c"] {
        alice.send(&set(&format!("<item jid='{name}@localhost'/>"))).await;
    }
    alice.skip();
    let full = "<error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>the roster is full; remove some contacts</text></error>";
    alice
        .ask(
            &set("<item jid='d@localhost'/>"),
            &format!("<iq id='s' type='error'>{full}</iq>"),
        )
        .await;
    alice
        .send("<presence id='p' to='d@localhost' type='subscribe'/>")
        .await;
    alice.expect(&format!(
        "<presence id='p' from='d@localhost' type='error'>{full}</presence>"
    ));
    // What is there can be changed, and a place that gets free can be taken.
    alice.send(&set("<item jid='b@localhost' name='B'/>")).await;
    alice
        .send(&set("<item jid='c@localhost' subscription='remove'/>"))
        .await;
    alice.send(&set("<item jid='d@localhost'/>")).await;
    assert_eq!(
        std::iter::from_fn(|| alice.next())
            .filter(|xml| xml.contains("type='result'"))
            .count(),
        3
    );
}

/// All names and groups together have a limit too, so that a roster can always be read by its client.
#[tokio::test]
async fn the_text_of_a_roster_has_a_limit() {
    for (_db, house) in houses("[rfc6121_im]\nroster_text_chars_max = 1024\n").await {
        let mut alice = house.online("alice@localhost/a").await;
        // Characters count, not bytes.
        let name = |chars: usize| format!("<item jid='bob@localhost' name='{}'/>", "é".repeat(chars));
        for (item, fits) in [
            (name(500), true),
            (
                "<item jid='carol@localhost'><group>G</group><group>H</group></item>".to_owned(),
                true,
            ),
            (
                "<item jid='dan@localhost' name='".to_owned() + &"n".repeat(500) + "'/>",
                false,
            ),
            (
                "<item jid='dan@localhost' name='".to_owned() + &"n".repeat(470) + "'/>",
                true,
            ),
            (name(511), false),
            (name(10), true),
            (name(500), true),
        ] {
            alice.send(&set(&item)).await;
            let answers: Vec<String> = std::iter::from_fn(|| alice.next()).collect();
            assert_eq!(answers.len(), if fits { 2 } else { 1 }, "{item}: {answers:?}");
        }
    }
}

/// §2.1.6, §2.2: a session that did not ask for the roster gets no pushes; a guest has no roster.
#[tokio::test]
async fn pushes_go_to_those_who_asked() {
    let house = configured("").await;
    let mut silent = house.connect("alice@localhost/silent").await;
    let mut phone = house.connect("alice@localhost/phone").await;
    roster(&mut phone, None).await;
    silent
        .ask(&set("<item jid='bob@localhost'/>"), "<iq id='s' type='result'/>")
        .await;
    silent.expect_nothing();
    phone.expect(
        "<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='bob@localhost' \
                  subscription='none'/></query></iq>",
    );
    let mut guest = house.guest("ghost@guest.localhost/web").await;
    for kind in ["get", "set"] {
        let ask = format!("<iq id='g' type='{kind}'><query xmlns='jabber:iq:roster'/></iq>");
        let refused = error("cancel", "service-unavailable");
        guest
            .ask(&ask, &format!("<iq id='g' type='error'>{refused}</iq>"))
            .await;
    }
}

/// §2.1.6: a client that asks while another changes the roster misses nothing: the answer comes before later pushes.
#[tokio::test]
async fn no_change_is_missed_between_answer_and_pushes() {
    let house = Arc::new(configured("").await);
    let mut writers = Vec::new();
    let mut reader = house.connect("alice@localhost/reader").await;
    for writer in 0..4 {
        let house = house.clone();
        writers.push(tokio::spawn(async move {
            let mut client = house.connect(&format!("alice@localhost/w{writer}")).await;
            for n in 0..25 {
                client
                    .send(&set(&format!("<item jid='c{writer}-{n}@localhost'/>")))
                    .await;
            }
        }));
    }
    tokio::task::yield_now().await;
    reader
        .send("<iq id='g' type='get'><query xmlns='jabber:iq:roster'/></iq>")
        .await;
    for writer in writers {
        writer.await.unwrap();
    }
    let got: Vec<String> = std::iter::from_fn(|| reader.next()).collect();
    assert!(got[0].contains("type='result'"), "{}", got[0]);
    let versions: Vec<i64> = got.iter().map(|xml| ver(xml).parse().unwrap()).collect();
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
    assert_eq!(
        got.iter().map(|xml| xml.matches("<item ").count()).sum::<usize>(),
        100
    );
}

/// §2.6.3: what the server cannot bridge, it sends whole: an unknown version, a removal it no longer remembers, a roster
/// of an account that was there before under the same name.
#[tokio::test]
async fn versions_that_cannot_be_bridged() {
    for (_db, house) in houses("").await {
        let mut alice = house.online("alice@localhost/a").await;
        alice.send(&set("<item jid='keep@localhost'/>")).await;
        let old = ver(&roster(&mut alice, None).await);
        for n in 0..101 {
            alice.send(&set(&format!("<item jid='c{n}@localhost'/>"))).await;
        }
        let middle = ver(&roster(&mut alice, None).await);
        for n in 0..101 {
            alice
                .send(&set(&format!(
                    "<item jid='c{n}@localhost' subscription='remove'/>"
                )))
                .await;
        }
        assert_eq!(
            rows(
                &house,
                "SELECT COUNT(*) FROM im_roster_removed WHERE account = $1",
                "alice@localhost"
            )
            .await,
            100
        );
        for unknown in [
            &*old,
            &*middle,
            "1",
            "-1",
            "9223372036854775807",
            "99999999999999999999",
            "x",
        ] {
            let answer = roster(&mut alice, Some(unknown)).await;
            assert!(
                answer.contains("<item jid='keep@localhost' subscription='none'/></query>"),
                "{unknown}: {answer}"
            );
        }
        let now = ver(&roster(&mut alice, None).await);
        assert!(!roster(&mut alice, Some(&now)).await.contains("<query"));

        let account = BareJid::parse("alice@localhost").unwrap();
        house.router.erase_account(&account).await.unwrap();
        drop(alice);
        let password = Password::prepare("secret").unwrap();
        house
            .router
            .accounts()
            .create(&account, &password, Tombstone::Override)
            .await
            .unwrap();
        let mut alice = house.online("alice@localhost/new").await;
        assert!(
            roster(&mut alice, Some(&now))
                .await
                .contains("<query xmlns='jabber:iq:roster' ver='0'/>")
        );
        alice.send(&set("<item jid='new@localhost'/>")).await;
        assert!(
            roster(&mut alice, Some(&now))
                .await
                .contains("<item jid='new@localhost'")
        );
    }
}

/// What is stored is what a house started later on the same database says; memory and database never part.
#[tokio::test]
async fn a_roster_outlives_the_house() {
    for (db, house) in houses("").await {
        let mut alice = house.online("alice@localhost/a").await;
        let mut bob = house.online("bob@localhost/b").await;
        alice
            .send(&set(
                "<item jid='bob@localhost' name='Bob'><group>A</group><group>B</group></item>",
            ))
            .await;
        alice
            .send("<presence to='bob@localhost' type='subscribe'/>")
            .await;
        bob.send("<presence to='alice@localhost' type='subscribed'/>")
            .await;
        bob.send("<presence to='carol@localhost' type='subscribed'/>")
            .await;
        let (of_alice, of_bob) = (roster(&mut alice, None).await, roster(&mut bob, None).await);
        assert!(of_alice.contains("<item jid='bob@localhost' name='Bob' subscription='to'><group>A</group>"));
        assert!(of_bob.contains("<item jid='carol@localhost' subscription='none' approved='true'/>"));
        drop((alice, bob));
        let later = House::on(db.db(), MODULES, "").await;
        let mut alice = later.connect("alice@localhost/a").await;
        let mut bob = later.connect("bob@localhost/b").await;
        assert_eq!(roster(&mut alice, None).await, of_alice);
        assert_eq!(roster(&mut bob, None).await, of_bob);
    }
}

/// The facts for other modules.
#[tokio::test]
async fn other_rooms_may_ask() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/a").await;
    let mut bob = house.online("bob@localhost/b").await;
    alice
        .send(&set("<item jid='bob@localhost'><group>Friends</group></item>"))
        .await;
    bob.send("<presence to='alice@localhost' type='subscribe'/>")
        .await;
    alice
        .send("<presence to='bob@localhost' type='subscribed'/>")
        .await;
    let api = house.router.fact::<Subscriptions>().unwrap();
    let jid = |text| BareJid::parse(text).unwrap();
    let (a, b, c) = (
        jid("alice@localhost"),
        jid("bob@localhost"),
        jid("carol@localhost"),
    );
    let router = &house.router;
    for (account, who, sees) in [
        (&a, &b, true),
        (&b, &a, false),
        (&a, &a, true),
        (&a, &c, false),
        (&c, &a, false),
    ] {
        assert_eq!(
            api.may_see(router, account, who).await.unwrap(),
            sees,
            "{account} {who}"
        );
    }
    assert!(
        api.is_in_group(router, &a, &b, &["Work", "Friends"])
            .await
            .unwrap()
    );
    assert!(!api.is_in_group(router, &a, &b, &["Work"]).await.unwrap());
    assert!(!api.is_in_group(router, &b, &a, &["Friends"]).await.unwrap());
    assert_eq!(api.roster(&a).await.unwrap().subscribers().count(), 1);
    // The same from the database, when nobody is there.
    drop((alice, bob));
    let later = House::on(house.db.clone(), MODULES, "").await;
    let api = later.router.fact::<Subscriptions>().unwrap();
    assert!(api.may_see(&later.router, &a, &b).await.unwrap());
}
