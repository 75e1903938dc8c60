//! Messages and requests across servers (RFC 6121 §8), their copies (XEP-0280) and their archive (XEP-0313).

use super::{ROMEO, UNAVAILABLE, house, say};

fn message(kind: &str, to: &str) -> String {
    format!("<message from='{ROMEO}' to='{to}' id='m1' type='{kind}'><body>hi</body></message>")
}

#[tokio::test]
async fn an_account_that_is_not_there_looks_like_one_that_is_away() {
    let house = house().await;
    house.account("alice@localhost").await;
    let mut there = house.neighbour("example.org");
    for kind in ["normal", "chat", "headline", "groupchat", "error"] {
        let mut heard = Vec::new();
        for name in ["alice", "nobody"] {
            for to in [format!("{name}@localhost"), format!("{name}@localhost/gone")] {
                say(&mut there, &message(kind, &to)).await;
                let answer = there.next().map(|xml| xml.replace(name, "*"));
                there.expect_nothing();
                heard.push(answer);
            }
        }
        assert_eq!(heard[..2], heard[2..], "{kind}");
    }
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    for asked in [
        ping,
        "<vCard xmlns='vcard-temp'/>",
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    ] {
        for resource in ["", "/gone"] {
            let mut heard = Vec::new();
            for name in ["alice", "nobody"] {
                let to = format!("{name}@localhost{resource}");
                say(
                    &mut there,
                    &format!("<iq from='{ROMEO}' to='{to}' id='q' type='get'>{asked}</iq>"),
                )
                .await;
                heard.push(there.next().expect("an answer").replace(name, "*"));
            }
            assert_eq!(heard[0], heard[1], "{asked}");
        }
    }
}

#[tokio::test]
async fn typos_are_pointed_out_to_people_of_this_server_alone() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    alice
        .send("<message to='nobody@localhost' id='m1' type='chat'><body>hi</body></message>")
        .await;
    alice.expect(&format!(
        "<message from='nobody@localhost' id='m1' type='error'>{UNAVAILABLE}</message>"
    ));
    say(&mut there, &message("chat", "nobody@localhost")).await;
    there.expect_nothing();
}

#[tokio::test]
async fn messages_find_their_sessions() {
    let house = house().await;
    let mut phone = house.online("alice@localhost/phone").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    let mut there = house.neighbour("example.org");
    phone.skip();
    tablet.send("<presence><priority>-1</priority></presence>").await;
    tablet.skip();
    phone.skip();
    // §8.5.2.1: to all that take it; §8.5.3.1: to that one, whatever its priority; §8.5.3.2.1: to the others.
    let text = "<body>hi</body>...";
    for to in ["alice@localhost", "alice@localhost/gone"] {
        say(&mut there, &message("chat", to)).await;
        phone.expect(&format!(
            "<message from='{ROMEO}' to='{to}' type='chat'>{text}</message>"
        ));
        tablet.expect_nothing();
    }
    say(&mut there, &message("chat", "alice@localhost/tablet")).await;
    tablet.expect(&format!("<message from='{ROMEO}' type='chat'>{text}</message>"));
    say(&mut there, &message("normal", "alice@localhost/gone")).await;
    there.expect(&format!(
        "<message from='alice@localhost/gone' to='{ROMEO}' type='error'>{UNAVAILABLE}</message>"
    ));
    say(&mut there, &message("groupchat", "alice@localhost")).await;
    there.expect(&format!(
        "<message from='alice@localhost' to='{ROMEO}' type='error'>{UNAVAILABLE}</message>"
    ));
    there.expect_nothing();
}

#[tokio::test]
async fn other_clients_get_copies_both_ways() {
    let house = house().await;
    let mut phone = house.online("alice@localhost/phone").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    let mut there = house.neighbour("example.org");
    tablet
        .ask(
            "<iq id='c' type='set'><enable xmlns='urn:xmpp:carbons:2'/></iq>",
            "<iq id='c' type='result'/>",
        )
        .await;
    phone.skip();
    say(&mut there, &message("chat", "alice@localhost/phone")).await;
    phone.expect(&format!(
        "<message from='{ROMEO}' type='chat'><body>hi</body>...</message>"
    ));
    tablet.expect("<message from='alice@localhost' type='chat'><received xmlns='urn:xmpp:carbons:2'>...</received></message>");
    phone
        .send(&format!(
            "<message to='{ROMEO}' id='m2' type='chat'><body>ho</body></message>"
        ))
        .await;
    there.expect(&format!(
        "<message from='alice@localhost/phone' to='{ROMEO}' id='m2' type='chat'><body>ho</body>...</message>"
    ));
    tablet.expect(
        "<message from='alice@localhost' type='chat'><sent xmlns='urn:xmpp:carbons:2'>...</sent></message>",
    );
    let receipt = format!(
        "<message from='{ROMEO}' to='alice@localhost/phone' id='r1' type='chat'><received xmlns='urn:xmpp:receipts' id='m2'/></message>"
    );
    say(&mut there, &receipt).await;
    phone.expect(&receipt);
}

/// How many messages an archive has of somebody.
async fn archived(client: &mut kim_core::testing::Client) -> usize {
    client.skip();
    client
        .send("<iq id='mam' type='set'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field><field var='with'><value>romeo@example.org</value></field></x></query></iq>")
        .await;
    std::iter::from_fn(|| client.next())
        .filter(|xml| xml.contains("<result"))
        .count()
}

#[tokio::test]
async fn what_a_server_sends_again_after_a_lost_link_is_kept_once() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    let origin = "<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>";
    let hello = format!(
        "<message from='{ROMEO}' to='alice@localhost' id='o1' type='chat'><body>hi</body>{origin}</message>"
    );
    say(&mut there, &hello).await;
    alice.expect(&format!(
        "<message from='{ROMEO}' type='chat'><body>hi</body>...</message>"
    ));
    say(&mut there, &hello).await;
    // With the time of its first attempt on it.
    say(
        &mut there,
        &hello.replace(
            "</message>",
            "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2026-01-31T12:00:00Z'/></message>",
        ),
    )
    .await;
    alice.expect_nothing();
    there.expect_nothing();
    assert_eq!(archived(&mut alice).await, 1);
    say(&mut there, &hello.replace("o1", "o2")).await;
    alice
        .send(&format!(
            "<message to='{ROMEO}' id='m3' type='chat'><body>ho</body></message>"
        ))
        .await;
    assert_eq!(archived(&mut alice).await, 3);
}

#[tokio::test]
async fn requests_and_answers_find_their_way() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut other = house.online("alice@localhost/tablet").await;
    let mut there = house.neighbour("example.org");
    alice.skip();
    for to in ["example.org", "romeo@example.org", ROMEO] {
        alice
            .send(&format!(
                "<iq to='{to}' id='q1' type='get'><vCard xmlns='vcard-temp'/></iq>"
            ))
            .await;
        there.expect(&format!(
            "<iq from='alice@localhost/phone' to='{to}' id='q1' type='get'><vCard xmlns='vcard-temp'/></iq>"
        ));
        say(
            &mut there,
            &format!("<iq from='{to}' to='alice@localhost/phone' id='q1' type='result'/>"),
        )
        .await;
        alice.expect(&format!(
            "<iq from='{to}' to='alice@localhost/phone' id='q1' type='result'/>"
        ));
        other.expect_nothing();
    }
    let question = format!(
        "<iq from='{ROMEO}' to='alice@localhost/phone' id='q2' type='get'><query xmlns='jabber:iq:version'/></iq>"
    );
    say(&mut there, &question).await;
    alice.expect(&question);
    alice
        .send(&format!("<iq to='{ROMEO}' id='q2' type='result'/>"))
        .await;
    there.expect(&format!(
        "<iq from='alice@localhost/phone' to='{ROMEO}' id='q2' type='result'/>"
    ));
}

#[tokio::test]
async fn the_server_tells_others_what_it_offers_and_not_who_lives_here() {
    let house = house().await;
    house.account("alice@localhost").await;
    let mut there = house.neighbour("example.org");
    let ask = |to: &str, what: &str| {
        format!(
            "<iq from='{ROMEO}' to='{to}' id='q' type='get'><query xmlns='http://jabber.org/protocol/disco#{what}'/></iq>"
        )
    };
    for to in ["localhost", "conference.localhost", "pubsub.localhost"] {
        for what in ["info", "items"] {
            say(&mut there, &ask(to, what)).await;
            let answer = there.next().expect("an answer");
            assert!(
                answer.contains("type='result'") && !answer.contains("alice"),
                "{to} {what}: {answer}"
            );
        }
    }
    for forbidden in [
        "<command xmlns='http://jabber.org/protocol/commands' node='http://jabber.org/protocol/admin#add-user' action='execute'/>",
        "<query xmlns='jabber:iq:register'><username>mallory</username><password>x</password></query>",
    ] {
        say(
            &mut there,
            &format!("<iq from='{ROMEO}' to='localhost' id='q' type='set'>{forbidden}</iq>"),
        )
        .await;
        there.expect(&format!(
            "<iq from='localhost' to='{ROMEO}' type='error'>...</iq>"
        ));
    }
}
