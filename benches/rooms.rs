//! What rooms cost: people entering one (presence for everybody from everybody), a message to all of them, and rooms in which
//! nobody is. Against the built server as a process of its own, over TLS; CPU is the server's.
//!
//! `KIM_BENCH_OCCUPANTS` and `KIM_BENCH_ROOMS` change how many; `KIM_PROOF_BIN` measures another binary.

#[path = "../tests/whole/mod.rs"]
mod whole;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};

use whole::line::{Came, Line};
use whole::person::Person;
use whole::process::Kim;

const ROOM: &str = "crowd@conference.localhost";
/// Messages that are under way at the same time.
const UNDER_WAY: usize = 8;

fn number(name: &str, default: usize) -> usize {
    let set = std::env::var(name).ok().and_then(|text| text.parse().ok());
    set.unwrap_or(default)
}

/// How much all occupants have got.
#[derive(Default)]
struct Count {
    presences: AtomicU64,
    messages: AtomicU64,
    subjects: AtomicU64,
    news: Notify,
}

impl Count {
    async fn wait(&self, what: &AtomicU64, at_least: u64) {
        while what.load(Ordering::Relaxed) < at_least {
            let _ = tokio::time::timeout(Duration::from_millis(5), self.news.notified()).await;
        }
    }
}

#[tokio::main]
async fn main() {
    let kim = Kim::start("rooms", "[limits]\nenabled = false\n").await;
    idle(&kim, number("KIM_BENCH_ROOMS", 10_000)).await;
    crowd(&kim, number("KIM_BENCH_OCCUPANTS", 1_000)).await;
    kim.stop();
}

async fn crowd(kim: &Kim, occupants: usize) {
    let mut owner = Person::connect(kim, "owner@localhost/desk").await;
    open(&mut owner, ROOM).await;
    drop(owner.all().await);
    let count = Arc::new(Count::default());
    let mut lines: Vec<Line> = Vec::new();
    let sign_in = Arc::new(Semaphore::new(8));
    let begun = Instant::now();
    for at in 0..occupants {
        let _place = sign_in.acquire().await;
        kim.account(&format!("o{at}@localhost")).await;
        let mut line = Line::direct(kim, "localhost").await;
        line.log_in(&format!("o{at}@localhost/phone"))
            .await
            .expect("a session");
        lines.push(line);
    }
    println!(
        "{occupants} sessions after {:.1} s",
        begun.elapsed().as_secs_f32()
    );
    owner
        .send(&format!("<presence to='{ROOM}/owner' type='unavailable'/>"))
        .await;

    let mut writers = Vec::new();
    let (mut entered, mut presences) = (0, 0);
    let mut waiting = lines.into_iter();
    for step in [occupants / 10, occupants / 4, occupants / 2, occupants] {
        let some: Vec<Line> = waiting.by_ref().take(step - entered).collect();
        let (user, system) = kim.cpu();
        let begun = Instant::now();
        for (at, mut line) in some.into_iter().enumerate() {
            let nick = format!("o{}", entered + at);
            let join = format!(
                "<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
            );
            line.write(join.as_bytes()).await.expect("open");
            let (say, said) = tokio::sync::mpsc::unbounded_channel();
            tokio::spawn(occupant(line, said, count.clone()));
            writers.push(say);
        }
        count.wait(&count.subjects, step as u64).await;
        // Everybody gets everybody's: those before it, its own, those behind it.
        let all = (step * step) as u64;
        count.wait(&count.presences, all).await;
        let wall = begun.elapsed();
        let cpu = kim.cpu().0 + kim.cpu().1 - user - system;
        let news = all - presences;
        println!(
            "{entered} -> {step} occupants: {:.2} s, {news} presences delivered, {:.0}/s, server CPU {:.2} us each",
            wall.as_secs_f64(),
            news as f64 / wall.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / news as f64
        );
        (entered, presences) = (step, all);
    }
    for messages in [20, 200] {
        talk(kim, &count, &writers, occupants, messages).await;
    }
    println!(
        "memory with {occupants} in the room: {} KiB",
        kim.resident_bytes() / 1024
    );
}

async fn talk(
    kim: &Kim,
    count: &Count,
    writers: &[tokio::sync::mpsc::UnboundedSender<String>],
    occupants: usize,
    messages: usize,
) {
    let before = count.messages.load(Ordering::Relaxed);
    let (user, system) = kim.cpu();
    let begun = Instant::now();
    for number in 0..messages {
        let body = "Double, double toil and trouble; fire burn and cauldron bubble.";
        let xml =
            format!("<message id='{number}' to='{ROOM}' type='groupchat'><body>{body}</body></message>");
        let writer = number % writers.len();
        writers[writer].send(xml).expect("an occupant");
        let done = before + (number.saturating_sub(UNDER_WAY) * occupants) as u64;
        count.wait(&count.messages, done).await;
    }
    let all = (messages * occupants) as u64;
    count.wait(&count.messages, before + all).await;
    let wall = begun.elapsed();
    let cpu = kim.cpu().0 + kim.cpu().1 - user - system;
    println!(
        "{messages} messages to {occupants} occupants: {:.0} deliveries/s, server CPU {:.2} us per delivery",
        all as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / all as f64
    );
}

/// Counts what comes, and says what it is told to.
async fn occupant(mut line: Line, mut said: tokio::sync::mpsc::UnboundedReceiver<String>, count: Arc<Count>) {
    loop {
        tokio::select! {
            say = said.recv() => match say {
                Some(xml) => line.write(xml.as_bytes()).await.expect("open"),
                None => return,
            },
            came = line.came() => match came {
                Came::Element(element) if element.name() == "presence" => {
                    count.presences.fetch_add(1, Ordering::Relaxed);
                }
                Came::Element(element) if element.child("subject", "jabber:client").is_some() => {
                    count.subjects.fetch_add(1, Ordering::Relaxed);
                }
                Came::Element(element) if element.name() == "message" => {
                    count.messages.fetch_add(1, Ordering::Relaxed);
                }
                Came::Element(_) => {}
                _ => return,
            },
        }
        count.news.notify_one();
    }
}

async fn open(owner: &mut Person, room: &str) {
    let form = "<x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_persistentroom'><value>1</value></field></x>";
    owner
        .say(&format!(
            "<presence to='{room}/owner'><x xmlns='http://jabber.org/protocol/muc'/></presence>\
             <iq id='c' to='{room}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query></iq>"
        ))
        .await;
}

/// Rooms that somebody made: what they take while they are in memory with one occupant, and with none.
async fn idle(kim: &Kim, rooms: usize) {
    let mut owner = Person::connect(kim, "owner@localhost/desk").await;
    owner.settle().await;
    let before = kim.resident_bytes();
    let begun = Instant::now();
    for at in 0..rooms {
        open(&mut owner, &format!("room{at}@conference.localhost")).await;
        if at % 50 == 49 {
            drop(owner.all().await);
        }
    }
    drop(owner.all().await);
    let occupied = kim.resident_bytes();
    println!(
        "{rooms} rooms made in {:.1} s; {} bytes of memory per room with one occupant",
        begun.elapsed().as_secs_f32(),
        occupied.saturating_sub(before) / rooms as u64
    );
    for at in 0..rooms {
        owner
            .say(&format!(
                "<presence to='room{at}@conference.localhost/owner' type='unavailable'/>"
            ))
            .await;
        if at % 50 == 49 {
            drop(owner.all().await);
        }
    }
    drop(owner.all().await);
    let empty = kim.resident_bytes();
    println!(
        "{rooms} rooms without occupants, still in memory: {} bytes per room",
        empty.saturating_sub(before) / rooms as u64
    );
}
