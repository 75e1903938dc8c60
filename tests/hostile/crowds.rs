//! Rows 8 and 10: more connections, and more guesses of passwords, than anybody needs.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::bystanders::Bystanders;
use crate::whole::line::Line;
use crate::whole::person::Person;
use crate::whole::process::{Kim, descriptors};

/// Connections on which nobody logs in.
const HALF_OPEN: usize = 3000;
/// What each may take of the server's memory. The goal for a release build is 4 KiB.
const HALF_OPEN_BYTES_MAX: u64 = 8 * 1024;

/// An address of this machine that is not where the attack comes from.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_half_open_connections_stop_nobody() {
    let count = HALF_OPEN.min(descriptors().saturating_sub(300));
    let settings = "[limits]\nstreams_per_address_max = 1000000\nstreams_unauthenticated_per_address_max = 1000000\n\
                    login_seconds_max = 600\ntls_handshake_seconds_max = 600\ntls_handshakes_concurrent_max = 64\n";
    let kim = Kim::start("hostile-half-open", settings).await;
    let bystanders = Bystanders::of(&kim).await;
    let before = kim.resident_bytes();
    let mut held = Vec::new();
    for number in 0..count {
        // Silent ones, half a header, half a ClientHello.
        let (address, said): (_, &[u8]) = match number % 4 {
            0 => (kim.starttls, b""),
            1 => (kim.starttls, b"<?xml version='1.0'?><stream:stre"),
            2 => (kim.direct, b""),
            _ => (kim.direct, b"\x16\x03\x01\x02\x00\x01\x00"),
        };
        let mut tcp = TcpStream::connect(address).await.expect("it listens");
        tcp.write_all(said).await.expect("it reads");
        held.push(tcp);
    }
    let begun = Instant::now();
    let mut alice = Person::connect(&kim, "alice@localhost/phone").await;
    assert!(alice.settle().await, "alice is there");
    let each = kim.resident_bytes().saturating_sub(before) / count as u64;
    println!(
        "{count} half-open connections: {each} bytes each; a login beside them took {:?}",
        begun.elapsed()
    );
    assert!(
        each <= HALF_OPEN_BYTES_MAX,
        "{each} bytes for each half-open connection"
    );
    bystanders.were_not_disturbed().await;
    drop(held);
    kim.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_take_all_places() {
    let settings = "[limits]\nstreams_per_address_max = 12\nstreams_unauthenticated_per_address_max = 5\n";
    let kim = Kim::start("hostile-places", settings).await;
    let mut people = Vec::new();
    for number in 0..12 {
        people.push(Person::connect(&kim, &format!("alice{number}@localhost/phone")).await);
    }
    // The thirteenth is closed at once, whatever it wants to say.
    let refused = Line::try_direct(kim.direct, &kim.trust, "localhost").await;
    assert!(refused.is_err(), "a thirteenth stream of one address");
    let line = Line::try_direct_from(ELSEWHERE, kim.direct, &kim.trust, "localhost").await;
    let line = line.expect("there is room for others");
    let mut bob = Person::on(line, "alice0@localhost/elsewhere").await;
    assert!(bob.settle().await);
    // A place is free again when its holder has left, and not before.
    people.pop().expect("many").vanish().await;
    let mut again = Person::connect(&kim, "alice0@localhost/again").await;
    assert!(again.settle().await);
    for person in &mut people {
        assert!(person.settle().await, "those inside are not disturbed");
    }
    drop((people, bob, again));
    kim.stop();
}

/// Row 10: guessing goes on from one address as long as it likes; its owner's guesses become few, and nobody else waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_guesses_is_slowed_down_and_others_log_in() {
    let kim = Kim::start("hostile-guesses", "").await;
    let bystanders = Bystanders::of(&kim).await;
    kim.account("alice@localhost").await;
    let (mut wrong, mut later) = (0, 0);
    // At many names, so that it is the address that is slowed down; that one name waits is shown in tests/web/guesses.rs.
    let names = std::iter::once("alice".to_owned()).chain((1..40).map(|number| format!("somebody{number}")));
    for name in names {
        let line = Line::try_direct_from(ELSEWHERE, kim.direct, &kim.trust, "localhost").await;
        let mut line = line.expect("guesses take their turns");
        line.open("localhost").await.expect("features");
        for _ in 0..3 {
            let failure = line.scram(&name, "guess").await.expect_err("a wrong password");
            match failure {
                _ if failure.contains("not-authorized") => wrong += 1,
                _ if failure.contains("temporary-auth-failure") => later += 1,
                _ => panic!("{failure}"),
            }
        }
        assert_eq!(
            line.verdict().await.as_deref(),
            Some("policy-violation"),
            "three tries a stream"
        );
    }
    println!("of 120 guesses {wrong} were looked at");
    // Ten are free, then one in ten seconds.
    assert!(wrong <= 20 && later >= 100, "{wrong} guesses were looked at");
    let mut alice = Person::connect(&kim, "alice@localhost/phone").await;
    assert!(alice.settle().await, "the owner is not locked out");
    bystanders.were_not_disturbed().await;
    kim.stop();
}
