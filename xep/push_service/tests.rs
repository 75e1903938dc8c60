//! Stories of a browser that is woken by this server: what its push service is told, and what becomes of the subscription.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kim_core::db::BoxFuture;
use kim_core::jid::BareJid;
use kim_core::testing::{Client, House};

use super::api::{AppServer, Endpoint, PushNetwork, PushWish, Told, Urgency, Wake, Wire, WishRefused, Woken};
use super::store;
use crate::MODULES;
use crate::xep0357_push::api::PushContent;

const PLAIN: &str = "[xep0384_omemo]\npolicy = \"off\"\n";

/// What a push service got: the address, what it says, how soon.
type Got = (String, Option<Told>, Urgency);

/// The internet, which answers as it is told to; with nothing told, it takes everything.
#[derive(Default)]
struct Internet {
    got: Mutex<Vec<Got>>,
    answers: Mutex<VecDeque<Woken>>,
}

impl PushNetwork for Internet {
    fn accept(&self, wish: &PushWish<'_>) -> Result<Endpoint, WishRefused> {
        match wish.endpoint {
            Some(endpoint) if endpoint.starts_with("https:") => Ok(Endpoint {
                address: endpoint.to_owned(),
                wire: Wire::Plain,
            }),
            _ => Err(WishRefused {
                field: "endpoint",
                why: "must be an https address".to_owned(),
            }),
        }
    }

    fn public_key(&self) -> String {
        "the key".to_owned()
    }

    fn host(&self, _: &Endpoint) -> Option<String> {
        Some("push.example".to_owned())
    }

    fn wake<'a>(&'a self, wake: Wake<'a>) -> BoxFuture<'a, Woken> {
        let got = (wake.endpoint.address.clone(), wake.told.cloned(), wake.urgency);
        self.got.lock().unwrap().push(got);
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async move { answer.unwrap_or(Woken::Taken) })
    }
}

impl Internet {
    fn answers(&self, answer: Woken) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// Waits for what the server sends in a task of its own.
    async fn next(&self) -> Got {
        for _ in 0..500 {
            if let Some(got) = self.got.lock().unwrap().pop() {
                return got;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nothing was pushed");
    }

    fn is_quiet(&self) -> bool {
        self.got.lock().unwrap().is_empty()
    }
}

async fn house(config: &str) -> (House, Arc<AppServer>, Arc<Internet>) {
    let house = House::configured(MODULES, config).await;
    let (server, internet) = (
        house.router.fact::<AppServer>().unwrap(),
        Arc::<Internet>::default(),
    );
    server.connect(internet.clone());
    (house, server, internet)
}

fn alice() -> BareJid {
    BareJid::parse("alice@localhost").unwrap()
}

fn browser() -> Endpoint {
    let mut p256dh = [9; 65];
    p256dh[0] = 4;
    Endpoint {
        address: "https://push.example/a".to_owned(),
        wire: Wire::Encrypted {
            p256dh,
            auth: [1; 16],
        },
    }
}

async fn subscribe(server: &AppServer, house: &House, endpoint: &Endpoint, resource: &str) -> i64 {
    let wanted = PushContent::default();
    let made = server
        .subscribe(&alice(), endpoint, resource, wanted, &house.router)
        .await;
    made.unwrap()
}

async fn chat(from: &mut Client) {
    from.send("<message to='alice@localhost' type='chat'><body>hello</body></message>")
        .await;
}

fn counted(messages: u32) -> Option<Told> {
    Some(Told {
        messages: Some(messages),
        ..Told::default()
    })
}

/// Waits until the answer of the push service has become what it means.
async fn settled(server: &AppServer, is_so: impl Fn(&[super::api::PushSubscription]) -> bool) {
    for _ in 0..500 {
        if is_so(&server.subscriptions(&alice()).await.unwrap()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", server.subscriptions(&alice()).await.unwrap());
}

#[tokio::test]
async fn a_browser_is_woken_once_its_tab_is_closed() {
    let (house, server, internet) = house(PLAIN).await;
    let tab = house.online("alice@localhost/web").await;
    let mut bob = house.online("bob@localhost/desk").await;
    subscribe(&server, &house, &browser(), "web").await;
    chat(&mut bob).await;
    assert!(internet.is_quiet(), "the tab is there");
    tab.disconnect().await;
    chat(&mut bob).await;
    let got = internet.next().await;
    assert_eq!(
        got,
        ("https://push.example/a".to_owned(), counted(1), Urgency::Normal)
    );
    settled(&server, |all| {
        all.len() == 1 && all[0].taken_at.is_some() && all[0].failed.is_none()
    })
    .await;
    // One notification stands for all until the browser is back.
    chat(&mut bob).await;
    assert!(internet.is_quiet());
}

#[tokio::test]
async fn what_is_not_encrypted_says_nothing() {
    let (house, server, internet) = house(PLAIN).await;
    house.account("alice@localhost").await;
    let mut bob = house.online("bob@localhost/desk").await;
    let plain = Endpoint {
        address: "https://up.example/x".to_owned(),
        wire: Wire::Plain,
    };
    subscribe(&server, &house, &plain, "").await;
    chat(&mut bob).await;
    assert_eq!(
        internet.next().await,
        ("https://up.example/x".to_owned(), None, Urgency::Normal)
    );
}

#[tokio::test]
async fn a_call_is_urgent() {
    let (house, server, internet) = house(PLAIN).await;
    house.account("alice@localhost").await;
    let mut bob = house.online("bob@localhost/desk").await;
    subscribe(&server, &house, &browser(), "").await;
    bob.send(
        "<message to='alice@localhost' type='chat'><propose xmlns='urn:xmpp:jingle-message:0' id='c'>\
         <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose></message>",
    )
    .await;
    assert_eq!(internet.next().await.2, Urgency::High);
}

const PROPOSE: &str = "<propose xmlns='urn:xmpp:jingle-message:0' id='c'>\
                       <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose>";

#[tokio::test]
async fn a_phone_stops_ringing_when_the_call_is_over() {
    let (house, server, internet) = house(PLAIN).await;
    let mut desk = house.online("alice@localhost/desk").await;
    let mut bob = house.online("bob@localhost/desk").await;
    subscribe(&server, &house, &browser(), "phone").await;
    let call = |inner: &str| format!("<message to='alice@localhost' type='chat'>{inner}</message>");
    let retract = "<retract xmlns='urn:xmpp:jingle-message:0' id='c'/>";
    bob.send(&call(PROPOSE)).await;
    assert_eq!(internet.next().await.2, Urgency::High);
    bob.send(&call(retract)).await;
    assert_eq!(internet.next().await.2, Urgency::Low, "Bob gave up");
    bob.send(&call(PROPOSE)).await;
    assert_eq!(internet.next().await.2, Urgency::High);
    // Her answer goes to Bob alone; the phone has no session to see it in.
    desk.send("<message to='bob@localhost' type='chat'><proceed xmlns='urn:xmpp:jingle-message:0' id='c'/></message>")
        .await;
    assert_eq!(internet.next().await.2, Urgency::Low, "Alice answers at her desk");
    bob.send(&call(retract)).await;
    assert!(internet.is_quiet(), "nothing rings any more");
}

#[tokio::test]
async fn what_was_read_elsewhere_disappears_once_all_of_it_is_read() {
    let (house, server, internet) = house(PLAIN).await;
    let mut desk = house.online("alice@localhost/desk").await;
    subscribe(&server, &house, &browser(), "phone").await;
    for jid in ["bob@localhost/x", "carol@localhost/x"] {
        chat(&mut house.online(jid).await).await;
    }
    assert_eq!(internet.next().await.1, counted(1));
    let mut read = async |chat: &str| {
        desk.send(&format!(
            "<iq id='r' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <publish node='urn:xmpp:mds:displayed:0'><item id='{chat}'><displayed xmlns='urn:xmpp:mds:displayed:0'>\
             <stanza-id xmlns='urn:xmpp:sid:0' id='1' by='alice@localhost'/></displayed></item></publish></pubsub></iq>"
        ))
        .await;
    };
    read("bob@localhost").await;
    assert!(internet.is_quiet(), "Carol's message waits");
    read("carol@localhost").await;
    let (_, told, urgency) = internet.next().await;
    let nothing = Told {
        messages: Some(0),
        requests: Some(0),
        ..Told::default()
    };
    assert_eq!((told, urgency), (Some(nothing), Urgency::Low));
    // Whatever comes next is told at once.
    chat(&mut house.online("bob@localhost/x").await).await;
    assert_eq!(internet.next().await.1, counted(1));
}

#[tokio::test]
async fn a_browser_that_asks_for_it_learns_who_wrote_since_nobody_else_can_read_it() {
    let (house, server, internet) = house(PLAIN).await;
    house.account("alice@localhost").await;
    let mut bob = house.online("bob@localhost/desk").await;
    let wanted = PushContent {
        sender: true,
        body: true,
    };
    let made = server
        .subscribe(&alice(), &browser(), "", wanted, &house.router)
        .await;
    made.unwrap();
    chat(&mut bob).await;
    let told = internet.next().await.1.expect("something");
    assert_eq!(told.from.as_deref(), Some("bob@localhost/desk"));
    assert_eq!(told.text, None, "the policy does not allow it");
}

#[tokio::test]
async fn an_app_registers_by_a_command_and_enables_the_node() {
    let (house, server, internet) = house(PLAIN).await;
    let mut phone = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/desk").await;
    let command = |node: &str, inner: &str| {
        format!(
            "<iq id='c' to='push.localhost' type='set'><command xmlns='http://jabber.org/protocol/commands' node='{node}' \
             action='execute'>{inner}</command></iq>"
        )
    };
    let form = |field: &str, value: &str| {
        format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='{field}'><value>{value}</value></field></x>"
        )
    };
    phone.skip();
    phone.send(&command("register-push-webpush", "")).await;
    let asked = phone.next().unwrap();
    assert!(
        asked.contains("<value>the key</value>") && asked.contains("var='p256dh'"),
        "{asked}"
    );
    phone
        .send(&command(
            "register-push-unifiedpush",
            &form("endpoint", "http://up.example"),
        ))
        .await;
    let refused = phone.next().unwrap();
    assert!(
        refused.contains("must be an https address") && refused.contains("bad-payload"),
        "{refused}"
    );
    phone
        .send(&command(
            "register-push-unifiedpush",
            &form("endpoint", "https://up.example/x"),
        ))
        .await;
    let told = phone.next().unwrap();
    let value = |var: &str| {
        let rest = told.split(&format!("var='{var}'")).nth(1).expect(var);
        let value = rest.split("<value>").nth(1).unwrap();
        value.split("</value>").next().unwrap().to_owned()
    };
    assert_eq!(value("jid"), "push.localhost");
    let node = value("node");
    phone
        .send(&format!(
            "<iq id='e' type='set'><enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='{node}'/></iq>"
        ))
        .await;
    assert!(phone.next().unwrap().contains("type='result'"));
    phone.disconnect().await;
    chat(&mut bob).await;
    assert_eq!(internet.next().await.0, "https://up.example/x");

    let mut phone = house.online("alice@localhost/phone").await;
    phone.skip();
    phone
        .send(&command("unregister-push", &form("node", &node)))
        .await;
    assert!(phone.next().unwrap().contains("completed"));
    assert!(server.subscriptions(&alice()).await.unwrap().is_empty());
    phone.disconnect().await;
    chat(&mut bob).await;
    assert!(internet.is_quiet());
}

#[tokio::test]
async fn a_subscription_that_is_over_is_forgotten() {
    let (house, server, internet) = house(PLAIN).await;
    house.account("alice@localhost").await;
    let mut bob = house.online("bob@localhost/desk").await;
    subscribe(&server, &house, &browser(), "").await;
    internet.answers(Woken::Over(410));
    chat(&mut bob).await;
    internet.next().await;
    settled(&server, <[_]>::is_empty).await;
    house.clock.advance(86_400);
    chat(&mut bob).await;
    assert!(internet.is_quiet());
}

#[tokio::test]
async fn why_nobody_was_woken_is_shown() {
    let (house, server, internet) = house(PLAIN).await;
    house.account("alice@localhost").await;
    let mut bob = house.online("bob@localhost/desk").await;
    subscribe(&server, &house, &browser(), "").await;
    internet.answers(Woken::Unreachable("it does not answer in time"));
    chat(&mut bob).await;
    internet.next().await;
    settled(&server, |all| {
        let failed = all.first().and_then(|one| one.failed.as_ref());
        failed.is_some_and(|(_, why)| why.contains("does not answer in time"))
    })
    .await;
}

#[tokio::test]
async fn nobody_else_publishes_here() {
    let (house, server, internet) = house(PLAIN).await;
    let tag = subscribe(&server, &house, &browser(), "").await;
    let publish = format!(
        "<iq id='p' type='set' to='push.localhost'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <publish node='{tag}'><item><notification xmlns='urn:xmpp:push:0'/></item></publish></pubsub></iq>"
    );
    for jid in ["alice@localhost/desk", "mallory@localhost/desk"] {
        let mut client = house.online(jid).await;
        client.send(&publish).await;
        client.expect(
                "<iq from='push.localhost' id='p' type='error'><error type='auth'>\
                 <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                 <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>this service takes push notifications only from this \
                 server</text></error></iq>",
        );
    }
    assert!(internet.is_quiet());
}

#[tokio::test]
async fn the_servers_key_stays() {
    let (_house, server, _) = house(PLAIN).await;
    let first = server.identity("vapid", b"first").await.unwrap();
    let second = server.identity("vapid", b"second").await.unwrap();
    assert_eq!((&first[..], &second[..]), (&b"first"[..], &b"first"[..]));
}

#[tokio::test]
async fn an_account_takes_its_subscriptions_with_it() {
    let (house, server, _) = house(PLAIN).await;
    house.account("alice@localhost").await;
    subscribe(&server, &house, &browser(), "web").await;
    let plan = house.db.explain(store::of_query(&alice())).await.unwrap();
    assert!(plan.iter().all(|line| !line.contains("SCAN")), "{plan:?}");
    house
        .router
        .accounts()
        .delete(&alice(), &[store::erase])
        .await
        .unwrap();
    assert!(server.subscriptions(&alice()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_subscription_that_cannot_be_enabled_is_not_kept() {
    let (house, server, _internet) = house("[xep0357_push]\nregistrations_max = 1\n").await;
    house.account("alice@localhost").await;
    subscribe(&server, &house, &browser(), "one").await;
    let other = Endpoint {
        address: "https://push.example/b".to_owned(),
        ..browser()
    };
    let refused = server
        .subscribe(&alice(), &other, "two", PushContent::default(), &house.router)
        .await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("push registrations already")
    );
    assert_eq!(server.subscriptions(&alice()).await.unwrap().len(), 1);
}
