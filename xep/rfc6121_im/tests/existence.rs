//! Whether an account exists is asked for every stanza to somebody who is away: the database is asked once.

use kim_core::accounts::Tombstone;
use kim_core::accounts::scram::Password;
use kim_core::jid::BareJid;

use super::{configured, houses};

const CONTACTS: usize = 200;

#[tokio::test]
async fn presence_to_many_contacts_asks_the_database_for_none_of_them_again() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/a").await;
    for number in 0..CONTACTS {
        // Half of them have an account.
        if number % 2 == 0 {
            house.account(&format!("c{number}@localhost")).await;
        }
    }
    let tell_all = async |alice: &mut kim_core::testing::Client| {
        let before = house.db.stats().reads;
        for number in 0..CONTACTS {
            alice.send(&format!("<presence to='c{number}@localhost'/>")).await;
        }
        alice.skip();
        house.db.stats().reads - before
    };
    let first = tell_all(&mut alice).await;
    assert!(first <= 2 * CONTACTS as u64, "{first}");
    assert_eq!(tell_all(&mut alice).await, 0, "nobody is asked for twice");
}

#[tokio::test]
async fn an_account_is_there_as_soon_as_it_is_made_and_gone_as_soon_as_it_is_removed() {
    for (_db, house) in houses("").await {
        let mut alice = house.online("alice@localhost/a").await;
        let said = "<message type='chat' to='bob@localhost' id='m'><body>hello</body></message>";
        let refused = "<message type='error' from='bob@localhost' id='m'><error type='cancel'>\
            <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>";
        for round in 0..3 {
            alice.send(said).await;
            alice.expect(refused);
            alice.send(said).await;
            alice.expect(refused);

            let (bob, password) = (
                BareJid::parse("bob@localhost").unwrap(),
                Password::prepare("secret").unwrap(),
            );
            let accounts = house.router.accounts();
            accounts
                .create(&bob, &password, Tombstone::Override)
                .await
                .unwrap();
            alice.send(said).await;
            alice.expect_nothing();
            assert!(accounts.exists(&bob).await.unwrap(), "{round}");
            house.router.erase_account(&bob).await.unwrap();
            assert!(!accounts.exists(&bob).await.unwrap(), "{round}");
        }
    }
}

#[tokio::test]
async fn two_who_want_one_name_leave_it_taken() {
    let house = configured("").await;
    let accounts = house.router.accounts();
    let (bob, password) = (
        BareJid::parse("bob@localhost").unwrap(),
        Password::prepare("secret").unwrap(),
    );
    assert!(!accounts.exists(&bob).await.unwrap());
    let make = || accounts.create(&bob, &password, Tombstone::Respect);
    let (one, other) = tokio::join!(make(), make());
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert!(accounts.exists(&bob).await.unwrap());
}
