//! What archives cost: messages stored with every one synced, pages out of small and large archives, sealing. The figures in
//! `docs/performance.md` come from here: `cargo bench -p kim --bench archive`, with `KIM_TEST_POSTGRES` for PostgreSQL.
//!
//! It drives the whole house but for the sockets: a message runs through all rooms, is sealed for both archives, committed
//! and delivered. `KIM_BENCH_ROWS` sets the size of the large archive (1 000 000).

mod inside;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kim_core::jid::Jid;
use kim_core::seal::Key;
use kim_core::session::Session;
use kim_core::stanza::Stanza;
use kim_core::testing::{House, TestDb};
use kim_core::wire::Element;

use inside::{cpu_seconds, perform, stanza};

/// How long each number of senders goes on, in seconds.
const SECONDS: u64 = 5;
const SMALL_ROWS: usize = 10_000;
const LARGE_ROWS: usize = 1_000_000;
const PAGE_MESSAGES: usize = 50;
/// Pages read for each figure.
const PAGES: usize = 400;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        sealing();
        measure("SQLite", TestDb::sqlite_file().await).await;
        match TestDb::postgres().await {
            Some(db) => measure("PostgreSQL", db).await,
            None => println!("PostgreSQL: KIM_TEST_POSTGRES names none"),
        }
    });
}

/// A message as clients send them: OMEMO for five devices, 1.2 kB.
fn message(to: &str, n: usize) -> Stanza {
    let keys: String = (0..5)
        .map(|device| {
            format!(
                "<key rid='{}'>{}</key>",
                1_000_000 + device,
                "MwohBWJ8c2".repeat(10)
            )
        })
        .collect();
    let xml = format!(
        "<message to='{to}' type='chat' id='{n}'><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='27183'>{keys}\
         <iv>GGFj4T3ZpFzNLMBp</iv></header><payload>{}</payload></encrypted><body>I sent you an OMEMO encrypted message</body>\
         <encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl'/><store xmlns='urn:xmpp:hints'/>\
         <origin-id xmlns='urn:xmpp:sid:0' id='{n}'/><request xmlns='urn:xmpp:receipts'/></message>",
        "8KZvYmQx".repeat(16)
    );
    Stanza::from_element(Element::parse(&xml).expect("XML")).expect("a message")
}

/// What one archive does with a message beside storing it, without the database.
fn sealing() {
    let (key, n) = (Key::random(), 100_000_u32);
    let text = message("bob@localhost", 7).to_xml();
    let aad: [&[u8]; 4] = [b"archive", b"alice@localhost", &[1; 8], &[2; 8]];
    let per = |started: Instant| started.elapsed().as_secs_f64() * 1e6 / f64::from(n);
    let started = Instant::now();
    for _ in 0..n {
        black_box(key.seal(&aad, text.as_bytes()));
    }
    let seal = per(started);
    let sealed = key.seal(&aad, text.as_bytes());
    let started = Instant::now();
    for _ in 0..n {
        black_box(key.open(&aad, &sealed).ok());
    }
    let open = per(started);
    let started = Instant::now();
    for _ in 0..n {
        // The id, two for the peer, the reference.
        for _ in 0..4 {
            black_box(key.tag("archive peer", &[b"alice@localhost/phone"]));
        }
    }
    println!(
        "sealing {} bytes: seal {seal:.2} µs, open {open:.2} µs, four tags {:.2} µs",
        text.len(),
        per(started)
    );
}

/// A session that takes what comes and throws it away.
async fn session(house: &House, jid: &str) -> Arc<Session> {
    let session = inside::session(house, jid, 1 << 20).await;
    perform(&house.router, &session, stanza("<presence/>")).await;
    let taker = session.clone();
    tokio::spawn(async move {
        while !taker.outbox.is_closed() {
            taker.outbox.ready().await;
            taker.outbox.take();
        }
    });
    session
}

async fn measure(name: &str, db: TestDb) {
    let house = Arc::new(House::on(db.db(), kim_xep::MODULES, "[limits]\nenabled = false\n").await);
    println!("\n{name}: {}", db.describe());
    for senders in [1, 16, 128, 512] {
        appends(&house, senders).await;
    }
    let large: usize = std::env::var("KIM_BENCH_ROWS")
        .ok()
        .and_then(|rows| rows.parse().ok())
        .unwrap_or(LARGE_ROWS);
    for rows in [SMALL_ROWS, large] {
        let owner = format!("owner{rows}@localhost");
        fill(&house, &owner, rows).await;
        pages(&house, &owner, rows).await;
    }
}

/// Every sender sends a message to somebody of its own, waits until it is stored and delivered, and sends the next.
async fn appends(house: &Arc<House>, senders: usize) {
    let mut pairs = Vec::new();
    for n in 0..senders {
        let from = session(house, &format!("s{n}@localhost/x")).await;
        session(house, &format!("r{n}@localhost/x")).await;
        pairs.push((from, format!("r{n}@localhost")));
    }
    // Keys are made, caches are warm.
    for (from, to) in &pairs {
        perform(&house.router, from, message(to, usize::MAX)).await;
    }
    let (commits, cpu, started) = (house.db.stats().commits, cpu_seconds(), Instant::now());
    let tasks: Vec<_> = pairs
        .into_iter()
        .map(|(from, to)| {
            let house = house.clone();
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while started.elapsed() < Duration::from_secs(SECONDS) {
                    let sent = Instant::now();
                    perform(
                        &house.router,
                        &from,
                        message(&to, senders * 10_000_000 + waits.len()),
                    )
                    .await;
                    waits.push(sent.elapsed());
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.expect("a sender"));
    }
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    waits.sort_unstable();
    let n = waits.len();
    let quantile = |part: f64| waits[((n - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        "{senders:5} senders: {:7.0} messages/s ({:.0} rows/s), p50 {:.2} ms, p99 {:.2} ms, {:.1} messages a commit, {:.0} µs CPU a message",
        n as f64 / seconds,
        2.0 * n as f64 / seconds,
        quantile(0.5),
        quantile(0.99),
        n as f64 / (house.db.stats().commits - commits) as f64,
        cpu * 1e6 / n as f64
    );
}

/// Notes to oneself, one row each: many at a time, from eight clients.
async fn fill(house: &Arc<House>, owner: &str, rows: usize) {
    let started = Instant::now();
    let mut tasks = Vec::new();
    for client in 0..8 {
        let session = session(house, &format!("{owner}/c{client}")).await;
        let (house, owner) = (house.clone(), owner.to_owned());
        tasks.push(tokio::spawn(async move {
            for n in 0..rows / 8 {
                let outcome = house
                    .router
                    .depart(&session, message(&owner, client * rows + n))
                    .await;
                // Some are under way at once, as on a connection.
                if n % 64 == 0 {
                    house.router.perform(outcome).await;
                }
            }
            session.close(kim_core::error::StreamCondition::Reset);
        }));
    }
    for task in tasks {
        task.await.expect("a client");
    }
    house
        .db
        .write(|_| Box::pin(async { Ok(()) }))
        .await
        .expect("the last commit");
    println!("{rows} rows stored in {:.0} s", started.elapsed().as_secs_f64());
}

/// The ids at both ends of the page that came last.
struct Ends {
    first: String,
    last: String,
}

/// Reads one page, and gives its ends.
async fn page(house: &House, session: &Arc<Session>, inner: &str) -> Ends {
    let xml = format!("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'>{inner}</query></iq>");
    let query = Stanza::from_element(Element::parse(&xml).expect("XML")).expect("a query");
    perform(&house.router, session, query).await;
    let (parcels, _) = session.outbox.take();
    assert_eq!(parcels.len(), PAGE_MESSAGES + 1, "{inner}");
    let answer = parcels.back().and_then(|parcel| parcel.stanza.as_ref());
    let fin = answer.expect("an answer").to_xml();
    let between = |name: &str| {
        let (_, rest) = fin.split_once(&format!("<{name}>")).expect("ends");
        rest.split('<').next().unwrap_or_default().to_owned()
    };
    Ends {
        first: between("first"),
        last: between("last"),
    }
}

async fn pages(house: &House, owner: &str, rows: usize) {
    let session = Session::new(
        Jid::parse(&format!("{owner}/reader")).expect("a JID"),
        false,
        None,
        1 << 20,
    );
    house.router.start(&session).await.expect("room for a session");
    let set = |inner: &str| {
        format!("<set xmlns='http://jabber.org/protocol/rsm'><max>{PAGE_MESSAGES}</max>{inner}</set>")
    };
    let form = |var: &str, value: &str| {
        format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
             <field var='{var}'><value>{value}</value></field></x>"
        )
    };
    let with = form("with", owner);
    for (what, filter, forwards) in [
        ("from the end backwards", "", false),
        ("from the beginning on", "", true),
        ("with somebody, backwards", with.as_str(), false),
    ] {
        let mut ends = page(
            house,
            &session,
            &format!("{filter}{}", set(if forwards { "" } else { "<before/>" })),
        )
        .await;
        let pages_max = PAGES.min(rows / PAGE_MESSAGES - 2);
        let (started, cpu) = (Instant::now(), cpu_seconds());
        for _ in 0..pages_max {
            let inner = if forwards {
                format!("<after>{}</after>", ends.last)
            } else {
                format!("<before>{}</before>", ends.first)
            };
            ends = page(house, &session, &format!("{filter}{}", set(&inner))).await;
        }
        let n = pages_max as f64;
        println!(
            "{rows:9} rows, {what:26}: {:.2} ms a page of {PAGE_MESSAGES} ({:.0} pages/s, {:.2} ms CPU)",
            started.elapsed().as_secs_f64() * 1e3 / n,
            n / started.elapsed().as_secs_f64(),
            (cpu_seconds() - cpu) * 1e3 / n
        );
    }
}
