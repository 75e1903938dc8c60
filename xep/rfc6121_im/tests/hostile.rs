//! What others try: forged stanzas, floods, and questions about people who are not theirs to ask about.

use super::{configured, rows};

/// `[limits] pending_subscriptions_max`: requests beyond it are dropped, and their senders learn nothing.
#[tokio::test]
async fn requests_have_a_limit() {
    let house = configured("[limits]\npending_subscriptions_max = 3\n").await;
    house.account("bob@localhost").await;
    for n in 0..6 {
        let mut stranger = house.online(&format!("s{n}@localhost/x")).await;
        stranger
            .send("<presence to='bob@localhost' type='subscribe'/>")
            .await;
        stranger.expect(
            "<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='bob@localhost' \
                         subscription='none' ask='subscribe'/></query></iq>",
        );
        stranger.expect_nothing();
        // Asked again: what is there is not counted twice.
        stranger
            .send("<presence to='bob@localhost' type='subscribe'/>")
            .await;
    }
    assert_eq!(
        rows(
            &house,
            "SELECT COUNT(*) FROM im_roster WHERE account = $1",
            "bob@localhost"
        )
        .await,
        3
    );
    let mut bob = house.online("bob@localhost/b").await;
    bob.send("<presence to='s0@localhost' type='unsubscribed'/>")
        .await;
    let mut late = house.online("late@localhost/x").await;
    late.send("<presence to='bob@localhost' type='subscribe'/>").await;
    bob.expect("<presence from='late@localhost' type='subscribe'/>");
}

/// What is out of place changes nothing and costs the other account no write.
#[tokio::test]
async fn stanzas_out_of_place_are_dropped() {
    let house = configured("").await;
    let mut bob = house.online("bob@localhost/b").await;
    let mut mallory = house.online("mallory@localhost/m").await;
    let before = house.db.stats().committed_rows;
    for kind in ["unsubscribe", "unsubscribed"] {
        mallory
            .send(&format!("<presence to='bob@localhost' type='{kind}'/>"))
            .await;
    }
    assert_eq!(house.db.stats().committed_rows, before);
    // An approval nobody asked for is a pre-approval of mallory's own and nothing to bob (A.2.3, A.3.3).
    mallory
        .send("<presence to='bob@localhost' type='subscribed'/>")
        .await;
    bob.expect_nothing();
    assert_eq!(
        rows(
            &house,
            "SELECT COUNT(*) FROM im_roster WHERE account = $1",
            "bob@localhost"
        )
        .await,
        0
    );
    bob.send("<iq id='r' type='get'><query xmlns='jabber:iq:roster'/></iq>")
        .await;
    bob.expect("<iq id='r' type='result'><query xmlns='jabber:iq:roster' ver='0'/></iq>");
}

/// A huge request is delivered, but of what is kept only who asked is left.
#[tokio::test]
async fn a_huge_request_is_kept_short() {
    let house = configured("").await;
    house.account("bob@localhost").await;
    let mut mallory = house.online("mallory@localhost/m").await;
    let huge = "x".repeat(100_000);
    mallory
        .send(&format!(
            "<presence id='h' to='bob@localhost' type='subscribe'><status>{huge}</status></presence>"
        ))
        .await;
    let mut bob = house.connect("bob@localhost/b").await;
    bob.send("<presence/>").await;
    bob.expect_all(&[
        "<presence from='bob@localhost/b'/>",
        "<presence from='mallory@localhost' to='bob@localhost' type='subscribe'/>",
    ]);
}

/// A stranger cannot tell a person who is away from one who does not exist, by presence of any type.
#[tokio::test]
async fn strangers_learn_nothing_from_presence() {
    let house = configured("").await;
    let _bob = house.online("bob@localhost/b").await;
    house.account("away@localhost").await;
    let mut mallory = house.online("mallory@localhost/m").await;
    let kinds = [
        "",
        "unavailable",
        "subscribe",
        "unsubscribe",
        "subscribed",
        "unsubscribed",
        "probe",
        "error",
    ];
    for to in [
        "bob@localhost",
        "bob@localhost/b",
        "away@localhost",
        "nobody@localhost",
    ] {
        for kind in kinds {
            let kind = if kind.is_empty() {
                String::new()
            } else {
                format!(" type='{kind}'")
            };
            mallory.send(&format!("<presence to='{to}'{kind}/>")).await;
        }
        while let Some(answer) = mallory.next() {
            assert!(
                answer.starts_with("<iq ") && answer.contains("from='mallory@localhost'"),
                "{to}: {answer}"
            );
        }
    }
}

/// Forged senders end the stream before any module sees them (RFC 6120 §8.1.2.1): here a push in the account's name.
#[tokio::test]
async fn a_forged_sender_ends_the_stream() {
    let house = configured("").await;
    let mut bob = house.online("bob@localhost/b").await;
    let mut mallory = house.online("mallory@localhost/m").await;
    mallory
        .send("<iq id='x' from='bob@localhost' to='bob@localhost/b' type='set'><query xmlns='jabber:iq:roster'/></iq>")
        .await;
    assert!(mallory.closing().is_some());
    bob.expect_nothing();
}

/// Even the account itself cannot push to its devices by hand: pushes are the server's.
#[tokio::test]
async fn nobody_pushes_but_the_server() {
    let house = configured("").await;
    let mut bob = house.online("bob@localhost/b").await;
    let mut other = house.online("bob@localhost/c").await;
    bob.skip();
    other
        .send("<iq id='x' to='bob@localhost/b' type='set'><query xmlns='jabber:iq:roster'><item jid='m@x'/></query></iq>")
        .await;
    assert!(other.next().unwrap().contains("<service-unavailable"));
    bob.expect_nothing();
    // An error may repeat a question of one's own.
    other
        .send("<iq id='x' to='bob@localhost/b' type='error'><query xmlns='jabber:iq:roster'/><error type='cancel'/></iq>")
        .await;
    assert!(bob.next().is_some());
}
