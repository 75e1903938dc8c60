//! What a room does for one person that reaches another: invitations, refusals, requests.

use kim_core::testing::{Client, House};

use super::{ROOM, all, enter, instant, room};

fn invite(to: &str) -> String {
    format!(
        "<message id='i' to='{ROOM}'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='{to}'/></x></message>"
    )
}

fn decline(to: &str) -> String {
    format!(
        "<message id='d' to='{ROOM}'><x xmlns='http://jabber.org/protocol/muc#user'>\
         <decline to='{to}'><reason>no</reason></decline></x></message>"
    )
}

async fn block(client: &mut Client, jid: &str) {
    client
        .ask(
            &format!(
                "<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='{jid}'/></block></iq>"
            ),
            "<iq id='b' type='result'/>",
        )
        .await;
}

#[tokio::test]
async fn somebody_blocked_does_not_come_back_as_a_room() {
    // XEP-0191 §3.3, §7.8.2
    for blocked in [
        "mallory@localhost",
        "mallory@localhost/x",
        &format!("{ROOM}/mallory"),
    ] {
        let house = House::new(crate::MODULES).await;
        let mut victim = house.online("victim@localhost/x").await;
        let mut mallory = house.online("mallory@localhost/x").await;
        block(&mut victim, blocked).await;
        enter(&mut mallory, "mallory").await;
        instant(&mut mallory, ROOM, "").await;
        mallory.send(&invite("victim@localhost")).await;
        // Nothing tells that it did not arrive.
        mallory.expect_nothing();
        victim.expect_nothing();
        if blocked == "mallory@localhost" {
            let member = "<item affiliation='member' jid='victim@localhost'/>";
            let fields = "<field var='muc#roomconfig_membersonly'><value>1</value></field>";
            let form = format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>");
            mallory
                .send(&format!("<iq id='o' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query></iq>"))
                .await;
            mallory
                .send(&format!("<iq id='m' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>{member}</query></iq>"))
                .await;
            mallory.skip();
            victim.expect_nothing();
            // Nor does it wait for the absent.
            victim.disconnect().await;
            mallory.send(&invite("victim@localhost")).await;
            assert!(!all(&mut mallory).iter().any(|xml| xml.contains("type='error'")));
            let mut victim = house.online("victim@localhost/x").await;
            victim.expect_nothing();
        }
    }
}

#[tokio::test]
async fn invitations_have_a_rate_per_person_and_pair() {
    let house = House::configured(crate::MODULES, "[outreach]\nper_day = 1000\n").await;
    let (_alice, mut bob) = room(&house).await;
    let mut carol = house.online("carol@localhost/x").await;
    let mut refused = 0;
    for _ in 0..10 {
        bob.send(&invite("carol@localhost")).await;
        refused += all(&mut bob)
            .iter()
            .filter(|xml| xml.contains("<policy-violation ") && xml.contains("type='wait'"))
            .count();
    }
    assert_eq!((all(&mut carol).len(), refused), (3, 7));
    // A whole group can be asked at once, but not a village.
    for at in 0..80 {
        bob.send(&invite(&format!("u{at}@localhost"))).await;
        let got = all(&mut bob);
        assert_eq!(got.is_empty(), at < 57, "{at}: {got:#?}");
    }
    house.clock.advance(601);
    bob.send(&invite("carol@localhost")).await;
    assert_eq!(all(&mut carol).len(), 1);
}

#[tokio::test]
async fn a_refusal_tells_nobody_who_is_in_the_room() {
    // §7.8.2
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    let mut carol = house.online("carol@localhost/x").await;
    for to in [
        "bob@localhost",
        "nobody@localhost",
        &format!("{ROOM}/bob"),
        &format!("{ROOM}/nobody"),
    ] {
        carol.send(&decline(to)).await;
        let got = (all(&mut alice), all(&mut bob), all(&mut carol));
        assert_eq!(got, Default::default(), "{to}");
    }
    // With an invitation it arrives, once, under the address that the invitation named.
    bob.send(&invite("carol@localhost")).await;
    assert!(carol.next().unwrap().contains("<invite "));
    carol.send(&decline("bob@localhost")).await;
    bob.expect_nothing();
    carol.send(&decline(&format!("{ROOM}/bob"))).await;
    assert!(bob.next().unwrap().contains("<decline from='carol@localhost'>"));
    carol.send(&decline(&format!("{ROOM}/bob"))).await;
    let got = (all(&mut alice), all(&mut bob), all(&mut carol));
    assert_eq!(got, Default::default());
    // Also when the inviter has left meanwhile.
    let mut bob_online = house.online("bob@localhost/home").await;
    bob.send(&invite("carol@localhost")).await;
    bob.send(&format!("<presence to='{ROOM}/bob' type='unavailable'/>"))
        .await;
    bob.skip();
    carol.skip();
    carol.send(&decline(&format!("{ROOM}/bob"))).await;
    assert!(
        bob_online
            .next()
            .is_some_and(|xml| xml.contains("<decline from='carol@localhost'>"))
    );
    // They have a rate.
    let mut last = Vec::new();
    for _ in 0..10 {
        carol.send(&decline("bob@localhost")).await;
        last = all(&mut carol);
    }
    assert!(last[0].contains("type='wait'"), "{last:#?}");
}

fn register(nick: &str) -> String {
    format!(
        "<iq id='r' to='{ROOM}' type='set'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field>\
         <field var='muc#register_roomnick'><value>{nick}</value></field></x></query></iq>"
    )
}

async fn by_approval(house: &House) -> Client {
    let mut alice = house.online("alice@localhost/desktop").await;
    enter(&mut alice, "alice").await;
    let fields = "<field var='{urn:kim:muc:0}roomconfig_registration'><value>approval</value></field>";
    instant(&mut alice, ROOM, fields).await;
    alice
}

#[tokio::test]
async fn admins_are_asked_once_for_one_person() {
    // §9.9
    let house = House::new(crate::MODULES).await;
    let mut alice = by_approval(&house).await;
    let mut carol = house.connect("carol@localhost/x").await;
    for _ in 0..20 {
        carol.ask(&register("carol"), "<iq id='r' type='result'/>").await;
    }
    carol.send(&register("karla")).await;
    assert!(carol.next().unwrap().contains("<unexpected-request "));
    let asked = all(&mut alice);
    assert_eq!(asked.len(), 1, "{asked:#?}");
    // A request without an answer may be made again on another day.
    house.clock.advance(86_401);
    carol.ask(&register("karla"), "<iq id='r' type='result'/>").await;
    assert_eq!(all(&mut alice).len(), 1);
    // Granted and given back: a new request is a new one.
    alice
        .send(&format!(
            "<message to='{ROOM}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#register</value></field>\
             <field var='muc#register_jid'><value>carol@localhost</value></field>\
             <field var='muc#register_roomnick'><value>karla</value></field>\
             <field var='muc#register_allow'><value>1</value></field></x></message>"
        ))
        .await;
    carol
        .ask(
            &format!(
                "<iq id='u' to='{ROOM}' type='set'><query xmlns='jabber:iq:register'><remove/></query></iq>"
            ),
            "<iq id='u' type='result'/>",
        )
        .await;
    alice.skip();
    carol.ask(&register("karla"), "<iq id='r' type='result'/>").await;
    assert_eq!(all(&mut alice).len(), 1);
}

#[tokio::test]
async fn an_admin_is_not_asked_by_somebody_blocked() {
    let house = House::new(crate::MODULES).await;
    let mut alice = by_approval(&house).await;
    block(&mut alice, "carol@localhost").await;
    let mut carol = house.connect("carol@localhost/x").await;
    carol.ask(&register("carol"), "<iq id='r' type='result'/>").await;
    alice.expect_nothing();
}

#[tokio::test]
async fn a_visitor_may_ask_for_voice_in_every_room() {
    // §7.13, §8.4: voice can be taken away in a room that is not moderated.
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    let request = format!(
        "<message id='v' to='{ROOM}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>http://jabber.org/protocol/muc#request</value></field>\
         <field var='muc#role'><value>participant</value></field></x></message>"
    );
    bob.send(&request).await;
    assert!(bob.next().unwrap().contains("<not-allowed "));
    alice.expect_nothing();
    let revoke = "<item nick='bob' role='visitor'/>";
    alice
        .send(&format!("<iq id='r' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>{revoke}</query></iq>"))
        .await;
    alice.skip();
    bob.skip();
    bob.send(&request).await;
    bob.expect_nothing();
    assert!(alice.next().unwrap().contains("muc#request_allow"));
    // Not without end, and not to those who have blocked the author.
    let mut asked = 1;
    for _ in 0..20 {
        bob.send(&request).await;
        asked += all(&mut alice).len();
    }
    assert_eq!(asked, 10);
    house.clock.advance(3_600);
    block(&mut alice, &format!("{ROOM}/bob")).await;
    bob.skip();
    bob.send(&request).await;
    bob.expect_nothing();
    alice.expect_nothing();
}
