//! The request box: what waits in it, and what becomes of it.

use std::sync::Arc;

use kim_core::testing::Client;

use super::{archived, got, having, heard, say, stories, text};
use crate::strangers::api::Requests;

const ROMEO: &str = "romeo@example.org/orchard";
const ALICE: &str = "alice@localhost";
const HOLD: &str = "[strangers]\nmessages = \"hold\"\n";

/// Uses a command of the account with a form and gives the answer.
async fn command(client: &mut Client, node: &str, fields: &[(&str, &str)]) -> String {
    let mut form = String::new();
    if !fields.is_empty() {
        form.push_str("<x xmlns='jabber:x:data' type='submit'>");
        for (var, value) in fields {
            form.push_str(&format!("<field var='{var}'><value>{value}</value></field>"));
        }
        form.push_str("</x>");
    }
    client
        .send(&format!(
            "<iq id='c' to='alice@localhost' type='set'><command xmlns='http://jabber.org/protocol/commands' \
             node='urn:kim:strangers:0#{node}'/></iq>"
        ))
        .await;
    let first = client.next().unwrap_or_default();
    if fields.is_empty() || !first.contains("sessionid='") {
        return first;
    }
    let session = first
        .split("sessionid='")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .unwrap_or_default();
    client
        .send(&format!(
            "<iq id='c' to='alice@localhost' type='set'><command xmlns='http://jabber.org/protocol/commands' \
             node='urn:kim:strangers:0#{node}' sessionid='{session}' action='complete'>{form}</command></iq>"
        ))
        .await;
    // What is released comes behind the answer or before it.
    let came = got(client);
    let answer = came.iter().find(|stanza| stanza.starts_with("<iq")).cloned();
    answer.unwrap_or_default()
        + &came
            .into_iter()
            .filter(|stanza| !stanza.starts_with("<iq"))
            .collect::<String>()
}

async fn waiting(story: &super::Story) -> Vec<String> {
    let requests: Arc<Requests> = story.house.router.fact().unwrap();
    let account = kim_core::jid::BareJid::parse(ALICE).unwrap();
    let waiting = requests.waiting(&account).await.unwrap();
    waiting.iter().map(|request| request.id.to_string()).collect()
}

#[tokio::test]
async fn an_account_reads_and_accepts() {
    for story in stories(HOLD).await {
        let house = &story.house;
        let mut there = house.neighbour("example.org");
        house.account(ALICE).await;
        say(&mut there, &text(ROMEO, ALICE, "m1", "It is the east.")).await;
        say(&mut there, &text(ROMEO, ALICE, "m2", "Juliet is the sun.")).await;
        let mut alice = house.online("alice@localhost/phone").await;
        alice.skip();
        assert_eq!(archived(&mut alice).await.len(), 1, "the notice");
        house.clock.advance(60);
        let list = command(&mut alice, "requests", &[]).await;
        assert!(
            list.contains("romeo@example.org, ") && list.contains("It is the east."),
            "{list}"
        );
        let ids = waiting(&story).await;
        assert_eq!(ids.len(), 2);
        let answer = command(
            &mut alice,
            "requests",
            &[("request", &ids[0]), ("action", "accept")],
        )
        .await;
        assert!(answer.contains("Accepted."), "{answer}");
        // Both, in order, with the time at which they came, archived.
        let (east, sun) = (answer.find("the east").unwrap(), answer.find("the sun").unwrap());
        assert!(east < sun);
        assert_eq!(answer.matches("stamp='2026-01-31T12:00:0").count(), 2, "{answer}");
        assert_eq!(answer.matches("<stanza-id ").count(), 2);
        assert_eq!(archived(&mut alice).await.len(), 3);
        assert!(waiting(&story).await.is_empty());
        // He is no stranger any more.
        say(&mut there, &text(ROMEO, ALICE, "m3", "Arise")).await;
        assert_eq!(having(&got(&mut alice), "Arise"), 1);
        assert!(heard(&mut there).is_empty());
        let none = command(&mut alice, "requests", &[]).await;
        assert!(none.contains("No message requests"), "{none}");
    }
}

#[tokio::test]
async fn an_account_refuses_or_blocks() {
    for story in stories(HOLD).await {
        let house = &story.house;
        let mut there = house.neighbour("example.org");
        let mut alice = house.online("alice@localhost/phone").await;
        for n in 0..3 {
            say(&mut there, &text(ROMEO, ALICE, "m", &format!("number {n}"))).await;
        }
        alice.skip();
        let ids = waiting(&story).await;
        let refused = command(
            &mut alice,
            "requests",
            &[("request", &ids[0]), ("action", "refuse")],
        )
        .await;
        assert!(refused.contains("Refused."), "{refused}");
        assert_eq!(waiting(&story).await, ids[1..]);
        let again = command(
            &mut alice,
            "requests",
            &[("request", &ids[0]), ("action", "accept")],
        )
        .await;
        assert!(again.contains("no longer waiting"), "{again}");
        for bad in [
            [("request", "x"), ("action", "accept")],
            [("request", ids[1].as_str()), ("action", "keep")],
        ] {
            let answer = command(&mut alice, "requests", &bad).await;
            assert!(answer.contains("<bad-request "), "{answer}");
        }
        let blocked = command(
            &mut alice,
            "requests",
            &[("request", &ids[1]), ("action", "block")],
        )
        .await;
        assert!(blocked.contains("blocked"), "{blocked}");
        assert!(waiting(&story).await.is_empty());
        alice
            .ask(
                "<iq id='l' type='get'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
                "<iq id='l' type='result'><blocklist xmlns='urn:xmpp:blocking'><item jid='romeo@example.org'/></blocklist></iq>",
            )
            .await;
        say(&mut there, &text(ROMEO, ALICE, "m", "once more")).await;
        assert_eq!(having(&heard(&mut there), "<service-unavailable "), 1);
        assert!(waiting(&story).await.is_empty());
    }
}

#[tokio::test]
async fn nobody_else_looks_into_the_box() {
    for story in stories(HOLD).await {
        let house = &story.house;
        let mut there = house.neighbour("example.org");
        house.account(ALICE).await;
        say(&mut there, &text(ROMEO, ALICE, "m1", "It is the east.")).await;
        let mut mallory = house.online("mallory@localhost/x").await;
        let answer = command(&mut mallory, "requests", &[]).await;
        assert!(answer.contains("type='error'"), "{answer}");
        let ids = waiting(&story).await;
        let requests: Arc<Requests> = house.router.fact().unwrap();
        let mut cx = house.router.cx().unwrap();
        let other = kim_core::jid::BareJid::parse("mallory@localhost").unwrap();
        let decision = crate::strangers::api::Decision::Accept;
        assert!(
            !requests
                .decide(&other, ids[0].parse().unwrap(), decision, &mut cx)
                .await
                .unwrap()
        );
        house.router.finish(cx).await;
    }
}

#[tokio::test]
async fn writing_or_adding_releases() {
    for story in stories(HOLD).await {
        let house = &story.house;
        let mut there = house.neighbour("example.org");
        let mut alice = house.online("alice@localhost/phone").await;
        say(&mut there, &text(ROMEO, ALICE, "m1", "by writing")).await;
        say(
            &mut there,
            &text("juliet@example.org/x", ALICE, "m2", "by adding"),
        )
        .await;
        alice.skip();
        alice
            .send("<message to='romeo@example.org' type='chat'><body>who are you?</body></message>")
            .await;
        let came = got(&mut alice);
        assert_eq!((having(&came, "by writing"), having(&came, "by adding")), (1, 0));
        alice
            .send("<presence to='juliet@example.org' type='subscribe'/>")
            .await;
        assert_eq!(having(&got(&mut alice), "by adding"), 1);
        assert!(waiting(&story).await.is_empty());
        assert_eq!(
            archived(&mut alice).await.len(),
            4,
            "two of theirs, one of hers, the notice"
        );
    }
}

#[tokio::test]
async fn the_box_is_bounded_in_number_and_bytes() {
    for story in
        stories("[strangers]\nmessages = \"hold\"\nrequests_max = 3\nrequest_bytes_max = 4096\n").await
    {
        let house = &story.house;
        let mut there = house.neighbour("example.org");
        house.account(ALICE).await;
        for n in 0..5 {
            say(&mut there, &text(ROMEO, ALICE, "m", &format!("number {n}"))).await;
        }
        assert_eq!(waiting(&story).await.len(), 3);
        assert_eq!(having(&heard(&mut there), "<policy-violation "), 2);
        house.account("bob@localhost").await;
        say(&mut there, &text(ROMEO, "bob@localhost", "m", &"x".repeat(5_000))).await;
        assert_eq!(having(&heard(&mut there), "<policy-violation "), 1);
    }
}

#[tokio::test]
async fn an_account_chooses_within_what_the_server_allows() {
    for story in stories("").await {
        let house = &story.house;
        let mut there = house.neighbour("example.org");
        let mut alice = house.online("alice@localhost/phone").await;
        let form = command(&mut alice, "settings", &[]).await;
        assert!(
            form.contains("<value>default</value>") && form.contains("<value>refuse</value>"),
            "{form}"
        );
        let stored = command(&mut alice, "settings", &[("messages", "hold")]).await;
        assert!(stored.contains("stored"), "{stored}");
        say(&mut there, &text(ROMEO, ALICE, "m1", "hi")).await;
        assert_eq!(waiting(&story).await.len(), 1);
        alice.skip();
        command(&mut alice, "settings", &[("messages", "refuse")]).await;
        alice.skip();
        // Silence: an account that does not exist says nothing either.
        say(&mut there, &text(ROMEO, ALICE, "m2", "hi")).await;
        say(&mut there, &text(ROMEO, "nobody@localhost", "m2", "hi")).await;
        assert!(heard(&mut there).is_empty());
        alice.expect_nothing();
        assert_eq!(waiting(&story).await.len(), 1);
        command(&mut alice, "settings", &[("messages", "default")]).await;
        say(&mut there, &text(ROMEO, ALICE, "m3", "hi there")).await;
        assert_eq!(having(&got(&mut alice), "hi there"), 1);
    }
    for story in stories(HOLD).await {
        let mut alice = story.house.online("alice@localhost/phone").await;
        let answer = command(&mut alice, "settings", &[("messages", "accept")]).await;
        assert!(answer.contains("<bad-request "), "{answer}");
    }
}
