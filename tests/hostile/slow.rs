//! Row 29: a client that never reads. It costs a bounded amount of memory, nobody waits for it, and what it did not
//! take is there when it comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bystanders::Bystanders;
use crate::whole::person::Person;
use crate::whole::process::Kim;

const MESSAGES: usize = 2_500;
const TEXT_BYTES: usize = 3500;
/// Only ends a wait for what will never come.
const WAIT_MAX: Duration = Duration::from_secs(20);

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
    let taken: Vec<usize> = bob.rest().await.iter().filter_map(|xml| number(xml)).collect();
    assert!(
        taken.iter().copied().eq(0..taken.len()),
        "what came, came in order"
    );
    assert!(taken.len() < MESSAGES, "the test sends more than kernels keep");
    let mut again = Person::connect(&kim, "bob@localhost/awake").await;
    again.say("<presence/>").await;
    let mut missing: BTreeSet<usize> = (taken.len()..MESSAGES).collect();
    let mut later = Vec::new();
    // A message that never comes ends the wait, and the test.
    while !missing.is_empty() {
        let Some(xml) = again.wait_up_to(WAIT_MAX).await else {
            panic!("{} taken, {} waited, lost: {missing:?}", taken.len(), later.len());
        };
        if let Some(number) = number(&xml) {
            missing.remove(&number);
            later.push(number);
        }
    }
    println!(
        "{} were taken by the first session, {} waited for the second",
        taken.len(),
        later.len()
    );
    assert!(
        later.is_sorted(),
        "what waited, comes in order: {:?}",
        first_disorder(&later)
    );
    bystanders.were_not_disturbed().await;
    kim.stop();
}

/// Which of the messages it is.
fn number(xml: &str) -> Option<usize> {
    xml.split("id='n").nth(1)?.split('\'').next()?.parse().ok()
}

fn first_disorder(ids: &[usize]) -> Option<&[usize]> {
    let at = ids.windows(2).position(|pair| pair[0] > pair[1])?;
    ids.get(at.saturating_sub(2)..(at + 4).min(ids.len()))
}
