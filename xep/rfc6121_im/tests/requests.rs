//! Requests for presence that reach nobody, and those that come too often (§3.1).

use kim_core::db::Query;

use super::*;

const ROSTER: &str = "<iq id='r' type='get'><query xmlns='jabber:iq:roster'/></iq>";

async fn roster(client: &mut Client) -> String {
    client.skip();
    client.send(ROSTER).await;
    client.next().unwrap()
}

fn all(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.next()).collect()
}

#[tokio::test]
async fn a_domain_that_cannot_be_reached_is_an_error_and_no_question() {
    for (_db, house) in houses("").await {
        let mut alice = house.online("alice@localhost/phone").await;
        roster(&mut alice).await;
        let refused = "<error type='cancel' code='404'><remote-server-not-found";
        let add = "<iq id='a' type='set'><query xmlns='jabber:iq:roster'><item jid='carol@far.example' name='Carol'/></query></iq>";
        for is_listed in [false, true] {
            if is_listed {
                alice.send(add).await;
                alice.skip();
            }
            for to in ["carol@far.example", "carol@far.example/home", "far.example"] {
                alice
                    .send(&format!("<presence id='s' to='{to}' type='subscribe'/>"))
                    .await;
                let answers = all(&mut alice);
                assert_eq!(answers.len(), 1, "{answers:?}");
                let head = format!("<presence from='{to}' to='alice@localhost/phone' id='s' type='error'>");
                assert!(
                    answers[0].starts_with(&head) && answers[0].contains(refused),
                    "{answers:?}"
                );
            }
            let roster = roster(&mut alice).await;
            assert!(!roster.contains("ask="), "{roster}");
            assert_eq!(roster.contains("carol@far.example"), is_listed, "{roster}");
        }
        // A question from a time when there was a way goes with the next try, and clients are told.
        let ask = Query::new("UPDATE im_roster SET sub_out = 1 WHERE contact = 'carol@far.example'");
        let asked = house.db.write(move |tx| {
            let ask = ask.clone();
            Box::pin(async move { tx.execute(ask).await })
        });
        assert_eq!(asked.await.unwrap(), 1);
        let house = House::on(_db.db(), MODULES, "").await;
        let mut alice = house.online("alice@localhost/phone").await;
        assert!(roster(&mut alice).await.contains("ask='subscribe'"));
        alice
            .send("<presence to='carol@far.example' type='subscribe'/>")
            .await;
        let answers = all(&mut alice);
        let push = answers
            .iter()
            .find(|xml| xml.starts_with("<iq "))
            .expect("a push");
        assert!(
            push.contains("jid='carol@far.example'") && !push.contains("ask="),
            "{push}"
        );
        assert!(answers.iter().any(|xml| xml.contains(refused)), "{answers:?}");
        assert!(!roster(&mut alice).await.contains("ask="));
    }
}

#[tokio::test]
async fn nobody_is_asked_again_and_again() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/phone").await;
    let ask = "<presence to='bob@localhost' type='subscribe'/>";
    let take_back = "<presence to='bob@localhost' type='unsubscribe'/>";
    let (mut asked, mut errors) = (0, 0);
    for _ in 0..30 {
        alice.send(ask).await;
        errors += all(&mut alice)
            .iter()
            .filter(|xml| xml.contains("<policy-violation"))
            .count();
        alice.send(take_back).await;
        let heard = all(&mut bob);
        asked += heard
            .iter()
            .filter(|xml| xml.contains("type='subscribe'"))
            .count();
    }
    assert_eq!((asked, errors), (5, 25));
    // Others are asked meanwhile, and later so is he.
    let mut carol = house.online("carol@localhost/phone").await;
    alice
        .send("<presence to='carol@localhost' type='subscribe'/>")
        .await;
    assert!(all(&mut carol).iter().any(|xml| xml.contains("type='subscribe'")));
    house.clock.advance(300);
    alice.send(ask).await;
    assert!(all(&mut bob).iter().any(|xml| xml.contains("type='subscribe'")));
}

#[tokio::test]
async fn nobody_asks_everybody() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut refused = 0;
    for number in 0..150 {
        house.account(&format!("user{number}@localhost")).await;
        alice
            .send(&format!(
                "<presence to='user{number}@localhost' type='subscribe'/>"
            ))
            .await;
        refused += all(&mut alice)
            .iter()
            .filter(|xml| xml.contains("<policy-violation"))
            .count();
    }
    assert_eq!(refused, 50);
    // What was refused is not waited for.
    let roster = roster(&mut alice).await;
    assert_eq!(roster.matches("ask='subscribe'").count(), 100);
}

#[tokio::test]
async fn a_damaged_contact_is_missing_and_the_others_are_there() {
    for (db, house) in houses("").await {
        let mut alice = house.online("alice@localhost/phone").await;
        for contact in ["bob", "carol", "dave"] {
            let item = format!("<item jid='{contact}@localhost'/>");
            alice
                .send(&format!(
                    "<iq id='a' type='set'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
                ))
                .await;
        }
        let damage = Query::new("UPDATE im_roster SET contact = '@@' WHERE contact = 'carol@localhost'");
        let damaged = house.db.write(move |tx| {
            let damage = damage.clone();
            Box::pin(async move { tx.execute(damage).await })
        });
        assert_eq!(damaged.await.unwrap(), 1);
        let house = House::on(db.db(), MODULES, "").await;
        let mut alice = house.online("alice@localhost/phone").await;
        let roster = roster(&mut alice).await;
        assert!(
            roster.contains("bob@localhost") && roster.contains("dave@localhost"),
            "{roster}"
        );
    }
}

/// Requests are sent from the bare JID, so what becomes of them elsewhere comes back to it.
#[tokio::test]
async fn a_request_that_comes_back_is_an_error_and_no_question() {
    for (_db, house) in houses("").await {
        let mut alice = house.online("alice@localhost/phone").await;
        let mut tablet = house.online("alice@localhost/tablet").await;
        let mut there = house.neighbour("far.example");
        roster(&mut alice).await;
        tablet.skip();
        let failed = "<presence from='carol@far.example' to='alice@localhost' type='error'><error type='wait'>\
             <remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>";
        assert_eq!(there.send(failed).await, None);
        assert!(all(&mut alice).is_empty(), "nothing was asked");

        alice
            .send("<presence to='carol@far.example' type='subscribe'/>")
            .await;
        assert!(roster(&mut alice).await.contains("ask='subscribe'"));
        tablet.skip();
        there.skip();
        assert_eq!(there.send(failed).await, None);
        for client in [&mut alice, &mut tablet] {
            let heard = all(client);
            assert!(
                heard.iter().any(|xml| xml.contains("remote-server-timeout")),
                "{heard:?}"
            );
        }
        there.expect_nothing();
        assert!(!roster(&mut alice).await.contains("ask="));
    }
}
