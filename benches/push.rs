//! What push notifications cost: messages that wake nobody, messages that wake a phone, and what a notification for a browser
//! takes to be sealed and signed. The figures in `docs/performance.md` come from here: `cargo bench -p kim --bench push`.
//!
//! It drives the whole house but for the sockets, on SQLite in a file with every commit synced. The push service takes
//! everything at once.

mod inside;
mod modules;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kim::push::sealed;
use kim::push::vapid::Vapid;
use kim_core::db::BoxFuture;
use kim_core::error::StreamCondition;
use kim_core::jid::BareJid;
use kim_core::testing::{House, TestDb};
use kim_xep::push_service::api::{
    AppServer, Endpoint, PushNetwork, PushWish, Wake, Wire, WishRefused, Woken,
};
use kim_xep::xep0357_push::api::PushContent;

use inside::{cpu_seconds, perform, session, stanza};
use modules::without;

/// People who are written to.
const PEOPLE: usize = 2_000;
/// Messages to each of those who are there.
const ROUNDS: usize = 20;
/// Notifications that are sealed.
const SEALED: u32 = 20_000;

struct TakesAll;

impl PushNetwork for TakesAll {
    fn accept(&self, _: &PushWish<'_>) -> Result<Endpoint, WishRefused> {
        Ok(endpoint(0))
    }

    fn public_key(&self) -> String {
        String::new()
    }

    fn host(&self, _: &Endpoint) -> Option<String> {
        None
    }

    fn wake<'a>(&'a self, _: Wake<'a>) -> BoxFuture<'a, Woken> {
        Box::pin(async { Woken::Taken })
    }
}

fn endpoint(number: usize) -> Endpoint {
    Endpoint {
        address: format!("https://push.example/{number}"),
        wire: Wire::Plain,
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        for archive in [true, false] {
            for with_push in [false, true, false, true] {
                messages(archive, with_push).await;
            }
        }
    });
    sealing();
}

/// Messages to people who are there, and to people whose phone is away.
async fn messages(archive: bool, with_push: bool) {
    let db = TestDb::sqlite_file().await;
    let mut off = Vec::new();
    if !archive {
        off.extend(["xep0313_mam", "xep0045_muc"]);
    }
    if !with_push {
        off.push("xep0357_push");
    }
    let config = format!(
        "[limits]\nenabled = false\n[xep0384_omemo]\npolicy = \"off\"\n{}",
        without(&off)
    );
    let house = House::on(db.db(), kim_xep::MODULES, &config).await;
    let server = house.router.fact::<AppServer>();
    if let Some(server) = &server {
        server.connect(Arc::new(TakesAll));
    }
    let sender = session(&house, "sender@localhost/x", 1 << 26).await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        let jid = format!("person{number}@localhost");
        let phone = session(&house, &format!("{jid}/phone"), 1 << 24).await;
        perform(&house.router, &phone, stanza("<presence/>")).await;
        if let Some(server) = &server {
            let account: BareJid = jid.parse().expect("a JID");
            let subscribed = server
                .subscribe(
                    &account,
                    &endpoint(number),
                    "phone",
                    PushContent::default(),
                    &house.router,
                )
                .await;
            subscribed.expect("a subscription");
        }
        people.push(phone);
    }
    let write = async |rounds: usize| {
        let cpu = cpu_seconds();
        for _ in 0..rounds {
            for person in &people {
                let message = format!(
                    "<message to='{}' type='chat'><body>hello</body></message>",
                    person.account
                );
                perform(&house.router, &sender, stanza(&message)).await;
                person.outbox.take();
            }
        }
        // What was spawned meanwhile belongs to it.
        tokio::time::sleep(Duration::from_millis(500)).await;
        (cpu_seconds() - cpu) * 1e6 / (rounds * people.len()) as f64
    };
    write(1).await;
    let there = write(ROUNDS).await;
    for person in &people {
        person.close(StreamCondition::Reset);
        house.router.end(person, []).await;
    }
    let away = write(1).await;
    println!(
        "{}, {}: {there:6.1} µs CPU a message to a client that is there, {away:6.1} µs to one that is away",
        if archive { "archived    " } else { "not archived" },
        if with_push { "with push   " } else { "without push" }
    );
}

/// What a browser's notification costs beside its request.
fn sealing() {
    let key = Vapid::make().expect("a key");
    let vapid = Vapid::read(&key, "mailto:admin@example.org".to_owned()).expect("a key");
    let other = Vapid::read(&Vapid::make().expect("a key"), String::new()).expect("a key");
    let mut p256dh = [0; 65];
    let public = data_encoding::BASE64URL_NOPAD
        .decode(other.public().as_bytes())
        .expect("base64");
    p256dh.copy_from_slice(&public);
    let text = br#"{"kind":"message","messages":3,"from":"bob@example.org"}"#;
    let started = Instant::now();
    for _ in 0..SEALED {
        assert!(sealed::seal(text, &p256dh, &[1; 16]).is_some());
    }
    let sealing = started.elapsed() / SEALED;
    let started = Instant::now();
    for number in 0..SEALED {
        // Each for another push service, so that nothing is signed already.
        assert!(
            vapid
                .authorization(&format!("https://push{number}.example"))
                .is_some()
        );
    }
    let signing = started.elapsed() / SEALED;
    let started = Instant::now();
    for _ in 0..SEALED {
        assert!(vapid.authorization("https://push.example").is_some());
    }
    let signed = started.elapsed() / SEALED;
    println!("sealing {sealing:.1?}, signing {signing:.1?}, one that is signed already {signed:.1?}");
}
