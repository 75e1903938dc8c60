//! What waits for other servers over a restart, and domains that are kept out while their streams are open.

use kim_core::config::{Config, Sources};
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_xep::xep0191_server::api::ServerBlocks;

use super::neighbours::{Authority, Fate, Names, Neighbour, PATIENCE};
use crate::server::app;

/// Nothing listens there.
const NOBODY: u16 = 9;

fn delivered(id: impl ToString) -> Fate {
    Fate::Delivered(id.to_string())
}

/// What was accepted is not refused because memory is smaller, or fuller, after a restart.
#[tokio::test]
async fn more_than_memory_holds_waits_in_the_database() {
    let (names, authority) = (Names::start().await, Authority::new());
    let a = Neighbour::start("a.test", &names, &authority, &authority, "").await;
    for remote in ["b.test", "c.test"] {
        names.announce("_xmpp-server", remote, NOBODY, "host.test.");
    }
    let alice = a.person("alice").await;
    let text = "x".repeat(40_000);
    for id in 0..60 {
        a.write(&alice, "bob@b.test", &id.to_string(), &text).await;
    }
    let limit: usize = 1_048_576;
    let limits = format!("[limits]\ns2s_queues_bytes_max = {limit}\n");
    let mut a = a.restart(&names, &authority, &limits).await;
    let (stanzas, bytes) = a.federation().waiting();
    assert_eq!(stanzas, 60);
    assert!(bytes < limit + 60 * 100, "{bytes}");
    // Others are full up too, and new messages go behind the old ones.
    let alice = a.person("alice").await;
    a.write(&alice, "bob@b.test", "last", "hello").await;

    let b = Neighbour::start("b.test", &names, &authority, &authority, "").await;
    for id in 0..60 {
        assert_eq!(a.fate().await, delivered(id));
    }
    assert_eq!(a.fate().await, delivered("last"));
    assert_eq!(b.received(), 61);
    assert_eq!(a.federation().waiting(), (0, 0));
}

/// Waits until a server has no stream left.
async fn alone(one: &Neighbour) {
    let wait = async {
        while one.federation().stream_count() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("its streams end");
}

fn router(of: &Neighbour) -> &Router {
    of.federation().router()
}

#[tokio::test]
async fn the_streams_of_a_domain_end_when_it_is_kept_out() {
    let (names, authority) = (Names::start().await, Authority::new());
    let mut a = Neighbour::start("a.test", &names, &authority, &authority, "").await;
    let b = Neighbour::start("b.test", &names, &authority, &authority, "").await;
    let mut c = Neighbour::start("c.test", &names, &authority, &authority, "").await;
    c.send("bob@b.test", "c1").expect("taken");
    assert_eq!(c.fate().await, delivered("c1"));
    a.send("bob@b.test", "1").expect("taken");
    assert_eq!(a.fate().await, delivered("1"));

    // An administrator blocks it.
    let blocks = router(&b).fact::<ServerBlocks>().expect("blocks");
    let mut cx = router(&b).cx().expect("a server");
    let domain = BareJid::parse("a.test").expect("a domain");
    assert!(blocks.block(&domain, &mut cx).await.expect("blocked"));
    alone(&a).await;
    assert_eq!(b.federation().stream_count(), 1, "that of another domain stays");
    a.send("bob@b.test", "2").expect("taken");
    assert!(matches!(a.fate().await, Fate::Returned(id, _) if id == "2"));
    assert!(blocks.unblock(&domain, &mut cx).await.expect("unblocked"));

    // The operator denies one in kim.toml, and sends SIGHUP.
    let denied = Sources::none().text("kim.toml", "[s2s]\ndeny = [\"c.test\"]\n");
    let denied = Config::load(&denied, &app().schemas()).expect("a valid configuration");
    b.federation().go_by(&denied.s2s);
    alone(&c).await;
    c.send("bob@b.test", "c2").expect("taken");
    assert!(matches!(c.fate().await, Fate::Returned(id, _) if id == "c2"));
    assert_eq!(b.received(), 2);
}
