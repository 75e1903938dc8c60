//! What a module does wrong or slowly stays with the session that asked for it.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::TestServer;
use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::module::{At, Coverage, Entry, HandleIq, Module, Registrar, Reply, Request, Spec};
use kim_core::stanza::IqType;
use kim_xep::xep0199_ping::Ping;
use tokio::sync::Semaphore;

/// Answers `<panic/>` with a panic, and `<wait-a/>` and `<wait-b/>` when somebody opens their gates.
struct Fragile;

/// A gate for each test, because they run side by side.
struct Gate {
    open: Semaphore,
    reached: AtomicUsize,
}

static GATES: [Gate; 2] = [const {
    Gate {
        open: Semaphore::const_new(0),
        reached: AtomicUsize::new(0),
    }
}; 2];

impl Module for Fragile {
    type Config = NoSettings;
    const NAME: &'static str = "fragile";
    const SPECS: &'static [Spec] = &[Spec {
        id: "none",
        title: "For tests",
        version: "",
        coverage: Coverage::Complete,
    }];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.iq(&[At::Server], IqType::Get, "panic", "urn:test", Fragile);
        house.iq(&[At::Server], IqType::Get, "wait-a", "urn:test", Fragile);
        house.iq(&[At::Server], IqType::Get, "wait-b", "urn:test", Fragile);
        Ok(())
    }
}

impl HandleIq for Fragile {
    async fn handle(&self, iq: &Request<'_>, _: &mut Cx) -> Result<Reply, Fault> {
        let gate = match iq.payload.name() {
            "wait-a" => &GATES[0],
            "wait-b" => &GATES[1],
            _ => panic!("on purpose"),
        };
        gate.reached.fetch_add(1, Ordering::SeqCst);
        gate.open
            .acquire()
            .await
            .expect("the gate is never taken away")
            .forget();
        Ok(Reply::Empty)
    }
}

async fn server() -> TestServer {
    TestServer::with_modules("", &[Entry::of::<Ping>(), Entry::of::<Fragile>()]).await
}

#[tokio::test]
async fn a_panic_ends_one_session_and_is_told_to_the_house() {
    let server = server().await;
    let mut alice = server.session("alice@localhost/phone").await;
    let mut bob = server.session("bob@localhost/phone").await;
    alice
        .send("<iq type='get' id='1' to='bob@localhost/phone'><a xmlns='urn:x'/></iq>")
        .await;
    alice
        .send("<iq type='get' id='2' to='localhost'><panic xmlns='urn:test'/></iq>")
        .await;
    alice.read_to_end().await;
    assert_eq!(
        bob.next().await.attr("id").as_deref(),
        Some("1"),
        "what came before is dealt with"
    );
    server
        .until(|server| server.house().router.sessions().all().len() == 1)
        .await;
    server.until(|server| server.door().connections() == 1).await;
    bob.expect_nothing().await;
    let mut again = server.session("alice@localhost/phone").await;
    again.expect_nothing().await;
}

#[tokio::test]
async fn who_waits_for_an_answer_gets_what_others_send_meanwhile() {
    let server = server().await;
    let mut alice = server.session("alice@localhost/phone").await;
    let mut bob = server.session("bob@localhost/phone").await;
    alice
        .send("<iq type='get' id='w' to='localhost'><wait-a xmlns='urn:test'/></iq>")
        .await;
    alice
        .send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    bob.send("<iq type='get' id='1' to='alice@localhost/phone'><a xmlns='urn:x'/></iq>")
        .await;
    assert_eq!(alice.next().await.attr("id").as_deref(), Some("1"));
    GATES[0].open.add_permits(1);
    assert_eq!(alice.next().await.attr("id").as_deref(), Some("w"));
    assert_eq!(alice.next().await.attr("id").as_deref(), Some("p"), "in order");
}

#[tokio::test]
async fn a_stopping_server_finishes_what_is_in_hand() {
    let mut server = server().await;
    let mut alice = server.session("alice@localhost/phone").await;
    alice
        .send("<iq type='get' id='w' to='localhost'><wait-b xmlns='urn:test'/></iq>")
        .await;
    alice
        .send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    server
        .until(|_| GATES[1].reached.load(Ordering::SeqCst) == 1)
        .await;
    let talk = async {
        // By then the server has told the session that it is over.
        tokio::task::yield_now().await;
        GATES[1].open.add_permits(1);
        assert_eq!(alice.next().await.attr("id").as_deref(), Some("w"));
        alice.read_to_stream_error().await
    };
    let ((), error) = tokio::join!(server.stop(), talk);
    assert_eq!(error, "system-shutdown");
}
