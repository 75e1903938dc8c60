//! The promise of an acknowledgement (XEP-0198 §4): the server is killed while a client talks, and afterwards everything
//! that it acknowledged is in the receiver's archive, once, and the client is told no less than that.

mod whole;

use std::collections::HashMap;

use kim_core::random;
use kim_core::wire::Element;

use whole::line::{Came, Line};
use whole::person::Person;
use whole::process::{Database, Kim};

const NS: &str = "urn:xmpp:sm:3";
const MAM: &str = "urn:xmpp:mam:2";
/// So often the server is killed.
const CRASHES: usize = 8;
/// Messages sent in each round, an acknowledgement asked for after each few of them.
const MESSAGES: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_crash() {
    for database in Database::all() {
        let mut kim = Kim::start_on(database, "restart", "[limits]\nenabled = false\n").await;
        kim.account("alice@localhost").await;
        kim.account("bob@localhost").await;
        let mut sent: Vec<String> = Vec::new();
        let mut promised: Vec<String> = Vec::new();
        for _ in 0..CRASHES {
            // The receiver is there, and confirms nothing.
            let _bob = Person::online(&kim, "bob@localhost/laptop").await;
            let (mut alice, id) = enabled(&kim, "alice@localhost/phone").await;
            let ids: Vec<String> = (0..MESSAGES).map(|_| random::token()).collect();
            let mut all = String::new();
            for (at, id) in ids.iter().enumerate() {
                all.push_str(&format!(
                    "<message id='{id}' to='bob@localhost' type='chat'><body>{id}</body></message>"
                ));
                if at % 4 == 3 {
                    all.push_str(&format!("<r xmlns='{NS}'/>"));
                }
            }
            alice.write(all.as_bytes()).await.expect("open");
            // In the middle of it, when so many answers have come.
            let answers = usize::from(random::bytes::<1>()[0]) % (MESSAGES / 4) + 1;
            let mut told = 0;
            for _ in 0..answers {
                told = acknowledged(&mut alice).await;
            }
            kim.crash_and_start_again().await;

            let mut alice = Line::direct(&kim, "localhost").await;
            alice.sign_in("alice@localhost").await.expect("a stream");
            alice
                .write(format!("<resume xmlns='{NS}' previd='{id}' h='0'/>").as_bytes())
                .await
                .expect("open");
            let failed = alice.element().await.expect("an answer");
            assert!(failed.is("failed", NS), "{}", failed.as_str());
            let h: usize = number(&failed);
            assert!(h >= told, "{h} after {told} were acknowledged");
            assert!(h <= MESSAGES);
            println!("{database:?}: killed when {told} of {MESSAGES} were acknowledged; {h} are known to have arrived");
            // What she is not told about, she sends again on the same stream.
            alice.bind("phone").await.expect("a resource");
            promised.extend_from_slice(&ids[..h]);
            sent.extend(ids);
        }
        let archive = archive(&kim, "bob@localhost/laptop").await;
        let mut times: HashMap<&str, usize> = HashMap::new();
        for id in &archive {
            *times.entry(id).or_default() += 1;
        }
        for id in &promised {
            assert_eq!(times.get(id.as_str()), Some(&1), "acknowledged, and not there once");
        }
        assert!(times.values().all(|count| *count == 1), "nothing is there twice");
        // In order, too, within each round.
        let order: HashMap<&str, usize> = sent.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
        let places: Vec<usize> = archive.iter().filter_map(|id| order.get(id.as_str()).copied()).collect();
        assert!(places.is_sorted());
        println!("{database:?}: {} acknowledged, {} in the archive", promised.len(), archive.len());
        kim.stop();
    }
}

/// A session with stream management, and its id.
async fn enabled(kim: &Kim, jid: &str) -> (Line, String) {
    let mut line = Line::direct(kim, "localhost").await;
    line.log_in(jid).await.expect("a session");
    line.write(format!("<enable xmlns='{NS}' resume='true'/>").as_bytes())
        .await
        .expect("open");
    let enabled = line.element().await.expect("an answer");
    let id = enabled.attr("id").expect("an id").into_owned();
    (line, id)
}

async fn acknowledged(line: &mut Line) -> usize {
    loop {
        match line.came().await {
            Came::Element(element) if element.is("a", NS) => return number(&element),
            Came::Element(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn number(element: &Element) -> usize {
    let h = element.attr("h").unwrap_or_else(|| panic!("no number in {}", element.as_str()));
    h.parse().expect("a number")
}

/// The bodies in somebody's archive, oldest first.
async fn archive(kim: &Kim, jid: &str) -> Vec<String> {
    let mut line = Line::direct(kim, "localhost").await;
    line.log_in(jid).await.expect("a session");
    let (mut bodies, mut after) = (Vec::new(), String::new());
    loop {
        line.write(
            format!(
                "<iq type='set' id='page'><query xmlns='{MAM}'><set xmlns='http://jabber.org/protocol/rsm'>\
                 <max>100</max>{after}</set></query></iq>"
            )
            .as_bytes(),
        )
        .await
        .expect("open");
        let fin = loop {
            let next = line.element().await.expect("an archive");
            if next.name() == "iq" {
                break next;
            }
            let result = next.child("result", MAM).expect("a result");
            let forwarded = result.child("forwarded", "urn:xmpp:forward:0").expect("a message");
            let message = forwarded.child("message", "jabber:client").expect("a message");
            bodies.extend(message.child("body", "jabber:client").map(|body| body.text().into_owned()));
        };
        let fin = fin.child("fin", MAM).unwrap_or_else(|| panic!("{}", fin.as_str()));
        if fin.attr("complete").as_deref() == Some("true") {
            return bodies;
        }
        let set = fin.child("set", "http://jabber.org/protocol/rsm").expect("a page");
        let last = set.child("last", "http://jabber.org/protocol/rsm").expect("a last one").text().into_owned();
        after = format!("<after>{last}</after>");
    }
}
