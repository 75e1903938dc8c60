//! What dialogues cannot show: what archives add, that copies share their content, and what somebody might try.

use std::sync::Mutex;

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{Arrival, Delivery, Departure};
use kim_core::hook::{Flow, On, Stage};
use kim_core::module::{Entry, Module, Registrar, Spec};
use kim_core::testing::{Client, House};

use super::{Carbons, api};
use crate::rfc6121_im::Im;
use crate::xep0191_blocking::Blocking;
use crate::xep0359_ids::StanzaIds;
use crate::xep0359_ids::api::SentId;

const MODULES: &[Entry] = &[
    Entry::of::<StanzaIds>(),
    Entry::of::<Im>(),
    Entry::of::<Blocking>(),
    Entry::of::<Carbons>(),
];

/// What comes before the content of a copy, and behind it.
const SENT: (&str, &str) = (
    "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'",
    "</message></forwarded></sent></message>",
);
const RECEIVED: (&str, &str) = (
    "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'",
    "</message></forwarded></received></message>",
);

async fn enabled(house: &House, jid: &str) -> Client {
    let client = house.connect(jid).await;
    api::switch(&house.router, &client.session, true);
    client
}

// ——— what is in a copy ———

/// Payloads of the specifications that a server only has to pass, as clients write them.
const PASSING: &[(&str, &str)] = &[
    (
        "XEP-0085",
        "<composing xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>",
    ),
    (
        "XEP-0085",
        "<body>Who&apos;s there?</body><active xmlns='http://jabber.org/protocol/chatstates'/>",
    ),
    ("XEP-0184", "<body>x</body><request xmlns='urn:xmpp:receipts'/>"),
    (
        "XEP-0184",
        "<received xmlns='urn:xmpp:receipts' id='richard2-4.1.247'/>",
    ),
    (
        "XEP-0308",
        "<body>But soft, what light through yonder window breaks?</body>\
         <replace xmlns='urn:xmpp:message-correct:0' id='bad1'/>",
    ),
    (
        "XEP-0333",
        "<body>x</body><markable xmlns='urn:xmpp:chat-markers:0'/>",
    ),
    (
        "XEP-0333",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='the-msg-1'/>",
    ),
    (
        "XEP-0424",
        "<retract xmlns='urn:xmpp:message-retract:1' id='wrong-recipient-1'/>\
         <fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/>\
         <body>/me retracted a previous message, but it's unsupported by your client.</body>\
         <store xmlns='urn:xmpp:hints'/>",
    ),
    (
        "XEP-0425",
        "<retract xmlns='urn:xmpp:message-retract:1' id='stanza-id-1'>\
         <moderated xmlns='urn:xmpp:message-moderate:1' by='room@muc.example.com/macbeth'>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='dd72603d'/></moderated><reason>Spam</reason></retract>",
    ),
    (
        "XEP-0428",
        "<body>&gt; Anna wrote:\n&gt; cake\nGreat!</body>\
         <fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body end='38' start='0'/></fallback>",
    ),
    (
        "XEP-0444",
        "<reactions xmlns='urn:xmpp:reactions:0' id='744f6e18'><reaction>👋</reaction><reaction>🐢</reaction>\
         </reactions><store xmlns='urn:xmpp:hints'/>",
    ),
    (
        "XEP-0444",
        "<reactions xmlns='urn:xmpp:reactions:0' id='744f6e18'/>",
    ),
    (
        "XEP-0461",
        "<body>Great idea!</body><reply xmlns='urn:xmpp:reply:0' to='anna@example.com/tablet' id='message-id1'/>",
    ),
    (
        "XEP-0384",
        "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='27183'><key rid='31415'>BASE64==</key>\
         <iv>BASE64</iv></header><payload>BASE64</payload></encrypted>\
         <encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl' name='OMEMO'/>\
         <store xmlns='urn:xmpp:hints'/><body>I sent you an OMEMO encrypted message</body>",
    ),
];

#[tokio::test]
async fn what_clients_say_to_one_another_passes_byte_for_byte_and_is_in_the_copies_so() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut sent = enabled(&house, "alice@localhost/tablet").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut received = enabled(&house, "bob@localhost/desk").await;
    for (spec, payload) in PASSING {
        // As the server writes text: an apostrophe needs no escape there.
        let canonical = payload.replace("&apos;", "'");
        let head = "from='alice@localhost/phone' to='bob@localhost' id='m' type='chat'";
        alice
            .send(&format!(
                "<message to='bob@localhost' id='m' type='chat'>{payload}</message>"
            ))
            .await;
        assert_eq!(
            bob.next().unwrap(),
            format!("<message {head}>{canonical}</message>"),
            "{spec}"
        );
        assert_eq!(
            sent.next().unwrap(),
            format!(
                "<message from='alice@localhost' to='alice@localhost/tablet' type='chat'>{} {head}>{canonical}{}",
                SENT.0, SENT.1
            ),
            "{spec}"
        );
        assert_eq!(
            received.next().unwrap(),
            format!(
                "<message from='bob@localhost' to='bob@localhost/desk' type='chat'>{} {head}>{canonical}{}",
                RECEIVED.0, RECEIVED.1
            ),
            "{spec}"
        );
    }
}

#[tokio::test]
async fn of_type_normal_only_what_the_rules_name_is_copied() {
    // §6.1: a body, receipts, chat states, markers. Reactions and keys without one want type chat.
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut tablet = enabled(&house, "alice@localhost/tablet").await;
    house.account("bob@localhost").await;
    for (spec, payload) in PASSING {
        let named = payload.contains("<body>") || ["XEP-0085", "XEP-0184", "XEP-0333"].contains(spec);
        let without_fallback = !payload.starts_with("<reactions")
            && !payload.starts_with("<retract xmlns='urn:xmpp:message-retract:1' id='stanza");
        assert_eq!(named, without_fallback, "{payload}");
        alice
            .send(&format!("<message to='bob@localhost'>{payload}</message>"))
            .await;
        assert_eq!(tablet.next().is_some(), named, "{payload}");
    }
}

/// Stands for an archive: it gives ids at `Store`, for the sender on the context and for the recipient in the message.
struct Archive;

impl On<Departure> for Archive {
    async fn on(&self, event: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        cx.learn(SentId {
            by: event.session.account.clone(),
            id: "of-the-sender".into(),
        });
        Ok(Flow::Next)
    }
}

impl On<Arrival> for Archive {
    async fn on(&self, event: &mut Arrival, _: &mut Cx) -> Result<Flow, Fault> {
        let id = SentId {
            by: event.account.clone(),
            id: "of-the-recipient".into(),
        };
        event.stanza.append(&id.to_xml());
        Ok(Flow::Next)
    }
}

impl Module for Archive {
    type Config = NoSettings;
    const NAME: &'static str = "xep9999_archive";
    const SPECS: &'static [Spec] = &[Spec::complete("TEST", "Test", "")];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.on::<Departure>(Stage::Store, Archive);
        house.on::<Arrival>(Stage::Store, Archive);
        Ok(())
    }
}

#[tokio::test]
async fn copies_have_the_ids_of_the_archive_of_the_account_they_are_for() {
    // XEP-0313 §3.5: never what leaves to the other party.
    let modules = [MODULES, &[Entry::of::<Archive>()]].concat();
    let house = House::new(&modules).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut tablet = enabled(&house, "alice@localhost/tablet").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut desk = enabled(&house, "bob@localhost/desk").await;
    alice
        .send("<message to='bob@localhost' type='chat'><body>x</body></message>")
        .await;
    let theirs = "<stanza-id xmlns='urn:xmpp:sid:0' id='of-the-recipient' by='bob@localhost'/>";
    bob.expect(&format!("<message type='chat'><body>x</body>{theirs}</message>"));
    desk.expect(&format!(
        "<message type='chat'>{} from='alice@localhost/phone' to='bob@localhost' type='chat'><body>x</body>{theirs}{}",
        RECEIVED.0, RECEIVED.1
    ));
    tablet.expect(&format!(
        "<message type='chat'>{} from='alice@localhost/phone' to='bob@localhost' type='chat'><body>x</body>\
         <stanza-id xmlns='urn:xmpp:sid:0' id='of-the-sender' by='alice@localhost'/>{}",
        SENT.0, SENT.1
    ));
}

/// Where in memory the content of what is delivered lies.
static PLACES: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

struct Look;

impl On<Delivery> for Look {
    async fn on(&self, event: &mut Delivery, _: &mut Cx) -> Result<Flow, Fault> {
        let tail = event.stanza.tail();
        PLACES.lock().unwrap().push((tail.as_ptr() as usize, tail.len()));
        Ok(Flow::Next)
    }
}

impl Module for Look {
    type Config = NoSettings;
    const NAME: &'static str = "xep9999_look";
    const SPECS: &'static [Spec] = Archive::SPECS;

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.on::<Delivery>(Stage::Notify, Look);
        Ok(())
    }
}

#[tokio::test]
async fn the_copies_share_what_they_copy() {
    let modules = [MODULES, &[Entry::of::<Look>()]].concat();
    let house = House::new(&modules).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let _tablets = [
        enabled(&house, "alice@localhost/one").await,
        enabled(&house, "alice@localhost/two").await,
    ];
    house.account("bob@localhost").await;
    PLACES.lock().unwrap().clear();
    let body = "x".repeat(100_000);
    alice
        .send(&format!(
            "<message to='bob@localhost' type='chat'><body>{body}</body></message>"
        ))
        .await;
    let places = PLACES.lock().unwrap();
    assert_eq!(places.len(), 2);
    assert!(places[0].1 > body.len() && places[0] == places[1]);
}

// ——— what finds no way ———

#[tokio::test]
async fn a_copy_that_its_client_never_took_ends_there() {
    // The message itself went to its recipient; nobody else is to have the copy, now or later (§7).
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let tablet = enabled(&house, "alice@localhost/tablet").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    bob.send("<message to='alice@localhost/phone' type='chat'><body>x</body></message>")
        .await;
    alice
        .send("<message to='bob@localhost' type='chat'><body>y</body></message>")
        .await;
    assert!(tablet.session.outbox.queued_bytes() > 0);
    tablet.disconnect().await;
    alice.expect("<message from='bob@localhost/laptop' type='chat'><body>x</body></message>");
    alice.expect_nothing();
    bob.expect("<message type='chat'><body>y</body></message>");
    bob.expect_nothing();
    // Nothing waits either.
    let mut later = house.online("alice@localhost/later").await;
    later.expect_nothing();
}

#[tokio::test]
async fn a_message_on_its_second_way_is_not_copied_again() {
    let house = House::new(MODULES).await;
    let laptop = house.online("alice@localhost/laptop").await;
    let mut tablet = enabled(&house, "alice@localhost/tablet").await;
    let mut bob = house.connect("bob@localhost/x").await;
    bob.send("<message to='alice@localhost/laptop' type='chat'><body>x</body></message>")
        .await;
    tablet.expect("<message type='chat'><received xmlns='urn:xmpp:carbons:2'>...</received></message>");
    // It goes to the account's offline messages.
    laptop.disconnect().await;
    tablet.expect_nothing();
    let mut phone = house.online("alice@localhost/phone").await;
    phone.expect_nothing();
    drop(phone);
}

#[tokio::test]
async fn a_message_on_its_second_way_spares_those_who_had_a_copy() {
    // Every device has it once, although the tablet would take what is for the phone that has gone (RFC 6121 §8.5.3.2.1).
    let house = House::new(MODULES).await;
    let phone = house.online("alice@localhost/phone").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    api::switch(&house.router, &tablet.session, true);
    let mut bob = house.connect("bob@localhost/x").await;
    bob.send("<message to='alice@localhost/phone' type='chat' id='1'><body>x</body></message>")
        .await;
    tablet.expect("<message type='chat'><received xmlns='urn:xmpp:carbons:2'>...</received></message>");
    // This one it has no copy of.
    bob.send(
        "<message to='alice@localhost/phone' type='chat' id='2'><body>y</body><private xmlns='urn:xmpp:carbons:2'/></message>",
    )
    .await;
    phone.disconnect().await;
    tablet.expect("<presence from='alice@localhost/phone' type='unavailable'/>");
    tablet
        .expect("<message type='chat' id='2'><body>y</body><private xmlns='urn:xmpp:carbons:2'/></message>");
    tablet.expect_nothing();
    bob.expect_nothing();
}

#[tokio::test]
async fn what_is_blocked_is_not_copied() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut tablet = enabled(&house, "alice@localhost/tablet").await;
    alice
        .send("<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='mallory@localhost'/></block></iq>")
        .await;
    let mut mallory = house.online("mallory@localhost/x").await;
    mallory
        .send("<message to='alice@localhost/phone' type='chat' id='m'><body>x</body></message>")
        .await;
    tablet.expect_nothing();
    // Nor is what comes back at once.
    alice
        .send("<message to='mallory@localhost' type='chat' id='n'><body>x</body></message>")
        .await;
    tablet.expect_nothing();
}

// ——— what somebody might try ———

#[tokio::test]
async fn switching_without_end_costs_nothing() {
    let house = House::new(MODULES).await;
    let mut phone = house.connect("alice@localhost/phone").await;
    let mut tablet = house.connect("alice@localhost/tablet").await;
    for at in 0..1_000 {
        let name = if at % 3 == 0 { "disable" } else { "enable" };
        tablet
            .send(&format!(
                "<iq id='{at}' type='set'><{name} xmlns='urn:xmpp:carbons:2'/></iq>"
            ))
            .await;
        tablet.expect(&format!("<iq id='{at}' type='result'/>"));
    }
    // 999 was the last: a disable.
    assert!(!api::is_on(&tablet.session));
    tablet
        .send("<iq id='x' type='set'><enable xmlns='urn:xmpp:carbons:2'><deep><deep/></deep></enable></iq>")
        .await;
    tablet.expect("<iq id='x' type='result'/>");
    phone
        .send("<message to='bob@localhost' type='chat'><body>x</body></message>")
        .await;
    tablet.expect("<message type='chat'><sent xmlns='urn:xmpp:carbons:2'>...</sent></message>");
    // Only the error of nobody's account follows; it has no id, so it is about nothing that is known.
    tablet.expect_nothing();
}

#[tokio::test]
async fn forwards_inside_forwards_are_content_like_any_other() {
    let house = House::new(MODULES).await;
    let mut mallory = house.connect("mallory@localhost/x").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut tablet = enabled(&house, "alice@localhost/tablet").await;
    let (open, close) = (
        "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>",
        "</forwarded></sent>",
    );
    let nested = format!("{}x{}", open.repeat(25), close.repeat(25));
    mallory
        .send(&format!(
            "<message to='alice@localhost/phone' type='chat'>{nested}</message>"
        ))
        .await;
    alice.expect_nothing();
    tablet.expect_nothing();
    mallory
        .send(&format!(
            "<message to='alice@localhost/phone' type='chat'><x xmlns='urn:x'>{nested}</x></message>"
        ))
        .await;
    assert!(alice.next().unwrap().contains(&nested));
    assert!(tablet.next().unwrap().contains(&nested));
}

#[tokio::test]
async fn many_children_are_judged_in_one_pass() {
    let house = House::new(MODULES).await;
    let mut mallory = house.connect("mallory@localhost/x").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut tablet = enabled(&house, "alice@localhost/tablet").await;
    let states = "<active xmlns='http://jabber.org/protocol/chatstates'/>".repeat(4_000);
    mallory
        .send(&format!("<message to='alice@localhost/phone'>{states}</message>"))
        .await;
    assert!(alice.next().is_some() && tablet.next().is_some());
    mallory
        .send(&format!(
            "<message to='alice@localhost/phone'>{states}<private xmlns='urn:xmpp:carbons:2'/></message>"
        ))
        .await;
    assert!(alice.next().is_some() && tablet.next().is_none());
}
