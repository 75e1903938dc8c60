//! Guessing a room's password.

use kim_core::testing::{Client, House};

use super::{ROOM, all, enter, instant};

async fn secret_room(house: &House) -> Client {
    let mut alice = house.online("alice@localhost/desktop").await;
    enter(&mut alice, "alice").await;
    let fields = "<field var='muc#roomconfig_passwordprotectedroom'><value>1</value></field>\
                  <field var='muc#roomconfig_roomsecret'><value>cauldron</value></field>";
    instant(&mut alice, ROOM, fields).await;
    alice
}

/// Tries a password, and gives what comes first.
async fn attempt(client: &mut Client, password: &str) -> String {
    client.skip();
    client
        .send(&format!(
            "<presence to='{ROOM}/x'><x xmlns='http://jabber.org/protocol/muc'>{password}</x></presence>"
        ))
        .await;
    all(client).remove(0)
}

const WRONG: &str = "<password>wrong</password>";
const RIGHT: &str = "<password>cauldron</password>";

fn must_wait(answer: &str) -> bool {
    answer.contains("<policy-violation ") && answer.contains("type='wait'")
}

#[tokio::test]
async fn an_account_that_guesses_has_to_wait_and_the_owner_is_told_once() {
    // §7.2.5
    let house = House::new(crate::MODULES).await;
    let mut alice = secret_room(&house).await;
    let mut mallory = house.connect("mallory@localhost/x").await;
    for _ in 0..10 {
        // Clients ask without a password first.
        assert!(attempt(&mut mallory, "").await.contains("<not-authorized "));
    }
    for at in 0..20 {
        let answer = attempt(&mut mallory, WRONG).await;
        assert_eq!(must_wait(&answer), at >= 5, "{at}: {answer}");
        assert_eq!(answer.contains("<not-authorized "), at < 5, "{at}: {answer}");
    }
    // Then not even the right one is looked at.
    assert!(must_wait(&attempt(&mut mallory, RIGHT).await));
    let told = all(&mut alice);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].contains(&format!("<message from='{ROOM}'")) && told[0].contains("mallory@localhost"),
        "{told:#?}"
    );
    // Another session is the same account, and others do not suffer.
    let mut again = house.connect("mallory@localhost/y").await;
    assert!(must_wait(&attempt(&mut again, WRONG).await));
    let mut bob = house.connect("bob@localhost/laptop").await;
    assert!(!attempt(&mut bob, RIGHT).await.contains("type='error'"));
    // One more a minute.
    house.clock.advance(61);
    assert!(attempt(&mut mallory, WRONG).await.contains("<not-authorized "));
    assert!(must_wait(&attempt(&mut mallory, WRONG).await));
    alice.skip();
    house.clock.advance(86_400);
    for _ in 0..5 {
        attempt(&mut mallory, WRONG).await;
    }
    assert_eq!(all(&mut alice).len(), 1, "again on another day");
}

#[tokio::test]
async fn many_accounts_together_have_one_try_each() {
    let house = House::new(crate::MODULES).await;
    let mut alice = secret_room(&house).await;
    for at in 0..30 {
        let mut one = house.connect(&format!("m{at}@localhost/x")).await;
        assert!(
            attempt(&mut one, WRONG).await.contains("<not-authorized "),
            "{at}"
        );
        if at >= 20 {
            assert!(must_wait(&attempt(&mut one, WRONG).await), "{at}");
        }
    }
    assert_eq!(all(&mut alice).len(), 1);
    // An account that was never wrong is heard all the same.
    let mut bob = house.connect("bob@localhost/laptop").await;
    assert!(!attempt(&mut bob, RIGHT).await.contains("type='error'"));
    let mut carol = house.connect("carol@localhost/x").await;
    assert!(attempt(&mut carol, WRONG).await.contains("<not-authorized "));
}
