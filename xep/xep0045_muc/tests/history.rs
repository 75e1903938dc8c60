//! The history that newcomers are sent.

use kim_core::testing::House;

use super::{ROOM, all, room, say};

#[tokio::test]
async fn reactions_do_not_push_what_was_said_out_of_the_history() {
    // §7.2.13
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    for at in 0..3 {
        say(&mut bob, &format!("m{at}"), &format!("<body>text {at}</body>")).await;
    }
    for at in 0..80 {
        let what = match at % 3 {
            0 => "<reactions xmlns='urn:xmpp:reactions:0' id='m0'><reaction>+</reaction></reactions>",
            1 => "<displayed xmlns='urn:xmpp:chat-markers:0' id='m0'/>",
            _ => "<body>&gt; text</body><reactions xmlns='urn:xmpp:reactions:0' id='m0'/>",
        };
        say(&mut alice, &format!("r{at}"), what).await;
    }
    let correction = "<body>text two</body><replace xmlns='urn:xmpp:message-correct:0' id='m2'/>";
    say(&mut bob, "c", correction).await;
    // From the archive first, then from memory.
    for (name, more) in [("carol", ""), ("dave", ""), ("erin", "<history maxstanzas='4'/>")] {
        let mut one = house.connect(&format!("{name}@localhost/x")).await;
        one.send(&format!(
            "<presence to='{ROOM}/{name}'><x xmlns='http://jabber.org/protocol/muc'>{more}</x></presence>"
        ))
        .await;
        let got = all(&mut one);
        let history: Vec<&String> = got.iter().filter(|xml| xml.contains("<delay")).collect();
        for at in 0..3 {
            let text = format!("<body>text {at}</body>");
            assert!(
                history.iter().any(|xml| xml.contains(&text)),
                "{name} {at} {history:#?}"
            );
        }
        assert!(
            history.last().is_some_and(|xml| xml.contains("text two")),
            "{name}: {history:#?}"
        );
        if !more.is_empty() {
            assert_eq!(history.len(), 4, "what was asked for is the most");
        }
    }
}
