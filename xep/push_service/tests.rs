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
    fn accept(&self, _: &PushWish<'_>) -> Result<Endpoint, WishRefused> {
        Ok(browser())
    }

    fn public_key(&self) -> String {
        "key".to_owned()
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
