//! Two servers of this process talk over loopback, found by a DNS server of the test.

use kim_core::error::Condition;

use super::neighbours::{Authority, Fate, Names, Neighbour};
use crate::c2s::Security;
use crate::s2s::life::PeerEnd;

fn delivered(id: &str) -> Fate {
    Fate::Delivered(id.to_owned())
}

fn returned(id: &str, condition: Condition) -> Fate {
    Fate::Returned(id.to_owned(), condition)
}

async fn two(settings: &str) -> (Names, Neighbour, Neighbour) {
    let (names, authority) = (Names::start().await, Authority::new());
    let a = Neighbour::start("a.test", &names, &authority, &authority, settings).await;
    let b = Neighbour::start("b.test", &names, &authority, &authority, settings).await;
    (names, a, b)
}

/// SASL EXTERNAL (XEP-0178), both directions (XEP-0288), and confirmations (XEP-0198).
#[tokio::test]
async fn certificates_prove_both_and_one_stream_is_enough() {
    let (_names, mut a, mut b) = two("").await;
    a.send("bob@b.test", "1").expect("taken");
    assert_eq!(a.fate().await, delivered("1"));
    assert_eq!(b.received(), 1);
    b.send("alice@a.test", "2").expect("taken");
    assert_eq!(b.fate_of("2").await, delivered("2"));
    let streams = a.federation().facts().streams;
    assert_eq!(streams.len(), 1, "{streams:?}");
    assert!(streams[0].is_bidi && !streams[0].is_incoming, "{streams:?}");
    assert!(streams[0].unconfirmed.is_some(), "{streams:?}");
    let seen = b.federation().facts().streams;
    assert_eq!(seen[0].proved, [("a.test".to_owned(), "certificate".to_owned())]);
    let looked = a.federation().look_at("b.test").await;
    assert!(looked.iter().all(|one| one.is_good), "{looked:?}");
    assert!(looked.iter().any(|one| one.what == "ping"), "{looked:?}");
}

/// XEP-0220: neither trusts the other's authority, and both are content with the word of DNS.
#[tokio::test]
async fn dialback_proves_where_it_is_allowed() {
    let (names, ours, theirs) = (Names::start().await, Authority::new(), Authority::new());
    let settings = "require = \"dialback\"\n";
    let mut a = Neighbour::start("a.test", &names, &ours, &ours, settings).await;
    let b = Neighbour::start("b.test", &names, &theirs, &theirs, settings).await;
    a.send("bob@b.test", "1").expect("taken");
    assert_eq!(a.fate().await, delivered("1"));
    let seen = b.federation().facts().streams;
    assert!(
        seen.iter()
            .any(|one| one.proved == [("a.test".to_owned(), "dialback".to_owned())]),
        "{seen:?}"
    );
}

#[tokio::test]
async fn without_a_trusted_certificate_nothing_passes_by_default() {
    let (names, ours, theirs) = (Names::start().await, Authority::new(), Authority::new());
    let mut a = Neighbour::start("a.test", &names, &ours, &ours, "").await;
    let b = Neighbour::start("b.test", &names, &theirs, &ours, "").await;
    a.send("bob@b.test", "1").expect("taken");
    assert_eq!(a.fate().await, returned("1", Condition::RemoteServerTimeout));
    assert_eq!(
        a.send("bob@b.test", "2"),
        Err(Condition::RemoteServerTimeout),
        "not tried again at once"
    );
    assert_eq!(b.received(), 0);
    // The exception for one domain is not enough as long as the other side insists.
    let settings = "dialback_domains = [\"b.test\"]\n";
    let mut c = Neighbour::start("c.test", &names, &theirs, &ours, settings).await;
    c.send("bob@b.test", "3").expect("taken");
    assert_eq!(c.fate().await, returned("3", Condition::RemoteServerTimeout));
    assert_eq!(b.received(), 0);
}

#[tokio::test]
async fn direct_tls_is_found_by_its_own_record_and_a_dot_refuses() {
    let (names, mut a, b) = two("").await;
    names.announce("_xmpp-server", "b.test", 0, ".");
    a.send("bob@b.test", "1").expect("taken");
    assert_eq!(a.fate().await, returned("1", Condition::RemoteServerNotFound));
    names.announce(
        "_xmpps-server",
        "conference.b.test",
        b.port(Security::DirectTls),
        "host.test.",
    );
    a.send("room@conference.b.test", "2").expect("taken");
    assert_eq!(a.fate().await, delivered("2"));
    assert_eq!(b.received(), 1);
}

#[tokio::test]
async fn policies_keep_domains_out_in_both_directions() {
    let (_names, mut a, b) = two("deny = [\"test\"]\n").await;
    assert_eq!(a.send("bob@b.test", "1"), Err(Condition::RemoteServerNotFound));
    assert_eq!(
        a.send("bob@guest.a.test", "2"),
        Err(Condition::RemoteServerNotFound)
    );
    let names = Names::start().await;
    let authority = Authority::new();
    let mut c = Neighbour::start("c.test", &names, &authority, &authority, "").await;
    names.announce("_xmpp-server", "b.test", b.port(Security::StartTls), "host.test.");
    c.send("bob@b.test", "3").expect("taken");
    assert_eq!(c.fate().await, returned("3", Condition::RemoteServerTimeout));
    a.stop().await;
}

/// XEP-0198 §5: what was under way when the link was cut arrives once.
#[tokio::test]
async fn a_cut_stream_is_resumed_and_everything_arrives_once() {
    let (_names, mut a, b) = two("").await;
    a.keeps = true;
    let mut sent: u64 = 0;
    for round in 0..20 {
        for _ in 0..25 {
            a.send("bob@b.test", &sent.to_string()).expect("taken");
            sent += 1;
        }
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        } else {
            assert!(matches!(a.fate().await, Fate::Delivered(_)));
        }
        let (near, far) = (a.federation().streams(), b.federation().streams());
        let cut = if round % 3 == 0 { far } else { near };
        cut.iter().for_each(|life| life.end(PeerEnd::Lost));
    }
    let known = 10;
    for _ in known..sent {
        let fate = a.fate().await;
        assert!(matches!(fate, Fate::Delivered(_)), "{fate:?}");
    }
    assert_eq!(b.received(), sent, "each arrived once");
}

#[tokio::test]
async fn the_end_of_a_server_is_told_after_everything_is_written() {
    let (_names, mut a, mut b) = two("").await;
    a.send("bob@b.test", "1").expect("taken");
    assert_eq!(a.fate().await, delivered("1"));
    b.stop().await;
    a.send("bob@b.test", "2").expect("taken");
    assert_eq!(a.fate().await, returned("2", Condition::RemoteServerTimeout));
}
