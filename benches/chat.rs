//! What a chat message costs: pairs of people over TLS, one of each sending to the other as fast as the server takes it,
//! against the built server as a process of its own. Prints messages per second and the server's CPU time per message.
//!
//! `KIM_BENCH_MESSAGES` and `KIM_BENCH_PAIRS` change how many; `KIM_BENCH_ARCHIVE=0` leaves the archive out;
//! `KIM_PROOF_BIN` measures another binary.

mod modules;
#[path = "../tests/whole/mod.rs"]
mod whole;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use modules::without;
use whole::line::Line;
use whole::person::Person;
use whole::process::Kim;

/// The size of a message as it is sent.
const MESSAGE_BYTES: usize = 300;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// One way to send.
struct Load {
    name: &'static str,
    messages: usize,
    /// Messages of one pair that are on their way at the same time.
    under_way: usize,
    /// Messages in one write of the client.
    in_one_write: usize,
}

#[tokio::main]
async fn main() {
    let messages = number("KIM_BENCH_MESSAGES", 200_000);
    let pairs = number("KIM_BENCH_PAIRS", 50);
    let loads = [
        Load {
            name: "warm-up",
            messages: messages / 10,
            under_way: 64,
            in_one_write: 4,
        },
        Load {
            name: "flat out",
            messages,
            under_way: 256,
            in_one_write: 8,
        },
        Load {
            name: "a write each, 64 under way",
            messages,
            under_way: 64,
            in_one_write: 1,
        },
        Load {
            name: "one by one",
            messages: messages / 4,
            under_way: 1,
            in_one_write: 1,
        },
    ];
    let archive = number("KIM_BENCH_ARCHIVE", 1) == 1;
    let mut settings = "[limits]\nenabled = false\n".to_owned();
    if !archive {
        settings.push_str(&without(&["xep0313_mam", "xep0045_muc"]));
    }
    let kim = Kim::start("chat", &settings).await;
    let mut all = Vec::new();
    for number in 0..pairs {
        let from = Person::online(&kim, &format!("from{number}@localhost/phone")).await;
        let to = Person::online(&kim, &format!("to{number}@localhost/phone")).await;
        all.push((from, to));
    }
    for load in &loads {
        all = measure(&kim, all, load).await;
    }
    println!(
        "memory at the end: {} KiB, at most {} KiB",
        kim.resident_bytes() / 1024,
        kim.resident_bytes_max() / 1024
    );
    drop(all);
    kim.stop();
}

async fn measure(kim: &Kim, pairs: Vec<(Person, Person)>, load: &Load) -> Vec<(Person, Person)> {
    let each = load.messages / pairs.len();
    let messages = each * pairs.len();
    let (user, system) = kim.cpu();
    let begun = Instant::now();
    let chats: Vec<_> = pairs
        .into_iter()
        .map(|pair| tokio::spawn(chat(pair, each, load.under_way, load.in_one_write)))
        .collect();
    let mut pairs = Vec::new();
    for chat in chats {
        pairs.push(chat.await.expect("a chat"));
    }
    let wall = begun.elapsed();
    let (user, system) = (kim.cpu().0 - user, kim.cpu().1 - system);
    let per_message = |time: Duration| time.as_secs_f64() * 1e6 / messages as f64;
    println!(
        "{}: {messages} messages of {MESSAGE_BYTES} bytes, {} pairs: {:.0} messages/s, server CPU {:.1} us per message \
         ({:.1} user + {:.1} system)",
        load.name,
        pairs.len(),
        messages as f64 / wall.as_secs_f64(),
        per_message(user + system),
        per_message(user),
        per_message(system),
    );
    pairs
}

/// One pair: so many messages from the first to the second.
async fn chat(
    (mut from, mut to): (Person, Person),
    messages: usize,
    under_way: usize,
    in_one_write: usize,
) -> (Person, Person) {
    let window = Arc::new(Semaphore::new(under_way));
    let recipient = to.jid.clone();
    let arrived = window.clone();
    let reading = tokio::spawn(async move {
        read(&mut to.line, messages, &arrived).await;
        to
    });
    let mut sent = 0;
    while sent < messages {
        let now = in_one_write.min(messages - sent);
        window
            .acquire_many(now as u32)
            .await
            .expect("it is never closed")
            .forget();
        // Each has an id of its own: one that was sent before counts as sent again and is delivered once.
        let text: String = (0..now).map(|_| message(&recipient)).collect();
        from.line.write(text.as_bytes()).await.expect("the server reads");
        sent += now;
    }
    (from, reading.await.expect("a reader"))
}

/// Counts messages without parsing them, so that the load costs little of the machine it shares with the server.
async fn read(line: &mut Line, messages: usize, arrived: &Semaphore) {
    const END: &[u8] = b"</message>";
    let finder = memchr::memmem::Finder::new(END);
    let mut bytes = Vec::with_capacity(64 * 1024);
    let mut count = 0;
    while count < messages {
        assert!(line.read_bytes(&mut bytes).await > 0, "the server hung up");
        let (mut new, mut last) = (0, 0);
        for at in finder.find_iter(&bytes) {
            new += 1;
            last = at + END.len();
        }
        bytes.drain(..last);
        count += new;
        arrived.add_permits(new);
    }
}

/// A message as clients send them today: a text, a receipt asked for, a chat state, an id that stays.
fn message(to: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let account = to.split('/').next().unwrap_or_default();
    let with = |text: &str| {
        format!(
            "<message to='{account}' type='chat' id='{id:08x}'><body>{text}</body>\
             <request xmlns='urn:xmpp:receipts'/><active xmlns='http://jabber.org/protocol/chatstates'/>\
             <origin-id xmlns='urn:xmpp:sid:0' id='{id:08x}'/></message>"
        )
    };
    let text = "m".repeat(MESSAGE_BYTES.saturating_sub(with("").len()));
    with(&text)
}
