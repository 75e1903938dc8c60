//! Rows 5–7: things without end. Each is cut at its limit, and the server has never had much more of it in memory
//! than that limit.

use crate::bystanders::Bystanders;
use crate::whole::line::Line;
use crate::whole::person::Person;
use crate::whole::process::Kim;

/// What an attacker is willing to send.
const GIGABYTE: usize = 1 << 30;
const STANZA_BYTES_MAX: usize = 262_144;
const STANZA_BYTES_BEFORE_LOGIN_MAX: usize = 10_240;
/// Attackers of each kind at the same time.
const ATTACKERS: usize = 8;

/// How it begins, and what then comes again and again.
const ENDLESS: [(&str, &str, &str); 8] = [
    (
        "a text",
        "<message to='bob@localhost'><body>",
        "more and more and more and more and more and more ",
    ),
    (
        "an attribute",
        "<message to='",
        "more-and-more-and-more-and-more-and-more-and-more",
    ),
    ("a name", "<", "more-and-more-and-more-and-more-and-more-and-more"),
    ("children", "<message to='bob@localhost'>", "<x xmlns='urn:x'/>"),
    ("depth", "<message to='bob@localhost'>", "<a>"),
    ("attributes", "<message", " a='b'"),
    (
        "character references",
        "<message><body>",
        "&#65;&#66;&#67;&#68;&#69;&#70;&#71;",
    ),
    (
        "CDATA",
        "<message><body><![CDATA[",
        "]] >]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stanza_without_end_is_cut_and_takes_little_memory() {
    // The rates stay out of the way: they would only slow the attack down.
    let settings = "[limits]\nbytes_per_second = 1073741824\nbytes_burst = 1073741824\n\
                    stanzas_per_second = 1000000\nstanzas_burst = 1000000\n\
                    streams_unauthenticated_per_address_max = 1000\n";
    let kim = Kim::start("hostile-endless", settings).await;
    let bystanders = Bystanders::of(&kim).await;
    // Buffers that stay with the threads are not the attacker's.
    attack(&kim, false).await;
    let before = kim.resident_bytes();
    attack(&kim, false).await;
    let grown = kim.resident_bytes_max().saturating_sub(before);
    let streams = ATTACKERS * ENDLESS.len();
    println!("{streams} endless stanzas before login: {grown} bytes more at most");
    assert!(
        grown < (2 * streams * STANZA_BYTES_BEFORE_LOGIN_MAX + (8 << 20)) as u64,
        "{grown} bytes more"
    );
    attack(&kim, true).await;
    let grown = kim.resident_bytes_max().saturating_sub(before);
    println!("{streams} endless stanzas after login: {grown} bytes more at most");
    assert!(
        grown < (2 * streams * STANZA_BYTES_MAX + (8 << 20)) as u64,
        "{grown} bytes more"
    );
    bystanders.were_not_disturbed().await;
    kim.stop();
}

async fn attack(kim: &Kim, logged_in: bool) {
    let mut attacks = Vec::new();
    for number in 0..ATTACKERS {
        for (at, (what, beginning, more)) in ENDLESS.into_iter().enumerate() {
            let line = if logged_in {
                Person::connect(kim, &format!("mallory{at}@localhost/{number}"))
                    .await
                    .line
            } else {
                let mut line = Line::direct(kim, "localhost").await;
                line.open("localhost").await.expect("features");
                line
            };
            attacks.push((what, tokio::spawn(flood(line, beginning, more))));
        }
    }
    for (what, attack) in attacks {
        let (sent, end) = attack.await.expect("an attacker");
        assert!(sent < 16 << 20, "{what}: {sent} bytes were taken");
        // Where the kernel throws away what the server said when it hung up there is none to read.
        assert!(
            end.as_deref()
                .is_none_or(|end| end == "policy-violation" || end == "not-well-formed"),
            "{what}: {end:?}"
        );
    }
}

/// Sends without end; gives how much was taken, and the stream error.
async fn flood(mut line: Line, beginning: &str, more: &str) -> (usize, Option<String>) {
    let chunk = more.repeat(16_384 / more.len());
    let mut sent = beginning.len();
    if line.write(beginning.as_bytes()).await.is_ok() {
        while sent < GIGABYTE && line.write(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
        }
    }
    (sent, line.verdict().await)
}

/// Row 6: a million elements inside one another, in one write and without an end.
#[tokio::test]
async fn a_million_levels_are_refused_at_the_sixty_fifth() {
    let kim = Kim::start("hostile-depth", "").await;
    let mut mallory = Person::connect(&kim, "mallory@localhost/lair").await;
    let deep = format!("<message to='mallory@localhost'>{}", "<a>".repeat(1_000_000));
    let _ = mallory.line.write(deep.as_bytes()).await;
    let end = mallory.line.verdict().await;
    assert!(
        end.as_deref().is_none_or(|end| end == "policy-violation"),
        "{end:?}"
    );
    // As deep as it may be it goes through, both ways.
    let mut mallory = Person::connect(&kim, "mallory@localhost/lair").await;
    let nested = format!(
        "{}{}",
        "<a xmlns='urn:a'>".to_owned(),
        "<b>".repeat(61) + &"</b>".repeat(61) + "</a>"
    );
    mallory.send("<presence/>").await;
    while mallory.next().await.is_some() {}
    mallory
        .send(&format!(
            "<message to='mallory@localhost'><body>deep</body>{nested}</message>"
        ))
        .await;
    assert!(
        mallory
            .next()
            .await
            .is_some_and(|xml| xml.contains(&"<b>".repeat(60))),
        "sixty-three levels are fine"
    );
    kim.stop();
}
