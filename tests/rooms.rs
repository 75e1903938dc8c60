//! Rooms survive (XEP-0045 §10): the server is killed while people talk in a room and its owner changes who
//! is what. Afterwards everything that somebody saw reflected is there, once and in one order for all; everything that was
//! confirmed to the owner holds; and whoever was in the room is in it. A stop with SIGTERM is no worse than a crash. And several
//! people find one new room at the same moment.

mod whole;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kim_core::random;
use kim_core::wire::Element;

use whole::line::{Came, Line};
use whole::person::Person;
use whole::process::{Database, Kim};

const ROOM: &str = "busy@conference.localhost";
const ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// So often the server is killed.
const CRASHES: usize = 6;
/// People who talk, all at once.
const SPEAKERS: usize = 10;
/// Messages of each between two crashes, if there is time.
const MESSAGES: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_room_reflected_survives_a_crash() {
    for database in Database::all() {
        let settings = "[limits]\nenabled = false\n[xep0045_muc]\nhistory_messages_max = 1000\n";
        let mut kim = Kim::start_on(database, "rooms", settings).await;
        found(&kim).await;
        let (mut seen, mut members) = (0, HashMap::<String, String>::new());
        for round in 0..CRASHES {
            let crash = crash(&mut kim, round).await;
            seen += crash.seen.len();
            for (who, what) in crash.members {
                // What was under way when the server died may have been made or not.
                match what {
                    Some(what) => members.insert(who, what),
                    None => members.remove(&who),
                };
            }
            check(&kim, round, &crash.seen).await;
            check_members(&kim, &members).await;
        }
        println!(
            "{database:?}: {SPEAKERS} people, {CRASHES} crashes, {seen} messages reflected, {} affiliations confirmed, none lost",
            members.len()
        );
        kim.stop();
    }
}

/// §10.1.1, §7.14: a temporary room has a last occupant when that one leaves, and nobody leaves because the server stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_leaves_temporary_rooms_as_a_crash_does() {
    const DEN: &str = "den@conference.localhost";
    for database in Database::all() {
        let mut kim = Kim::start_on(database, "rooms-stop", "[limits]\nenabled = false\n").await;
        let enter = |nick: &str| {
            format!("<presence to='{DEN}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
        };
        let mut alice = Person::online(&kim, "alice@localhost/desk").await;
        let mut guest = Person::connect(&kim, "someone@guest.localhost/web").await;
        alice.send(&enter("alice")).await;
        let form = "<x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_roomname'><value>Den</value></field></x>";
        alice
            .send(&format!(
                "<iq id='c' to='{DEN}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query></iq>"
            ))
            .await;
        guest.send(&enter("guest")).await;
        kim.stop_and_start_again().await;
        drop((alice, guest));

        // Nobody else becomes its owner by being the first to come back.
        let mut mallory = Person::online(&kim, "mallory@localhost/x").await;
        mallory.send(&enter("mallory")).await;
        let seen = mallory.all().await.concat();
        assert!(seen.contains("/alice'") && !seen.contains("code='201'"), "{seen}");
        let mut alice = Person::online(&kim, "alice@localhost/desk").await;
        alice.send(&enter("alice")).await;
        let seen = alice.all().await.concat();
        assert!(
            seen.contains("affiliation='owner'") && !seen.contains("code='201'"),
            "{seen}"
        );
        alice
            .send(&format!(
                "<iq id='d' to='{DEN}' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
            ))
            .await;
        let info = alice.all().await.concat();
        assert!(info.contains("name='Den'"), "its settings: {info}");
        kim.stop();
    }
}

/// Ten times, several ask for the same new room at once: one makes it, all are in it, and nobody waits for anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_enter_a_room_at_the_moment_one_of_them_makes_it() {
    for database in Database::all() {
        let kim = Kim::start_on(database, "rooms-together", "[limits]\nenabled = false\n").await;
        let mut people = Vec::new();
        for at in 0..5 {
            people.push(Person::connect(&kim, &format!("person{at}@localhost/x")).await);
        }
        for round in 0..10 {
            let room = format!("round{round}@conference.localhost");
            let begun = Instant::now();
            let entering = people.iter_mut().enumerate().map(|(at, person)| {
                let xml = format!(
                    "<presence to='{room}/n{at}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
                );
                async move {
                    person.send(&xml).await;
                    person.all().await.concat()
                }
            });
            let seen = join_all(entering).await;
            for (at, seen) in seen.iter().enumerate() {
                assert!(
                    seen.contains("code='110'") && !seen.contains("type='error'"),
                    "{at}: {seen}"
                );
            }
            let made = seen.iter().filter(|seen| seen.contains("code='201'")).count();
            assert_eq!(made, 1, "{seen:#?}");
            // Far below the time for which a destroyed room is waited for.
            assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
        }
        kim.stop();
    }
}

fn join(nick: &str) -> String {
    format!(
        "<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
    )
}

/// The room, persistent, with a long history.
async fn found(kim: &Kim) {
    let mut owner = Person::connect(kim, "owner@localhost/desk").await;
    owner.send(&join("owner")).await;
    let fields = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>\
                  <field var='muc#maxhistoryfetch'><value>1000</value></field>";
    let form = format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>");
    owner
        .send(&format!(
            "<iq id='c' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query></iq>"
        ))
        .await;
    assert!(
        owner
            .all()
            .await
            .iter()
            .any(|xml| xml.contains("id='c'") && xml.contains("result"))
    );
}

struct Crash {
    /// What somebody saw, in the order in which the one who saw most of it did.
    seen: Vec<String>,
    /// What was confirmed to the owner: who is what.
    members: HashMap<String, Option<String>>,
}

async fn crash(kim: &mut Kim, round: usize) -> Crash {
    let speakers = join_all((0..SPEAKERS).map(|at| speaker(kim, at))).await;
    let owner = Person::connect(kim, "owner@localhost/desk").await;
    let talking: Vec<_> = speakers
        .into_iter()
        .enumerate()
        .map(|(at, line)| tokio::spawn(talk(line, round, at)))
        .collect();
    let ruling = tokio::spawn(rule(owner, round));
    // At a random moment of their talk.
    let moment = 50 + u64::from(u16::from_le_bytes(random::bytes())) % 400;
    tokio::time::sleep(Duration::from_millis(moment)).await;
    kim.crash_and_start_again().await;
    let heard: Vec<Vec<String>> = join_all(talking)
        .await
        .into_iter()
        .map(|heard| heard.expect("it talked"))
        .collect();
    let members = ruling.await.expect("she ruled");
    // One order for all: what anybody heard is what the one who heard most did, up to some point.
    let seen = heard
        .iter()
        .max_by_key(|heard| heard.len())
        .cloned()
        .unwrap_or_default();
    for other in &heard {
        assert_eq!(*other, seen[..other.len()], "two people saw another order");
    }
    Crash { seen, members }
}

async fn speaker(kim: &Kim, at: usize) -> Line {
    let jid = format!("speaker{at}@localhost/phone");
    kim.account(&format!("speaker{at}@localhost")).await;
    let mut line = Line::direct(kim, "localhost").await;
    line.log_in(&jid).await.expect("a session");
    line.write(join(&format!("speaker{at}")).as_bytes())
        .await
        .expect("open");
    // The subject ends the entering (§7.1).
    loop {
        let element = line.element().await.expect("a room");
        if element.child("subject", "jabber:client").is_some() {
            return line;
        }
    }
}

/// Talks, and gives what was heard, which begins where all have entered.
async fn talk(mut line: Line, round: usize, at: usize) -> Vec<String> {
    let mut heard = Vec::new();
    let mut said = 0;
    loop {
        if said < MESSAGES {
            let id = format!("{round}-{at}-{said}");
            let xml = format!("<message id='{id}' to='{ROOM}' type='groupchat'><body>{id}</body></message>");
            said += 1;
            if line.write(xml.as_bytes()).await.is_err() {
                return heard;
            }
        }
        match line.came().await {
            Came::Element(element) => heard.extend(body(&element)),
            _ => return heard,
        }
    }
}

fn body(message: &Element) -> Option<String> {
    (message.name() == "message")
        .then(|| message.child("body", "jabber:client"))
        .flatten()
        .map(|body| body.text().into_owned())
}

/// The owner makes and unmakes members, and gives what was confirmed.
async fn rule(mut owner: Person, round: usize) -> HashMap<String, Option<String>> {
    let mut confirmed = HashMap::new();
    for number in 0..10_000 {
        let who = format!("member{}@localhost", number % 7);
        let what = if (number + round).is_multiple_of(3) {
            "outcast"
        } else {
            "member"
        };
        let item = format!("<item affiliation='{what}' jid='{who}'/>");
        owner
            .say(&format!(
                "<iq id='{number}' to='{ROOM}' type='set'><query xmlns='{ADMIN}'>{item}</query></iq>"
            ))
            .await;
        confirmed.insert(who.clone(), None);
        loop {
            match owner.line.came().await {
                Came::Element(element) if element.name() == "iq" => break,
                Came::Element(_) => {}
                _ => return confirmed,
            }
        }
        confirmed.insert(who, Some(what.to_owned()));
    }
    confirmed
}

/// Everything that was seen is in the room, once and in that order.
async fn check(kim: &Kim, round: usize, seen: &[String]) {
    let mut reader = Person::connect(kim, &format!("reader{round}@localhost/x")).await;
    reader
        .send(&format!(
            "<presence to='{ROOM}/reader{round}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
    let all = reader.all().await;
    // §7.1: whoever was in the room still is, and will be told otherwise.
    for at in 0..SPEAKERS {
        assert!(
            all.iter()
                .any(|xml| xml.starts_with("<presence") && xml.contains(&format!("/speaker{at}'"))),
            "{at}"
        );
    }
    let prefix = format!("{round}-");
    let kept: Vec<String> = all
        .iter()
        .filter_map(|xml| body(&Element::parse(xml).expect("XML")))
        .filter(|body| body.starts_with(&prefix))
        .collect();
    let places: HashMap<&String, usize> = kept.iter().enumerate().map(|(at, id)| (id, at)).collect();
    assert_eq!(places.len(), kept.len(), "something is there twice");
    let mut last = None;
    for id in seen.iter().filter(|id| id.starts_with(&prefix)) {
        let place = *places
            .get(id)
            .unwrap_or_else(|| panic!("{id} was reflected and is lost"));
        assert!(last.is_none_or(|last| last < place), "{id} is out of order");
        last = Some(place);
    }
    reader
        .send(&format!(
            "<presence to='{ROOM}/reader{round}' type='unavailable'/>"
        ))
        .await;
}

async fn check_members(kim: &Kim, members: &HashMap<String, String>) {
    let mut owner = Person::connect(kim, "owner@localhost/desk").await;
    let mut now = HashMap::new();
    for what in ["member", "outcast"] {
        let query = format!("<query xmlns='{ADMIN}'><item affiliation='{what}'/></query>");
        owner
            .send(&format!("<iq id='{what}' to='{ROOM}' type='get'>{query}</iq>"))
            .await;
        for xml in owner.all().await.iter().filter(|xml| xml.starts_with("<iq")) {
            let iq = Element::parse(xml).expect("XML");
            let query = iq.child("query", ADMIN).unwrap_or_else(|| panic!("{xml}"));
            for item in query.children() {
                let jid = item.attr("jid").expect("a member").into_owned();
                now.insert(jid, what.to_owned());
            }
        }
    }
    for (who, what) in members {
        assert_eq!(now.get(who), Some(what), "{who}");
    }
}
