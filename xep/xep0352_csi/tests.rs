//! What a client that does not look gets, and when; and what those who would fill its queue achieve.

use std::sync::{Arc, Mutex};

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::{Fault, StreamCondition};
use kim_core::events::{Delivery, Waits};
use kim_core::hook::{Flow, Hear, On, Stage};
use kim_core::module::{Entry, Module, Offer, Registrar, Spec};
use kim_core::session::Session;
use kim_core::stanza::Stanza;
use kim_core::testing::{Client, House};

use super::api::{self, IsImportant};
use super::{ClientStates, NS};
use crate::rfc6121_im::Im;
use crate::xep0198_sm::StreamManagement;
use crate::xep0199_ping::Ping;
use crate::xep0280_carbons::Carbons;
use crate::xep0359_ids::StanzaIds;

const MODULES: &[Entry] = &[
    Entry::of::<StanzaIds>(),
    Entry::of::<Im>(),
    Entry::of::<Ping>(),
    Entry::of::<Carbons>(),
    Entry::of::<ClientStates>(),
];

async fn inactive(house: &House, jid: &str) -> Client {
    let mut client = house.online(jid).await;
    client.send("<inactive xmlns='urn:xmpp:csi:0'/>").await;
    assert!(api::is_inactive(&client.session));
    client
}

/// Hands a session a stanza as the router would.
async fn deliver(house: &House, session: &Arc<Session>, xml: &str) {
    let mut cx = house.router.cx().unwrap();
    cx.deliver(session, Arc::new(Stanza::parse(xml).unwrap()));
    house.router.finish(cx).await;
}

const COMPOSING: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";

// ——— what waits ———

/// Each alone, to an inactive client. What a copy has in it counts as if it came itself.
const WAITS: &[&str] = &[
    "<presence from='b@x/1'/>",
    "<presence from='b@x/1' type='unavailable'/>",
    "<presence from='r@c.x/n'><x xmlns='http://jabber.org/protocol/muc#user'><item role='participant'/>\
     <status code='100'/></x></presence>",
    "<message from='b@x/1' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>\
     <no-store xmlns='urn:xmpp:hints'/></message>",
    "<message from='r@c.x/n' type='groupchat'><paused xmlns='http://jabber.org/protocol/chatstates'/></message>",
    "<message from='b@x/1'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
    "<message from='b@x/1' type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>\
     <stanza-id xmlns='urn:xmpp:sid:0' id='1' by='a@x'/></message>",
    "<message from='b@x' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'>\
     <items node='urn:xmpp:avatar:metadata'/></event></message>",
    "<message from='b@x'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='x'/></event></message>",
    "<message from='r@c.x' type='groupchat'><x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x>\
     </message>",
    "<message from='a@x' type='chat'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
     <message xmlns='jabber:client' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>\
     </forwarded></sent></message>",
    "<message from='b@x/1'/>",
];

const DOES_NOT_WAIT: &[&str] = &[
    "<message from='b@x/1' type='chat'><body>x</body></message>",
    "<message from='b@x/1'><body/></message>",
    "<message from='r@c.x/n' type='groupchat'><body>x</body></message>",
    "<message from='b@x' type='headline'><body>the server stops</body></message>",
    "<message from='b@x/1' type='chat'><encrypted xmlns='eu.siacs.conversations.axolotl'/></message>",
    "<message from='b@x/1' type='chat'><encryption xmlns='urn:xmpp:eme:0' namespace='x'/></message>",
    "<message from='r@c.x'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='b@x'/></x></message>",
    "<message from='r@c.x'><x xmlns='http://jabber.org/protocol/muc#user'><decline from='b@x'/></x></message>",
    "<message from='b@x/1'><x xmlns='jabber:x:conference' jid='r@c.x'/></message>",
    "<message from='b@x/1' type='chat'><propose xmlns='urn:xmpp:jingle-message:0' id='1'/></message>",
    "<message from='r@c.x' type='groupchat'><subject>x</subject></message>",
    "<message from='b@x/1' type='chat'><reactions xmlns='urn:xmpp:reactions:0' id='1'/></message>",
    "<message from='b@x/1' type='chat'><retract xmlns='urn:xmpp:message-retract:1' id='1'/></message>",
    "<message from='a@x'><result xmlns='urn:xmpp:mam:2' id='1'/></message>",
    "<message from='b@x/1' id='1' type='error'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
    "<message from='b@x/1'><anything xmlns='urn:x'/></message>",
    "<message from='a@x' type='chat'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
     <message xmlns='jabber:client' type='chat'><body>x</body></message></forwarded></received></message>",
    "<message from='a@x' type='chat'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
     <message xmlns='jabber:client' type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>\
     </forwarded></sent></message>",
    "<presence from='b@x/1' type='subscribe'/>",
    "<presence from='b@x/1' type='error'/>",
    "<presence from='r@c.x/n'><x xmlns='http://jabber.org/protocol/muc#user'><item role='participant'/>\
     <status code='110'/></x></presence>",
    "<iq from='b@x/1' id='1' type='result'/>",
    "<iq from='b@x/1' id='1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
];

#[tokio::test]
async fn what_can_wait_waits_until_the_client_is_active() {
    let house = House::new(MODULES).await;
    for waits in WAITS {
        let mut alice = inactive(&house, "alice@localhost/phone").await;
        deliver(&house, &alice.session, waits).await;
        alice.expect_nothing();
        alice.send("<active xmlns='urn:xmpp:csi:0'/>").await;
        assert_eq!(alice.next().as_deref(), Some(*waits));
        alice.expect_nothing();
        // Active again, it gets everything at once.
        deliver(&house, &alice.session, waits).await;
        assert_eq!(alice.next().as_deref(), Some(*waits));
        alice.disconnect().await;
    }
}

#[tokio::test]
async fn what_cannot_wait_takes_along_what_waited_before_it() {
    let house = House::new(MODULES).await;
    for now in DOES_NOT_WAIT {
        let mut alice = inactive(&house, "alice@localhost/phone").await;
        // Nothing waits: it comes alone.
        deliver(&house, &alice.session, now).await;
        assert_eq!(alice.next().as_deref(), Some(*now));
        let receipts: Vec<String> = (0..3)
            .map(|id| {
                format!("<message from='c@x/1'><received xmlns='urn:xmpp:receipts' id='{id}'/></message>")
            })
            .collect();
        for receipt in &receipts {
            deliver(&house, &alice.session, receipt).await;
        }
        alice.expect_nothing();
        deliver(&house, &alice.session, now).await;
        for receipt in &receipts {
            assert_eq!(alice.next().as_ref(), Some(receipt), "{now}");
        }
        assert_eq!(alice.next().as_deref(), Some(*now));
        // It is inactive still.
        deliver(&house, &alice.session, &receipts[0]).await;
        alice.expect_nothing();
        alice.disconnect().await;
    }
}

#[tokio::test]
async fn an_answer_comes_after_what_waited() {
    // §5.1: the pong after the flush, whether the client says that it is active or not.
    let house = House::new(MODULES).await;
    let mut alice = inactive(&house, "alice@localhost/phone").await;
    for active in ["", "<active xmlns='urn:xmpp:csi:0'/>"] {
        deliver(&house, &alice.session, "<presence from='b@x/1'/>").await;
        if !active.is_empty() {
            alice.send(active).await;
        }
        alice
            .send("<iq id='p' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
            .await;
        alice.expect("<presence from='b@x/1'/>");
        alice.expect("<iq id='p' type='result'/>");
    }
    assert!(!api::is_inactive(&alice.session));
}

#[tokio::test]
async fn states_may_be_said_again_and_what_is_none_ends_the_stream() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    for state in ["active", "active", "inactive", "inactive", "active", "inactive"] {
        alice.send(&format!("<{state} xmlns='{NS}'/>")).await;
    }
    alice.expect_nothing();
    deliver(&house, &alice.session, "<presence from='b@x/1'/>").await;
    alice.expect_nothing();
    alice.send("<asleep xmlns='urn:xmpp:csi:0'/>").await;
    assert_eq!(
        alice.closing().map(|error| error.condition),
        Some(StreamCondition::UnsupportedStanzaType)
    );
}

#[tokio::test]
async fn others_learn_nothing_of_it() {
    // §5, §6: the state is no presence.
    let house = House::new(MODULES).await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    let mut phone = house.online("alice@localhost/phone").await;
    tablet.skip();
    phone.send("<inactive xmlns='urn:xmpp:csi:0'/>").await;
    phone.send("<active xmlns='urn:xmpp:csi:0'/>").await;
    tablet.expect_nothing();
    assert_eq!(
        house
            .router
            .stream_features(Offer::AfterLogin, "localhost")
            .matches(NS)
            .count(),
        1
    );
    assert_eq!(
        house
            .router
            .stream_features(Offer::BeforeLogin, "localhost")
            .matches(NS)
            .count(),
        0
    );
}

#[tokio::test]
async fn each_session_has_a_state_of_its_own() {
    let house = House::new(MODULES).await;
    let mut phone = inactive(&house, "alice@localhost/phone").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    let mut bob = house.online("bob@localhost/x").await;
    phone.expect_nothing();
    bob.send(&format!(
        "<message to='alice@localhost' type='chat'>{COMPOSING}</message>"
    ))
    .await;
    tablet
        .expect("<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>");
    phone.expect_nothing();
}

#[tokio::test]
async fn a_resumed_stream_begins_active() {
    // §5.2: what was on its way comes first, then what waited, before the connection was lost and while there was none.
    let modules = [MODULES, &[Entry::of::<StreamManagement>()]].concat();
    let house = House::new(&modules).await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    alice.send("<inactive xmlns='urn:xmpp:csi:0'/>").await;
    alice.skip();
    deliver(
        &house,
        &alice.session,
        "<message from='b@x/1'><body>written, not confirmed</body></message>",
    )
    .await;
    alice.skip();
    deliver(
        &house,
        &alice.session,
        "<presence from='b@x/1'><status>1</status></presence>",
    )
    .await;
    assert!(house.router.park(&alice.session).await);
    deliver(
        &house,
        &alice.session,
        "<presence from='b@x/1'><status>2</status></presence>",
    )
    .await;
    deliver(&house, &alice.session, "<presence from='b@x/2'/>").await;
    house.router.resume(&alice.session, 0).await.unwrap();
    assert!(!api::is_inactive(&alice.session));
    let mut got: Vec<String> = std::iter::from_fn(|| alice.next()).collect();
    got.retain(|xml| !xml.starts_with("<r "));
    assert_eq!(got.len(), 3, "{got:#?}");
    for (at, part) in ["written, not confirmed", "<status>2</status>", "b@x/2"]
        .iter()
        .enumerate()
    {
        assert!(got[at].contains(part), "{got:#?}");
    }
}

// ——— what a push service hears ———

/// The bodies of the stanzas that were said to wait; what has none stands here as "quiet".
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

struct Listening(Arc<Heard>);

impl Hear<Waits> for Listening {
    async fn hear(&self, waits: &mut Waits, _: &mut Cx) -> Result<(), Fault> {
        let body = waits.stanza.child("body", kim_core::ns::CLIENT);
        let said = body.map_or_else(|| "quiet".to_owned(), |body| body.text().into_owned());
        self.0.0.lock().unwrap().push(said);
        Ok(())
    }
}

impl Module for Listening {
    type Config = NoSettings;
    const NAME: &'static str = "xep9998_listening";
    const SPECS: &'static [Spec] = &[Spec::complete("TEST", "Test", "")];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let heard = Arc::new(Heard::default());
        house.provide(heard.clone());
        house.hear::<Waits>(Stage::Notify, Listening(heard));
        Ok(())
    }
}

#[tokio::test]
async fn a_message_with_text_is_never_held_so_only_a_lost_connection_makes_it_wait() {
    let modules = [
        MODULES,
        &[Entry::of::<StreamManagement>(), Entry::of::<Listening>()],
    ]
    .concat();
    let house = House::new(&modules).await;
    let heard = house.router.fact::<Heard>().unwrap();
    let heard = || std::mem::take(&mut *heard.0.lock().unwrap());
    let mut alice = house.online("alice@localhost/phone").await;
    alice.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    alice.send("<inactive xmlns='urn:xmpp:csi:0'/>").await;
    alice.skip();
    let text = |body: &str| format!("<message from='b@x/1' type='chat'><body>{body}</body></message>");
    let quiet = format!("<message from='b@x/1' type='chat'>{COMPOSING}</message>");

    // Inactive and connected: text is on its way to the client at once. Nothing waits that is worth a notification.
    deliver(&house, &alice.session, &quiet).await;
    alice.expect_nothing();
    deliver(&house, &alice.session, &text("at once")).await;
    assert!(std::iter::from_fn(|| alice.next()).any(|xml| xml.contains("at once")));
    assert!(heard().is_empty());

    // Inactive without a connection: what can wait is held and not mentioned; text waits in the outbox, and is told of.
    assert!(house.router.park(&alice.session).await);
    deliver(&house, &alice.session, &quiet).await;
    assert!(heard().is_empty());
    deliver(&house, &alice.session, &text("waits")).await;
    assert_eq!(heard().last().map(String::as_str), Some("waits"));
}

// ——— what other modules have to say ———

/// A module that knows what matters, and one that stamps whatever is delivered, with a new stanza each time.
struct Knowing;

impl On<IsImportant> for Knowing {
    async fn on(&self, event: &mut IsImportant, _: &mut Cx) -> Result<Flow, Fault> {
        match &event.stanza.id {
            Some(id) => {
                event.important = Some(&**id == "urgent");
                Ok(Flow::Done)
            }
            None => Ok(Flow::Next),
        }
    }
}

impl On<Delivery> for Knowing {
    async fn on(&self, event: &mut Delivery, _: &mut Cx) -> Result<Flow, Fault> {
        event.stanza = Arc::new(Stanza::clone(&event.stanza));
        Ok(Flow::Next)
    }
}

impl Module for Knowing {
    type Config = NoSettings;
    const NAME: &'static str = "xep9999_knowing";
    const SPECS: &'static [Spec] = &[Spec::complete("TEST", "Test", "")];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.on::<IsImportant>(Stage::Deliver, Knowing);
        house.on::<Delivery>(Stage::Admit, Knowing);
        Ok(())
    }
}

#[tokio::test]
async fn who_knows_better_answers_first() {
    let modules = [MODULES, &[Entry::of::<Knowing>()]].concat();
    let house = House::new(&modules).await;
    let mut alice = inactive(&house, "alice@localhost/phone").await;
    deliver(
        &house,
        &alice.session,
        "<message from='b@x' id='later'><body>x</body></message>",
    )
    .await;
    alice.expect_nothing();
    deliver(&house, &alice.session, "<presence from='b@x/1'/>").await;
    alice.expect_nothing();
    deliver(&house, &alice.session, "<presence from='b@x/2' id='urgent'/>").await;
    alice.expect("<message id='later'><body>x</body></message>");
    alice.expect("<presence from='b@x/1'/>");
    alice.expect("<presence from='b@x/2' id='urgent'/>");
}

// ——— the end ———

#[tokio::test]
async fn what_waited_for_a_session_that_ends_goes_the_way_of_what_it_did_not_read() {
    let house = House::new(MODULES).await;
    let phone = inactive(&house, "alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/x").await;
    // To this client alone, so somebody else is to have it; the presence and the chat state are worth nothing now.
    bob.send("<presence to='alice@localhost/phone'/>").await;
    bob.send(&format!(
        "<message to='alice@localhost/phone' type='chat'>{COMPOSING}</message>"
    ))
    .await;
    bob.send(
        "<message to='alice@localhost/phone' type='chat' id='r'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
    )
    .await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    phone.disconnect().await;
    tablet
        .expect("<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>");
    tablet.expect("<message type='chat' id='r'><received xmlns='urn:xmpp:receipts' id='1'/></message>");
    tablet.expect("<presence from='alice@localhost/phone' type='unavailable'/>");
    tablet.expect_nothing();
}

#[tokio::test]
async fn it_waits_offline_where_nobody_else_is() {
    let house = House::new(MODULES).await;
    let phone = inactive(&house, "alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/x").await;
    let receipt = "<received xmlns='urn:xmpp:receipts' id='1'/>";
    bob.send(&format!(
        "<message to='alice@localhost' type='chat'>{receipt}</message>"
    ))
    .await;
    phone.disconnect().await;
    let mut later = house.connect("alice@localhost/later").await;
    later.send("<presence/>").await;
    later.expect(&format!("<message type='chat'>...{receipt}</message>"));
    bob.expect_nothing();
}

#[tokio::test]
async fn a_newer_session_of_the_same_name_has_what_waited_for_the_older() {
    let house = House::new(MODULES).await;
    let old = inactive(&house, "alice@localhost/phone").await;
    let receipt = "<message from='b@localhost/1' to='alice@localhost/phone' type='chat'>\
                   <received xmlns='urn:xmpp:receipts' id='1'/></message>";
    deliver(&house, &old.session, receipt).await;
    let mut new = house.connect("alice@localhost/phone").await;
    assert_eq!(new.next().as_deref(), Some(receipt));
}

// ——— hostile ———

#[tokio::test]
async fn a_queue_that_is_full_is_sent_whole_and_in_order() {
    let toml = "[xep0352_csi]\nheld_stanzas_max = 10\n";
    let house = House::configured(MODULES, toml).await;
    let mut alice = inactive(&house, "alice@localhost/phone").await;
    for at in 0..1_000 {
        let receipt =
            format!("<message from='m@x/1'><received xmlns='urn:xmpp:receipts' id='{at}'/></message>");
        deliver(&house, &alice.session, &receipt).await;
    }
    // 11 at a time.
    let mut got = Vec::new();
    while let Some(xml) = alice.next() {
        got.push(xml);
    }
    assert_eq!(got.len(), 990);
    alice.send("<active xmlns='urn:xmpp:csi:0'/>").await;
    while let Some(xml) = alice.next() {
        got.push(xml);
    }
    assert!(
        got.iter()
            .enumerate()
            .all(|(at, xml)| xml.contains(&format!("id='{at}'")))
    );
    assert_eq!(got.len(), 1_000);
}

#[tokio::test]
async fn large_stanzas_fill_it_by_their_bytes_and_never_the_outbox() {
    // The outbox is as small as it may be; what waits has to fit into it beside other things.
    let house = House::configured(
        MODULES,
        "[limits]\nstanza_bytes_max = 10000\noutbox_bytes_max = 65536\n",
    )
    .await;
    let mut alice = inactive(&house, "alice@localhost/phone").await;
    let tune = "x".repeat(3_000);
    let mut got = 0;
    for at in 0..200 {
        let headline = format!(
            "<message from='m@x/{at}' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'>{tune}</event>\
             </message>"
        );
        deliver(&house, &alice.session, &headline).await;
        while alice.next().is_some() {
            got += 1;
        }
        assert_eq!(alice.closing(), None);
    }
    assert!(got > 190, "{got}");
}

#[tokio::test]
async fn presence_and_typing_without_end_hold_one_place() {
    let house = House::new(MODULES).await;
    let mut alice = inactive(&house, "alice@localhost/phone").await;
    for at in 0..5_000 {
        deliver(
            &house,
            &alice.session,
            &format!("<presence from='m@x/1'><status>{at}</status></presence>"),
        )
        .await;
        deliver(
            &house,
            &alice.session,
            &format!(
                "<message from='m@x/1' to='alice@localhost' id='{at}' type='chat'>{COMPOSING}</message>"
            ),
        )
        .await;
    }
    alice.expect_nothing();
    alice.send("<active xmlns='urn:xmpp:csi:0'/>").await;
    alice.expect("<presence><status>4999</status></presence>");
    alice.expect(
        "<message id='4999' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
    alice.expect_nothing();
}

#[tokio::test]
async fn many_senders_at_once_lose_nothing_and_keep_their_order() {
    const SENDERS: usize = 8;
    const EACH: usize = 200;
    let house = Arc::new(House::configured(MODULES, "[xep0352_csi]\nheld_stanzas_max = 7\n").await);
    let mut alice = inactive(&house, "alice@localhost/phone").await;
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (house, session) = (house.clone(), alice.session.clone());
            tokio::spawn(async move {
                for at in 0..EACH {
                    let payload = if at % 5 == 4 {
                        "<body>x</body>"
                    } else {
                        "<received xmlns='urn:xmpp:receipts' id='1'/>"
                    };
                    let xml = format!("<message from='s{sender}@x/1' id='{at}'>{payload}</message>");
                    deliver(&house, &session, &xml).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    alice.send("<active xmlns='urn:xmpp:csi:0'/>").await;
    let mut next = [0; SENDERS];
    while let Some(xml) = alice.next() {
        let stanza = Stanza::parse(&xml).unwrap();
        let from = stanza.from.as_ref().unwrap().local().unwrap()[1..]
            .parse::<usize>()
            .unwrap();
        assert_eq!(
            stanza.id.as_deref(),
            Some(next[from].to_string().as_str()),
            "s{from}"
        );
        next[from] += 1;
    }
    assert_eq!(next, [EACH; SENDERS]);
}
