//! What a chat message between two who are online costs this module. Not a benchmark: it prints a figure, and asserts only
//! that no database and no roster is touched.

use std::time::Instant;

use kim_core::stanza::{Kind, MessageType, Stanza};

use super::configured;

#[tokio::test]
async fn a_chat_message_touches_no_database() {
    let house = configured("").await;
    let alice = house.online("alice@localhost/a").await;
    let bob = house.online("bob@localhost/b").await;
    let message = Stanza::new(Kind::Message(MessageType::Chat), "<body>hello there</body>")
        .to(bob.session.jid.clone())
        .id("m1");
    let before = house.db.stats();
    let rounds = 1_000;
    let began = Instant::now();
    for _ in 0..rounds {
        let outcome = house.router.depart(&alice.session, message.clone()).await;
        assert!(outcome.is_settled());
        house.router.perform(outcome).await;
        assert_eq!(bob.session.outbox.take().0.len(), 1);
    }
    println!(
        "a message through the whole house: {} ns",
        began.elapsed().as_nanos() / rounds
    );
    assert_eq!(house.db.stats(), before);
}
