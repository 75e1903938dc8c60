//! What the benches share that run the house in their own process.

use std::sync::Arc;

use kim_core::jid::Jid;
use kim_core::router::Router;
use kim_core::session::Session;
use kim_core::stanza::Stanza;
use kim_core::testing::House;
use kim_core::wire::Element;

/// CPU time of this process, in seconds.
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    // utime and stime, in ticks of 10 ms; the state before them is no number.
    fields
        .get(10..12)
        .map_or(0.0, |ticks| ticks.iter().sum::<f64>() / 100.0)
}

/// A stanza from its text.
pub fn stanza(xml: &str) -> Stanza {
    Stanza::from_element(Element::parse(xml).expect("XML")).expect("a stanza")
}

/// A session of an account, which is made if it is not there. It is not available yet.
pub async fn session(house: &House, jid: &str, outbox_bytes_max: usize) -> Arc<Session> {
    let jid = Jid::parse(jid).expect("a JID");
    let known = house.router.accounts().find(&jid.bare()).await.expect("accounts");
    if known.is_none() {
        house.account(jid.bare_str()).await;
    }
    let session = Session::new(jid, false, None, outbox_bytes_max);
    house.router.start(&session).await.expect("room for a session");
    session
}

/// Sends a stanza and waits for all it causes.
pub async fn perform(router: &Router, session: &Arc<Session>, stanza: Stanza) {
    let outcome = router.depart(session, stanza).await;
    router.perform(outcome).await;
}
