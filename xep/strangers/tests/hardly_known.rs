//! Guests of other servers, and people who registered there a moment ago (XEP-0489).

use kim_core::testing::Neighbour;

use super::{Became, SentByStranger, got, having, heard, message, say, stories};

const ALICE: &str = "alice@localhost";
/// The clock of these stories stands at noon of 2026-01-31.
const TODAY: &str = "2026-01-31T00:00:00Z";

/// What a server says of one of its accounts.
fn said(attributes: &str) -> String {
    format!("<info xmlns='urn:xmpp:raa:0' affiliation='{attributes}'/>")
}

fn hello(name: &str, id: &str, info: &str) -> String {
    let children = format!("<body>Hello, it is {name}.</body>{info}");
    message(&format!("{name}@example.org/x"), ALICE, id, &children)
}

/// The server at example.org announces that what is said of its accounts is its own word.
async fn announce(there: &mut Neighbour) {
    say(there, &hello("herald", "h", &said("member"))).await;
    let question = heard(there)
        .into_iter()
        .find(|stanza| stanza.contains("disco#info"))
        .expect("it is asked");
    let id = question
        .split("id='")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .expect("an id");
    say(
        there,
        &format!(
            "<iq id='{id}' from='example.org' to='localhost' type='result'>\
             <query xmlns='http://jabber.org/protocol/disco#info'><feature var='urn:xmpp:raa:0#embed-message'/>\
             <feature var='urn:xmpp:raa:0#embed-presence-sub'/></query></iq>"
        ),
    )
    .await;
}

#[tokio::test]
async fn messages_of_people_whom_their_own_server_hardly_knows_wait() {
    for story in stories("[strangers]\ndelay_unknown = \"never\"\n").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        announce(&mut there).await;
        got(&mut alice);
        let before = story.count(SentByStranger::Message, Became::Held);
        for (n, (name, info, is_held)) in [
            ("guest", said("anonymous"), true),
            ("newcomer", said(&format!("registered' since='{TODAY}")), true),
            ("settler", said("registered' since='2026-01-01T00:00:00Z"), false),
            ("undated", said("registered"), false),
            ("member", said(&format!("member' since='{TODAY}")), false),
            ("silent", String::new(), false),
        ]
        .into_iter()
        .enumerate()
        {
            say(&mut there, &hello(name, &format!("m{n}"), &info)).await;
            let came = having(&got(&mut alice), &format!("it is {name}"));
            assert_eq!(came, usize::from(!is_held), "{name}");
            assert!(heard(&mut there).is_empty(), "{name} is told nothing");
        }
        assert_eq!(story.count(SentByStranger::Message, Became::Held) - before, 2);
        // Once she knows somebody, it does not matter what they are to their server.
        alice
            .send("<message to='guest@example.org' type='chat'><body>hi</body></message>")
            .await;
        say(&mut there, &hello("guest", "again", &said("anonymous"))).await;
        assert_eq!(having(&got(&mut alice), "id='again'"), 1);
    }
}

/// People here know people at example.org; that speaks for its members and not for its newcomers.
#[tokio::test]
async fn a_known_domain_does_not_speak_for_them() {
    for story in stories("[strangers]\nhardly_known = \"accept\"\ndelay_unknown = \"never\"\n").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        alice
            .send("<message to='romeo@example.org' type='chat'><body>hi</body></message>")
            .await;
        announce(&mut there).await;
        got(&mut alice);
        for (name, info, came) in [("guest", "anonymous", 0), ("member", "member", 1)] {
            let link = format!("<body>https://{name}.example/</body>{}", said(info));
            let from = format!("{name}@example.org/x");
            say(&mut there, &message(&from, ALICE, name, &link)).await;
            assert_eq!(
                having(&got(&mut alice), &format!("{name}.example")),
                came,
                "{name}"
            );
            say(
                &mut there,
                &format!(
                    "<presence from='{name}2@example.org' to='{ALICE}' type='subscribe'>\
                     <status>buy it</status>{}</presence>",
                    said(info)
                ),
            )
            .await;
            let requests = got(&mut alice);
            assert_eq!(having(&requests, "type='subscribe'"), 1, "{name}");
            assert_eq!(having(&requests, "buy it"), came, "{name}");
        }
    }
}

/// Where they are refused, the answer is the same for an account that does not exist.
#[tokio::test]
async fn a_refusal_does_not_tell_who_exists() {
    for story in stories("[strangers]\nhardly_known = \"refuse\"\ndelay_unknown = \"never\"\n").await {
        let house = &story.house;
        let _alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        announce(&mut there).await;
        heard(&mut there);
        let mut answers = Vec::new();
        for to in [ALICE, "nobody@localhost"] {
            let stanza = hello("guest", "m", &said("anonymous")).replace(ALICE, to);
            say(&mut there, &stanza).await;
            let heard = heard(&mut there).concat();
            assert!(heard.contains("<policy-violation "), "{to}: {heard}");
            answers.push(heard.replace(to, "somebody"));
        }
        assert_eq!(answers[0], answers[1]);
    }
}
