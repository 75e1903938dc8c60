//! What only the room says is taken out of what occupants send; guests invite nobody.

use kim_core::testing::House;

use super::super::forged::is_forged;
use super::{ROOM, all, room, say};

const FORGED: &[&str] = &[
    "<x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x>",
    "<item xmlns='http://jabber.org/protocol/muc#user' affiliation='owner'/>",
    "<x xmlns='http://jabber.org/protocol/muc'/>",
    "<hats xmlns='urn:xmpp:hats:0'><hat title='King' uri='k'/></hats>",
    "<hats xmlns='xmpp:prosody.im/protocol/hats:1'><hat title='King' uri='k'/></hats>",
    "<addresses xmlns='http://jabber.org/protocol/address'><address type='ofrom' jid='king@localhost'/></addresses>",
    "<delay xmlns='urn:xmpp:delay' stamp='2000-01-01T00:00:00Z'/>",
    "<delay xmlns='urn:xmpp:delay' from='@@' stamp='2000-01-01T00:00:00Z'/>",
    "<delay xmlns='urn:xmpp:delay' from='coven@conference.localhost/bob' stamp='2000-01-01T00:00:00Z'/>",
    "<x xmlns='jabber:x:delay' from='coven@conference.localhost' stamp='20000101T00:00:00'/>",
    "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='king'/>",
    "<stanza-id xmlns='urn:xmpp:sid:0' by='coven@conference.localhost' id='king'/>",
    "<stanza-id xmlns='urn:xmpp:sid:0' id='king'/>",
    "<moderated xmlns='urn:xmpp:message-moderate:1' by='king'/>",
    "<retract xmlns='urn:xmpp:message-retract:1' id='king'><moderated xmlns='urn:xmpp:message-moderate:1'/></retract>",
    "<apply-to xmlns='urn:xmpp:fasten:0' id='king'><moderated xmlns='urn:xmpp:message-moderate:0' by='king'/></apply-to>",
    "<retracted xmlns='urn:xmpp:message-retract:1' stamp='king'/>",
    "<retracted xmlns='urn:xmpp:message-retract:0' stamp='king'/>",
];

const HONEST: &[&str] = &[
    "<delay xmlns='urn:xmpp:delay' from='bob@localhost/laptop' stamp='2000-01-01T00:00:00Z'/>",
    "<addresses xmlns='http://jabber.org/protocol/address'><address type='replyto' jid='bob@localhost'/></addresses>",
    "<origin-id xmlns='urn:xmpp:sid:0' id='o'/>",
    "<retract xmlns='urn:xmpp:message-retract:1' id='unknown'/>",
    "<nick xmlns='http://jabber.org/protocol/nick'>bob</nick>",
    "<hats xmlns='urn:milliner'/>",
];

#[tokio::test]
async fn what_only_the_room_says_is_taken_out_of_everything() {
    // §17.3, XEP-0033, XEP-0203 §5, XEP-0317 §4, XEP-0359 §3, XEP-0421 §4, XEP-0424 §4, XEP-0425 §5
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    let marked = |xml: &str| {
        ["king", "King", "code='104'", "2000", "'owner'"]
            .iter()
            .any(|mark| xml.contains(mark))
    };
    for forged in FORGED {
        // All instances.
        let twice = format!("<body>x</body>{forged}{forged}");
        say(&mut bob, "1", &twice).await;
        bob.send(&format!(
            "<message id='2' to='{ROOM}/alice' type='chat'>{twice}</message>"
        ))
        .await;
        let got = all(&mut alice);
        assert_eq!(got.len(), 2, "{forged}: {got:#?}");
        assert!(!got.iter().any(|xml| marked(xml)), "{forged}: {got:#?}");
        if !forged.contains("protocol/muc'") {
            bob.send(&format!("<presence to='{ROOM}/bob'>{forged}{forged}</presence>"))
                .await;
            let got = all(&mut alice);
            assert_eq!(got.len(), 1, "{forged}: {got:#?}");
            assert!(!got.iter().any(|xml| marked(xml)), "{forged}: {got:#?}");
        }
        house.clock.advance(60);
    }
    bob.skip();
    for honest in HONEST {
        say(&mut bob, "1", &format!("<body>x</body>{honest}")).await;
        let got = all(&mut alice);
        assert!(got[0].contains(honest.split(' ').next().unwrap()), "{got:#?}");
    }
    // When they leave, too.
    bob.send(&format!(
        "<presence to='{ROOM}/bob' type='unavailable'>{}</presence>",
        FORGED.concat()
    ))
    .await;
    let got = all(&mut alice);
    assert!(!got.iter().any(|xml| marked(xml)), "{got:#?}");
}

#[test]
fn an_element_is_judged_by_what_it_claims() {
    for (list, is) in [(FORGED, true), (HONEST, false)] {
        for xml in list {
            let element = kim_core::wire::Element::parse(xml).unwrap();
            assert_eq!(is_forged(&element.el(), ROOM), is, "{xml}");
        }
    }
}

#[tokio::test]
async fn guests_invite_nobody_in_whatever_form() {
    // XEP-0175 §3, XEP-0249, §7.8
    let house = House::new(crate::MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut guest = house.guest("wanderer@guest.localhost/web").await;
    let lobby = "lobby@conference.localhost";
    for (client, nick) in [(&mut bob, "bob"), (&mut guest, "wanderer")] {
        client
            .send(&format!(
                "<presence to='{lobby}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
            ))
            .await;
    }
    let direct = "<x xmlns='jabber:x:conference' jid='evil@conference.localhost'/>";
    let mediated = "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='alice@localhost'/></x>";
    for invitation in [direct, mediated] {
        for (to, kind) in [
            (format!("{lobby}/bob"), "chat"),
            (format!("{lobby}/bob"), "normal"),
            (lobby.to_owned(), "groupchat"),
            ("bob@localhost".to_owned(), "normal"),
        ] {
            bob.skip();
            guest.skip();
            guest
                .send(&format!(
                    "<message id='i' to='{to}' type='{kind}'><body>come</body>{invitation}</message>"
                ))
                .await;
            let got = guest.next().unwrap();
            assert!(got.contains("<forbidden "), "{to} {kind} {invitation}: {got}");
            bob.expect_nothing();
        }
    }
    // Somebody with an account may.
    let (mut alice, mut bob) = room(&house).await;
    bob.send(&format!(
        "<message id='i' to='{ROOM}/alice' type='chat'>{direct}</message>"
    ))
    .await;
    assert!(alice.next().unwrap().contains("jabber:x:conference"));
}
