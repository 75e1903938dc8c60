//! A mention finds whom it means.

use kim_core::testing::{Client, House};

const ROOM: &str = "coven@conference.localhost";

/// Waits for a notification: it leaves behind the room's own sending, in a task of its own.
async fn notified(client: &mut Client) -> String {
    for _ in 0..10_000 {
        if let Some(came) = client.next() {
            return came;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} got nothing", client.session.jid)
}

#[tokio::test]
async fn a_member_who_is_not_there_gets_the_message_that_mentions_them() {
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut carol = house.online("carol@localhost/pda").await;
    for text in [
        format!("<presence to='{ROOM}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>"),
        format!(
            "<iq id='c' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'/></query></iq>"
        ),
        format!(
            "<iq id='m' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>\
             <item affiliation='member' jid='bob@localhost'/></query></iq>"
        ),
        format!(
            "<message id='m1' to='{ROOM}' type='groupchat'><body>bob and carol</body>\
             <reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:bob@localhost'/>\
             <reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:carol@localhost'/>\
             <reference xmlns='urn:xmpp:reference:0' type='mention' uri='nonsense'/></message>"
        ),
    ] {
        alice.send(&text).await;
    }
    let came = notified(&mut bob).await;
    assert!(came.starts_with("<message"), "{came}");
    for part in [
        "from='coven@conference.localhost'",
        "<mentions xmlns='urn:xmpp:mmn:0'><forwarded xmlns='urn:xmpp:forward:0'><delay ",
        "from='coven@conference.localhost/alice'",
        "<body>bob and carol</body>",
    ] {
        assert!(came.contains(part), "{part} is not in {came}");
    }
    assert!(bob.next().is_none());
    assert!(carol.next().is_none(), "she does not belong to it");
}

#[tokio::test]
async fn a_block_also_stops_mentions() {
    // XEP-0191 §3.3: it comes from the room, but somebody said it.
    for blocked in ["alice@localhost", &format!("{ROOM}/alice")] {
        let house = House::new(crate::MODULES).await;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut aaron = house.online("aaron@localhost/laptop").await;
        let mut bob = house.online("bob@localhost/laptop").await;
        aaron
            .send(&format!(
                "<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='{blocked}'/></block></iq>"
            ))
            .await;
        aaron.skip();
        let members = "<item affiliation='member' jid='aaron@localhost'/><item affiliation='member' jid='bob@localhost'/>";
        for text in [
            format!("<presence to='{ROOM}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>"),
            format!(
                "<iq id='c' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
                 <x xmlns='jabber:x:data' type='submit'/></query></iq>"
            ),
            format!(
                "<iq id='m' to='{ROOM}' type='set'>\
                 <query xmlns='http://jabber.org/protocol/muc#admin'>{members}</query></iq>"
            ),
            format!(
                "<message id='m1' to='{ROOM}' type='groupchat'><body>aaron and bob</body>\
                 <reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:aaron@localhost'/>\
                 <reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:bob@localhost'/></message>"
            ),
        ] {
            alice.send(&text).await;
        }
        // Both are told together.
        assert!(notified(&mut bob).await.contains("<mentions "));
        assert_eq!(aaron.next(), None, "{blocked}");
    }
}
