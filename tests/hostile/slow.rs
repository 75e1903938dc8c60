//! Row 29, row R14: a client that never reads. It costs a bounded amount of memory, nobody waits for it, and what it did not
//! take is there when it comes back.

use crate::bystanders::Bystanders;
use crate::whole::person::Person;
use crate::whole::process::Kim;

const MESSAGES: usize = 12_000;
const TEXT_BYTES: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_slow_reader_does_not_take_waits_for_it() {
    let settings = "[limits]\nslow_reader_seconds_max = 2\noffline_messages_max = 1000000\noutbox_bytes_max = 1048576\n\
                    stanzas_per_second = 1000000\nstanzas_burst = 1000000\n\
                    bytes_per_second = 1073741824\nbytes_burst = 1073741824\n[rfc6121_im]\noffline_bytes_max = 100000000\n";
    let kim = Kim::start("hostile-slow", settings).await;
    let bystanders = Bystanders::of(&kim).await;
    let mut alice = Person::online(&kim, "alice@localhost/phone").await;
    let bob = Person::online(&kim, "bob@localhost/sleeping").await;
    let before = kim.resident_bytes();
    let text = "z".repeat(TEXT_BYTES);
    for number in 0..MESSAGES {
        alice
            .say(&format!(
                "<message id='n{number}' to='bob@localhost' type='chat'><body>{text}</body></message>"
            ))
            .await;
        if number % 500 == 499 {
            assert!(alice.settle().await, "the sender is not disturbed");
        }
    }
    let grown = kim.resident_bytes_max().saturating_sub(before);
    println!(
        "{} bytes sent to a client that does not read: {grown} bytes more at most",
        MESSAGES * TEXT_BYTES
    );
    assert!(grown < 32 << 20, "{grown} bytes more");
    // What the kernels had taken by then can still be read. The server then says why it ends the session, or nothing.
    let mut bob = bob;
    let taken = bob.rest().await;
    let mut again = Person::connect(&kim, "bob@localhost/awake").await;
    again.say("<presence/>").await;
    let later = again.all().await;
    let ids = |all: &[String]| -> Vec<usize> {
        let id = |xml: &String| xml.split("id='n").nth(1)?.split('\'').next()?.parse().ok();
        all.iter().filter_map(id).collect()
    };
    let (taken, later) = (ids(&taken), ids(&later));
    println!(
        "{} were taken by the first session, {} waited for the second",
        taken.len(),
        later.len()
    );
    assert!(
        taken.iter().copied().eq(0..taken.len()),
        "what came, came in order"
    );
    assert!(!later.is_empty(), "the test sends more than kernels keep");
    let mut all: Vec<usize> = taken.iter().chain(&later).copied().collect();
    all.sort_unstable();
    all.dedup();
    let lost = (0..MESSAGES)
        .filter(|number| all.binary_search(number).is_err())
        .count();
    assert_eq!(lost, 0, "messages that neither session got");
    assert!(
        later.is_sorted(),
        "what waited, comes in order: {:?}",
        first_disorder(&later)
    );
    bystanders.were_not_disturbed().await;
    kim.stop();
}

fn first_disorder(ids: &[usize]) -> Option<&[usize]> {
    let at = ids.windows(2).position(|pair| pair[0] > pair[1])?;
    ids.get(at.saturating_sub(2)..(at + 4).min(ids.len()))
}
