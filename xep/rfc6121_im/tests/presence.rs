//! Presence: who hears what, and who does not (RFC 6121 §4).

use super::{configured, error, friends, with_priority};

/// §4.4.2, §4.5.2: broadcasts go to subscribers only, once, to each of their available devices.
#[tokio::test]
async fn broadcasts_reach_subscribers_and_nobody_else() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/a").await;
    let mut bob = house.online("bob@localhost/b").await;
    friends(&mut alice, &mut bob).await;
    let mut tablet = house.online("bob@localhost/tablet").await;
    let mut unseen = house.connect("bob@localhost/unseen").await;
    let mut carol = house.online("carol@localhost/c").await;
    // Carol is only seen by alice, and in the other direction only asked for.
    carol
        .send("<presence to='alice@localhost' type='subscribed'/>")
        .await;
    alice
        .send("<presence to='carol@localhost' type='subscribe'/>")
        .await;
    for client in [&mut alice, &mut bob, &mut carol] {
        client.skip();
    }
    for (sent, kind) in [
        ("<presence><show>xa</show></presence>", ""),
        ("<presence type='unavailable'/>", "gone"),
    ] {
        alice.send(sent).await;
        for client in [&mut bob, &mut tablet] {
            client.expect(sent);
            client.expect_nothing();
        }
        unseen.expect_nothing();
        carol.expect_nothing();
        if kind.is_empty() {
            alice.expect(sent);
        }
        alice.expect_nothing();
    }
    // Gone already: neither another word nor the end of the session is news.
    alice.send("<presence type='unavailable'/>").await;
    alice.disconnect().await;
    bob.expect_nothing();
}

/// §4.7.2.3: −128 to 127, nothing else; a refused presence changes nothing.
#[tokio::test]
async fn priorities() {
    let house = configured("").await;
    let mut alice = house.connect("alice@localhost/a").await;
    for good in ["-128", "127", "0", " 5 ", "+1"] {
        alice
            .send(&format!("<presence><priority>{good}</priority></presence>"))
            .await;
        assert_eq!(
            alice.session.priority().unwrap().to_string(),
            good.trim().trim_start_matches('+')
        );
        alice.skip();
    }
    for bad in ["-129", "128", "", "1.5", "0x1", "many"] {
        let refused = format!(
            "<presence type='error'>{}</presence>",
            error("modify", "bad-request")
        );
        alice
            .ask(
                &format!("<presence><priority>{bad}</priority></presence>"),
                &refused,
            )
            .await;
        assert_eq!(alice.session.priority(), Some(1));
    }
    alice.send("<presence/>").await;
    assert_eq!(alice.session.priority(), Some(0));
}

/// Presence is kept for every session and sent to all subscribers: it must not be huge.
#[tokio::test]
async fn a_huge_presence_is_refused() {
    let house = configured("").await;
    let mut alice = house.connect("alice@localhost/a").await;
    let huge = format!("<status>{}</status>", "x".repeat(20_000));
    for to in ["", " to='bob@localhost'"] {
        alice.send(&format!("<presence{to}>{huge}</presence>")).await;
        assert!(alice.next().unwrap().contains("<policy-violation"));
    }
    assert_eq!(alice.session.priority(), None);
}

/// §4.3: who may see an account's presence learns of each resource; others cannot tell it from one that is not there.
#[tokio::test]
async fn probes() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/a").await;
    let mut bob = house.online("bob@localhost/b").await;
    friends(&mut alice, &mut bob).await;
    let _tablet = with_priority(&house, "bob@localhost/t", -3).await;
    alice.skip();
    bob.skip();
    alice.send("<presence to='bob@localhost' type='probe'/>").await;
    alice.expect_all(&[
        "<presence from='bob@localhost/b' to='alice@localhost/a'/>",
        "<presence from='bob@localhost/t' to='alice@localhost/a'><priority>-3</priority></presence>",
    ]);
    alice.send("<presence to='bob@localhost/t' type='probe'/>").await;
    alice.expect("<presence from='bob@localhost/t'><priority>-3</priority></presence>");
    alice
        .send("<presence to='bob@localhost/gone' type='probe'/>")
        .await;
    alice.expect("<presence from='bob@localhost/gone' type='unavailable'/>");
    bob.expect_nothing();

    // A client does not get as far as to ask about strangers.
    let mut mallory = house.online("mallory@localhost/m").await;
    for stranger in [
        "bob@localhost",
        "bob@localhost/b",
        "nobody@localhost",
        "localhost",
        "alice@elsewhere.example",
    ] {
        mallory
            .send(&format!("<presence to='{stranger}' type='probe'/>"))
            .await;
        mallory.expect_nothing();
    }
    // One's own account is no stranger.
    mallory
        .send("<presence to='mallory@localhost' type='probe'/>")
        .await;
    mallory.expect("<presence from='mallory@localhost/m'/>");
}

/// §4.3.2: a probe of a stranger that gets past the client's own server is answered as one of nobody, and the answer ends
/// what the prober believed: here a roster that the other side lost.
#[tokio::test]
async fn a_lost_subscription_is_noticed() {
    let house = configured("").await;
    for lost in [
        "DELETE FROM im_roster WHERE account = $1",
        "SELECT 1 FROM im_roster WHERE account = $1",
    ] {
        let gone = lost.starts_with("SELECT");
        let mut alice = house.online("alice@localhost/a").await;
        let (name, jid) = if gone {
            ("dan", "dan@localhost")
        } else {
            ("bob", "bob@localhost")
        };
        let mut other = house.online(&format!("{name}@localhost/x")).await;
        other
            .send("<presence to='alice@localhost' type='subscribed'/>")
            .await;
        alice
            .send(&format!("<presence to='{jid}' type='subscribe'/>"))
            .await;
        other.disconnect().await;
        alice.disconnect().await;
        let account = kim_core::jid::BareJid::parse(jid).unwrap();
        if gone {
            house.router.accounts().delete(&account, &[]).await.unwrap();
        }
        let sql = lost.to_owned();
        house
            .db
            .write(move |tx| {
                let query = kim_core::db::Query::new(if sql.starts_with("D") {
                    "DELETE FROM im_roster WHERE account = $1"
                } else {
                    "DELETE FROM im_offline WHERE account = $1"
                });
                let query = query.bind("bob@localhost");
                Box::pin(async move { tx.execute(query).await })
            })
            .await
            .unwrap();
        let later = kim_core::testing::House::on(house.db.clone(), super::MODULES, "").await;
        let mut alice = later.connect("alice@localhost/a").await;
        alice
            .send("<iq id='r' type='get'><query xmlns='jabber:iq:roster'/></iq>")
            .await;
        alice.skip();
        alice.send("<presence/>").await;
        alice.expect_all(&[
            "<presence from='alice@localhost/a'/>",
            &format!("<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='{jid}' subscription='none'/></query></iq>"),
            &format!("<presence from='{jid}' to='alice@localhost' type='unsubscribed'/>"),
        ]);
        alice.expect_nothing();
    }
}

/// §4.6: targets are remembered within a limit, told once, and not twice if they are subscribers.
#[tokio::test]
async fn directed_presence() {
    let house = configured("[limits]\ndirected_presences_max = 2\n").await;
    let mut alice = house.online("alice@localhost/a").await;
    let mut bob = house.online("bob@localhost/b").await;
    let mut carol = house.online("carol@localhost/c").await;
    friends(&mut alice, &mut bob).await;
    for to in ["bob@localhost/b", "carol@localhost/c", "carol@localhost/c"] {
        alice.send(&format!("<presence to='{to}'/>")).await;
    }
    alice.expect_nothing();
    bob.expect("<presence from='alice@localhost/a' to='bob@localhost/b'/>");
    carol.skip();
    alice.send("<presence id='x' to='dan@localhost/d'/>").await;
    assert!(alice.next().unwrap().contains("<resource-constraint"));
    // §4.6.3: going unavailable ends it for all of them.
    alice
        .send("<presence type='unavailable'><status>bye</status></presence>")
        .await;
    bob.expect("<presence from='alice@localhost/a' to='bob@localhost' type='unavailable'><status>bye</status></presence>");
    carol.expect("<presence from='alice@localhost/a' to='carol@localhost/c' type='unavailable'><status>bye</status></presence>");
    // Directed presence needs no broadcast before it.
    alice.send("<presence to='carol@localhost/c'/>").await;
    carol.expect("<presence from='alice@localhost/a'/>");
    // A target that says it is gone needs no goodbye.
    carol
        .send("<presence to='alice@localhost/a' type='unavailable'/>")
        .await;
    alice.disconnect().await;
    bob.expect_nothing();
    carol.expect_nothing();
}

/// §8.5.2.1.2, §8.5.3: to the bare JID for all that are available, to a full one for that one; errors to a bare JID and
/// presence for nobody are dropped without a word.
#[tokio::test]
async fn presence_arrives_where_it_is_addressed() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/a").await;
    let mut b = house.online("bob@localhost/b").await;
    let mut low = with_priority(&house, "bob@localhost/low", -9).await;
    let mut off = house.connect("bob@localhost/off").await;
    b.skip();
    for kind in ["", " type='unavailable'"] {
        alice.send(&format!("<presence to='bob@localhost'{kind}/>")).await;
        b.expect(&format!(
            "<presence from='alice@localhost/a' to='bob@localhost'{kind}/>"
        ));
        low.expect(&format!("<presence{kind}/>"));
        alice
            .send(&format!("<presence to='bob@localhost/off'{kind}/>"))
            .await;
        off.expect(&format!("<presence from='alice@localhost/a'{kind}/>"));
        for nobody in [
            "bob@localhost/gone",
            "nobody@localhost",
            "localhost",
            "localhost/x",
        ] {
            alice.send(&format!("<presence to='{nobody}'{kind}/>")).await;
        }
    }
    alice.send("<presence to='bob@localhost' type='error'/>").await;
    alice.send("<presence type='error'/>").await;
    alice.send("<presence to='bob@localhost/b' type='error'/>").await;
    b.expect("<presence from='alice@localhost/a' type='error'/>");
    for client in [&mut alice, &mut b, &mut low, &mut off] {
        client.expect_nothing();
    }
}

/// §3.1.2 and clients without an address: what cannot be meant is refused.
#[tokio::test]
async fn subscriptions_that_cannot_be() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/a").await;
    let mut guest = house.guest("ghost@guest.localhost/web").await;
    for kind in ["subscribe", "subscribed", "unsubscribe", "unsubscribed"] {
        let bad = format!(
            "<presence type='error'>{}</presence>",
            error("modify", "bad-request")
        );
        alice.ask(&format!("<presence type='{kind}'/>"), &bad).await;
        let not_allowed = format!(
            "<presence type='error'>{}</presence>",
            error("cancel", "not-allowed")
        );
        for own in ["alice@localhost", "alice@localhost/a", "Alice@LOCALHOST"] {
            alice
                .ask(&format!("<presence to='{own}' type='{kind}'/>"), &not_allowed)
                .await;
        }
        guest
            .ask(
                &format!("<presence to='alice@localhost' type='{kind}'/>"),
                &not_allowed,
            )
            .await;
        alice
            .send(&format!("<presence to='ghost@guest.localhost' type='{kind}'/>"))
            .await;
        guest.expect_nothing();
        alice.skip();
    }
    // A guest sees itself and is seen by nobody.
    guest.send("<presence/>").await;
    guest.expect("<presence from='ghost@guest.localhost/web'/>");
    alice.expect_nothing();
}

/// §3.1.3: addresses are bare on both sides whatever the client wrote.
#[tokio::test]
async fn subscription_stanzas_are_stamped_bare() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/a").await;
    let mut bob = house.online("bob@localhost/b").await;
    alice
        .send("<presence from='alice@localhost/a' to='bob@localhost/b' type='subscribe'/>")
        .await;
    bob.expect("<presence from='alice@localhost' to='bob@localhost' type='subscribe'/>");
    alice.skip();
    // Asked again, it is routed again (A.2.1) and not delivered again (A.3.1).
    alice
        .send("<presence to='bob@localhost' type='subscribe'/>")
        .await;
    alice.expect_nothing();
    bob.expect_nothing();
}
