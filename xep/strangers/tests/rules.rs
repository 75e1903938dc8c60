//! Who is a stranger, and what strangers may send.

use super::{Became, SentByStranger, archived, got, having, heard, message, say, stories, text};

const ROMEO: &str = "romeo@example.org/orchard";
const ALICE: &str = "alice@localhost";

#[tokio::test]
async fn a_plain_message_of_a_stranger_is_delivered_and_archived() {
    for story in stories("").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        say(&mut there, &text(ROMEO, ALICE, "m1", "Hello, it is Romeo.")).await;
        assert_eq!(having(&got(&mut alice), "it is Romeo"), 1);
        assert_eq!(archived(&mut alice).await.len(), 1);
        assert_eq!(story.count(SentByStranger::Message, Became::Accepted), 1);
        assert!(heard(&mut there).is_empty());
    }
}

#[tokio::test]
async fn links_and_files_of_strangers_wait() {
    for story in stories("").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        let suspicious = [
            "<body>look at https://shop.example/x</body>",
            "<body>https://u.example/a.jpg</body><x xmlns='jabber:x:oob'><url>https://u.example/a.jpg</url></x>",
            "<x xmlns='jabber:x:conference' jid='room@conference.example.org' reason='as on www.shop.example'/>",
        ];
        for (n, children) in suspicious.iter().enumerate() {
            say(&mut there, &message(ROMEO, ALICE, &format!("m{n}"), children)).await;
        }
        let got = got(&mut alice);
        assert_eq!(got.len(), 1, "one notice of the server a day: {got:?}");
        assert!(got[0].contains("from='localhost'") && got[0].contains("Message Requests"));
        assert_eq!(story.count(SentByStranger::Message, Became::Held), 3);
        assert!(heard(&mut there).is_empty(), "as if she were away");
        // Only the notice is in the archive.
        assert_eq!(archived(&mut alice).await.len(), 1);
        // The next day she is told once more.
        story.after(86_401).await;
        say(&mut there, &message(ROMEO, ALICE, "again", suspicious[0])).await;
        assert_eq!(super::got(&mut alice).len(), 1);
    }
}

#[tokio::test]
async fn people_who_know_each_other_send_what_they_like() {
    for story in stories("").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        let link = "<body>https://shop.example/x</body>";
        // Known by a message that she sent.
        alice
            .send("<message to='romeo@example.org' type='chat'><body>hi</body></message>")
            .await;
        say(&mut there, &message(ROMEO, ALICE, "m1", link)).await;
        assert_eq!(having(&got(&mut alice), "shop.example"), 1);
        // By a request that she sent; the request is not answered yet.
        alice
            .send("<presence to='juliet@example.org' type='subscribe'/>")
            .await;
        alice.skip();
        say(&mut there, &message("juliet@example.org/x", ALICE, "m2", link)).await;
        assert_eq!(having(&got(&mut alice), "shop.example"), 1);
        // By a subscription that she granted.
        say(
            &mut there,
            "<presence from='nurse@example.org' to='alice@localhost' type='subscribe'/>",
        )
        .await;
        alice
            .send("<presence to='nurse@example.org' type='subscribed'/>")
            .await;
        alice.skip();
        say(&mut there, &message("nurse@example.org/x", ALICE, "m3", link)).await;
        assert_eq!(having(&got(&mut alice), "shop.example"), 1);
        assert_eq!(story.count(SentByStranger::Message, Became::Held), 0);
    }
}

#[tokio::test]
async fn what_clients_send_by_themselves_makes_nobody_known() {
    for story in stories("").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        for automatic in [
            "<received xmlns='urn:xmpp:receipts' id='1'/>",
            "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
            "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>",
        ] {
            alice
                .send(&format!(
                    "<message to='romeo@example.org' type='chat'>{automatic}</message>"
                ))
                .await;
        }
        say(&mut there, &text(ROMEO, ALICE, "m1", "https://shop.example/x")).await;
        assert_eq!(story.count(SentByStranger::Message, Became::Held), 1);
    }
}

#[tokio::test]
async fn people_of_one_server_need_no_introduction() {
    for (toml, passes) in [("", 1), ("[strangers]\nmessages = \"hold\"\n", 0)] {
        for story in stories(toml).await {
            let house = &story.house;
            let mut bob = house.online("bob@localhost/phone").await;
            // More than one sender from elsewhere may approach within an hour, with a link and the same text.
            for n in 0..12 {
                let colleague = format!("colleague{n}@localhost");
                let mut device = house.online(&format!("{colleague}/phone")).await;
                bob.send(&text(
                    "bob@localhost/phone",
                    &colleague,
                    &format!("m{n}"),
                    "https://wiki.example/welcome",
                ))
                .await;
                assert_eq!(having(&got(&mut device), "wiki.example"), passes, "{toml}");
            }
            bob.expect_nothing();
        }
    }
}

#[tokio::test]
async fn signals_and_errors_of_strangers_pass() {
    for story in stories("").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        let full = "alice@localhost/phone";
        say(
            &mut there,
            &message(
                ROMEO,
                full,
                "s1",
                "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
            ),
        )
        .await;
        say(&mut there, "<message from='example.org' to='alice@localhost/phone' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='n'/></event></message>").await;
        say(&mut there, "<message from='romeo@example.org/orchard' to='alice@localhost/phone' type='error'><body>https://x.example/</body><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>").await;
        assert_eq!(got(&mut alice).len(), 3);
        assert_eq!(story.count(SentByStranger::Signal, Became::Accepted), 2);
        for _ in 0..100 {
            say(
                &mut there,
                &message(
                    ROMEO,
                    full,
                    "s1",
                    "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
                ),
            )
            .await;
        }
        assert!(story.count(SentByStranger::Signal, Became::Dropped) >= 40);
    }
}

#[tokio::test]
async fn a_room_that_a_client_is_in_is_no_stranger() {
    for story in stories("[strangers]\nmessages = \"hold\"\n").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("rooms.example.org");
        let private = message(
            "garden@rooms.example.org/romeo",
            "alice@localhost/phone",
            "p1",
            "<body>https://x.example/</body>",
        );
        say(&mut there, &private).await;
        assert_eq!(having(&got(&mut alice), "x.example"), 0);
        alice
            .send("<presence to='garden@rooms.example.org/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
            .await;
        say(&mut there, &private).await;
        say(&mut there, "<message from='garden@rooms.example.org/romeo' to='alice@localhost/phone' type='groupchat'><body>https://x.example/</body></message>").await;
        assert_eq!(having(&got(&mut alice), "x.example"), 2);
        alice
            .send("<presence to='garden@rooms.example.org/alice' type='unavailable'/>")
            .await;
        say(&mut there, &private).await;
        assert_eq!(having(&got(&mut alice), "x.example"), 0);
    }
}

#[tokio::test]
async fn an_invitation_is_its_inviters() {
    for story in stories("[strangers]\nmessages = \"hold\"\n").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut bob = house.online("bob@localhost/phone").await;
        bob.send("<presence to='den@conference.localhost/bob'><x xmlns='http://jabber.org/protocol/muc'/></presence>").await;
        // Where the room hides addresses, its invitations do not say who invites.
        bob.send("<iq id='c' to='den@conference.localhost' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field><field var='muc#roomconfig_whois'><value>anyone</value></field></x></query></iq>").await;
        let invite = "<message to='den@conference.localhost'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='alice@localhost'/></x></message>";
        bob.send(invite).await;
        assert_eq!(
            having(&got(&mut alice), "<invite"),
            0,
            "a stranger's invitation waits"
        );
        assert_eq!(story.count(SentByStranger::Message, Became::Held), 1);
        alice
            .send(&text(
                "alice@localhost/phone",
                "bob@localhost",
                "m1",
                "what is it?",
            ))
            .await;
        assert_eq!(
            having(&got(&mut alice), "<invite"),
            1,
            "it is released by writing to the inviter"
        );
        bob.send(invite).await;
        assert_eq!(having(&got(&mut alice), "<invite"), 1);
    }
}

#[tokio::test]
async fn a_refusal_is_the_same_for_who_is_not_there() {
    for story in stories("[strangers]\nmessages = \"refuse\"\n").await {
        let house = &story.house;
        house.account(ALICE).await;
        let mut there = house.neighbour("example.org");
        for kind in ["normal", "chat", "headline", "groupchat"] {
            for resource in ["", "/gone"] {
                let mut answers = Vec::new();
                for name in ["alice", "nobody"] {
                    let xml = format!(
                        "<message from='{ROMEO}' to='{name}@localhost{resource}' id='m' type='{kind}'><body>hi</body></message>"
                    );
                    say(&mut there, &xml).await;
                    answers.push(there.next().map(|answer| answer.replace(name, "*")));
                }
                assert_eq!(answers[0], answers[1], "{kind}{resource}");
                if kind == "chat" {
                    let answer = answers[0].as_deref().unwrap_or_default();
                    assert!(
                        answer.contains("<subscription-required ")
                            && answer.contains("send a contact request first")
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_link_waits_as_silently_as_it_is_lost_at_who_is_not_there() {
    for story in stories("").await {
        let house = &story.house;
        house.account(ALICE).await;
        let mut there = house.neighbour("example.org");
        for resource in ["", "/gone"] {
            for kind in ["normal", "chat", "headline"] {
                let mut answers = Vec::new();
                for name in ["alice", "nobody"] {
                    let xml = format!(
                        "<message from='{ROMEO}' to='{name}@localhost{resource}' id='m' type='{kind}'><body>https://x.example/</body></message>"
                    );
                    say(&mut there, &xml).await;
                    answers.push(there.next().map(|answer| answer.replace(name, "*")));
                }
                assert_eq!(answers[0], answers[1], "{kind}{resource}");
            }
        }
    }
}

#[tokio::test]
async fn one_sender_approaches_only_so_many() {
    let toml = "[strangers]\nsender_recipients_per_hour = 3\ndelay_unknown = \"never\"\n";
    for story in stories(toml).await {
        let house = &story.house;
        let mut there = house.neighbour("example.org");
        let hi = |n: usize, body: &str| text(ROMEO, &format!("u{n}@localhost"), "m", body);
        for n in 0..5 {
            house.account(&format!("u{n}@localhost")).await;
            say(&mut there, &hi(n, &format!("hi {n}"))).await;
        }
        let answers = heard(&mut there);
        assert_eq!(answers.len(), 2, "{answers:?}");
        assert!(answers[0].contains("<policy-violation ") && answers[0].contains("type='wait'"));
        // Those he wrote to already may hear more.
        say(&mut there, &hi(0, "are you there?")).await;
        assert!(heard(&mut there).is_empty());
        // An hour later he may go on.
        house.clock.advance(3_600);
        say(&mut there, &hi(4, "hello")).await;
        assert!(heard(&mut there).is_empty());
        assert_eq!(story.count(SentByStranger::Message, Became::Limited), 2);
    }
}

#[tokio::test]
async fn an_unknown_domain_gets_less_than_one_where_people_have_contacts() {
    let toml = "[strangers]\nunknown_domain_contacts_per_hour = 2\ndomain_contacts_per_hour = 4\ndelay_unknown = \"never\"\n";
    for story in stories(toml).await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut friends = house.neighbour("friends.example");
        let mut nobodies = house.neighbour("nobodies.example");
        alice
            .send("<message to='romeo@friends.example' type='chat'><body>hi</body></message>")
            .await;
        friends.skip();
        for (there, domain, passes) in [
            (&mut friends, "friends.example", 4),
            (&mut nobodies, "nobodies.example", 2),
        ] {
            for n in 0..6 {
                say(
                    there,
                    &text(&format!("s{n}@{domain}/x"), ALICE, "m", &format!("hi {n}")),
                )
                .await;
            }
            assert_eq!(having(&got(&mut alice), "<body>hi"), passes, "{domain}");
            assert_eq!(
                having(&heard(there), "<policy-violation "),
                6 - passes,
                "{domain}"
            );
        }
    }
}

#[tokio::test]
async fn one_account_is_approached_by_only_so_many() {
    for story in stories("[strangers]\nrecipient_senders_per_hour = 3\ndelay_unknown = \"never\"\n").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        for n in 0..5 {
            let mut there = house.neighbour(&format!("d{n}.example"));
            say(
                &mut there,
                &text(&format!("s@d{n}.example/x"), ALICE, "m", &format!("hi {n}")),
            )
            .await;
            assert_eq!(heard(&mut there).len(), usize::from(n >= 3));
        }
        assert_eq!(having(&got(&mut alice), "<body>hi"), 3);
    }
}

#[tokio::test]
async fn without_limits_there_are_no_rates() {
    for story in stories("[limits]\nenabled = false\n[strangers]\nsender_recipients_per_hour = 1\n").await {
        let house = &story.house;
        let mut bob = house.online("bob@localhost/phone").await;
        for n in 0..20 {
            house.account(&format!("u{n}@localhost")).await;
            bob.send(&text(
                "bob@localhost/phone",
                &format!("u{n}@localhost"),
                "m",
                "hi",
            ))
            .await;
        }
        bob.expect_nothing();
    }
}

#[tokio::test]
async fn the_same_text_to_many_waits() {
    for story in stories("[strangers]\ndelay_unknown = \"never\"\n").await {
        let house = &story.house;
        let mut delivered = 0;
        for n in 0..6 {
            let name = format!("u{n}");
            let mut client = house.online(&format!("{name}@localhost/phone")).await;
            let mut there = house.neighbour(&format!("d{n}.example"));
            let body =
                format!("Dear {name}, our company pays {n}00 euros a day for work from home, answer now");
            say(
                &mut there,
                &text(
                    &format!("s{n}@d{n}.example/x"),
                    &format!("{name}@localhost"),
                    "m",
                    &body,
                ),
            )
            .await;
            delivered += having(&got(&mut client), "pays");
        }
        assert_eq!(delivered, 2);
        assert_eq!(story.count(SentByStranger::Message, Became::Held), 4);
    }
}

#[tokio::test]
async fn requests_of_strangers_are_bounded_and_lose_their_text() {
    for story in stories("[strangers]\nsubscriptions_waiting_max = 2\ndelay_unknown = \"never\"\n").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut friends = house.neighbour("friends.example");
        let mut there = house.neighbour("example.org");
        alice
            .send("<message to='romeo@friends.example' type='chat'><body>hi</body></message>")
            .await;
        friends.skip();
        let ask = |from: &str| {
            format!(
                "<presence from='{from}' to='alice@localhost' type='subscribe'><status>see x.example</status></presence>"
            )
        };
        say(&mut friends, &ask("tybalt@friends.example")).await;
        alice.expect("<presence from='tybalt@friends.example' to='alice@localhost' type='subscribe'><status>see x.example</status></presence>");
        say(&mut there, &ask("romeo@example.org")).await;
        alice.expect("<presence from='romeo@example.org' to='alice@localhost' type='subscribe'/>");
        // Again, it costs nothing and is shown to nobody.
        for _ in 0..20 {
            say(&mut there, &ask("romeo@example.org")).await;
        }
        assert_eq!(story.count(SentByStranger::Subscription, Became::Accepted), 2);
        say(&mut there, &ask("paris@example.org")).await;
        alice.expect_nothing();
        assert!(
            heard(&mut there).is_empty(),
            "as for an account that does not exist"
        );
        assert_eq!(story.count(SentByStranger::Subscription, Became::Dropped), 1);
        // One that is answered makes room.
        alice
            .send("<presence to='romeo@example.org' type='unsubscribed'/>")
            .await;
        alice.skip();
        say(&mut there, &ask("paris@example.org")).await;
        assert_eq!(having(&got(&mut alice), "paris@"), 1);
    }
}

#[tokio::test]
async fn a_contact_that_is_removed_is_a_stranger_again_unless_it_was_written_to() {
    for story in stories("[strangers]\nmessages = \"hold\"\n").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        let link = |id: &str| text(ROMEO, ALICE, id, "https://x.example/");
        say(
            &mut there,
            "<presence from='romeo@example.org' to='alice@localhost' type='subscribe'/>",
        )
        .await;
        alice
            .send("<presence to='romeo@example.org' type='subscribed'/>")
            .await;
        alice.skip();
        say(&mut there, &link("m1")).await;
        assert_eq!(having(&got(&mut alice), "x.example"), 1);
        alice
            .send("<iq id='r' type='set'><query xmlns='jabber:iq:roster'><item jid='romeo@example.org' subscription='remove'/></query></iq>")
            .await;
        alice.skip();
        say(&mut there, &link("m2")).await;
        assert_eq!(having(&got(&mut alice), "x.example"), 0);
        // The same with a word from her: the table remembers.
        alice
            .send("<message to='romeo@example.org' type='chat'><body>no links, please</body></message>")
            .await;
        alice.skip();
        say(&mut there, &link("m3")).await;
        assert_eq!(having(&got(&mut alice), "x.example"), 1);
    }
}
