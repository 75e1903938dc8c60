//! What an idle session costs: a thousand of them in the built server, logged in over TLS, bound, with presence sent, and
//! the growth of the process divided by their number. `docs/performance.md` has the figure of a release build.
//!
//! Some sessions are opened and closed first, so that what all sessions share is there, and as many are then opened and
//! stay: they live in what the first ones left behind. Only what comes after them is counted.

mod whole;

use std::io::Write;

use futures_util::{StreamExt, stream};

use whole::person::Person;
use whole::process::Kim;

/// Sessions held at the same time.
const SESSIONS: usize = 1000;
/// Sessions opened and closed first, so that what is made once for all of them is there before counting.
const WARM_UP: usize = 200;
/// What any build has to keep below; the goal of a release build is 10 KiB.
const BYTES_PER_SESSION_MAX: u64 = 24 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_sessions_take_little_memory() {
    let sessions = SESSIONS.min(whole::process::descriptors().saturating_sub(2 * WARM_UP));
    let kim = Kim::start("memory", "[limits]\nenabled = false\n").await;
    for person in open(&kim, "w", WARM_UP).await {
        person.vanish().await;
    }
    let others = open(&kim, "o", WARM_UP).await;
    let before = kim.settled_bytes().await;
    let mut people = open(&kim, "p", sessions).await;
    let after = kim.settled_bytes().await;
    let each = after.saturating_sub(before) / sessions as u64;
    // Said past the test harness, which keeps to itself what a test that passes prints.
    let figure = format!(
        "memory: {each} bytes per idle TLS session ({sessions} sessions; {before} bytes before, {after} after)\n"
    );
    let _ = std::io::stderr().write_all(figure.as_bytes());
    // They are not only held, they work.
    let (first, last) = people.split_at_mut(1);
    let (first, last) = (&mut first[0], last.last_mut().expect("many"));
    first
        .send(&format!(
            "<message to='{}' type='chat'><body>hello</body></message>",
            last.jid
        ))
        .await;
    assert!(
        last.next().await.is_some_and(|xml| xml.contains("hello")),
        "the last one is there"
    );
    assert!(each <= BYTES_PER_SESSION_MAX, "{figure}");
    drop((people, others));
    kim.stop();
}

/// Opens sessions of as many accounts, some at a time.
async fn open(kim: &Kim, prefix: &str, sessions: usize) -> Vec<Person> {
    let names: Vec<String> = (0..sessions)
        .map(|number| format!("{prefix}{number}@localhost/phone"))
        .collect();
    stream::iter(&names)
        .map(|jid| Person::online(kim, jid))
        .buffer_unordered(16)
        .collect()
        .await
}
