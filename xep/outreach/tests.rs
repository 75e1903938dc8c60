//! Stories of accounts that write to people who have never heard of them.

use kim_core::accounts::scram::Password;
use kim_core::db::{CORE_MIGRATIONS, Query};
use kim_core::jid::BareJid;
use kim_core::testing::{Client, House, databases, migrated_databases};

use super::api::OutreachTally;
use super::store;
use crate::MODULES;

const QUIET: &str = "[xep0384_omemo]\npolicy = \"off\"\n";

async fn house(settings: &str) -> House {
    House::configured(MODULES, &format!("{QUIET}[outreach]\n{settings}")).await
}

/// Somebody who has just registered.
async fn newcomer(house: &House, name: &str) -> Client {
    let account = BareJid::new(Some(name), "localhost").unwrap();
    let password = Password::prepare("secret").unwrap();
    house
        .router
        .accounts()
        .register(&account, &password)
        .await
        .unwrap();
    house.online(&format!("{name}@localhost/x")).await
}

async fn write(client: &mut Client, to: &str) -> Result<(), String> {
    client.skip();
    client
        .send(&format!(
            "<message to='{to}' type='chat' id='m'><body>hello</body></message>"
        ))
        .await;
    let came: Vec<String> = std::iter::from_fn(|| client.next()).collect();
    match came.into_iter().find(|stanza| stanza.contains("type='error'")) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[track_caller]
fn is_refused(outcome: Result<(), String>) -> String {
    let error = outcome.expect_err("over the budget");
    assert!(
        error.contains("<error type='wait' ") && error.contains("<policy-violation"),
        "{error}"
    );
    error
}

#[tokio::test]
async fn a_young_account_writes_to_a_few_new_people_in_an_hour() {
    let house = house("young_per_hour = 2\nyoung_per_day = 3\n").await;
    let mut mallory = newcomer(&house, "mallory").await;
    let _there = house.neighbour("example.org");
    for name in ["a", "b"] {
        house.account(&format!("{name}@localhost")).await;
    }
    write(&mut mallory, "a@localhost").await.unwrap();
    write(&mut mallory, "romeo@example.org").await.unwrap();
    // The same people again, as often as one likes, at whatever client.
    for to in ["a@localhost", "romeo@example.org/orchard", "romeo@example.org"] {
        write(&mut mallory, to).await.unwrap();
    }
    let error = is_refused(write(&mut mallory, "b@localhost").await);
    assert!(
        error.contains(
            "you have written to 2 new people within the last hour, which is as many as this server allows; the next is \
             possible in 60 minutes, at 2026-01-31 13:00 UTC"
        ),
        "{error}"
    );
    // Nor does asking for presence get past it.
    mallory
        .send("<presence to='b@localhost' type='subscribe' id='s'/>")
        .await;
    let answer = mallory.next().unwrap();
    assert!(answer.contains("<policy-violation"), "{answer}");
    // Nothing else suffers.
    mallory
        .ask(
            "<iq id='p' to='localhost' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq id='p' from='localhost' type='result'/>",
        )
        .await;
    house.clock.advance(3_600);
    write(&mut mallory, "b@localhost").await.unwrap();
    house.clock.advance(3_600);
    let error = is_refused(write(&mut mallory, "c@localhost").await);
    assert!(error.contains("3 new people within the last 24 hours"), "{error}");
    let tally = house.router.fact::<OutreachTally>().unwrap();
    assert_eq!((tally.met(), tally.refused()), (3, 3));
}

/// Who comes from elsewhere brings their contacts along.
#[tokio::test]
async fn a_newcomer_adds_twenty_contacts_at_once() {
    let house = house("").await;
    let mut bill = newcomer(&house, "bill").await;
    let _there = house.neighbour("example.org");
    for n in 0..20 {
        bill.skip();
        bill.send(&format!(
            "<presence to='friend{n}@example.org' type='subscribe'/>"
        ))
        .await;
        write(&mut bill, &format!("friend{n}@example.org")).await.unwrap();
    }
    is_refused(write(&mut bill, "stranger@example.org").await);
}

#[tokio::test]
async fn people_who_wrote_first_and_contacts_are_not_new() {
    let house = house("young_per_hour = 0\n").await;
    let mut mallory = newcomer(&house, "mallory").await;
    let mut there = house.neighbour("example.org");
    let error = is_refused(write(&mut mallory, "romeo@example.org").await);
    assert!(error.contains("ask them to write first"), "{error}");
    let hello = "<message from='romeo@example.org/orchard' to='mallory@localhost' type='chat'><body>hi</body></message>";
    assert_eq!(there.send(hello).await, None);
    write(&mut mallory, "romeo@example.org").await.unwrap();
    // Asking is writing too.
    let asks = "<presence from='juliet@example.org' to='mallory@localhost' type='subscribe'/>";
    assert_eq!(there.send(asks).await, None);
    write(&mut mallory, "juliet@example.org").await.unwrap();
    // What one writes into one's own roster makes nobody a contact.
    mallory
        .send(
            "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='tybalt@example.org'/></query></iq>",
        )
        .await;
    is_refused(write(&mut mallory, "tybalt@example.org").await);
    // And an error is no word to anybody.
    let error = "<message from='tybalt@example.org' to='mallory@localhost' type='error'><body>x</body>\
         <error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>";
    assert_eq!(there.send(error).await, None);
    is_refused(write(&mut mallory, "tybalt@example.org").await);
}

#[tokio::test]
async fn those_who_are_vouched_for_and_older_ones_have_the_larger_budget() {
    let house = house("young_per_hour = 1\nper_day = 3\n").await;
    let mut invited = house.online("alice@localhost/x").await;
    let mut old = newcomer(&house, "old").await;
    let back = Query::new("UPDATE accounts SET created_at = 0 WHERE account = 'old@localhost'");
    house.db.execute(back).await.unwrap();
    house.db.caches().drop_all();
    for client in [&mut invited, &mut old] {
        for name in ["a", "b", "c"] {
            house.neighbour("example.org");
            write(client, &format!("{name}@example.org")).await.unwrap();
        }
        is_refused(write(client, "d@example.org").await);
    }
}

#[tokio::test]
async fn in_rooms_only_private_messages_and_invitations_count() {
    let house = house("young_per_hour = 1\n").await;
    let mut alice = house.online("alice@localhost/x").await;
    let mut mallory = newcomer(&house, "mallory").await;
    for (client, nick) in [(&mut alice, "alice"), (&mut mallory, "mallory")] {
        client
            .send(&format!(
                "<presence to='lobby@conference.localhost/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
            ))
            .await;
    }
    alice
        .send(
            "<iq type='set' id='o' to='lobby@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'/></query></iq>",
        )
        .await;
    mallory
        .send(
            "<presence to='lobby@conference.localhost/mallory'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
        )
        .await;
    mallory.skip();
    for _ in 0..3 {
        mallory
            .send("<message to='lobby@conference.localhost' type='groupchat'><body>hello</body></message>")
            .await;
        assert!(mallory.next().is_some_and(|echo| echo.contains("hello")));
    }
    write(&mut mallory, "lobby@conference.localhost/alice")
        .await
        .unwrap();
    let invite = |to: &str| {
        format!(
            "<message to='lobby@conference.localhost' id='i'><x xmlns='http://jabber.org/protocol/muc#user'>\
             <invite to='{to}'/></x></message>"
        )
    };
    mallory.send(&invite("bob@localhost")).await;
    let answer = mallory.next().unwrap();
    assert!(answer.contains("<policy-violation"), "{answer}");
    // A room elsewhere that one is in says nothing about people who claim to be one.
    let _there = house.neighbour("example.org");
    mallory.send("<presence to='victim@example.org'/>").await;
    for inner in [
        "<body>buy</body>",
        "<body>buy</body><x xmlns='http://jabber.org/protocol/muc#user'/>",
    ] {
        mallory.skip();
        mallory
            .send(&format!(
                "<message to='victim@example.org' id='v'>{inner}</message>"
            ))
            .await;
        assert!(
            mallory
                .next()
                .is_some_and(|error| error.contains("<policy-violation"))
        );
    }
    mallory
        .send("<message to='victim@example.org/phone' type='groupchat' id='v'><body>buy</body></message>")
        .await;
    assert!(
        mallory
            .next()
            .is_some_and(|error| error.contains("<policy-violation"))
    );
}

#[tokio::test]
async fn a_restart_gives_nobody_a_new_budget() {
    for db in databases().await {
        let settings = format!("{QUIET}[outreach]\nyoung_per_hour = 2\n");
        let before = House::on(db.db(), MODULES, &settings).await;
        let mut mallory = newcomer(&before, "mallory").await;
        before.account("a@localhost").await;
        let mut bob = before.online("bob@localhost/x").await;
        write(&mut bob, "mallory@localhost").await.unwrap();
        write(&mut mallory, "a@localhost").await.unwrap();
        write(&mut mallory, "b@localhost").await.ok();
        let after = House::on(db.db(), MODULES, &settings).await;
        let mut mallory = after.online("mallory@localhost/y").await;
        is_refused(write(&mut mallory, "c@localhost").await);
        for known in ["a@localhost", "bob@localhost"] {
            write(&mut mallory, known).await.unwrap();
        }
        // With the account goes whom it knew.
        let count = || async {
            let rows = Query::new("SELECT peer FROM outreach_people WHERE account = 'mallory@localhost'");
            after.db.fetch_all(rows).await.unwrap().len()
        };
        assert_eq!(count().await, 3);
        let account = BareJid::parse("mallory@localhost").unwrap();
        after.router.erase_account(&account).await.unwrap();
        assert_eq!(count().await, 0);
    }
}

#[tokio::test]
async fn what_is_old_is_cleared_away_and_every_query_has_its_index() {
    let account = BareJid::parse("alice@localhost").unwrap();
    for db in migrated_databases(&[CORE_MIGRATIONS, store::MIGRATIONS]).await {
        let outreach = store::OutreachStore::new(db.db());
        let (old, now) = (
            kim_core::clock::Timestamp(1),
            kim_core::clock::Timestamp(200 * 86_400_000_000),
        );
        outreach.meet(&account, 1, old).await.unwrap();
        outreach.meet(&account, 2, now).await.unwrap();
        assert_eq!(store::clear_away(&db.db(), now).await.unwrap(), 1);
        assert!(!outreach.has_met(&account, 1).await.unwrap());
        assert_eq!(outreach.met_since(&account, 0, 5).await.unwrap(), [now.0]);
        for query in store::queries(&account) {
            db.assert_uses_index(query).await;
        }
    }
}
