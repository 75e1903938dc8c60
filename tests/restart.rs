//! The promise of an acknowledgement (XEP-0198 §4): the server is killed again and again while clients talk. Afterwards
//! everything that it acknowledged is in the receivers' archives, once and in order, and no client is told of less than it
//! was promised.

mod whole;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use kim_core::random;
use kim_core::wire::Element;
use tokio::sync::Notify;

use whole::line::{Came, Line};
use whole::person::Person;
use whole::process::{Database, Kim};

const NS: &str = "urn:xmpp:sm:3";
const MAM: &str = "urn:xmpp:mam:2";
const RSM: &str = "http://jabber.org/protocol/rsm";
/// So often the server is killed.
const CRASHES: usize = 20;
/// Sessions that send.
const SENDERS: usize = 50;
/// Accounts they send to, each with a session that is there and confirms nothing.
const RECEIVERS: usize = 5;
/// Messages a session would send between two crashes; after each few it asks for an acknowledgement.
const MESSAGES: usize = 60;
const ASK_EVERY: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_crash() {
    for database in Database::all() {
        let mut kim = Kim::start_on(database, "restart", "[limits]\nenabled = false\n").await;
        for at in 0..SENDERS {
            kim.account(&format!("sender{at}@localhost")).await;
        }
        for at in 0..RECEIVERS {
            kim.account(&receiver(at)).await;
        }
        let (mut promised, mut sent) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        for round in 0..CRASHES {
            let crash = crash(&mut kim, round).await;
            promised.extend(crash.promised);
            sent.extend(crash.sent);
        }
        let mut archived = 0;
        for at in 0..RECEIVERS {
            let archive = archive(&kim, &receiver(at)).await;
            archived += archive.len();
            let to_them = |message: &&Message| message.to == at;
            check(
                &archive,
                promised.iter().filter(to_them),
                sent.iter().filter(to_them),
            );
        }
        println!(
            "{database:?}: {SENDERS} sessions, {CRASHES} crashes, {} messages written, {} acknowledged, {archived} archived, \
             0 acknowledged lost, 0 twice, {:.1} s",
            sent.len(),
            promised.len(),
            begun.elapsed().as_secs_f32()
        );
        kim.stop();
    }
}

fn receiver(at: usize) -> String {
    format!("receiver{at}@localhost")
}

#[derive(Clone)]
struct Message {
    to: usize,
    from: usize,
    id: String,
}

struct Crash {
    /// What the server said had arrived, before its end or afterwards.
    promised: Vec<Message>,
    /// What was written, which may or may not have arrived.
    sent: Vec<Message>,
}

/// Lets everybody talk, kills the server in the middle of it, and asks it afterwards what arrived.
async fn crash(kim: &mut Kim, round: usize) -> Crash {
    let receivers = (0..RECEIVERS).map(|at| {
        let jid = format!("{}/laptop", receiver(at));
        let kim = &*kim;
        async move { Person::online(kim, &jid).await }
    });
    let receivers = join_all(receivers).await;
    let senders = join_all((0..SENDERS).map(|at| enabled(kim, at))).await;
    // At a random moment: when so many acknowledgements have come in all.
    let random = usize::from(u16::from_le_bytes(random::bytes()));
    let count = Arc::new(Count {
        left: AtomicUsize::new(1 + random % (SENDERS * MESSAGES / ASK_EVERY)),
        done: Notify::new(),
    });
    let talking: Vec<_> = senders
        .into_iter()
        .map(|sender| tokio::spawn(sender.talk(round, count.clone())))
        .collect();
    count.done.notified().await;
    kim.crash_and_start_again().await;
    drop(receivers);
    let mut crash = Crash {
        promised: Vec::new(),
        sent: Vec::new(),
    };
    let talked = join_all(talking).await;
    let kim = &*kim;
    let told = join_all(talked.into_iter().map(|sender| async move {
        let sender = sender.expect("it talked");
        let h = sender.ask(kim).await;
        (sender, h)
    }));
    for (sender, h) in told.await {
        assert!(h >= sender.told, "{h} after {} were acknowledged", sender.told);
        assert!(h <= sender.messages.len());
        crash.promised.extend_from_slice(&sender.messages[..h]);
        crash.sent.extend(sender.messages);
    }
    crash
}

struct Count {
    left: AtomicUsize,
    done: Notify,
}

impl Count {
    fn one(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.done.notify_one();
        }
    }
}

struct Sender {
    at: usize,
    line: Line,
    id: String,
    messages: Vec<Message>,
    told: usize,
}

/// A session with stream management.
async fn enabled(kim: &Kim, at: usize) -> Sender {
    let mut line = Line::direct(kim, "localhost").await;
    line.log_in(&format!("sender{at}@localhost/phone"))
        .await
        .expect("a session");
    let enable = format!("<enable xmlns='{NS}' resume='true'/>");
    line.write(enable.as_bytes()).await.expect("open");
    let enabled = line.element().await.expect("an answer");
    let id = enabled.attr("id").expect("an id").into_owned();
    Sender {
        at,
        line,
        id,
        messages: Vec::new(),
        told: 0,
    }
}

impl Sender {
    /// Sends and listens until the connection is gone.
    async fn talk(mut self, round: usize, count: Arc<Count>) -> Sender {
        for number in 0..MESSAGES {
            let message = Message {
                to: (self.at + number) % RECEIVERS,
                from: self.at,
                id: format!("{round}-{}-{number}", self.at),
            };
            let mut xml = format!(
                "<message id='{id}' to='{to}' type='chat'><body>{id}</body></message>",
                id = message.id,
                to = receiver(message.to)
            );
            self.messages.push(message);
            let asks = number % ASK_EVERY == ASK_EVERY - 1;
            if asks {
                xml.push_str(&format!("<r xmlns='{NS}'/>"));
            }
            if self.line.write(xml.as_bytes()).await.is_err() {
                return self;
            }
            // Not each waits: several are under way.
            if asks && number % 2 == 0 && !self.listen(&count).await {
                return self;
            }
        }
        while self.listen(&count).await {}
        self
    }

    /// Waits for an acknowledgement; false when the connection is gone.
    async fn listen(&mut self, count: &Count) -> bool {
        loop {
            match self.line.came().await {
                Came::Element(element) if element.is("a", NS) => {
                    let h = number(&element);
                    assert!(h >= self.told, "{h} after {}", self.told);
                    self.told = h;
                    count.one();
                    return true;
                }
                Came::Element(_) => {}
                _ => return false,
            }
        }
    }

    /// Comes back and is told that the session is over, and how many of its messages had arrived.
    async fn ask(&self, kim: &Kim) -> usize {
        let mut line = Line::direct(kim, "localhost").await;
        line.sign_in(&format!("sender{}@localhost", self.at))
            .await
            .expect("a stream");
        let resume = format!("<resume xmlns='{NS}' previd='{}' h='0'/>", self.id);
        line.write(resume.as_bytes()).await.expect("open");
        let failed = line.element().await.expect("an answer");
        assert!(failed.is("failed", NS), "{}", failed.as_str());
        // Killed before anything was acknowledged, the server knows of no number.
        match failed.attr("h") {
            Some(_) => number(&failed),
            None => 0,
        }
    }
}

fn number(element: &Element) -> usize {
    let h = element
        .attr("h")
        .unwrap_or_else(|| panic!("no number in {}", element.as_str()));
    h.parse().expect("a number")
}

/// Everything promised is there; nothing is there twice; each sender's messages stand in their order.
fn check<'a>(
    archive: &[String],
    promised: impl Iterator<Item = &'a Message>,
    sent: impl Iterator<Item = &'a Message>,
) {
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (place, id) in archive.iter().enumerate() {
        assert!(places.insert(id, place).is_none(), "{id} is there twice");
    }
    for message in promised {
        assert!(
            places.contains_key(message.id.as_str()),
            "{} was acknowledged and is lost",
            message.id
        );
    }
    let mut last: HashMap<usize, usize> = HashMap::new();
    for message in sent {
        if let Some(place) = places.get(message.id.as_str()) {
            let before = last.insert(message.from, *place);
            assert!(
                before.is_none_or(|before| before < *place),
                "{} is out of order",
                message.id
            );
        }
    }
}

/// The bodies in somebody's archive, oldest first.
async fn archive(kim: &Kim, account: &str) -> Vec<String> {
    let mut line = Line::direct(kim, "localhost").await;
    line.log_in(&format!("{account}/reader"))
        .await
        .expect("a session");
    let (mut bodies, mut after) = (Vec::new(), String::new());
    loop {
        let query = format!(
            "<iq type='set' id='page'><query xmlns='{MAM}'><set xmlns='{RSM}'><max>100</max>{after}</set></query></iq>"
        );
        line.write(query.as_bytes()).await.expect("open");
        let fin = loop {
            let next = line.element().await.expect("an archive");
            if next.name() == "iq" {
                break next;
            }
            let result = next.child("result", MAM).expect("a result");
            let forwarded = result
                .child("forwarded", "urn:xmpp:forward:0")
                .expect("a message");
            let message = forwarded.child("message", "jabber:client").expect("a message");
            let body = message.child("body", "jabber:client");
            bodies.extend(body.map(|body| body.text().into_owned()));
        };
        let fin = fin
            .child("fin", MAM)
            .unwrap_or_else(|| panic!("{}", fin.as_str()));
        if fin.attr("complete").as_deref() == Some("true") {
            return bodies;
        }
        let last = fin.child("set", RSM).and_then(|set| set.child("last", RSM));
        after = format!("<after>{}</after>", last.expect("a page has a last one").text());
    }
}
