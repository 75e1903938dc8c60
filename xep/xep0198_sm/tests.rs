//! Counting, acknowledging and resuming in memory: no sockets, so that every order of events can be written down. What
//! needs connections is in the server's `tests/resume.rs`.

use std::sync::Arc;
use std::time::Duration;

use kim_core::db::Query;
use kim_core::error::StreamCondition;
use kim_core::events::{Early, Unbound};
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_core::testing::{Client, House};
use kim_core::wire::Element;

use crate::MODULES;

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const UNEXPECTED: &str = "<failed xmlns='urn:xmpp:sm:3'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";

fn answer(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

fn not_found(h: Option<u32>) -> String {
    let h = h.map(|h| format!(" h='{h}'")).unwrap_or_default();
    format!("<failed xmlns='urn:xmpp:sm:3'{h}><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>")
}

/// What comes next; an answer to `<r/>` comes when its number is committed.
async fn soon(client: &mut Client) -> String {
    for _ in 0..20_000 {
        if let Some(xml) = client.next() {
            return xml;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{} waited for nothing", client.session.jid);
}

/// Enables stream management and gives the id.
async fn enable(client: &mut Client) -> String {
    client.send(ENABLE).await;
    client.expect("<enabled xmlns='urn:xmpp:sm:3' id='{id}' resume='true' max='600'/>");
    client.captured("id").to_owned()
}

/// What a stream of that account, logged in and not bound, is told.
async fn early(router: &Arc<Router>, account: Option<&str>, xml: &str) -> Result<Early, kim_core::error::StreamError> {
    let mut event = Unbound {
        element: Element::parse(xml).unwrap(),
        account: account.map(|account| BareJid::parse(account).unwrap()),
        verdict: Early::Unknown,
    };
    router.unbound(&mut event).await?;
    Ok(event.verdict)
}

async fn refusal(house: &House, account: Option<&str>, xml: &str) -> String {
    match early(&house.router, account, xml).await {
        Ok(Early::Answered(xml)) => xml,
        Ok(Early::Unknown) => panic!("nobody knows {xml}"),
        Ok(Early::Resume { .. }) => panic!("resumed by {xml}"),
        Err(error) => panic!("{error:?}"),
    }
}

fn resume(id: &str, h: u32) -> String {
    format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>")
}

async fn message(from: &mut Client, to: &str, body: &str) {
    from.send(&format!("<message to='{to}' type='chat'><body>{body}</body></message>"))
        .await;
}

// ——— enabling (§3) ———

#[tokio::test]
async fn a_client_enables_and_counts_both_ways() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    assert!(id.len() >= 26, "{id} has fewer than 128 bits");
    alice.send(ASK).await;
    assert_eq!(alice.next(), Some(answer(0)));
    // §4: messages, presence and iqs count, what is answered with an error too; nothing else does.
    message(&mut alice, "bob@localhost", "hi").await;
    alice.send("<presence><show>away</show></presence>").await;
    alice.send("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    alice.send("<iq type='get' id='2'/>").await;
    alice.send("<active xmlns='urn:xmpp:csi:0'/>").await;
    alice.send(&answer(0)).await;
    alice.skip();
    alice.send(ASK).await;
    assert_eq!(soon(&mut alice).await, answer(4));
    // Nothing new: the same number, at once.
    alice.send(ASK).await;
    assert_eq!(alice.next(), Some(answer(4)));
}

#[tokio::test]
async fn who_does_not_want_to_resume_is_not_given_an_id() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice.send("<enable xmlns='urn:xmpp:sm:3'/>").await;
    alice.expect("<enabled xmlns='urn:xmpp:sm:3'/>");
    alice.send(ASK).await;
    assert_eq!(alice.next(), Some(answer(0)));
    assert!(!house.router.park(&alice.session).await);

    // XEP-0175: a guest could never prove to be the same.
    let mut guest = house.guest("g1@guest.localhost/web").await;
    guest.send(ENABLE).await;
    guest.expect("<enabled xmlns='urn:xmpp:sm:3'/>");
    assert!(!house.router.park(&guest.session).await);
}

#[tokio::test]
async fn a_client_is_given_the_time_it_asks_for_within_the_limit() {
    let toml = "[xep0198_sm]\nresume_seconds_max = 300\nlocation = \"a.example:5222\"\n";
    let house = House::configured(MODULES, toml).await;
    for (asked, given) in [("60", 60), ("1", 1), ("9999", 300), ("0", 300), ("never", 300), ("99999999999", 300)] {
        let mut alice = house.connect("alice@localhost/phone").await;
        alice
            .send(&format!("<enable xmlns='urn:xmpp:sm:3' resume='1' max='{asked}'/>"))
            .await;
        alice.expect(&format!(
            "<enabled xmlns='urn:xmpp:sm:3' id='*' resume='true' max='{given}' location='a.example:5222'/>"
        ));
    }
    let house = House::configured(MODULES, "[xep0198_sm]\nresume_seconds_max = 0\n").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send(ENABLE).await;
    alice.expect("<enabled xmlns='urn:xmpp:sm:3'/>");
}

#[tokio::test]
async fn enabling_twice_ends_the_stream() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    alice.send(ENABLE).await;
    alice.expect(UNEXPECTED);
    assert_eq!(
        alice.closing().map(|error| error.condition),
        Some(StreamCondition::PolicyViolation)
    );
}

#[tokio::test]
async fn nothing_goes_before_it_is_enabled() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    for early in [ASK.to_owned(), answer(0), resume("abc", 0)] {
        alice.send(&early).await;
        alice.expect(UNEXPECTED);
    }
    let id = enable(&mut alice).await;
    // §5: resuming takes a stream that is not bound.
    alice.send(&resume(&id, 0)).await;
    alice.expect(UNEXPECTED);
    assert_eq!(alice.closing(), None);
    alice.send("<enabled xmlns='urn:xmpp:sm:3'/>").await;
    assert_eq!(
        alice.closing().map(|error| error.condition),
        Some(StreamCondition::UnsupportedStanzaType)
    );
}

// ——— acknowledging (§4) ———

#[tokio::test]
async fn the_server_asks_and_forgets_what_is_confirmed() {
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    assert_eq!(alice.session.outbox.kept_stanzas(), 0);
    message(&mut bob, "alice@localhost", "one").await;
    message(&mut bob, "alice@localhost", "two").await;
    for body in ["one", "two"] {
        alice.expect(&format!("<message type='chat'><body>{body}</body>...</message>"));
    }
    alice.expect(ASK);
    assert_eq!(alice.session.outbox.kept_stanzas(), 2);
    // While it is asked already, it is not asked again.
    message(&mut bob, "alice@localhost", "three").await;
    alice.expect("<message type='chat'><body>three</body>...</message>");
    alice.expect_nothing();
    alice.send(&answer(2)).await;
    assert_eq!(alice.session.outbox.kept_stanzas(), 1);
    alice.expect(ASK);
    // No news, no further question; an old number is no harm.
    alice.send(&answer(2)).await;
    alice.send(&answer(1)).await;
    alice.expect_nothing();
    alice.send(&answer(3)).await;
    alice.expect_nothing();
    assert_eq!(alice.session.outbox.kept_stanzas(), 0);
}

#[tokio::test]
async fn a_client_that_confirms_too_much_is_sent_away() {
    // §6
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    message(&mut bob, "alice@localhost", "one").await;
    alice.skip();
    alice.send(&answer(2)).await;
    let error = alice.closing().unwrap();
    assert_eq!(error.condition, StreamCondition::UndefinedCondition);
    assert!(
        error
            .to_xml()
            .contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='2' send-count='1'/>"),
        "{}",
        error.to_xml()
    );
    for nonsense in ["", " h=''", " h='-1'", " h='4294967296'", " h='one'"] {
        let mut alice = house.online("alice@localhost/phone").await;
        enable(&mut alice).await;
        alice.send(&format!("<a xmlns='urn:xmpp:sm:3'{nonsense}/>")).await;
        assert!(alice.closing().is_some(), "{nonsense}");
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_in_the_database_first() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    message(&mut alice, "alice@localhost/tablet", "lost").await;
    message(&mut alice, "bob@localhost", "hi").await;
    alice.skip();
    alice.send(ASK).await;
    assert_eq!(soon(&mut alice).await, answer(2));
    let rows = house
        .db
        .fetch_all(Query::new("SELECT id_hash, account, handled FROM sm_session"))
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    let hash = rows[0].text(0).unwrap();
    assert!(!hash.contains(&id), "the id itself is the client's secret");
    assert_eq!((rows[0].text(1).unwrap().as_str(), rows[0].i64(2).unwrap()), ("alice@localhost", 2));
    // The process dies; another one serves the same database.
    let after = House::on(house.db.clone(), MODULES, "").await;
    assert_eq!(refusal(&after, Some("alice@localhost"), &resume(&id, 0)).await, not_found(Some(2)));
    // Rows go with their account.
    let account = BareJid::parse("alice@localhost").unwrap();
    house.router.erase_account(&account).await.unwrap();
    let rows = house.db.fetch_all(Query::new("SELECT id_hash FROM sm_session")).await.unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn a_hundred_questions_have_a_hundred_answers() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    for _ in 0..100 {
        message(&mut alice, "bob@localhost", "hi").await;
        alice.send(ASK).await;
    }
    let mut last = 0;
    for _ in 0..100 {
        let xml = loop {
            let xml = soon(&mut alice).await;
            if xml.starts_with("<a ") {
                break xml;
            }
        };
        let h: u32 = Element::parse(&xml).unwrap().attr("h").unwrap().parse().unwrap();
        assert!(h >= last, "{h} after {last}");
        last = h;
    }
    assert_eq!(last, 100);
}

// ——— before a session (§3, §5) ———

#[tokio::test]
async fn before_login_and_before_binding_only_resuming_goes() {
    let house = House::new(MODULES).await;
    house.account("alice@localhost").await;
    for xml in [ENABLE.to_owned(), ASK.to_owned(), answer(0), resume("abc", 0)] {
        assert_eq!(refusal(&house, None, &xml).await, UNEXPECTED);
    }
    for xml in [ENABLE.to_owned(), ASK.to_owned(), answer(0)] {
        assert_eq!(refusal(&house, Some("alice@localhost"), &xml).await, UNEXPECTED);
    }
    for xml in ["<resume xmlns='urn:xmpp:sm:3'/>", "<resume xmlns='urn:xmpp:sm:3' previd='a'/>", "<resume xmlns='urn:xmpp:sm:3' h='1'/>", "<resume xmlns='urn:xmpp:sm:3' previd='a' h='x'/>"] {
        assert!(refusal(&house, Some("alice@localhost"), xml).await.contains("<bad-request "), "{xml}");
    }
    assert!(matches!(early(&house.router, None, "<resumed xmlns='urn:xmpp:sm:3'/>").await, Ok(Early::Unknown)));
}

#[tokio::test]
async fn only_the_session_s_own_account_resumes_it() {
    // §10
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut mallory = house.online("mallory@localhost/phone").await;
    let id = enable(&mut alice).await;
    enable(&mut mallory).await;
    message(&mut alice, "bob@localhost", "hi").await;
    assert!(house.router.park(&alice.session).await);
    // Neither the session nor what is known of it.
    assert_eq!(refusal(&house, Some("mallory@localhost"), &resume(&id, 0)).await, not_found(None));
    let almost = format!("{}x", &id[..id.len() - 1]);
    for wrong in ["", "x", almost.as_str(), &"x".repeat(10_000)] {
        assert_eq!(refusal(&house, Some("alice@localhost"), &resume(wrong, 0)).await, not_found(None));
    }
    match early(&house.router, Some("alice@localhost"), &resume(&id, 0)).await {
        Ok(Early::Resume { session, h: 0, .. }) => assert_eq!(session.id, alice.session.id),
        _ => panic!("alice may resume"),
    }
}

// ——— resuming (§5) ———

#[tokio::test]
async fn what_is_missing_is_sent_again_before_anything_new() {
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    for body in ["one", "two", "three"] {
        message(&mut bob, "alice@localhost", body).await;
    }
    alice.skip();
    assert!(house.router.park(&alice.session).await);
    assert!(alice.session.is_parked());
    // The session is still there: it gets what is sent to the account.
    assert!(alice.session.priority().is_some());
    message(&mut bob, "alice@localhost", "four").await;
    bob.send("<message to='alice@localhost/phone' type='chat'><body>five</body></message>").await;
    bob.expect_nothing();
    alice.send("<r xmlns='urn:xmpp:sm:3'/>").await; // of the old connection: nobody is there to hear the answer

    let words = house.router.resume(&alice.session, 1).await.unwrap();
    assert_eq!(words, format!("<resumed xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>"));
    assert!(!alice.session.is_parked());
    message(&mut bob, "alice@localhost", "six").await;
    for body in ["two", "three", "four", "five"] {
        alice.expect(&format!(
            "<message type='chat'><body>{body}</body>...<delay xmlns='urn:xmpp:delay' from='localhost' stamp='*'/></message>"
        ));
    }
    alice.expect("<message type='chat'><body>six</body>...</message>");
    alice.expect(ASK);
    // The numbers go on.
    alice.send(&answer(6)).await;
    assert_eq!(alice.session.outbox.kept_stanzas(), 0);
    alice.send(&answer(7)).await;
    assert!(alice.closing().unwrap().to_xml().contains("h='7' send-count='6'"));
}

#[tokio::test]
async fn a_number_that_cannot_be_refuses_the_resumption() {
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    for body in ["one", "two"] {
        message(&mut bob, "alice@localhost", body).await;
    }
    alice.skip();
    alice.send(&answer(1)).await;
    house.router.park(&alice.session).await;
    let error = early(&house.router, Some("alice@localhost"), &resume(&id, 3)).await.err().unwrap();
    assert!(error.to_xml().contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='3' send-count='2'/>"));
    // What the client confirmed is gone; it cannot be sent again.
    assert_eq!(refusal(&house, Some("alice@localhost"), &resume(&id, 0)).await, not_found(Some(0)));
    assert!(house.router.resume(&alice.session, 2).await.is_ok());
}

#[tokio::test]
async fn what_the_client_sent_is_counted_over_connections() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    message(&mut alice, "bob@localhost", "one").await;
    house.router.park(&alice.session).await;
    let words = house.router.resume(&alice.session, 0).await.unwrap();
    assert_eq!(words, format!("<resumed xmlns='urn:xmpp:sm:3' previd='{id}' h='1'/>"));
    // That was a promise too.
    let row = house.db.fetch_all(Query::new("SELECT handled FROM sm_session")).await.unwrap();
    assert_eq!(row[0].i64(0).unwrap(), 1);
    alice.skip();
    message(&mut alice, "bob@localhost", "two").await;
    alice.skip();
    alice.send(ASK).await;
    assert_eq!(soon(&mut alice).await, answer(2));
}

// ——— the end ———

#[tokio::test]
async fn what_was_never_confirmed_waits_for_the_account_in_order_and_once() {
    let house = House::new(MODULES).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let id = enable(&mut alice).await;
    message(&mut bob, "alice@localhost", "confirmed").await;
    message(&mut bob, "alice@localhost", "written").await;
    bob.send("<iq type='get' id='7' to='alice@localhost/phone'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    alice.skip();
    alice.send(&answer(1)).await;
    alice.skip();
    house.router.park(&alice.session).await;
    message(&mut bob, "alice@localhost", "parked").await;
    bob.send("<message to='alice@localhost' type='headline'><body>news</body></message>").await;
    bob.expect_nothing();
    // Nobody comes back in time.
    let (left, _) = alice.session.outbox.take();
    house.router.end(&alice.session, left).await;
    // §4: the request comes back, the messages wait.
    bob.expect("<iq type='error' id='7' from='alice@localhost/phone'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
    bob.expect_nothing();
    assert_eq!(refusal(&house, Some("alice@localhost"), &resume(&id, 1)).await, not_found(Some(0)));
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send("<presence/>").await;
    let mut bodies = Vec::new();
    while let Some(xml) = alice.next() {
        let element = Element::parse(&xml).unwrap();
        if let Some(body) = element.child("body", "jabber:client") {
            bodies.push(body.text().into_owned());
            let delays = element.children().filter(|child| child.is("delay", "urn:xmpp:delay")).count();
            assert_eq!(delays, 1, "{xml}");
        }
    }
    assert_eq!(bodies, ["written", "parked"]);
}

#[tokio::test]
async fn the_oldest_of_too_many_waiting_sessions_ends() {
    let toml = "[xep0198_sm]\nparked_sessions_max = 2\n[limits]\nresources_per_account_max = 3\n";
    let house = House::configured(MODULES, toml).await;
    let mut devices = Vec::new();
    for n in 0..3 {
        let mut device = house.online(&format!("alice@localhost/{n}")).await;
        enable(&mut device).await;
        devices.push(device);
    }
    for device in &devices {
        house.clock.advance(1);
        house.router.park(&device.session).await;
    }
    let ended: Vec<bool> = devices.iter().map(|device| device.session.outbox.is_closed()).collect();
    assert_eq!(ended, [true, false, false]);
    // And where there is no room for one more at all, one that waits makes it.
    let (left, _) = devices[0].session.outbox.take();
    house.router.end(&devices[0].session, left).await;
    house.connect("alice@localhost/3").await;
    house.connect("alice@localhost/4").await;
    let ended: Vec<bool> = devices.iter().map(|device| device.session.outbox.is_closed()).collect();
    assert_eq!(ended, [true, true, false]);
    assert_eq!(house.router.sessions().all().len(), 3);
}

#[tokio::test]
async fn a_session_that_waits_takes_so_much_and_no_more() {
    let house = House::configured(MODULES, "[xep0198_sm]\nqueue_stanzas_max = 16\n").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut alice = house.online("alice@localhost/phone").await;
    enable(&mut alice).await;
    // While it is connected, more is written only once something is confirmed.
    for n in 0..20 {
        message(&mut bob, "alice@localhost", &n.to_string()).await;
    }
    let mut got = 0;
    while let Some(xml) = alice.next() {
        got += usize::from(xml.starts_with("<message"));
    }
    assert_eq!(got, 16);
    alice.send(&answer(10)).await;
    while let Some(xml) = alice.next() {
        got += usize::from(xml.starts_with("<message"));
    }
    assert_eq!(got, 20);
    alice.send(&answer(20)).await;
    alice.skip();
    house.router.park(&alice.session).await;
    for n in 0..17 {
        assert!(!alice.session.outbox.is_closed(), "{n}");
        message(&mut bob, "alice@localhost", &n.to_string()).await;
    }
    assert!(alice.session.outbox.is_closed());
    // All of it finds another way, in order.
    let (left, _) = alice.session.outbox.take();
    assert_eq!(left.len(), 17);
    house.router.end(&alice.session, left).await;
    message(&mut bob, "alice@localhost", "17").await;
    bob.expect_nothing();
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send("<presence/>").await;
    let mut bodies = Vec::new();
    while let Some(xml) = alice.next() {
        let element = Element::parse(&xml).unwrap();
        bodies.extend(element.child("body", "jabber:client").map(|body| body.text().into_owned()));
    }
    let wanted: Vec<String> = (0..=17).map(|n: u32| n.to_string()).collect();
    assert_eq!(bodies, wanted);
}
