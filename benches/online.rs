//! How long a chat message takes while thousands are online: everybody signed in over TLS, half of them sending to the
//! others at a fixed rate whether or not the last one has arrived, against the built server as a process of its own. Prints
//! percentiles of the time from when a message was due until its reader had it, the server's CPU time and its memory.
//!
//! `KIM_BENCH_ONLINE` (5000) people; `KIM_BENCH_RATES` (500,2000,5000) messages a second of all together;
//! `KIM_PROOF_BIN` measures another binary.

#[path = "../tests/whole/mod.rs"]
mod whole;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use whole::line::Line;
use whole::person::Person;
use whole::process::Kim;

/// The size of a message as it is sent.
const MESSAGE_BYTES: usize = 300;
/// How long each rate goes on.
const SECONDS: u64 = 20;
/// People who sign in at the same time.
const SIGNING_IN: usize = 32;
/// What stands before the moment at which a message was due, in microseconds, in its body.
const DUE: &[u8] = b"due=";

#[tokio::main]
async fn main() {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let people: usize = setting("KIM_BENCH_ONLINE", "5000").parse().expect("a number");
    let kim = Kim::start("online", "[limits]\nenabled = false\n").await;
    let begun = Instant::now();
    let mut pairs: Vec<(Person, Person)> = stream::iter(0..people / 2)
        .map(|number| {
            let kim = &kim;
            async move {
                let from = Person::online(kim, &format!("from{number}@localhost/phone")).await;
                (
                    from,
                    Person::online(kim, &format!("to{number}@localhost/phone")).await,
                )
            }
        })
        .buffer_unordered(SIGNING_IN)
        .collect()
        .await;
    println!(
        "{people} online over TLS after {:.1} s, {} KiB",
        begun.elapsed().as_secs_f64(),
        kim.resident_bytes() / 1024
    );
    for rate in setting("KIM_BENCH_RATES", "500,2000,5000").split(',') {
        pairs = measure(&kim, pairs, rate.parse().expect("a rate")).await;
    }
    drop(pairs);
    kim.stop();
}

async fn measure(kim: &Kim, pairs: Vec<(Person, Person)>, rate: u64) -> Vec<(Person, Person)> {
    let count = pairs.len() as u64;
    let each = (rate * SECONDS / count).max(1);
    let pace = Duration::from_micros(1_000_000 * count / rate);
    let (user, system) = kim.cpu();
    let begun = Instant::now();
    let chats: Vec<_> = pairs
        .into_iter()
        .enumerate()
        // All begin within one pace, one after the other.
        .map(|(place, pair)| tokio::spawn(chat(pair, begun, pace * place as u32 / count as u32, pace, each)))
        .collect();
    let (mut pairs, mut times) = (Vec::new(), Vec::new());
    for chat in chats {
        let (pair, took) = chat.await.expect("a chat");
        pairs.push(pair);
        times.extend(took);
    }
    let wall = begun.elapsed().as_secs_f64();
    let cpu = (kim.cpu().0 - user + kim.cpu().1 - system).as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
    println!(
        "{rate} messages/s: {} in {wall:.1} s, ms: p50 {:.1}, p95 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1}; server {:.0} % of \
         a core, {} KiB",
        times.len(),
        at(0.5),
        at(0.95),
        at(0.99),
        at(0.999),
        at(1.0),
        100.0 * cpu / wall,
        kim.resident_bytes() / 1024,
    );
    pairs
}

/// One pair: so many messages from the first to the second, one every `pace`; gives how long each took, in microseconds.
async fn chat(
    (mut from, mut to): (Person, Person),
    begun: Instant,
    offset: Duration,
    pace: Duration,
    messages: u64,
) -> ((Person, Person), Vec<u64>) {
    let account = to.jid.split('/').next().unwrap_or_default().to_owned();
    let reading = tokio::spawn(async move {
        let times = read(&mut to.line, begun, messages).await;
        (to, times)
    });
    for number in 0..messages {
        let due = offset + pace * number as u32;
        tokio::time::sleep_until((begun + due).into()).await;
        let text = message(&account, due);
        from.line.write(text.as_bytes()).await.expect("the server reads");
    }
    let (to, times) = reading.await.expect("a reader");
    ((from, to), times)
}

/// Takes the time of each message without parsing it, so that the load costs little of the machine it shares with the server.
async fn read(line: &mut Line, begun: Instant, messages: u64) -> Vec<u64> {
    let finder = memchr::memmem::Finder::new(DUE);
    let mut bytes = Vec::with_capacity(4 * 1024);
    let mut times = Vec::new();
    while (times.len() as u64) < messages {
        assert!(line.read_bytes(&mut bytes).await > 0, "the server hung up");
        let now = begun.elapsed().as_micros() as u64;
        let mut done = 0;
        for at in finder.find_iter(&bytes) {
            let number = bytes[at + DUE.len()..].split(|byte| *byte == b';').next();
            // Not whole yet: the rest is still to come.
            if !bytes[at..].contains(&b';') {
                break;
            }
            let due = number.and_then(|number| std::str::from_utf8(number).ok()?.parse::<u64>().ok());
            times.push(now.saturating_sub(due.expect("a number")));
            done = at + DUE.len();
        }
        bytes.drain(..done);
    }
    times
}

/// A message as clients send them today: a text, a receipt asked for, a chat state, an id that stays.
fn message(account: &str, due: Duration) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Each has an id of its own: one that was sent before counts as sent again and is delivered once.
    let (id, due) = (NEXT.fetch_add(1, Ordering::Relaxed), due.as_micros());
    let with = |text: &str| {
        format!(
            "<message to='{account}' type='chat' id='{id:08x}'><body>due={due};{text}</body>\
             <request xmlns='urn:xmpp:receipts'/><active xmlns='http://jabber.org/protocol/chatstates'/>\
             <origin-id xmlns='urn:xmpp:sid:0' id='{id:08x}'/></message>"
        )
    };
    let text = "m".repeat(MESSAGE_BYTES.saturating_sub(with("").len()));
    with(&text)
}
