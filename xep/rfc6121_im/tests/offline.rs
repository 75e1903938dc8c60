//! Messages that wait (XEP-0160, XEP-0203, XEP-0334).

use kim_core::db::Query;
use kim_core::testing::{Client, House};

use super::{MODULES, configured, error, friends, houses, rows, with_priority};

const COUNT: &str = "SELECT COUNT(*) FROM im_offline WHERE account = $1";

/// The ids of the messages that came.
fn ids(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.next())
        .filter(|xml| xml.starts_with("<message"))
        .map(|xml| {
            xml.split(" id='")
                .nth(1)
                .unwrap()
                .split('\'')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

async fn say(client: &mut Client, id: &str) {
    client
        .send(&format!(
            "<message id='{id}' to='bob@localhost' type='chat'><body>{id}</body></message>"
        ))
        .await;
}

/// XEP-0160 §3, XEP-0334 §4: what is kept and what is not; what is not worth keeping vanishes without a word.
#[tokio::test]
async fn what_is_kept() {
    let hint = |name: &str| format!("<{name} xmlns='urn:xmpp:hints'/>");
    let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    let kept = [
        "<body>x</body>".to_owned(),
        "<subject>x</subject>".into(),
        "<encrypted xmlns='eu.siacs.conversations.axolotl'/>".into(),
        "<received xmlns='urn:xmpp:receipts' id='1'/>".into(),
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>".into(),
        "<replace xmlns='urn:xmpp:message-correct:0' id='1'/>".into(),
        "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>".into(),
        "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>".into(),
        "<x xmlns='jabber:x:conference' jid='room@conference.localhost'/>".into(),
        format!("<body>x</body>{state}"),
        format!("{state}{}", hint("store")),
        // §3.3: waiting for the recipient is part of delivery.
        format!("<body>x</body>{}", hint("no-permanent-store")),
    ];
    let passing = [
        String::new(),
        state.to_owned(),
        format!("{state}<thread>t</thread>{}", hint("no-copy")),
        "<origin-id xmlns='urn:xmpp:sid:0' id='1'/>".into(),
        format!("<body>x</body>{}", hint("no-store")),
        format!("{}{}", hint("store"), hint("no-store")),
    ];
    let house = configured("").await;
    house.account("bob@localhost").await;
    let mut alice = house.online("alice@localhost/a").await;
    for (payloads, keeps) in [(&kept[..], true), (&passing[..], false)] {
        for payload in payloads {
            for kind in ["chat", "normal"] {
                let before = rows(&house, COUNT, "bob@localhost").await;
                alice
                    .send(&format!(
                        "<message to='bob@localhost' type='{kind}'>{payload}</message>"
                    ))
                    .await;
                alice.expect_nothing();
                let after = rows(&house, COUNT, "bob@localhost").await;
                assert_eq!(after - before, i64::from(keeps), "{kind} {payload}");
            }
        }
    }
}

/// A message nobody may keep is lost; who may see that bob is away is told so, a stranger could not tell from silence.
#[tokio::test]
async fn what_may_not_be_kept_and_is_lost() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/a").await;
    let mut bob = house.online("bob@localhost/b").await;
    let mut mallory = house.online("mallory@localhost/m").await;
    friends(&mut alice, &mut bob).await;
    bob.disconnect().await;
    alice.skip();
    let secret = "<message id='s' to='bob@localhost' type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>";
    let refused = error("cancel", "service-unavailable");
    alice
        .ask(
            secret,
            &format!("<message id='s' from='bob@localhost' type='error'>{refused}</message>"),
        )
        .await;
    mallory.send(secret).await;
    mallory.expect_nothing();
}

/// XEP-0160 §2 no. 3: the queue has a limit in messages and in bytes, for each account by itself; handing over empties it.
#[tokio::test]
async fn the_queue_has_limits() {
    for (toml, fit) in [
        ("[limits]\noffline_messages_max = 3\n", 3),
        ("[rfc6121_im]\noffline_bytes_max = 540\n", 3),
        ("[limits]\noffline_messages_max = 0\n", 0),
    ] {
        let house = configured(toml).await;
        house.account("bob@localhost").await;
        house.account("carol@localhost").await;
        let mut alice = house.online("alice@localhost/a").await;
        for round in 0..2 {
            for n in 0..fit {
                say(&mut alice, &format!("m{round}{n}")).await;
                alice.expect_nothing();
            }
            say(&mut alice, "more").await;
            let refused = error("cancel", "service-unavailable");
            alice.expect(&format!(
                "<message id='more' from='bob@localhost' type='error'>{refused}</message>"
            ));
            let mut bob = house.connect("bob@localhost/b").await;
            bob.send("<presence/>").await;
            assert_eq!(ids(&mut bob).len(), fit, "{toml}");
            bob.disconnect().await;
        }
        let features: Vec<_> = house.router.features(kim_core::module::At::Server).collect();
        assert_eq!(features.contains(&"msgoffline"), fit > 0, "XEP-0160 §4");
    }
}

/// The limit holds for messages that come together, too: what is queued and not committed yet counts.
#[tokio::test]
async fn a_burst_does_not_get_past_the_limit() {
    for (_, house) in houses("[limits]\noffline_messages_max = 5\n").await {
        house.account("bob@localhost").await;
        let mut senders = Vec::new();
        for n in 0..20 {
            senders.push(house.online(&format!("alice{n}@localhost/a")).await);
        }
        let said = "<message id='m' to='bob@localhost' type='chat'><body>x</body></message>";
        // All depart before any is waited for.
        let mut outcomes = Vec::new();
        for sender in &senders {
            let stanza =
                kim_core::stanza::Stanza::from_element(kim_core::wire::Element::parse(said).unwrap());
            outcomes.push(house.router.depart(&sender.session, stanza.unwrap()).await);
        }
        for outcome in outcomes {
            house.router.perform(outcome).await;
        }
        assert_eq!(rows(&house, COUNT, "bob@localhost").await, 5);
        let refused = senders
            .iter_mut()
            .filter_map(|sender| sender.next())
            .filter(|xml| xml.contains("service-unavailable"))
            .count();
        assert_eq!(refused, 15);
    }
}

/// What waits comes first, in order, then what is live; only the device that takes it gets it, and only once, also in a
/// house that was started again.
#[tokio::test]
async fn order_and_once() {
    for (db, house) in houses("").await {
        let mut alice = house.online("alice@localhost/a").await;
        let mut bob = with_priority(&house, "bob@localhost/low", -1).await;
        for n in 0..150 {
            say(&mut alice, &format!("m{n}")).await;
        }
        assert!(ids(&mut bob).is_empty(), "a negative device takes nothing");
        let house = House::on(db.db(), MODULES, "").await;
        let mut alice = house.online("alice@localhost/a").await;
        let mut bob = house.connect("bob@localhost/b").await;
        bob.send("<presence/>").await;
        say(&mut alice, "live").await;
        let expected: Vec<String> = (0..150)
            .map(|n| format!("m{n}"))
            .chain(["live".to_owned()])
            .collect();
        assert_eq!(ids(&mut bob), expected);
        assert_eq!(rows(&house, COUNT, "bob@localhost").await, 0);
        let mut tablet = house.connect("bob@localhost/t").await;
        tablet.send("<presence/>").await;
        assert!(ids(&mut tablet).is_empty());
    }
}

/// What is more than an outbox holds comes piece by piece as the client reads, and live messages queue behind it.
#[tokio::test]
async fn a_long_queue_waits_for_its_reader() {
    let house =
        configured("[limits]\noutbox_bytes_max = 262144\n[rfc6121_im]\noffline_bytes_max = 100000000\n")
            .await;
    house.account("bob@localhost").await;
    let mut alice = house.online("alice@localhost/a").await;
    let body = "x".repeat(30_000);
    for n in 0..20 {
        alice
            .send(&format!(
                "<message id='m{n}' to='bob@localhost' type='chat'><body>{body}</body></message>"
            ))
            .await;
    }
    let mut bob = house.connect("bob@localhost/b").await;
    bob.send("<presence/>").await;
    say(&mut alice, "live").await;
    let mut got = Vec::new();
    // Each wait is for the server to notice that its client has read; nothing depends on how long that takes.
    while !got.contains(&"live".to_owned()) {
        got.extend(ids(&mut bob));
        assert!(bob.closing().is_none());
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let expected: Vec<String> = (0..20)
        .map(|n| format!("m{n}"))
        .chain(["live".to_owned()])
        .collect();
    assert_eq!(got, expected);
    say(&mut alice, "later").await;
    assert_eq!(ids(&mut bob), ["later"]);
}

/// The session ends before it wrote what waited: it waits again, with the time it first came, and without a second stamp.
#[tokio::test]
async fn what_was_not_written_waits_again() {
    let house = configured("").await;
    house.account("bob@localhost").await;
    let mut alice = house.online("alice@localhost/a").await;
    say(&mut alice, "m").await;
    let mut stamps = Vec::new();
    for _ in 0..3 {
        house.clock.advance(60);
        let mut bob = house.connect("bob@localhost/b").await;
        bob.send("<presence/>").await;
        bob.disconnect().await;
    }
    let mut bob = house.connect("bob@localhost/b").await;
    bob.send("<presence/>").await;
    while let Some(xml) = bob.next() {
        stamps.extend(
            xml.match_indices(" stamp='")
                .map(|(at, _)| xml[at + 8..at + 24].to_owned()),
        );
    }
    assert_eq!(stamps, ["2026-01-31T12:00"]);
}

/// A client that goes without reading loses nothing: what was live and unwritten waits like the rest.
#[tokio::test]
async fn live_messages_that_were_not_written_wait() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/a").await;
    let bob = house.online("bob@localhost/b").await;
    say(&mut alice, "live").await;
    bob.disconnect().await;
    let mut bob = house.connect("bob@localhost/b").await;
    bob.send("<presence/>").await;
    assert_eq!(ids(&mut bob), ["live"]);
}

/// A row that cannot be read is left out and does not come back; the session begins as always.
#[tokio::test]
async fn a_damaged_row_stops_nobody() {
    let house = configured("").await;
    house.account("bob@localhost").await;
    let mut alice = house.online("alice@localhost/a").await;
    for id in ["one", "two", "three"] {
        say(&mut alice, id).await;
    }
    house
        .db
        .write(|tx| {
            let sql = "UPDATE im_offline SET stanza = $1 WHERE received_at =
                       (SELECT MIN(received_at) FROM im_offline)";
            let query = Query::new(sql).bind(b"<message".as_slice());
            Box::pin(async move { tx.execute(query).await })
        })
        .await
        .unwrap();
    let mut bob = house.connect("bob@localhost/b").await;
    bob.send("<presence/>").await;
    assert_eq!(ids(&mut bob), ["two", "three"]);
    assert_eq!(rows(&house, COUNT, "bob@localhost").await, 0);
}

/// The sender's answer follows the commit: with a database that takes nothing, the sender is told.
#[tokio::test]
async fn what_cannot_be_stored_is_not_taken() {
    let house = configured("").await;
    house.account("bob@localhost").await;
    let mut alice = house.online("alice@localhost/a").await;
    house
        .db
        .write(|tx| Box::pin(async move { tx.execute(Query::new("DROP TABLE im_offline")).await }))
        .await
        .unwrap();
    say(&mut alice, "m").await;
    assert!(alice.next().unwrap().contains("<internal-server-error"));
}

/// Somebody writes without pause while bob's devices come, read a little, and vanish. Every message arrives, and none
/// is left behind in the database (XEP-0160 §2 no. 5).
#[tokio::test]
async fn nothing_slips_between_away_and_there() {
    let house = std::sync::Arc::new(configured("").await);
    house.account("bob@localhost").await;
    let mut alice = house.online("alice@localhost/a").await;
    let writer = tokio::spawn(async move {
        for n in 0..300 {
            say(&mut alice, &format!("m{n}")).await;
            assert_eq!(alice.next(), None);
            tokio::task::yield_now().await;
        }
    });
    let mut got = Vec::new();
    for visit in 0.. {
        let done = writer.is_finished();
        let mut bob = house.connect(&format!("bob@localhost/{}", visit % 3)).await;
        bob.send("<presence/>").await;
        for _ in 0..visit % 5 {
            tokio::task::yield_now().await;
        }
        got.extend(ids(&mut bob));
        for _ in 0..visit % 7 {
            // What comes now is not read; it has to find another way.
            tokio::task::yield_now().await;
        }
        bob.disconnect().await;
        if done {
            break;
        }
    }
    writer.await.unwrap();
    assert_eq!(rows(&house, COUNT, "bob@localhost").await, 0);
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 300);
}
